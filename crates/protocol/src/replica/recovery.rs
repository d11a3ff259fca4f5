//! Recovery of a replica that has lost its memory (4.3, 8.2), with incarnations and crash vectors (docs/deviations.md, C1).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Replica;
use super::choice::{crash_consistent, recovery_response};
use super::io::{Event, Ignored, Output};
use super::outage::Outage;
use super::staged::Staged;
use super::state_transfer::Transfer;
use super::status::{Found, Recovering, RecoveryStage, Status};
use crate::crash_vector::CrashVector;
use crate::log::{Entry, Log};
use crate::message::{
    AlsoRecovering, Body, GetIncarnation, Header, KnownIncarnation, Message, PrimaryState, Recovery, RecoveryResponse,
    StaleIncarnation,
};
use crate::numbers::{ChainHash, Incarnation, NodeId, Nonce, OpNumber, Time, ViewNumber};
use crate::options::Options;
use crate::service::Service;

/// How long to wait before try number `retries`.
pub(super) fn retry_delay(options: &Options, retries: u32) -> Duration {
    options.recovery_retry.saturating_mul(1 << retries.saturating_sub(1).min(16)).min(options.recovery_retry_max)
}

impl<S: Service> Replica<S> {
    /// Begins again from nothing. `last` is the highest incarnation this node is known to have had, when a counter survived.
    pub(super) fn enter_recovering(&mut self, last: Option<Incarnation>) {
        let stage = match last {
            Some(_) => RecoveryStage::Saving,
            None => {
                let nonce = Nonce(self.random.next_u128());
                RecoveryStage::AskIncarnation { nonce, answers: BTreeMap::new() }
            }
        };
        self.forget_everything();
        self.status = Status::Recovering(Recovering {
            stage,
            retry_at: Time::ZERO,
            retries: 0,
            also_recovering: BTreeSet::new(),
            also_recovering_before: BTreeSet::new(),
            quorum_lost: false,
            outage: Outage::default(),
            view_floor: ViewNumber::ZERO,
        });
        self.status_changed();
        match last {
            Some(last) => self.save_incarnation(last.next()),
            None => self.tick_recovering(),
        }
    }

    /// A disk tells in which view the replica was before. Without a later one it would go back on its word; crash vectors void that
    /// word, so this is caution, not necessity.
    pub(super) fn finish_in_view_or_later(&mut self, view: ViewNumber) {
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        if self.journal.waits() {
            recovering.view_floor = view;
        }
    }

    fn forget_everything(&mut self) {
        self.log = Log::default();
        self.commit = OpNumber::ZERO;
        self.executor.reset(&self.cluster_options);
        self.checkpoints.clear();
        self.crash_vector = CrashVector::default();
        self.recoveries.clear();
        self.view = ViewNumber::ZERO;
        self.log_view = ViewNumber::ZERO;
        self.incarnation = Incarnation::ZERO;
        self.journal.begin_anew();
        self.transfer = None;
        self.checkpoint_transfer = None;
        self.spare = None;
        self.votes.clear();
        self.evidence.clear();
    }

    /// Durable before RECOVERY is sent, so that no incarnation is ever used twice (C3).
    fn save_incarnation(&mut self, incarnation: Incarnation) {
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        recovering.stage = RecoveryStage::Saving;
        self.identity.incarnation = incarnation;
        self.outputs.push_back(Output::SaveIdentity(self.identity.clone()));
    }

    pub(super) fn on_incarnation_saved(&mut self) {
        let nonce = Nonce(self.random.next_u128());
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        if recovering.stage != RecoveryStage::Saving {
            return;
        }
        recovering.stage = RecoveryStage::Asking { nonce, responses: BTreeMap::new() };
        recovering.retries = 0;
        recovering.retry_at = Time::ZERO;
        self.incarnation = self.identity.incarnation;
        self.crash_vector.raise(self.id, self.incarnation);
        self.tick_recovering();
    }

    /// 4.3 step 1. The same nonce again until it succeeds: answers to it were all given after the crash.
    pub(super) fn tick_recovering(&mut self) {
        let now = self.now.monotonic;
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        if now < recovering.retry_at {
            return;
        }
        recovering.retries += 1;
        recovering.retry_at = now.after(retry_delay(&self.options, recovering.retries));
        let attempt = recovering.retries;
        self.judge_quorum();
        let Status::Recovering(recovering) = &self.status else { return };
        let body = match &recovering.stage {
            RecoveryStage::AskIncarnation { nonce, .. } => {
                Body::GetIncarnation(GetIncarnation { nonce: *nonce, attempt })
            }
            RecoveryStage::Asking { nonce, .. } | RecoveryStage::Fetching { nonce, .. } => {
                let (op, view) = (self.log.op(), recovering.view_floor);
                Body::Recovery(Recovery { nonce: *nonce, attempt, op, view })
            }
            RecoveryStage::Saving => return,
        };
        self.broadcast(body);
    }

