//! What waits for what (8.2; docs/architecture.md): which changes of a replica become records of its journal, and what does not
//! leave before they are durable.
//!
//! Nobody says "journal this": before anything leaves, the replica is compared with what its records say, and the difference
//! becomes the next records. So no change can be forgotten, and several inputs that were handled together make one record.
//!
//! Two rules make `synchronous` what it is. An acknowledgement names only what is durable of this view's log, and the primary
//! counts itself only that far; so entries become durable while messages go on. And after a record that is a promise, a new view,
//! a view's log, a crash heard of, *nothing* leaves until it is durable, for any message may rest on it. Votes for a view change
//! are no promises (V7), change nothing and so wait for nothing.

use std::collections::{BTreeMap, VecDeque};

use super::Replica;
use super::io::{Event, Output};
use super::status::Status;
use crate::checkpoint::{Checkpoint, CheckpointId};
use crate::crash_vector::CrashVector;
use crate::durability::Durability;
use crate::journal::{Rebase, Record};
use crate::numbers::{ChainHash, Incarnation, NodeId, Nonce, OpNumber, Time, ViewNumber};
use crate::service::Service;

/// The journal as this replica knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Journal {
    mode: Durability,
    /// The number of the newest record.
    sequence: u64,
    /// What the records say altogether. `None` when they say nothing of this life: then the next one says everything.
    written: Option<Written>,
    /// How far the records that are not durable yet take the log, by their numbers.
    reaching: VecDeque<(u64, OpNumber)>,
    /// How far the durable ones take it.
    durable_op: OpNumber,
    /// The newest promise, while it is not durable.
    promise: Option<u64>,
    /// What waits for it, in order.
    held: VecDeque<Output>,
    /// What waited long enough.
    released: VecDeque<Output>,
    /// When to write a commit mark of its own.
    mark_at: Time,
    /// It cannot be written for now.
    is_broken: bool,
    /// The checkpoint that the newest [`Rebase`] stands on.
    checkpoint: CheckpointId,
    /// The op-number of a checkpoint that was fetched, while it is not durable: the log above it joins nothing before.
    unsaved_jump: Option<OpNumber>,
    /// Something was handled since the last comparison.
    is_stale: bool,
    /// [`Input::ShutDown`](super::Input::ShutDown) has come.
    pub is_stopped: bool,
}

/// What the records of a journal say, but for the log, which knows itself how much of it they hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Written {
    view: ViewNumber,
    log_view: ViewNumber,
    commit: OpNumber,
    crash_vector: CrashVector,
    recoveries: BTreeMap<NodeId, Nonce>,
}

impl Written {
    fn is_same_promise(&self, rebase: &Rebase) -> bool {
        (self.view, self.log_view) == (rebase.view, rebase.log_view)
            && (&self.crash_vector, &self.recoveries) == (&rebase.crash_vector, &rebase.recoveries)
    }
}

impl Journal {
    pub(super) fn new(mode: Durability) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Whether acknowledgements and promises wait for the disk.
    pub(super) fn waits(&self) -> bool {
        self.mode == Durability::Synchronous
    }

    /// Whether something that has happened must not be seen yet.
    pub(super) fn is_holding(&self) -> bool {
        self.promise.is_some() || self.unsaved_jump.is_some()
    }

    /// Whether disks are written while the group serves.
    pub(super) fn keeps_a_journal(&self) -> bool {
        self.mode.has_journal()
    }

    /// Inputs were handled.
    pub(super) fn touch(&mut self) {
        self.is_stale = true;
    }

    /// What the disk holds is another life's. What still waits was said in its name, and is not said any more.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { sequence: self.sequence, is_stopped: self.is_stopped, ..Self::new(self.mode) };
    }

    pub(super) fn next_released(&mut self) -> Option<Output> {
        self.released.pop_front()
    }
}

impl<S: Service> Replica<S> {
    /// The journal says what this replica is: it has just been read.
    pub(super) fn journal_is_current(&mut self) {
        self.journal.checkpoint = self.checkpoints.newest_id();
        self.log.set_journaled();
        self.journal.durable_op = self.log.op();
        self.note_written();
    }

    fn note_written(&mut self) {
        self.journal.written = Some(Written {
            view: self.view,
            log_view: self.log_view,
            commit: self.commit,
            crash_vector: self.crash_vector.clone(),
            recoveries: self.recoveries.clone(),
        });
    }

    /// A replica that has not begun, or has forgotten, promises nothing.
    fn makes_promises(&self) -> bool {
        self.status.is_normal() || matches!(self.status, Status::ViewChange(_))
    }

