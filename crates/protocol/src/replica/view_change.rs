//! View changes (4.2, 5.3).
//!
//! A quorum of votes (votes.rs) starts the view change; from then on the log is frozen (V11). Each replica sends its log's
//! suffix to the new primary, which chooses and completes the log (new_primary.rs); STARTVIEW brings it back.

use super::Replica;
use super::io::Ignored;
use super::reach::Reach;
use super::staged::{Staged, check_run};
use super::status::{Status, ViewChange};
use crate::message::{Body, DoViewChange, Header, Message, StartView, StartViewChange, StartViewPending};
use crate::numbers::{NodeId, OpNumber, ViewNumber};
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// 4.2 step 1: "advances its view-number, sets its status to view-change"; the log stays as it is until a view starts.
    pub(super) fn enter_view_change(&mut self, view: ViewNumber) {
        assert!(view > self.view, "views only advance");
        self.view = view;
        self.begin_view_change();
    }

    /// The view change to the present view-number begins, or begins again after a restart.
    pub(super) fn begin_view_change(&mut self) {
        let now = self.now.monotonic;
        self.keep_what_was_fetched();
        self.votes.clear();
        let doubled = self.options.view_change_timeout.saturating_mul(1 << self.failed_view_changes.min(16));
        let timeout = self.jittered(doubled.min(self.options.view_change_timeout_max));
        self.failed_view_changes = self.failed_view_changes.saturating_add(1);
        self.status = Status::ViewChange(ViewChange {
            retry_at: now.after(self.options.view_change_retry),
            timeout_at: now.after(timeout),
            reach: Reach::beginning(now),
            ..ViewChange::default()
        });
        self.status_changed();
        self.send_confirmed(None);
        self.send_do_view_change();
    }

    /// Tells that a quorum wants this view: whoever hears it joins, so that nobody is left alone in a view change (V7).
    pub(super) fn send_confirmed(&mut self, to: Option<NodeId>) {
        let votes = self.heard_lately();
        let body = Body::StartViewChange(StartViewChange { candidate: self.view, votes, confirmed: true });
        match to {
            Some(to) => self.send(to, body),
            None => self.broadcast(body),
        }
    }

    /// R9: a replica that started again without RECOVERY waits until what it may have promised a primary is over.
    fn may_promise(&self) -> bool {
        self.now.monotonic >= self.promises_from
    }

    /// 4.2 step 2, with a suffix of the log bounded in bytes (5.3).
    fn send_do_view_change(&mut self) {
        if !self.may_promise() {
            return;
        }
        let suffix = self.log.suffix(self.log.base(), self.options.do_view_change_bytes_max);
        let after = OpNumber(self.log.op().0 - suffix.len() as u64);
        let mut crash_vector = self.crash_vector.clone();
        crash_vector.raise(self.id, self.incarnation);
        let body = Body::DoViewChange(Box::new(DoViewChange {
            log_view: self.log_view,
            op: self.log.op(),
            commit: self.commit,
            base: self.log.base(),
            head: self.log.head_hash(),
            previous: self.log.hash_at(after).expect("within the log"),
            suffix,
            crash_vector,
        }));
        let primary = self.primary_of(self.view);
        if primary == self.id {
            let message = Message { header: self.header(), body };
            self.keep_do_view_change(message);
        } else {
            self.send(primary, body);
        }
    }

    pub(super) fn on_do_view_change(&mut self, header: Header, body: DoViewChange) -> Result<(), Ignored> {
        if self.primary_of(header.view) != self.id {
            return Err(Ignored::NotPrimary);
        }
        if header.view < self.view {
            return self.answer_laggard(header, false);
        }
        if body.log_view >= header.view || body.commit > body.op || body.suffix.len() as u64 > body.op.0 {
            return Err(Ignored::Malformed);
        }
        let after = OpNumber(body.op.0 - body.suffix.len() as u64);
        check_run(after, body.previous, &body.suffix)?;
        if body.suffix.last().map_or(body.previous, |last| last.hash) != body.head {
            return Err(Ignored::Malformed);
        }
        if header.view > self.view {
            self.enter_view_change(header.view);
        }
        match &self.status {
            Status::ViewChange(_) => {
                self.keep_do_view_change(Message { header, body: Body::DoViewChange(Box::new(body)) })
            }
            Status::Primary(_) => self.send_start_view(header.from),
            _ => return Err(Ignored::WrongStatus),
        }
        Ok(())
    }

    /// Keeps one DOVIEWCHANGE for each member, that of its newest incarnation.
    fn keep_do_view_change(&mut self, message: Message) {
        let Status::ViewChange(change) = &mut self.status else { unreachable!("asked by status") };
        let from = message.header.from;
        match change.do_view_changes.iter_mut().find(|known| known.header.from == from) {
            Some(known) if known.header.incarnation >= message.header.incarnation => {}
            Some(known) => *known = message,
            None => change.do_view_changes.push(message),
        }
        if change.building.is_none() && self.may_promise() {
            self.choose_log();
        }
    }

    /// Something was committed: what went wrong before has been overcome.
    pub(super) fn progress_made(&mut self) {
        self.failed_view_changes = 0;
        self.has_forfeited = false;
    }

    /// STARTVIEW with the log above `floor`, as far as it fits.
    pub(super) fn start_view_above(&self, floor: OpNumber) -> Body {
        let suffix = self.log.suffix(floor.max(self.log.base()), self.options.start_view_bytes_max);
        let after = OpNumber(self.log.op().0 - suffix.len() as u64);
        Body::StartView(Box::new(StartView {
            op: self.log.op(),
            commit: self.commit,
            base: self.log.base(),
            head: self.log.head_hash(),
            previous: self.log.hash_at(after).expect("within the log"),
            suffix,
        }))
    }

    /// STARTVIEW for one that missed it.
    pub(super) fn send_start_view(&mut self, to: NodeId) {
        assert!(matches!(self.status, Status::Primary(_)), "only the primary starts its view");
        let body = self.start_view_above(self.commit);
        self.send(to, body);
    }

    /// 4.2 step 5. A STARTVIEW of the view this replica is normal in already is no more than a sign of life (V1).
    pub(super) fn on_start_view(&mut self, header: Header, m: StartView) -> Result<(), Ignored> {
        if self.primary_of(header.view) != header.from {
            return Err(Ignored::NotPrimary);
        }
        if header.view < self.view {
            return Err(Ignored::OlderView);
        }
        if header.view == self.view && self.status.is_normal() {
            self.primary_heard();
            return Err(Ignored::Duplicate);
        }
        if m.commit > m.op || m.suffix.len() as u64 > m.op.0 {
            return Err(Ignored::Malformed);
        }
        let after = OpNumber(m.op.0 - m.suffix.len() as u64);
        let suffix = Staged::from_run(after, m.previous, m.suffix)?;
        if suffix.head() != m.head {
            return Err(Ignored::Malformed);
        }
        let suffix = suffix.above_base_of(&self.log);
        if self.log.matches(m.op, m.head) {
            return self.install(header.view, Staged::new(m.op, m.head), m.commit);
        }
        if self.log.matches(suffix.after(), suffix.previous()) {
            return self.install(header.view, suffix, m.commit);
        }
        self.heard_started(header);
        Ok(())
    }

    /// Whether the log keeps its committed prefix when everything above the beginning of `piece` is replaced by it.
    pub(super) fn keeps_committed(&self, piece: &Staged) -> bool {
        piece.after() >= self.commit || piece.hash_at(self.commit) == self.log.hash_at(self.commit)
    }

    /// Becomes normal in `view`, whose log is the own one up to where `piece` begins, and then `piece`.
    ///
    /// # Errors
    /// When the log would lose an operation that this replica knows to be committed: then the sender is broken.
    pub(super) fn install(&mut self, view: ViewNumber, piece: Staged, commit: OpNumber) -> Result<(), Ignored> {
        assert!(view > self.log_view && view >= self.view, "a view is installed once");
        if !self.keeps_committed(&piece) {
            return Err(Ignored::DropsCommitted);
        }
        piece.splice_onto(&mut self.log);
        self.view = view;
        self.commit = self.commit.max(commit.min(self.log.op()));
        self.enter_normal();
        Ok(())
    }

    /// A sign that `header.view` has started: its sender is normal in it, or is its primary. Asks for that view's log.
    pub(super) fn heard_started(&mut self, header: Header) {
        self.heard_view = self.heard_view.max(header.view);
        if header.from == self.primary_of(header.view) {
            self.primary_heard();
        }
        if header.view > self.view || (header.view == self.view && !self.status.is_normal()) {
            self.start_transfer(header.view, header.from);
        }
    }

    pub(super) fn on_view_hint(&mut self, header: Header) -> Result<(), Ignored> {
        if header.view < self.view || (header.view == self.view && self.status.is_normal()) {
            return Err(Ignored::OlderView);
        }
        self.heard_started(header);
        Ok(())
    }

    /// The new primary gets on with its log: the next one would have to fetch as much (V10). Only progress counts.
    pub(super) fn on_start_view_pending(&mut self, header: Header, m: StartViewPending) -> Result<(), Ignored> {
        if self.primary_of(header.view) != header.from {
            return Err(Ignored::NotPrimary);
        }
        if header.view < self.view {
            return self.answer_laggard(header, false);
        }
        if header.view > self.view {
            // It has the promises of a quorum.
            self.enter_view_change(header.view);
        }
        let Status::ViewChange(change) = &mut self.status else { return Err(Ignored::WrongStatus) };
        if change.pending.is_some_and(|pending| pending >= (m.op, m.parts)) {
            return Err(Ignored::Duplicate);
        }
        change.pending = Some((m.op, m.parts));
        self.extend_view_change();
        Ok(())
    }

    /// While the log of the view arrives, here or at its primary, the view change makes progress (V10).
    pub(super) fn extend_view_change(&mut self) {
        let extended = self.now.monotonic.after(self.options.view_change_timeout);
        if let Status::ViewChange(change) = &mut self.status {
            change.timeout_at = change.timeout_at.max(extended);
        }
    }

    pub(super) fn tick_view_change(&mut self) {
        let now = self.now.monotonic;
        let Status::ViewChange(change) = &mut self.status else { unreachable!("asked by status") };
        if now < change.retry_at {
            return;
        }
        change.retry_at = now.after(self.options.view_change_retry);
        let timed_out = now >= change.timeout_at;
        let building = change.building.is_some();
        self.send_confirmed(None);
        if building {
            self.send_get_log();
            self.tell_progress();
        } else {
            self.send_do_view_change();
        }
        if timed_out {
            self.vote();
        }
    }
}