    // What the others do for a recovering replica.

    /// Answered in any status that remembers: normal, or in a view change.
    pub(super) fn on_get_incarnation(&mut self, header: Header, m: GetIncarnation) -> Result<(), Ignored> {
        let nonce = m.nonce;
        self.confess_if_recovering(header, m.nonce, m.attempt)?;
        let incarnation = self.crash_vector.known(header.from);
        let founders = self.identity.founders.clone();
        self.send(header.from, Body::KnownIncarnation(KnownIncarnation { nonce, incarnation, founders }));
        Ok(())
    }

    /// 4.3 step 2. The sender's new incarnation is noted before it is answered.
    pub(super) fn on_recovery(&mut self, header: Header, m: Recovery) -> Result<(), Ignored> {
        self.confess_if_recovering(header, m.nonce, m.attempt)?;
        if !self.status.is_normal() {
            return Err(Ignored::WrongStatus);
        }
        let is_known = self.crash_vector.known(header.from) == header.incarnation;
        if is_known && self.recoveries.get(&header.from).is_some_and(|nonce| *nonce != m.nonce) {
            // C15: another life of that node has used this incarnation.
            self.send_stale_incarnation(header.from);
            return Err(Ignored::StaleIncarnation);
        }
        let is_news = header.incarnation > self.crash_vector.known(header.from);
        self.crash_vector.raise(header.from, header.incarnation);
        self.recoveries.insert(header.from, m.nonce);
        let primary = matches!(self.status, Status::Primary(_)).then(|| PrimaryState {
            op: self.log.op(),
            commit: self.commit,
            head: self.log.head_hash(),
            base: self.log.base(),
        });
        let mut crash_vector = self.crash_vector.clone();
        crash_vector.raise(self.id, self.incarnation);
        let response = RecoveryResponse { nonce: m.nonce, crash_vector, primary };
        self.send(header.from, Body::RecoveryResponse(Box::new(response)));
        if m.view > self.view {
            // It will not come back into an earlier view than it was in: let there be a later one.
            self.heard_view = self.heard_view.max(m.view.previous());
            self.vote();
        }
        // C10: the first RECOVERY of a new life is proof of a crash. A copy of it may be late, and its sender well again.
        if is_news {
            self.note_gone(header.from);
        }
        Ok(())
    }

    /// A replica that recovers takes part in nothing, but says why it cannot help.
    fn confess_if_recovering(&mut self, header: Header, nonce: Nonce, attempt: u32) -> Result<(), Ignored> {
        let Status::Recovering(recovering) = &self.status else { return Ok(()) };
        let survivor = recovering.outage.own;
        self.send(header.from, Body::AlsoRecovering(AlsoRecovering { nonce, attempt, survivor }));
        Err(Ignored::WrongStatus)
    }

    // The answers.

    pub(super) fn on_known_incarnation(&mut self, header: Header, m: KnownIncarnation) -> Result<(), Ignored> {
        let quorum = self.configuration.quorum();
        let Status::Recovering(recovering) = &mut self.status else { return Err(Ignored::WrongStatus) };
        recovering.answered(header.from);
        let RecoveryStage::AskIncarnation { nonce, answers } = &mut recovering.stage else {
            return Err(Ignored::Unasked);
        };
        if *nonce != m.nonce {
            return Err(Ignored::Unasked);
        }
        answers.insert(header.from, m.incarnation);
        if self.identity.founders.is_empty() {
            self.identity.founders = m.founders;
        }
        if answers.len() >= quorum {
            let last = answers.values().max().copied().expect("not empty");
            self.save_incarnation(last.next());
        }
        Ok(())
    }

    /// Another life of this node has the same incarnation, or a higher one (C15): only a higher one still will be heard.
    pub(super) fn on_stale_incarnation(&mut self, m: StaleIncarnation) -> Result<(), Ignored> {
        if m.node != self.id {
            return Err(Ignored::Unasked);
        }
        let is_taken = match &self.status {
            Status::Recovering(Recovering { stage: RecoveryStage::Asking { nonce, .. }, .. }) => {
                m.known == self.incarnation && m.nonce != Nonce(0) && m.nonce != *nonce
            }
            _ => false,
        };
        if self.incarnation == Incarnation::ZERO || (m.known <= self.incarnation && !is_taken) {
            return Err(Ignored::Duplicate);
        }
        self.enter_recovering(Some(m.known));
        Ok(())
    }