    /// Makes records of what has changed since the last ones.
    pub(super) fn journal_changes(&mut self) {
        let has_new_checkpoint = self.checkpoints.newest_id() != self.journal.checkpoint;
        let journal = &mut self.journal;
        // A journal that was broken begins anew with a checkpoint, unless a failing disk is the end of this replica.
        if journal.is_broken && has_new_checkpoint && !journal.waits() {
            (journal.is_broken, journal.written) = (false, None);
        }
        let is_written = journal.mode.has_journal() && !journal.is_broken && !journal.is_stopped;
        if !std::mem::take(&mut journal.is_stale) || !is_written || !self.makes_promises() {
            return;
        }
        match &self.journal.written {
            // The log that the records before made has gone, and into a checkpoint: they cannot be continued.
            Some(_) if self.log.journaled() < self.log.base() => self.write_rebase(),
            Some(written) => {
                let is_new_log = written.log_view != self.log_view;
                let is_promise = self.view > self.log_view.max(written.view);
                let knows_more = written.crash_vector != self.crash_vector || written.recoveries != self.recoveries;
                self.write_log(is_new_log);
                if is_promise {
                    self.write(Record::View { view: self.view, commit: self.commit });
                }
                if knows_more {
                    let (crash_vector, recoveries) = (self.crash_vector.clone(), self.recoveries.clone());
                    self.write(Record::Knowledge { crash_vector, recoveries });
                }
                self.write_commit_mark();
                if has_new_checkpoint {
                    // What the records before say may be forgotten when it is durable.
                    self.write_rebase();
                }
            }
            None => self.write_rebase(),
        }
    }

    fn write_log(&mut self, is_new_log: bool) {
        let after = self.log.journaled();
        let entries: Vec<_> = self.log.iter_above(after).cloned().collect();
        let commit = self.commit;
        if is_new_log {
            let previous = self.log.hash_at(after).expect("within the log");
            for (_, op) in &mut self.journal.reaching {
                *op = after.min(*op);
            }
            self.journal.durable_op = self.journal.durable_op.min(after);
            self.write(Record::Install { view: self.log_view, after, previous, entries, commit });
        } else if !entries.is_empty() {
            self.write(Record::Append { entries, commit });
        }
    }

    /// The commit mark goes along with other records; alone only when there were none for long.
    fn write_commit_mark(&mut self) {
        if self.lags_in_its_mark() && self.now.monotonic >= self.journal.mark_at {
            self.write(Record::Commit(self.commit));
        }
    }

    fn lags_in_its_mark(&self) -> bool {
        let journal = &self.journal;
        let is_behind = journal.written.as_ref().is_some_and(|written| written.commit < self.commit);
        is_behind && !journal.is_broken && !journal.is_stopped
    }

    /// When a commit mark of its own is due.
    pub(super) fn journal_deadline(&self) -> Option<Time> {
        self.lags_in_its_mark().then_some(self.journal.mark_at)
    }

    /// Says everything above the newest checkpoint, and has that saved.
    fn write_rebase(&mut self) {
        let checkpoint = self.checkpoints.newest().cloned();
        let (base, base_hash, base_timestamp) = match &checkpoint {
            Some(Checkpoint { header, .. }) => (header.op, header.head, header.timestamp),
            None => (self.log.base(), self.log.base_hash(), self.log.base_timestamp()),
        };
        let rebase = Rebase {
            incarnation: self.incarnation,
            view: self.view,
            log_view: self.log_view,
            commit: self.commit,
            base,
            base_hash,
            base_timestamp,
            crash_vector: self.crash_vector.clone(),
            recoveries: self.recoveries.clone(),
            entries: self.log.iter_above(base).cloned().collect(),
        };
        let is_jump = self.log.journaled() < self.log.base();
        self.write(Record::Rebase(Box::new(rebase)));
        let Some(checkpoint) = checkpoint else { return };
        if checkpoint.id != self.journal.checkpoint {
            self.journal.checkpoint = checkpoint.id;
            if is_jump && self.journal.waits() {
                self.journal.unsaved_jump = Some(checkpoint.id.op);
            }
            let sequence = self.journal.sequence;
            self.outputs.push_back(Output::SaveCheckpoint { checkpoint: Box::new(checkpoint), sequence });
        }
    }

    /// A checkpoint is durable, and so is this one before it: what stood on it may be seen.
    pub(super) fn on_checkpoint_saved(&mut self, op: OpNumber) {
        let journal = &mut self.journal;
        if journal.unsaved_jump.is_some_and(|jump| jump <= op) {
            journal.unsaved_jump = None;
            self.release_held();
        }
    }

    fn release_held(&mut self) {
        let journal = &mut self.journal;
        if !journal.is_holding() {
            journal.released.append(&mut journal.held);
        }
    }

