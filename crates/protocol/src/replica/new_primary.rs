//! The new primary: chooses the log of its view, completes it beside its own, and starts the view (4.2 step 3, 5.3).
//!
//! A primary that lags far gives way to one with a better log, once; otherwise it tells the others how it gets on, so that they
//! do not take it for dead (docs/deviations.md, V10).

use super::Replica;
use super::checkpoint_transfer::CheckpointTransfer;
use super::choice::{crash_consistent, do_view_change, winner};
use super::io::Ignored;
use super::staged::Staged;
use super::status::{Building, Status, ViewChange};
use crate::message::{Body, GetLog, Header, LogChunk, Message, StartViewPending, StateContent};
use crate::numbers::{ChainHash, NodeId, OpNumber, ViewNumber};
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// 4.2 step 3, once a quorum that no crash has made void has answered.
    pub(super) fn choose_log(&mut self) {
        let all: Vec<&Message> = self.status.do_view_changes().iter().collect();
        let usable = crash_consistent(&all);
        if usable.len() < self.configuration.quorum() {
            return;
        }
        let quorum: Vec<&Message> = all.into_iter().filter(|message| usable.contains(&message.header.from)).collect();
        let best = winner(&quorum, self.id).expect("a quorum is not empty");
        let commits = || quorum.iter().map(|message| do_view_change(message).commit);
        let body = do_view_change(best);
        let after = OpNumber(body.op.0 - body.suffix.len() as u64);
        let suffix = Staged::from_run(after, body.previous, body.suffix.clone()).expect("checked on receipt");
        let suffix = suffix.above_base_of(&self.log);
        let building = Building {
            winner: best.header.from,
            log_view: body.log_view,
            op: body.op,
            head: body.head,
            commit: commits().max().expect("not empty"),
            commit_floor: commits().min().expect("not empty"),
            fetched: self.fetched_before(suffix.after(), suffix.previous()),
            suffix,
            tell_at: self.now.monotonic,
        };
        if let Some(view) = self.sound_view(&quorum).or_else(|| self.better_view(&quorum, &building)) {
            return self.forfeit(view);
        }
        let Status::ViewChange(change) = &mut self.status else { unreachable!("asked by status") };
        change.building = Some(building);
        self.build_log();
    }

    /// The first later view whose primary has the log that this replica would have to fetch much of; a lagging primary
    /// insists only when it has given way before (V10).
    fn better_view(&self, quorum: &[&Message], building: &Building) -> Option<ViewNumber> {
        let is_far = |op: OpNumber| building.op.distance_from(op) > self.options.forfeit_ops;
        if self.has_forfeited || !is_far(self.log.op().max(building.fetched.op())) {
            return None;
        }
        let is_better = |node: NodeId| {
            let mut bodies = quorum.iter().filter(|message| message.header.from == node).map(|m| do_view_change(m));
            bodies.any(|body| body.log_view == building.log_view && !is_far(body.op))
        };
        let mut views = (1..=self.configuration.len() as u64).map(|ahead| self.view.plus(ahead));
        views.find(|view| is_better(self.primary_of(*view)))
    }

    /// When the own state is not that of a quorum: the first later view whose primary is another member of the quorum. Nobody is
    /// answered from a wrong state (T9); with nobody to give way to, no quorum is there either.
    fn sound_view(&self, quorum: &[&Message]) -> Option<ViewNumber> {
        if !self.checkpoints.is_divergent() {
            return None;
        }
        let is_other = |node: NodeId| node != self.id && quorum.iter().any(|message| message.header.from == node);
        let mut views = (1..=self.configuration.len() as u64).map(|ahead| self.view.plus(ahead));
        views.find(|view| is_other(self.primary_of(*view)))
    }

    /// Leaves the view to a better primary. The quorum that wanted this one is told to follow, without waiting for a timeout.
    fn forfeit(&mut self, view: ViewNumber) {
        self.has_forfeited = true;
        self.enter_view_change(view);
    }

    /// What an earlier view left of a log that may be the one which has the hash `previous` at `after`.
    fn fetched_before(&self, after: OpNumber, previous: ChainHash) -> Staged {
        let may_be_part = |spare: &&Staged| spare.op() < after || spare.hash_at(after) == Some(previous);
        self.usable_spare().filter(may_be_part).cloned().unwrap_or_else(|| self.nothing_fetched())
    }

    /// Joins the winning log to the own one where their viewstamps agree; asks the winner for what is missing between (V6).
    pub(super) fn build_log(&mut self) {
        let Status::ViewChange(change) = &mut self.status else { unreachable!("asked by status") };
        let Some(building) = change.building.as_mut() else { return };
        let (op, head) = (building.op, building.head);
        if self.log.matches(op, head) {
            return self.start_view(Staged::new(op, head));
        }
        let (after, previous) = (building.suffix.after(), building.suffix.previous());
        if self.log.matches(after, previous) {
            let suffix = building.suffix.clone();
            return self.start_view(suffix);
        }
        if building.fetched.hash_at(after) == Some(previous) {
            let mut whole = std::mem::take(&mut building.fetched);
            whole.truncate(after);
            let suffix = std::mem::take(&mut building.suffix);
            suffix.append_to(&mut whole);
            return self.start_view(whole);
        }
        self.send_get_log();
        self.tell_progress();
    }

    /// SVPENDING, as often as a view change repeats itself.
    pub(super) fn tell_progress(&mut self) {
        let now = self.now.monotonic;
        let next = now.after(self.options.view_change_retry);
        let Status::ViewChange(ViewChange { building: Some(building), .. }) = &mut self.status else { return };
        if now < building.tell_at {
            return;
        }
        building.tell_at = next;
        let parts = self.checkpoint_transfer.as_ref().map_or(0, CheckpointTransfer::parts_fetched);
        let body = StartViewPending { op: building.fetched.op(), of: building.op, parts };
        self.broadcast(Body::StartViewPending(body));
    }

    /// Nothing of another log, above what is committed in the own one.
    fn nothing_fetched(&self) -> Staged {
        Staged::new(self.commit, self.log.hash_at(self.commit).expect("within the log"))
    }

    pub(super) fn send_get_log(&mut self) {
        let Status::ViewChange(ViewChange { building: Some(building), .. }) = &self.status else { return };
        let body = GetLog {
            log_view: building.log_view,
            first: building.fetched.op().next(),
            last: building.suffix.after(),
            bytes_max: u32::try_from(self.options.transfer_bytes_max).unwrap_or(u32::MAX),
        };
        let winner = building.winner;
        assert_ne!(winner, self.id, "the own log is complete");
        self.send(winner, Body::GetLog(body));
    }

    /// The log is frozen since DOVIEWCHANGE, so the part that was left out of it is still the same.
    pub(super) fn on_get_log(&mut self, header: Header, m: GetLog) -> Result<(), Ignored> {
        if header.view != self.view || m.log_view != self.log_view || !matches!(self.status, Status::ViewChange(_)) {
            return Err(Ignored::WrongStatus);
        }
        if m.first == OpNumber::ZERO || m.first > m.last || m.last > self.log.op() {
            return Err(Ignored::Malformed);
        }
        let content = self.log_after(m.first.previous(), m.last, m.bytes_max).ok_or(Ignored::WrongStatus)?;
        self.send(header.from, Body::LogChunk(LogChunk { log_view: self.log_view, content }));
        Ok(())
    }

    pub(super) fn on_log_chunk(&mut self, header: Header, m: LogChunk) -> Result<(), Ignored> {
        let retry_at = self.now.monotonic.after(self.options.view_change_retry);
        let nothing = self.nothing_fetched();
        let Status::ViewChange(change) = &mut self.status else { return Err(Ignored::WrongStatus) };
        let Some(building) = change.building.as_mut() else { return Err(Ignored::Unasked) };
        if header.view != self.view || header.from != building.winner || m.log_view != building.log_view {
            return Err(Ignored::Unasked);
        }
        let before = building.fetched.op();
        let (after, previous, entries) = match m.content {
            StateContent::Entries { after, previous, entries } => (after, previous, entries),
            StateContent::NeedCheckpoint(id) => {
                self.start_checkpoint_transfer(id);
                return Ok(());
            }
        };
        if after == before && previous != building.fetched.head() {
            // What an earlier view left is no part of this log.
            building.fetched = nothing;
            self.send_get_log();
            return Ok(());
        }
        building.fetched.extend(after, previous, entries)?;
        if building.fetched.op() == before {
            return Err(Ignored::Duplicate);
        }
        change.retry_at = retry_at;
        self.extend_view_change();
        self.build_log();
        Ok(())
    }

    /// 4.2 step 3: the new log replaces the old one, and the view starts.
    fn start_view(&mut self, piece: Staged) {
        let Status::ViewChange(ViewChange { building, .. }) = &mut self.status else { unreachable!("asked by status") };
        let building = building.take().expect("a log was chosen");
        let (op, head, commit, floor) = (building.op, building.head, building.commit, building.commit_floor);
        assert!(piece.op() == op && piece.head() == head, "the whole of the winning log");
        if commit > op || !self.keeps_committed(&piece) {
            // Some sender is broken. Better no view than one without a committed operation; the timeout tries the next.
            *self.ignored.entry(Ignored::DropsCommitted).or_default() += 1;
            return;
        }
        piece.splice_onto(&mut self.log);
        self.commit = self.commit.max(commit);
        self.enter_normal();
        let body = self.start_view_above(floor);
        self.broadcast(body);
    }
}
