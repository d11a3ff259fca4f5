//! Normal operation at a backup (4.1 steps 4, 6 and 7), and what primary and backups have in common.

use super::Replica;
use super::io::{Event, Ignored, Output};
use super::status::{Backup, Status};
use crate::message::{Body, Commit, CommitAck, Header, Prepare, PrepareOk};
use crate::numbers::{OpNumber, Time};
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// Becomes normal in the present view, whose log this replica now has.
    pub(super) fn enter_normal(&mut self) {
        self.log_view = self.view;
        self.heard_view = self.heard_view.max(self.view);
        // What was heard of an older view's log may never have survived.
        self.heard_op = self.log.op();
        self.transfer = None;
        self.spare = None;
        if !self.checkpoints.is_divergent() {
            // Nothing of the log is missing.
            self.checkpoint_transfer = None;
        }
        self.votes.clear();
        if self.primary_of(self.view) == self.id {
            self.enter_primary();
        } else {
            self.enter_backup();
        }
        // What could have gone meanwhile was promised to this view (V11).
        self.cut_log();
        self.status_changed();
    }

    pub(super) fn status_changed(&mut self) {
        let event = Event::StatusChanged { status: self.status.name(), view: self.view };
        self.outputs.push_back(Output::Event(event));
    }

    fn enter_backup(&mut self) {
        self.status = Status::Backup(Backup { ack_owed: true, ..Backup::default() });
        self.primary_heard();
        self.repair_if_divergent();
    }

    /// The primary of this view, or of a later one, is alive.
    pub(super) fn primary_heard(&mut self) {
        let suspect_at = self.next_suspicion();
        if let Status::Backup(backup) = &mut self.status {
            backup.suspect_at = suspect_at;
            self.votes.withdraw(self.id);
        }
    }

    fn next_suspicion(&mut self) -> Time {
        let jitter = u64::try_from(self.options.suspect_jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = std::time::Duration::from_nanos(self.random.below(jitter));
        self.now.monotonic.after(self.options.suspect_timeout).after(jitter)
    }

    /// 4.1: "Replicas only process normal protocol messages containing a view-number that matches the view-number they know.
    /// If the sender is behind, the receiver drops the message. If the sender is ahead, the replica performs a state transfer."
    pub(super) fn admit_from_primary(&mut self, header: Header) -> Result<(), Ignored> {
        if self.primary_of(header.view) != header.from {
            return Err(Ignored::NotPrimary);
        }
        if header.view < self.view {
            return self.answer_laggard(header, false);
        }
        if header.view > self.view || !self.status.is_normal() {
            self.heard_started(header);
            return Err(Ignored::LaterView);
        }
        self.primary_heard();
        Ok(())
    }

    pub(super) fn on_prepare(&mut self, header: Header, prepare: Prepare) -> Result<(), Ignored> {
        self.admit_from_primary(header)?;
        let (Some(first), Some(last)) = (prepare.entries.first(), prepare.entries.last()) else {
            return Err(Ignored::Malformed);
        };
        let (first, last) = (first.op(), last.op());
        self.heard_op = self.heard_op.max(last);
        let Status::Backup(backup) = &mut self.status else { return Err(Ignored::WrongStatus) };
        backup.commit_heard = backup.commit_heard.max(prepare.commit);
        if first > self.log.op().next() {
            return self.keep_for_later(first, prepare);
        }
        let checkpoint = prepare.checkpoint;
        self.append_run(prepare)?;
        self.drain_reorder();
        self.advance_commit_heard();
        self.learn_quorum_checkpoint(checkpoint);
        Ok(())
    }

    /// 4.1 step 4: adds what is new to the log. What is known already must be the same, or it is not acknowledged again (N3).
    fn append_run(&mut self, prepare: Prepare) -> Result<(), Ignored> {
        let first = prepare.entries.first().expect("checked by the caller").op();
        let base = self.log.base();
        if first == OpNumber::ZERO || (first > base && !self.log.matches(first.previous(), prepare.previous)) {
            return Err(Ignored::Malformed);
        }
        let before = self.log.op();
        // What is in a checkpoint was sent before its acknowledgement arrived; what follows is chained to it.
        for entry in prepare.entries.into_iter().filter(|entry| entry.op() >= base) {
            match self.log.hash_at(entry.op()) {
                Some(known) if known == entry.hash => {}
                Some(_) => return Err(Ignored::Malformed),
                None if entry.op() == self.log.op().next() && entry.follows(self.log.head_hash()) => {
                    self.log.append(entry);
                }
                None => return Err(Ignored::Malformed),
            }
        }
        self.owe_acknowledgement(self.log.op() > before);
        Ok(())
    }

    /// What is new is acknowledged when it is durable, if that counts; what is known, at once and again (N3).
    pub(super) fn owe_acknowledgement(&mut self, is_new: bool) {
        let waits = is_new && self.journal.waits();
        let Status::Backup(backup) = &mut self.status else { unreachable!("asked by status") };
        backup.ack_owed |= !waits;
    }

    /// A PREPARE whose turn has not come is kept, not acknowledged; what is missing will be sent again, or asked for (N10).
    fn keep_for_later(&mut self, first: OpNumber, prepare: Prepare) -> Result<(), Ignored> {
        self.note_gap();
        let bytes: usize = prepare.entries.iter().map(crate::log::Entry::size).sum();
        let Status::Backup(backup) = &mut self.status else { unreachable!("asked by status") };
        if backup.reorder.contains_key(&first) {
            return Err(Ignored::Duplicate);
        }
        if backup.reorder_bytes + bytes > self.options.reorder_bytes_max {
            return Err(Ignored::NoRoom);
        }
        backup.reorder_bytes += bytes;
        backup.reorder.insert(first, prepare);
        Ok(())
    }

    fn note_gap(&mut self) {
        let due = self.now.monotonic.after(self.options.gap_timeout);
        if let Status::Backup(backup) = &mut self.status {
            backup.gap_at.get_or_insert(due);
        }
    }

    /// Takes the kept PREPAREs whose turn has come.
    pub(super) fn drain_reorder(&mut self) {
        loop {
            let next = self.log.op().next();
            let Status::Backup(backup) = &mut self.status else { return };
            let Some(first) = backup.reorder.first_entry().filter(|first| *first.key() <= next) else { break };
            let prepare = first.remove();
            backup.reorder_bytes -= prepare.entries.iter().map(crate::log::Entry::size).sum::<usize>();
            if let Err(reason) = self.append_run(prepare) {
                *self.ignored.entry(reason).or_default() += 1;
            }
        }
        let Status::Backup(backup) = &mut self.status else { return };
        if backup.reorder.is_empty() && self.heard_op <= self.log.op() {
            backup.gap_at = None;
        }
    }

    /// 4.1 step 7: "When a backup learns of a commit, it waits until it has the request in its log".
    pub(super) fn advance_commit_heard(&mut self) {
        let Status::Backup(backup) = &self.status else { return };
        let commit = backup.commit_heard.min(self.log.op());
        if commit > self.commit {
            self.commit = commit;
            self.progress_made();
        }
    }

    pub(super) fn on_commit(&mut self, header: Header, commit: Commit) -> Result<(), Ignored> {
        self.admit_from_primary(header)?;
        let Status::Backup(backup) = &mut self.status else { return Err(Ignored::WrongStatus) };
        backup.commit_heard = backup.commit_heard.max(commit.commit);
        self.heard_op = self.heard_op.max(commit.op);
        if commit.op > self.log.op() {
            self.note_gap();
        }
        self.advance_commit_heard();
        let (op, head) = self.acknowledged();
        let ack = CommitAck {
            sequence: commit.sequence,
            sent_at: commit.sent_at,
            op,
            head,
            executed: self.executor.executed(),
            checkpoint: self.checkpoints.newest_id(),
        };
        self.send(header.from, Body::CommitAck(ack));
        self.learn_quorum_checkpoint(commit.checkpoint);
        Ok(())
    }

    /// One PREPAREOK for everything taken since the last drain.
    pub(super) fn flush_prepare_ok(&mut self) {
        let primary = self.primary_of(self.view);
        let (op, head) = self.acknowledged();
        let Status::Backup(backup) = &mut self.status else { unreachable!("asked by status") };
        if std::mem::take(&mut backup.ack_owed) {
            let checkpoint = self.checkpoints.newest_id();
            self.send(primary, Body::PrepareOk(PrepareOk { op, head, checkpoint }));
        }
    }

    pub(super) fn tick_backup(&mut self) {
        let now = self.now.monotonic;
        let Status::Backup(backup) = &mut self.status else { unreachable!("asked by status") };
        if backup.gap_at.is_some_and(|due| due <= now) {
            backup.gap_at = None;
            let primary = self.primary_of(self.view);
            self.start_transfer(self.view, primary);
        }
        let Status::Backup(backup) = &mut self.status else { unreachable!("asked by status") };
        if now >= backup.suspect_at && now >= backup.vote_at {
            backup.vote_at = now.after(self.options.view_change_retry);
            self.vote();
            self.catch_up_from_a_backup();
        }
    }

    /// V9: one that cannot hear the primary, while the others can, is fed by the others.
    fn catch_up_from_a_backup(&mut self) {
        let primary = self.primary_of(self.view);
        let mut backups = self.others();
        backups.retain(|id| *id != primary);
        let place = usize::try_from(self.random.below(backups.len() as u64)).expect("below a length");
        if let (Status::Backup(_), Some(source)) = (&self.status, backups.get(place)) {
            self.start_transfer(self.view, *source);
        }
    }
}