    fn write(&mut self, record: Record) {
        let journal = &mut self.journal;
        journal.sequence += 1;
        let sequence = journal.sequence;
        let (says_all, is_promise, has_mark) = match &record {
            Record::Append { .. } | Record::Commit(_) => (false, false, true),
            Record::Knowledge { .. } => (true, true, false),
            Record::Install { .. } | Record::View { .. } => (true, true, true),
            // Usually it says once more what is known: that nobody has to wait for.
            Record::Rebase(rebase) => (true, journal.written.as_ref().is_none_or(|w| !w.is_same_promise(rebase)), true),
        };
        let commit = journal.written.as_ref().map_or(OpNumber::ZERO, |written| written.commit);
        if is_promise && journal.waits() {
            journal.promise = Some(sequence);
        }
        if has_mark {
            journal.mark_at = self.now.monotonic.after(self.options.commit_mark_interval);
        }
        journal.reaching.push_back((sequence, self.log.op()));
        self.outputs.push_back(Output::Journal { sequence, record });
        self.log.set_journaled();
        if says_all {
            self.note_written();
        }
        if let Some(written) = &mut self.journal.written {
            written.commit = if has_mark { self.commit } else { commit };
        }
    }

    /// The founders' first record is durable before the virgin flag is cleared: or a power cut between the two would leave a
    /// group that has begun, and a member that cannot tell it never promised anything.
    pub(super) fn journal_founding(&mut self, incarnation: Incarnation, crash_vector: CrashVector) {
        let rebase = Rebase { incarnation, crash_vector: crash_vector.clone(), ..Rebase::default() };
        self.write(Record::Rebase(Box::new(rebase)));
        if let Some(written) = &mut self.journal.written {
            written.crash_vector = crash_vector;
        }
    }

    /// Whether this output leaves now; if not, it is kept for later.
    pub(super) fn unless_held(&mut self, output: Output) -> Option<Output> {
        let speaks = matches!(output, Output::Send { .. } | Output::Reply(_));
        if !speaks || !self.journal.is_holding() {
            return Some(output);
        }
        // Beyond the limit it is lost, as any message may be: nothing new is promised meanwhile, so all of it is said again.
        if self.journal.held.len() < self.options.held_messages_max {
            self.journal.held.push_back(output);
        }
        None
    }

    pub(super) fn on_persisted(&mut self, sequence: u64) {
        let before = self.acknowledged_op();
        let journal = &mut self.journal;
        while let Some((_, op)) = journal.reaching.front().filter(|(number, _)| *number <= sequence).copied() {
            journal.durable_op = journal.durable_op.max(op);
            journal.reaching.pop_front();
        }
        if journal.promise.is_some_and(|promise| promise <= sequence) {
            journal.promise = None;
            self.release_held();
        }
        if !self.journal.waits() {
            return;
        }
        match &self.status {
            Status::Starting(starting) if starting.saving && !self.journal.is_holding() => {
                self.outputs.push_back(Output::SaveIdentity(self.identity.clone()));
            }
            Status::Primary(_) => self.count_acknowledgements(),
            Status::Backup(_) if self.acknowledged_op() > before => self.owe_acknowledgement(false),
            _ => {}
        }
    }

    /// How far the journal certainly holds the log, and whether it is broken.
    pub(super) fn journal_report(&self) -> (OpNumber, bool) {
        (self.journal.durable_op.min(self.log.journaled()), self.journal.is_broken)
    }

    /// How far the log of this view may be acknowledged, and its hash there.
    pub(super) fn acknowledged(&self) -> (OpNumber, ChainHash) {
        let op = self.acknowledged_op();
        (op, self.log.hash_at(op).expect("within the log"))
    }

    /// A log that was replaced is durable only as far as it stayed the same, until its own record is.
    pub(super) fn acknowledged_op(&self) -> OpNumber {
        if !self.journal.waits() {
            return self.log.op();
        }
        self.journal.durable_op.min(self.log.journaled()).max(self.log.base())
    }

    /// What the journal lacks from here on, it says again as a whole with the next checkpoint.
    pub(super) fn on_journal_broken(&mut self) {
        let (op, _) = self.journal_report();
        self.journal.is_broken = true;
        self.journal.reaching.clear();
        if self.journal.waits() {
            // A disk that failed once is not believed again: nothing leaves this replica any more.
            self.journal.promise = Some(u64::MAX);
        }
        self.outputs.push_back(Output::Event(Event::JournalBroken { op }));
    }

    /// Stops for good. What was promised so far is in the last record; what was not said yet never is.
    pub(super) fn on_shut_down(&mut self) {
        self.journal.held.clear();
        self.journal.released.clear();
        self.outputs.retain(|output| !matches!(output, Output::Send { .. } | Output::Reply(_)));
        let sequence = self.makes_promises().then(|| {
            self.write_rebase();
            self.journal.sequence
        });
        self.journal.is_stopped = true;
        self.outputs.push_back(Output::ShutDown { sequence });
    }
}