    pub(super) fn on_recovery_response(&mut self, header: Header, m: RecoveryResponse) -> Result<(), Ignored> {
        if let Some(primary) = &m.primary
            && (primary.commit > primary.op || self.primary_of(header.view) != header.from)
        {
            return Err(Ignored::Malformed);
        }
        let Status::Recovering(recovering) = &mut self.status else { return Err(Ignored::WrongStatus) };
        recovering.answered(header.from);
        let (RecoveryStage::Asking { nonce, responses } | RecoveryStage::Fetching { nonce, responses, .. }) =
            &mut recovering.stage
        else {
            return Err(Ignored::Unasked);
        };
        // An answer names the life it answers, so that not even a nonce used twice brings an old answer back (C2).
        let answers_this_life = m.crash_vector.iter().any(|known| known == (self.id, self.incarnation));
        if *nonce != m.nonce || !answers_this_life {
            return Err(Ignored::Unasked);
        }
        let message = Message { header, body: Body::RecoveryResponse(Box::new(m)) };
        match responses.get(&header.from) {
            Some(known) if freshness(known) > freshness(&message) => return Err(Ignored::Duplicate),
            _ => responses.insert(header.from, message),
        };
        self.evaluate_responses();
        Ok(())
    }

    /// 4.3 step 3: enough answers, that no crash has made void, with the primary of the latest view heard of among them.
    fn evaluate_responses(&mut self) {
        let Status::Recovering(recovering) = &self.status else { unreachable!("asked by status") };
        let (nonce, responses, found_view) = match &recovering.stage {
            RecoveryStage::Asking { nonce, responses } => (*nonce, responses, None),
            RecoveryStage::Fetching { nonce, responses, found } => (*nonce, responses, Some(found.view)),
            _ => return,
        };
        let by_quorum = found_in(responses, self.configuration.quorum());
        let Some(found) = by_quorum.or_else(|| self.found_by_pledge(responses)) else { return };
        if found.view < recovering.view_floor || found_view.is_some_and(|view| view >= found.view) {
            return;
        }
        let stage = RecoveryStage::Fetching { nonce, responses: responses.clone(), found: found.clone() };
        if let Status::Recovering(recovering) = &mut self.status {
            recovering.stage = stage;
        }
        let source = self.primary_of(found.view);
        // What was fetched of an older view's log was never relied on.
        self.keep_what_was_fetched();
        self.heard_view = self.heard_view.max(found.view);
        self.heard_op = self.heard_op.max(found.op);
        self.start_transfer(found.view, source);
        self.finish_recovery_if_complete();
    }

    /// A piece of the log arrived.
    pub(super) fn recovery_chunk(
        &mut self,
        after: OpNumber,
        previous: ChainHash,
        entries: Vec<Entry>,
    ) -> Result<(), Ignored> {
        let is_own = self.log.hash_at(after).is_some();
        if is_own && !self.log.matches(after, previous) {
            self.distrust_prefix();
            self.outputs.push_back(Output::Event(Event::DiskDistrusted { op: after }));
            self.send_get_state();
            return Err(Ignored::OtherLog);
        }
        let before = self.staged_op();
        self.stage(after, previous, entries)?;
        let retry_at = self.now.monotonic.after(self.options.recovery_retry_max);
        if let Status::Recovering(recovering) = &mut self.status {
            // The log arrives: the answers need not be asked for again.
            recovering.retry_at = retry_at;
        }
        if !self.finish_recovery_if_complete() && self.staged_op() != before {
            self.send_get_state();
        }
        Ok(())
    }

