//! What the replicas' messages do. An answer counts only if it names this client, the session, the slot and the number (K5).

use bytes::Bytes;

use super::endpoints::Redirected;
use super::retry::Backoff;
use super::slots::Slots;
use super::{Client, ClientError, Completion, Endpoint, Session};
use crate::message::{BusyReason, ClientReply, Header, NotServingReason, RefusedReason, ToClient};
use crate::numbers::{NodeId, Nonce, OpNumber, RequestNumber, SessionNumber, Slot, Time};

/// A request as an answer names it.
#[derive(Clone, Copy)]
struct Named {
    session: SessionNumber,
    slot: Slot,
    number: RequestNumber,
}

impl Client {
    pub(super) fn on_message(&mut self, now: Time, from: Endpoint, message: ToClient) {
        let ToClient { header, client, body } = message;
        if client != self.id {
            self.counters.other_client += 1;
            return;
        }
        if *self.cluster.get_or_insert(header.cluster) != header.cluster {
            self.counters.other_cluster += 1;
            self.endpoints.on_other_cluster(now, from, header.cluster);
            self.note_hopeless(now);
            return;
        }
        let is_quorum_lost = matches!(body, ClientReply::NotServing { reason: NotServingReason::QuorumLost });
        self.on_body(now, from, &header, body);
        if is_quorum_lost {
            self.note_hopeless(now);
        } else {
            self.hopeless = None;
        }
    }

    fn on_body(&mut self, now: Time, from: Endpoint, header: &Header, body: ClientReply) {
        match body {
            ClientReply::Reply { session, slot, number, op, result } => {
                self.on_reply(now, from, header, Named { session, slot, number }, op, result);
            }
            ClientReply::Registered { session, slots } => self.on_registered(now, from, header, session, slots),
            ClientReply::Resumed { old, nonce, session, numbers } => {
                self.on_resumed(now, from, header, (old, nonce), session, &numbers);
            }
            // A proxy asks for no checkpoints.
            ClientReply::CheckpointTaken { .. } => self.counters.unasked += 1,
            ClientReply::Redirect { primary } => self.on_redirect(now, from, header, primary),
            ClientReply::Busy { slot: Some(slot), number, reason } => {
                self.on_busy(now, from, header, (slot, number), reason);
            }
            ClientReply::Busy { slot: None, reason, .. } => self.on_busy_opening(now, from, header, reason),
            ClientReply::Refused { session, slot, number, reason } => {
                self.on_refused(now, from, header, Named { session, slot, number }, reason);
            }
            ClientReply::NoSession { session } => self.on_no_session(now, from, header, session),
            ClientReply::NotServing { reason } => {
                if self.endpoints.on_not_serving(now, from, header, reason) {
                    self.suspect(now);
                }
            }
        }
    }

    fn on_reply(&mut self, now: Time, from: Endpoint, header: &Header, named: Named, op: OpNumber, result: Bytes) {
        if !self.is_outstanding(named) {
            self.endpoints.on_answer(now, from, header);
            self.counters.unasked += 1;
            return;
        }
        self.token = self.token.max(op);
        let is_new = self.endpoints.on_primary(now, from, header);
        self.finish(now, named.slot, Ok(Completion { op, result }));
        self.follow(now, is_new);
    }

    fn on_refused(&mut self, now: Time, from: Endpoint, header: &Header, named: Named, reason: RefusedReason) {
        self.endpoints.on_answer(now, from, header);
        if !self.is_outstanding(named) {
            self.counters.unasked += 1;
            return;
        }
        self.finish(now, named.slot, Err(reason.into()));
    }

    /// Nothing happened: the same number is tried again later.
    fn on_busy(
        &mut self,
        now: Time,
        from: Endpoint,
        header: &Header,
        (slot, number): (Slot, RequestNumber),
        reason: BusyReason,
    ) {
        let Some(outstanding) = self.slots.matching(slot, number) else {
            self.endpoints.on_answer(now, from, header);
            self.counters.unasked += 1;
            return;
        };
        let is_new = self.endpoints.on_primary(now, from, header);
        // It has been asked, even if this is a new view: to follow it there must not undo the wait.
        self.endpoints.ask(&mut outstanding.asked, from);
        outstanding.is_held = true;
        outstanding.busy_reason = Some(reason);
        let wait = outstanding.busy.step(self.options.busy_retry, self.options.retry_max, &mut self.random);
        let retry_at = now.after(wait);
        outstanding.retry_at = retry_at;
        self.wake_at(retry_at);
        self.follow(now, is_new);
    }

