//! State transfer (5.2): for a replica that lacks a part of its view's log, or that missed the start of a later view.
//!
//! The paper cuts the log back to the commit-number before it asks; a crash or a view change in between then loses what was
//! acknowledged (T1). Here view, log-view and log stay as they are until the answer is complete, and only then change, at once.
//! Nothing ever shrinks (T2).

use super::Replica;
use super::io::Ignored;
use super::staged::Staged;
use super::status::Status;
use crate::log::Entry;
use crate::message::{Body, GetState, Header, NewState, StateContent};
use crate::numbers::{ChainHash, NodeId, OpNumber, Time, ViewNumber};
use crate::service::Service;

/// A transfer under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transfer {
    /// The view whose log is wanted.
    pub target: ViewNumber,
    /// What has arrived of a later view's log, above what this replica holds for certain.
    pub staged: Option<Staged>,
    /// Who was asked last.
    pub source: NodeId,
    pub retry_at: Time,
}

impl<S: Service> Replica<S> {
    /// Begins to fetch the log of `target`, or goes on if that is under way.
    pub(super) fn start_transfer(&mut self, target: ViewNumber, source: NodeId) {
        if source == self.id || self.transfer.as_ref().is_some_and(|transfer| transfer.target >= target) {
            return;
        }
        self.keep_what_was_fetched();
        self.transfer = Some(Transfer { target, staged: None, source, retry_at: Time::ZERO });
        self.send_get_state();
    }

    /// Sets aside what was fetched for a view, when another view is wanted: the longest of it (V10).
    ///
    /// Its entries are chained, so that one hash tells whether all of it is part of another log. Without it a replica that lags
    /// far would begin anew in each view, and a group that needs it would change views for ever.
    pub(super) fn keep_what_was_fetched(&mut self) {
        let transferred = self.transfer.take().and_then(|transfer| transfer.staged);
        let built = match &mut self.status {
            Status::ViewChange(change) => change.building.take().map(|building| building.fetched),
            _ => None,
        };
        let fetched = [self.spare.take(), transferred, built].into_iter().flatten();
        self.spare = fetched.max_by_key(Staged::op);
    }

    /// What was set aside, if it still joins the own log.
    pub(super) fn usable_spare(&self) -> Option<&Staged> {
        let joins = |spare: &&Staged| self.log.matches(spare.after(), spare.previous()) && self.keeps_committed(spare);
        self.spare.as_ref().filter(joins)
    }

    /// Asks for what is missing.
    pub(super) fn send_get_state(&mut self) {
        let retry_at = self.now.monotonic.after(self.options.transfer_retry);
        let bytes_max = u32::try_from(self.options.transfer_bytes_max).unwrap_or(u32::MAX);
        let guess = self.usable_spare().map(|spare| (spare.op(), spare.head()));
        let Some(transfer) = &mut self.transfer else { return };
        transfer.retry_at = retry_at;
        let same_view = transfer.target == self.log_view && self.status.is_normal();
        let own_head = (self.log.op(), self.log.head_hash());
        let best_guess = guess.unwrap_or(own_head);
        let (from, (head_op, head)) = match &transfer.staged {
            Some(staged) => (staged.op(), (staged.op(), staged.head())),
            // Of an older view's log only the committed part is certain; if all of it agrees, or all that was set aside, so much the better.
            None if !same_view => (self.commit, best_guess),
            None => (own_head.0, own_head),
        };
        let (to, target) = (transfer.source, transfer.target);
        self.send(to, Body::GetState(GetState { target, from, head_op, head, bytes_max }));
    }

    /// 5.2: "A replica responds to a GETSTATE message only if its status is normal and it is currently in view v."
    pub(super) fn on_get_state(&mut self, header: Header, m: GetState) -> Result<(), Ignored> {
        if !self.status.is_normal() || m.target > self.view {
            return Err(Ignored::WrongStatus);
        }
        if m.target < self.view {
            self.send(header.from, Body::ViewHint);
            return Err(Ignored::OlderView);
        }
        if m.from > self.log.op() {
            return Err(Ignored::WrongStatus);
        }
        let after = if self.log.matches(m.head_op, m.head) { m.head_op } else { m.from };
        let content = self.log_after(after, self.log.op(), m.bytes_max).ok_or(Ignored::WrongStatus)?;
        self.send(header.from, Body::NewState(Box::new(NewState { content, op: self.log.op(), commit: self.commit })));
        Ok(())
    }

    /// A part of the log above `after`, up to `last`; or the checkpoint that is needed first, when the log no longer reaches so far
    /// back (5.2: "it's possible for there to be a gap").
    pub(super) fn log_after(&self, after: OpNumber, last: OpNumber, bytes_max: u32) -> Option<StateContent> {
        let Some(previous) = self.log.hash_at(after) else {
            return self.checkpoints.to_offer().map(StateContent::NeedCheckpoint);
        };
        let bytes_max = self.options.transfer_bytes_max.min(bytes_max as usize);
        let entries = self.log.run(after.next(), last, bytes_max);
        Some(StateContent::Entries { after, previous, entries })
    }