    /// "Then it updates its state using the information from the primary, changes its status to normal" (4.3 step 3).
    pub(super) fn finish_recovery_if_complete(&mut self) -> bool {
        let Status::Recovering(Recovering { stage: RecoveryStage::Fetching { found, .. }, .. }) = &self.status else {
            return false;
        };
        let found = found.clone();
        let staged = match &mut self.transfer {
            // All that was found is in a checkpoint: whatever was acknowledged before the crash is there, if it was ever committed.
            _ if self.log.base() >= found.op => Staged::new(self.log.op(), self.log.head_hash()),
            Some(Transfer { staged: Some(staged), .. }) if staged.op() >= found.op => std::mem::take(staged),
            _ if self.log.matches(found.op, found.head) => Staged::new(found.op, found.head),
            _ => return false,
        };
        if staged.op() >= found.op && staged.after() <= found.op && staged.hash_at(found.op) != Some(found.head) {
            // Somebody sent a log that is not the primary's: it was not relied on, so fetch it again.
            *self.ignored.entry(Ignored::Malformed).or_default() += 1;
            if let Some(transfer) = &mut self.transfer {
                transfer.staged = None;
            }
            return false;
        }
        staged.splice_onto(&mut self.log);
        // The vectors of exactly the answers used; without them a DOVIEWCHANGE from before a crash might be counted (trace E).
        self.crash_vector.merge(&found.crash_vector);
        self.view = found.view;
        self.commit = self.commit.max(found.commit.min(self.log.op()));
        self.enter_normal();
        true
    }

    // When nobody is left who remembers.

    /// Whether so many members recover at once that no quorum of others can answer.
    pub(super) fn is_quorum_lost(&self) -> bool {
        matches!(&self.status, Status::Recovering(recovering) if recovering.quorum_lost)
    }

    pub(super) fn on_also_recovering(&mut self, header: Header, m: AlsoRecovering) -> Result<(), Ignored> {
        let Status::Recovering(recovering) = &mut self.status else { return Err(Ignored::WrongStatus) };
        let (RecoveryStage::AskIncarnation { nonce, .. }
        | RecoveryStage::Asking { nonce, .. }
        | RecoveryStage::Fetching { nonce, .. }) = &recovering.stage
        else {
            return Err(Ignored::Unasked);
        };
        if *nonce != m.nonce || recovering.retries != m.attempt {
            return Err(Ignored::Unasked);
        }
        let report = (header.incarnation, m.survivor);
        if recovering.outage.reports.insert(header.from, report).is_some_and(|known| known != report) {
            // It may have remembered in between.
            recovering.also_recovering_before.remove(&header.from);
        }
        recovering.also_recovering.insert(header.from);
        Ok(())
    }

    /// Before each new attempt. Who confessed to the last one and to the one before, each while it was the latest, was
    /// recovering when the last one was sent, however late a message may come: all of them at the same time, or at least crashed
    /// again since. The judgement is renewed with every attempt.
    fn judge_quorum(&mut self) {
        let (others, quorum) = (self.configuration.len() - 1, self.configuration.quorum());
        let Status::Recovering(recovering) = &mut self.status else { unreachable!("asked by status") };
        let last = std::mem::take(&mut recovering.also_recovering);
        let before = std::mem::replace(&mut recovering.also_recovering_before, last);
        let both: BTreeSet<NodeId> = before.intersection(&recovering.also_recovering_before).copied().collect();
        let is_lost = others - both.len() < quorum;
        if is_lost && !std::mem::replace(&mut recovering.quorum_lost, is_lost) {
            let members = both.iter().copied().chain([self.id]).collect();
            self.outputs.push_back(Output::Event(Event::QuorumLost { recovering: members }));
        } else {
            recovering.quorum_lost = is_lost;
        }
        if is_lost {
            self.begin_again_if_best(&both);
        }
    }
}

impl Recovering {
    /// A member has answered as one that remembers.
    fn answered(&mut self, node: NodeId) {
        self.also_recovering.remove(&node);
        self.also_recovering_before.remove(&node);
    }
}

/// Orders the answers of one node: those of a later life, of a later view, with a longer log are newer (C4).
pub(super) fn freshness(message: &Message) -> (Incarnation, ViewNumber, Option<OpNumber>) {
    let op = recovery_response(message).primary.map(|primary| primary.op);
    (message.header.incarnation, message.header.view, op)
}

/// What the answers say, if they suffice.
fn found_in(responses: &BTreeMap<NodeId, Message>, quorum: usize) -> Option<Found> {
    let all: Vec<&Message> = responses.values().collect();
    let usable = crash_consistent(&all);
    if usable.len() < quorum {
        return None;
    }
    let view = all.iter().map(|message| message.header.view).max()?;
    let used = || all.iter().filter(|message| usable.contains(&message.header.from));
    let mut latest = used().filter(|message| message.header.view == view);
    let primary = latest.find_map(|message| recovery_response(message).primary)?;
    let mut crash_vector = CrashVector::default();
    for message in used() {
        crash_vector.merge(&recovery_response(message).crash_vector);
    }
    Some(Found { view, op: primary.op, head: primary.head, commit: primary.commit, crash_vector })
}
