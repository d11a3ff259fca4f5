//! What happens when no answer comes: retries to all replicas (4.1), and giving up.

use super::endpoints::Hopeless;
use super::retry::{Backoff, Probe};
use super::{Client, ClientError, Session, Unavailable};
use crate::message::{BusyReason, ClientRequest};
use crate::numbers::{Slot, Time};

impl Client {
    /// Does everything that is due, and finds out what is due next.
    pub(super) fn on_deadline(&mut self, now: Time) {
        if self.endpoints.hopeless(now).is_none() {
            self.hopeless = None;
        }
        while let Some(pending) = self.waiting.front() {
            if self.give_up_at(pending.submitted) > now {
                break;
            }
            let pending = self.waiting.pop().expect("there is a front");
            let error = self.failure(now, false, None);
            self.complete(pending.ticket, Err(error));
        }
        for slot in 0..self.slots.len() {
            self.on_slot_deadline(now, slot);
        }
        if self.probe.is_some_and(|probe| probe.at <= now) {
            self.send_probe(now);
        }
        self.start_waiting(now);
        self.set_wake(now);
    }

    fn on_slot_deadline(&mut self, now: Time, slot: Slot) {
        let Some(outstanding) = self.slots.outstanding(slot) else { return };
        let (submitted, retry_at, busy_reason) = (outstanding.submitted, outstanding.retry_at, outstanding.busy_reason);
        if self.give_up_at(submitted) <= now {
            let error = self.failure(now, true, busy_reason);
            self.finish(now, slot, Err(error));
        } else if retry_at <= now {
            self.retry(now, slot);
        }
    }

    /// The slot's request has waited long enough for an answer, or after BUSY.
    fn retry(&mut self, now: Time, slot: Slot) {
        self.counters.resent += 1;
        let outstanding = self.slots.outstanding(slot).expect("outstanding");
        let was_held = std::mem::take(&mut outstanding.is_held);
        // BUSY is an answer: only silence makes the wait longer.
        let backoff = if was_held { &mut Backoff::default() } else { &mut outstanding.retry };
        let wait = backoff.step(self.options.retry, self.options.retry_max, &mut self.random);
        outstanding.retry_at = now.after(wait);
        if was_held {
            self.send_to(self.endpoints.target(), slot);
        } else {
            self.suspect(now);
            self.send_to_all(slot);
        }
    }

    /// No answer, or a bad one, from the replica taken for the primary: from now on one request is sent to all replicas often,
    /// until a primary answers; then the others follow to where it is.
    pub(super) fn suspect(&mut self, now: Time) {
        self.endpoints.doubt();
        if self.probe.is_none() && !self.slots.is_idle() {
            let mut probe = Probe::new(now, now);
            probe.advance(now, &self.options, &mut self.random);
            self.probe = Some(probe);
            self.wake_at(probe.at);
        }
    }

    /// 4.1: "if a client doesn't receive a timely response to a request, it re-sends the request to all replicas."
    pub(super) fn send_probe(&mut self, now: Time) {
        let request = match self.session {
            Session::Registering => Some(ClientRequest::Register { slots: self.options.slots }),
            Session::Resuming { old, nonce } => Some(ClientRequest::Resume { session: old, nonce }),
            Session::Open(_) => None,
        };
        if let Some(request) = request {
            for to in self.endpoints.all() {
                self.send(to, request.clone());
            }
        } else if let Some(slot) = self.slots.oldest() {
            self.counters.resent += 1;
            self.send_to_all(slot);
        } else {
            self.probe = None;
        }
        if let Some(probe) = &mut self.probe {
            probe.advance(now, &self.options, &mut self.random);
            let at = probe.at;
            self.wake_at(at);
        }
    }

    fn send_to_all(&mut self, slot: Slot) {
        for to in self.endpoints.all() {
            self.send_to(to, slot);
        }
    }

    /// When a request submitted at `submitted` fails.
    pub(super) fn give_up_at(&self, submitted: Time) -> Time {
        let patient = submitted.after(self.options.request_timeout);
        match self.hopeless {
            Some((_, since)) => patient.min(since.max(submitted).after(self.options.hopeless_timeout)),
            None => patient,
        }
    }

    /// Why a request fails that has run out of time.
    fn failure(&self, now: Time, was_sent: bool, busy: Option<BusyReason>) -> ClientError {
        let verdict = self.hopeless.map(|(verdict, _)| verdict).or_else(|| self.endpoints.hopeless_so_far(now));
        let reason = match (verdict, self.cluster) {
            (Some(Hopeless::QuorumLost), _) => return ClientError::QuorumLost,
            (Some(Hopeless::OtherCluster(found)), Some(expected)) if !was_sent => {
                return ClientError::OtherCluster { expected, found };
            }
            (Some(Hopeless::OtherCluster(found)), Some(expected)) => Unavailable::OtherCluster { expected, found },
            _ => busy.or(self.opening_busy).map_or_else(|| self.endpoints.obstacle(now), Unavailable::from),
        };
        if was_sent { ClientError::OutcomeUnknown(reason) } else { ClientError::NotSent(reason) }
    }

    /// Looks for the earliest deadline. Answers leave deadlines behind that no longer matter; this is where they are forgotten.
    fn set_wake(&mut self, now: Time) {
        let mut earliest = self.probe.map(|probe| probe.at);
        let mut note = |at: Time| earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
        if let Some(pending) = self.waiting.front() {
            note(self.give_up_at(pending.submitted));
        }
        for slot in 0..self.slots.len() {
            let Some(outstanding) = self.slots.outstanding(slot) else { continue };
            let (retry_at, submitted) = (outstanding.retry_at, outstanding.submitted);
            note(retry_at.min(self.give_up_at(submitted)));
        }
        assert!(earliest.is_none_or(|earliest| earliest > now), "what is due was done");
        self.wake = earliest;
    }
}
