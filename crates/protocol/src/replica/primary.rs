//! Normal operation at the primary: preparing, counting acknowledgements, heartbeats, falling silent (4.1, 6.2).

use std::collections::BTreeMap;

use super::Replica;
use super::io::Ignored;
use super::plausible::WALL_CLOCK_MAX;
use super::status::{Peer, Primary, Status};
use crate::checkpoint::CheckpointId;
use crate::in_flight::InFlight;
use crate::log::{Entry, Request};
use crate::message::{Body, Commit, Header, Prepare};
use crate::numbers::{Ballot, ChainHash, NodeId, OpNumber, Time, Viewstamp};
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// Everything in the log is prepared again in this view: acknowledgements of earlier views count for nothing (N4).
    pub(super) fn enter_primary(&mut self) {
        let now = self.now.monotonic;
        let op = self.log.op();
        let mut in_flight = InFlight::new(self.cluster_options.slots_max);
        let mut pipeline_bytes = 0;
        for entry in self.log.iter_above(self.executor.executed()) {
            in_flight.appended(entry);
            if entry.op() > self.commit {
                pipeline_bytes += entry.size();
            }
        }
        let retry_at = now.after(self.options.prepare_retry);
        let peer =
            |id| Peer { id, acked: OpNumber::ZERO, sent: op, heard_at: now, retry_at: Some(retry_at), retries: 0 };
        self.status = Status::Primary(Primary {
            peers: self.others().into_iter().map(peer).collect(),
            view_start: op,
            in_flight,
            pipeline_bytes,
            queue: Default::default(),
            queue_bytes: 0,
            pre_steps: Default::default(),
            heartbeat_at: now,
            heartbeat_sequence: 0,
            progress_at: now,
            abdicated: false,
            reports: Default::default(),
        });
        self.count_acknowledgements();
    }

    /// 4.1 step 3: "advances op-number, adds the request to the end of the log". The PREPARE leaves with the next drain.
    pub(super) fn append(&mut self, request: Request) {
        let ballot = Ballot { epoch: self.configuration.epoch(), view: self.view };
        let stamp = Viewstamp { ballot, op: self.log.op().next() };
        let timestamp = self.now.wall.min(WALL_CLOCK_MAX).max(self.log.head_timestamp().next());
        let entry = Entry::new(self.log.head_hash(), stamp, timestamp, request);
        let Status::Primary(primary) = &mut self.status else { unreachable!("only a primary orders requests") };
        if self.log.op() == self.commit {
            primary.progress_at = self.now.monotonic;
        }
        primary.in_flight.appended(&entry);
        primary.pipeline_bytes += entry.size();
        self.log.append(entry);
        if self.configuration.quorum() == 1 {
            self.count_acknowledgements();
        }
    }

    /// Sends each backup what it has not been sent: one run for all where they are level, as they usually are.
    pub(super) fn flush_prepares(&mut self) {
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        let op = self.log.op();
        if primary.abdicated || primary.peers.iter().all(|peer| peer.sent >= op) {
            return;
        }
        let sent = primary.peers[0].sent;
        if primary.peers.iter().all(|peer| peer.sent == sent && self.is_within_reach(peer)) {
            return self.send_prepares(sent, None);
        }
        let mut levels: BTreeMap<OpNumber, Vec<NodeId>> = BTreeMap::new();
        for peer in primary.peers.iter().filter(|peer| peer.sent < op && self.is_within_reach(peer)) {
            levels.entry(peer.sent).or_default().push(peer.id);
        }
        for (sent, peers) in levels {
            self.send_prepares(sent, Some(&peers));
        }
    }

    /// A backup that lags more than the pipeline is long is not flooded, and to one that lacks what was cut off the log nothing can
    /// be sent: it fetches what it lacks by GETSTATE (5.2).
    fn is_within_reach(&self, peer: &Peer) -> bool {
        peer.acked >= self.log.base() && self.log.op().distance_from(peer.acked) <= self.options.pipeline_ops_max
    }

    /// Sends everything above `sent` to these backups, or to all, in runs of bounded size.
    fn send_prepares(&mut self, mut sent: OpNumber, to: Option<&[NodeId]>) {
        while sent < self.log.op() {
            let entries = self.log.run(sent.next(), self.log.op(), self.options.prepare_bytes_max);
            let previous = self.log.hash_at(sent).expect("within the log");
            sent = entries.last().expect("not empty").op();
            let (commit, checkpoint) = (self.commit, self.checkpoints.quorum());
            let body = Body::Prepare(Prepare { previous, entries, commit, checkpoint });
            match to {
                None => self.broadcast(body),
                Some(ids) => ids.iter().for_each(|id| self.send(*id, body.clone())),
            }
        }
        let now = self.now.monotonic;
        let retry_at = now.after(self.options.prepare_retry);
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        for peer in primary.peers.iter_mut().filter(|peer| to.is_none_or(|ids| ids.contains(&peer.id))) {
            peer.sent = sent;
            peer.retry_at.get_or_insert(retry_at);
        }
        if to.is_none() {
            primary.heartbeat_at = now.after(self.options.heartbeat_interval);
        }
    }

    /// N4: an answer counts in the view in which it was given.
    pub(super) fn admit_from_backup(&mut self, header: Header) -> Result<(), Ignored> {
        if header.view > self.view {
            self.heard_started(header);
            return Err(Ignored::LaterView);
        }
        if header.view < self.view { Err(Ignored::OlderView) } else { Ok(()) }
    }

    /// 4.1 step 5. Also taken from COMMITACK, so that a lost PREPAREOK is made good by the next heartbeat.
    ///
    /// What is held under the number has to be what was sent: after a restart, or at the beginning of a cluster, it may not be.
    pub(super) fn on_prepare_ok(
        &mut self,
        header: Header,
        op: OpNumber,
        head: ChainHash,
        checkpoint: CheckpointId,
    ) -> Result<(), Ignored> {
        self.admit_from_backup(header)?;
        let now = self.now.monotonic;
        let Status::Primary(primary) = &mut self.status else { return Err(Ignored::WrongStatus) };
        // Of what is in a checkpoint no hash is known. It counts for nothing, but its sender is there.
        let is_cut_off = op < self.log.base();
        if !is_cut_off && !self.log.matches(op, head) {
            return Err(Ignored::OtherLog);
        }
        let peer = primary.peer_mut(header.from);
        peer.heard_at = now;
        if op > peer.acked && !is_cut_off {
            peer.acked = op;
            peer.sent = peer.sent.max(op);
            peer.retries = 0;
            peer.retry_at = (op < peer.sent).then(|| now.after(self.options.prepare_retry));
            primary.progress_at = now;
            self.count_acknowledgements();
        } else if op == peer.sent {
            peer.retry_at = None;
        }
        self.note_checkpoint(header.from, checkpoint);
        self.resume_if_able();
        Ok(())
    }

    /// Commits what a quorum holds in this view (2.2, 4.1 step 5).
    pub(super) fn count_acknowledgements(&mut self) {
        // Its own vote counts as far as a backup's would.
        let (quorum, own) = (self.configuration.quorum(), self.acknowledged_op());
        let Status::Primary(primary) = &mut self.status else { unreachable!("only a primary counts") };
        let held = || primary.peers.iter().map(|peer| peer.acked).chain([own]);
        let held_by_quorum = |op: &OpNumber| held().filter(|held| held >= op).count() >= quorum;
        let Some(commit) = held().filter(|op| *op > self.commit).filter(held_by_quorum).max() else { return };
        let committed = self.log.iter_above(self.commit).take_while(|entry| entry.op() <= commit);
        let bytes: usize = committed.map(Entry::size).sum();
        primary.pipeline_bytes -= bytes;
        self.commit = commit;
        self.progress_made();
    }

    pub(super) fn tick_primary(&mut self) {
        let now = self.now.monotonic;
        // Not only with the heartbeat: PREPAREs stand for heartbeats, so a busy primary would never look.
        self.abdicate_unless_able();
        let Status::Primary(primary) = &self.status else { unreachable!("asked by status") };
        if now >= primary.heartbeat_at {
            self.heartbeat();
        }
        let Status::Primary(primary) = &self.status else { return };
        if primary.abdicated {
            return;
        }
        let due = |peer: &Peer| peer.retry_at.is_some_and(|due| due <= now);
        let late: Vec<NodeId> = primary.peers.iter().filter(|peer| due(peer)).map(|peer| peer.id).collect();
        for id in late {
            self.retry_prepare(id, now);
        }
    }

    /// Sends a backup again what it has not acknowledged, a bounded piece at a time, ever more rarely.
    fn retry_prepare(&mut self, id: NodeId, now: Time) {
        let options = self.options;
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        let peer = primary.peer_mut(id);
        peer.retries += 1;
        let delay = options.prepare_retry.saturating_mul(1 << peer.retries.min(16));
        peer.retry_at = Some(now.after(delay.min(options.prepare_retry_max)));
        let peer = peer.clone();
        if peer.acked >= peer.sent || !self.is_within_reach(&peer) {
            return;
        }
        let entries = self.log.run(peer.acked.next(), peer.sent, options.prepare_bytes_max);
        let previous = self.log.hash_at(peer.acked).expect("within the log");
        let (commit, checkpoint) = (self.commit, self.checkpoints.quorum());
        self.send(id, Body::Prepare(Prepare { previous, entries, commit, checkpoint }));
    }

    /// 4.1 step 6, sent on schedule to whoever was not sent a PREPARE meanwhile; acknowledged, so that an idle primary knows
    /// who hears it (V8).
    fn heartbeat(&mut self) {
        let now = self.now.monotonic;
        let (commit, op) = (self.commit, self.log.op());
        let Status::Primary(primary) = &mut self.status else { return };
        primary.heartbeat_at = now.after(self.options.heartbeat_interval);
        if primary.abdicated {
            self.vote();
            return;
        }
        primary.heartbeat_sequence += 1;
        let sequence = primary.heartbeat_sequence;
        let checkpoint = self.checkpoints.quorum();
        self.broadcast(Body::Commit(Commit { commit, op, sequence, sent_at: now, checkpoint }));
    }

    fn hears_quorum(&self) -> bool {
        let Status::Primary(primary) = &self.status else { return false };
        let since = |peer: &Peer| self.now.monotonic.since(peer.heard_at);
        let heard = primary.peers.iter().filter(|peer| since(peer) < self.options.abdicate_timeout).count();
        heard + 1 >= self.configuration.quorum()
    }

    /// Whether something is prepared and nobody has acknowledged any more of it for long, heartbeats notwithstanding.
    fn is_stalled(&self) -> bool {
        let Status::Primary(primary) = &self.status else { return false };
        self.log.op() > self.commit && self.now.monotonic.since(primary.progress_at) >= self.options.stall_timeout
    }

    /// V8: a primary that reaches the others but does not hear them, or reaches them with small messages only, would keep them
    /// from electing another for ever.
    fn abdicate_unless_able(&mut self) {
        let is_able = self.hears_quorum() && !self.is_stalled();
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        if !is_able {
            primary.abdicated = true;
        }
    }

    /// A primary whose state is not that of a quorum answers nobody, and falls silent, so that another takes over.
    pub(super) fn abdicate_when_divergent(&mut self) {
        if let Status::Primary(primary) = &mut self.status {
            primary.abdicated = true;
        }
    }

    fn resume_if_able(&mut self) {
        let is_abdicated = matches!(&self.status, Status::Primary(primary) if primary.abdicated);
        if !is_abdicated || !self.hears_quorum() || self.is_stalled() || self.checkpoints.is_divergent() {
            return;
        }
        let Status::Primary(primary) = &mut self.status else { unreachable!("asked by status") };
        primary.abdicated = false;
        self.votes.withdraw(self.id);
    }
}