    pub(super) fn on_new_state(&mut self, header: Header, m: NewState) -> Result<(), Ignored> {
        let NewState { content, op, commit } = m;
        if commit > op {
            return Err(Ignored::Malformed);
        }
        let Some(transfer) = &self.transfer else { return Err(Ignored::Unasked) };
        if transfer.target != header.view {
            return Err(Ignored::Unasked);
        }
        let (after, previous, entries) = match content {
            StateContent::Entries { after, previous, entries } => (after, previous, entries),
            StateContent::NeedCheckpoint(id) => {
                self.step_down_for(header);
                self.start_checkpoint_transfer(id);
                return Ok(());
            }
        };
        if matches!(self.status, Status::Recovering(_)) {
            return self.recovery_chunk(after, previous, entries);
        }
        if transfer.target == self.log_view && self.status.is_normal() {
            return self.fill_gap(after, previous, entries, op, commit);
        }
        let before = self.staged_op();
        self.stage(after, previous, entries)?;
        let Some(Transfer { staged: Some(staged), target, .. }) = &mut self.transfer else {
            unreachable!("just staged")
        };
        if staged.op() >= op {
            let (piece, target) = (std::mem::take(staged), *target);
            return self.install(target, piece, commit);
        }
        if Some(staged.op()) == before {
            return Err(Ignored::Duplicate);
        }
        self.extend_view_change();
        self.send_get_state();
        Ok(())
    }

    /// A primary that lacks what others have cut off was deposed long since. It installs no state under the requests in its hands,
    /// but leaves its view for the one that has started.
    fn step_down_for(&mut self, started: Header) {
        if matches!(self.status, Status::Primary(_)) && started.view > self.view {
            self.enter_view_change(started.view);
            self.start_transfer(started.view, started.from);
        }
    }

    pub(super) fn staged_op(&self) -> Option<OpNumber> {
        self.transfer.as_ref().and_then(|transfer| transfer.staged.as_ref()).map(Staged::op)
    }

    /// A piece of a later view's log, kept beside the own one.
    pub(super) fn stage(&mut self, after: OpNumber, previous: ChainHash, entries: Vec<Entry>) -> Result<(), Ignored> {
        let guessed = self.usable_spare().filter(|spare| spare.hash_at(after) == Some(previous)).cloned();
        let Some(transfer) = &mut self.transfer else { return Err(Ignored::Unasked) };
        if let (None, Some(mut spare)) = (&transfer.staged, guessed) {
            // The sender's log has this hash there, so all of what was set aside up to there is part of it.
            spare.truncate(after);
            transfer.staged = Some(spare);
        }
        match &mut transfer.staged {
            Some(staged) => staged.extend(after, previous, entries),
            None if self.log.matches(after, previous) && after >= self.commit => {
                transfer.staged = Some(Staged::from_run(after, previous, entries)?);
                Ok(())
            }
            None => Err(Ignored::Malformed),
        }
    }

    /// The missing part of this view's own log: appended, never cut.
    fn fill_gap(
        &mut self,
        after: OpNumber,
        previous: ChainHash,
        entries: Vec<Entry>,
        op: OpNumber,
        commit: OpNumber,
    ) -> Result<(), Ignored> {
        let Status::Backup(backup) = &mut self.status else { return Err(Ignored::WrongStatus) };
        let before = self.log.op();
        let mut gap = Staged::new(after, previous);
        gap.extend(after, previous, entries)?;
        let top = before.min(gap.op());
        if top < after || self.log.hash_at(top) != gap.hash_at(top) {
            return Err(Ignored::Malformed);
        }
        backup.commit_heard = backup.commit_heard.max(commit);
        if gap.op() > before {
            gap.split_above(before).splice_onto(&mut self.log);
            self.owe_acknowledgement(true);
        }
        self.drain_reorder();
        self.advance_commit_heard();
        if self.log.op() >= op {
            self.transfer = None;
        } else if self.log.op() > before {
            self.send_get_state();
        }
        Ok(())
    }

    /// No answer, or none that helped: asks the next member.
    pub(super) fn tick_transfer(&mut self) {
        let now = self.now.monotonic;
        let Some(transfer) = &self.transfer else { return };
        if now < transfer.retry_at || self.checkpoint_transfer.is_some() {
            return;
        }
        let is_filled = transfer.target == self.log_view && self.log.op() >= self.heard_op;
        if is_filled && self.status.is_normal() {
            self.transfer = None;
            return;
        }
        let others = self.others();
        let place = others.iter().position(|id| *id == transfer.source).unwrap_or(0);
        let source = others[(place + 1) % others.len()];
        if let Some(transfer) = &mut self.transfer {
            transfer.source = source;
        }
        self.send_get_state();
    }
}