    fn on_busy_opening(&mut self, now: Time, from: Endpoint, header: &Header, reason: BusyReason) {
        if matches!(self.session, Session::Open(_)) {
            self.endpoints.on_answer(now, from, header);
            self.counters.unasked += 1;
            return;
        }
        self.opening_busy = Some(reason);
        self.endpoints.on_primary(now, from, header);
        let probe = self.probe.as_mut().expect("there is a probe while there is no session");
        probe.hold(now, &self.options, &mut self.random);
        let at = probe.at;
        self.wake_at(at);
    }

    fn on_registered(&mut self, now: Time, from: Endpoint, header: &Header, session: SessionNumber, granted: u32) {
        if self.session != Session::Registering {
            self.endpoints.on_answer(now, from, header);
            self.counters.unasked += 1;
        } else if granted == 0 {
            self.counters.malformed += 1;
        } else {
            self.endpoints.on_primary(now, from, header);
            self.session_opened(now, session, Slots::registered(granted, self.options.slots));
        }
    }

    fn on_resumed(
        &mut self,
        now: Time,
        from: Endpoint,
        header: &Header,
        (old, nonce): (SessionNumber, Nonce),
        session: SessionNumber,
        numbers: &[RequestNumber],
    ) {
        if self.session != (Session::Resuming { old, nonce }) {
            self.endpoints.on_answer(now, from, header);
            self.counters.unasked += 1;
            return;
        }
        match Slots::resumed(numbers, self.options.slots) {
            Some(slots) if slots.len() > 0 => {
                self.endpoints.on_primary(now, from, header);
                self.session_opened(now, session, slots);
            }
            _ => self.counters.malformed += 1,
        }
    }

    /// The session named was evicted or taken over. Only the session in use concerns us.
    fn on_no_session(&mut self, now: Time, from: Endpoint, header: &Header, session: SessionNumber) {
        let current = match self.session {
            Session::Registering => None,
            Session::Resuming { old, .. } => Some(old),
            Session::Open(session) => Some(session),
        };
        if current != Some(session) {
            self.endpoints.on_answer(now, from, header);
            self.counters.unasked += 1;
            return;
        }
        self.endpoints.on_primary(now, from, header);
        self.session_lost(now);
    }

    fn on_redirect(&mut self, now: Time, from: Endpoint, header: &Header, primary: NodeId) {
        match self.endpoints.on_redirect(now, from, header, primary) {
            Redirected::Elsewhere => self.send_to_target(now),
            Redirected::Unlisted => self.suspect(now),
            Redirected::Nowhere => {}
        }
    }

    /// A primary answered a request of ours. If it is new, or was in doubt, everything outstanding goes there.
    fn follow(&mut self, now: Time, is_new: bool) {
        if is_new {
            self.probe = None;
            self.send_to_target(now);
        }
    }

    /// Sends the target every request it has not been sent yet: each replica is asked at most once for a request, until that
    /// request's retry timer fires or a new view begins, so that replicas that redirect in a circle do not make us spin.
    fn send_to_target(&mut self, now: Time) {
        let target = self.endpoints.target();
        for slot in 0..self.slots.len() {
            let Some(outstanding) = self.slots.outstanding(slot) else { continue };
            if !self.endpoints.ask(&mut outstanding.asked, target) {
                continue;
            }
            // It is new there: the wait for an answer begins anew, but does not become longer.
            let wait = Backoff::default().step(self.options.retry, self.options.retry_max, &mut self.random);
            outstanding.retry_at = now.after(wait);
            outstanding.is_held = false;
            let retry_at = outstanding.retry_at;
            self.counters.resent += 1;
            self.send_to(target, slot);
            self.wake_at(retry_at);
        }
    }

    fn is_outstanding(&mut self, named: Named) -> bool {
        self.session == Session::Open(named.session) && self.slots.matching(named.slot, named.number).is_some()
    }

    /// Ends the slot's request and gives the slot to the next one.
    pub(super) fn finish(&mut self, now: Time, slot: Slot, result: Result<Completion, ClientError>) {
        let outstanding = self.slots.release(slot).expect("outstanding");
        self.complete(outstanding.ticket, result);
        self.start_waiting(now);
    }

    fn note_hopeless(&mut self, now: Time) {
        let Some(verdict) = self.endpoints.hopeless(now) else {
            self.hopeless = None;
            return;
        };
        let since = self.hopeless.map_or(now, |(_, since)| since);
        if self.hopeless.replace((verdict, since)).is_none() {
            self.wake_at(now.after(self.options.hopeless_timeout));
        }
    }
}
