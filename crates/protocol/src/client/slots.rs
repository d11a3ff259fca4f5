//! The slots of a session: each has at most one request outstanding, under its own rising request-number (4, 4.5).

use std::collections::VecDeque;

use bytes::Bytes;

use super::Ticket;
use super::endpoints::Asked;
use super::retry::Backoff;
use crate::message::{BusyReason, ClientRequest};
use crate::numbers::{RequestNumber, SessionNumber, Slot, Time};

/// The largest request-number taken over from a RESUME: no client gets near it, and a peer's bytes must not overflow ours.
const TAKEN_OVER_MAX: RequestNumber = RequestNumber(u64::MAX / 2);

/// What a waiting request counts against `waiting_bytes_max` besides its payload.
const WAITING_OVERHEAD_BYTES: usize = 64;

/// A request that was never sent.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    pub(super) payload: Bytes,
    pub(super) submitted: Time,
}

/// A request that was sent and not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    pub(super) ticket: Ticket,
    payload: Bytes,
    pub(super) submitted: Time,
    /// When to try again.
    pub(super) retry_at: Time,
    /// How long to wait for an answer.
    pub(super) retry: Backoff,
    /// How long to wait after BUSY.
    pub(super) busy: Backoff,
    /// Whether it is held back because the primary was busy.
    pub(super) is_held: bool,
    /// Why the primary was busy, if it ever was.
    pub(super) busy_reason: Option<BusyReason>,
    /// Where it was sent.
    pub(super) asked: Asked,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// The number of the newest request.
    number: RequestNumber,
    outstanding: Option<Outstanding>,
}

/// The slots of the open session; none while there is no session.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    states: Vec<State>,
    free: Vec<Slot>,
}

impl Slots {
    /// The slots of a new session.
    pub(super) fn registered(granted: u32, wanted: u32) -> Self {
        Self::above(vec![RequestNumber::ZERO; granted.min(wanted) as usize])
    }

    /// The slots of a resumed session: each goes on 2 above its latest executed number, because the number in between may be
    /// that of a request still in transit (4.5). `None` when the numbers cannot be true.
    pub(super) fn resumed(latest: &[RequestNumber], wanted: u32) -> Option<Self> {
        let latest = &latest[..latest.len().min(wanted as usize)];
        if latest.iter().any(|number| *number > TAKEN_OVER_MAX) {
            return None;
        }
        Some(Self::above(latest.iter().map(|number| number.next()).collect()))
    }

    fn above(numbers: Vec<RequestNumber>) -> Self {
        let free = (0..u32::try_from(numbers.len()).expect("at most the slots wanted")).rev().collect();
        let states = numbers.into_iter().map(|number| State { number, outstanding: None }).collect();
        Self { states, free }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.states.len()).expect("at most the slots wanted")
    }

    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.free.len() == self.states.len()
    }

    /// Gives a request a free slot and the slot's next number. Panics when no slot is free.
    pub(super) fn occupy(&mut self, pending: Pending, retry: Backoff, retry_at: Time) -> Slot {
        let slot = self.free.pop().expect("a free slot");
        let state = &mut self.states[slot as usize];
        assert!(state.outstanding.is_none(), "one outstanding request per slot");
        state.number = state.number.next();
        state.outstanding = Some(Outstanding {
            ticket: pending.ticket,
            payload: pending.payload,
            submitted: pending.submitted,
            retry_at,
            retry,
            busy: Backoff::default(),
            is_held: false,
            busy_reason: None,
            asked: Asked::default(),
        });
        slot
    }

    /// The outstanding request of this slot, if it has this number.
    pub(super) fn matching(&mut self, slot: Slot, number: RequestNumber) -> Option<&mut Outstanding> {
        let state = self.states.get_mut(slot as usize)?;
        state.outstanding.as_mut().filter(|_| state.number == number)
    }

    /// The outstanding request of this slot.
    pub(super) fn outstanding(&mut self, slot: Slot) -> Option<&mut Outstanding> {
        self.states[slot as usize].outstanding.as_mut()
    }

    /// All outstanding requests.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Outstanding> {
        self.states.iter_mut().filter_map(|state| state.outstanding.as_mut())
    }

    /// The slot whose request has waited longest.
    pub(super) fn oldest(&self) -> Option<Slot> {
        let outstanding = (0..).zip(&self.states).filter_map(|(slot, state)| Some((slot, state.outstanding.as_ref()?)));
        outstanding.min_by_key(|(_, outstanding)| outstanding.ticket).map(|(slot, _)| slot)
    }

    /// Ends the slot's request. Its number is used up, whatever became of it: the next one is larger.
    pub(super) fn release(&mut self, slot: Slot) -> Option<Outstanding> {
        let outstanding = self.states[slot as usize].outstanding.take()?;
        self.free.push(slot);
        Some(outstanding)
    }

    /// The REQUEST that the slot waits for. Panics when it waits for none.
    pub(super) fn request(&self, session: SessionNumber, slot: Slot) -> ClientRequest {
        let state = &self.states[slot as usize];
        let payload = state.outstanding.as_ref().expect("outstanding").payload.clone();
        ClientRequest::Operation { session, slot, number: state.number, payload }
    }
}

/// Requests that wait for a free slot, in the order in which they were submitted.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<Pending>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a request; gives it back when there is no room for it.
    pub(super) fn push(&mut self, pending: Pending, bytes_max: usize) -> Result<(), Pending> {
        let bytes = self.bytes.saturating_add(size(&pending));
        if bytes > bytes_max {
            return Err(pending);
        }
        self.bytes = bytes;
        self.queue.push_back(pending);
        Ok(())
    }

    pub(super) fn front(&self) -> Option<&Pending> {
        self.queue.front()
    }

    pub(super) fn pop(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_front()?;
        self.bytes -= size(&pending);
        Some(pending)
    }
}

fn size(pending: &Pending) -> usize {
    pending.payload.len().saturating_add(WAITING_OVERHEAD_BYTES)
}
