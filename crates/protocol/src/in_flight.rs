//! Requests that are in the log but not executed, so that the primary orders none of them twice (4.1 step 2; N5).

use std::collections::BTreeMap;

use crate::log::{Entry, Request};
use crate::numbers::{ClientId, OpNumber, RequestNumber, SessionNumber, Slot};

/// Requests that are in the log but not executed: volatile, a function of the log above `executed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// No session has more slots.
    slots_max: Slot,
    operations: BTreeMap<ClientId, SlotsInFlight>,
    /// Above this many clients, those with nothing in flight are forgotten. Always twice as many as were left the last time, so
    /// that looking for them costs each request little, however many clients there are.
    clients_kept_max: usize,
    sessions: BTreeMap<ClientId, OpNumber>,
}

/// The requests of one session that are in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct SlotsInFlight {
    session: SessionNumber,
    /// The newest of each slot; zero for none. Kept while the session is in use, so that a request costs no allocation.
    latest: Vec<RequestNumber>,
    count: usize,
}

/// Up to this many clients, those with nothing in flight are kept: their vectors are small, and making them again costs more.
const CLIENTS_KEPT_MIN: usize = 1_024;

impl InFlight {
    /// Nothing is in flight, in sessions of at most `slots_max` slots.
    #[must_use]
    pub fn new(slots_max: Slot) -> Self {
        Self { slots_max, operations: BTreeMap::new(), clients_kept_max: CLIENTS_KEPT_MIN, sessions: BTreeMap::new() }
    }

    /// Whether a REGISTER, RESUME or TAKECHECKPOINT of the client is in flight.
    #[must_use]
    pub fn has_session_request(&self, client: ClientId) -> bool {
        self.sessions.contains_key(&client)
    }

    /// The newest request of the slot that is in flight in this session.
    #[must_use]
    pub fn latest(&self, client: ClientId, session: SessionNumber, slot: Slot) -> Option<RequestNumber> {
        let known = self.operations.get(&client).filter(|known| known.session == session)?;
        known.latest.get(slot as usize).copied().filter(|number| *number != RequestNumber::ZERO)
    }

    /// Notes an entry that was appended to the log.
    pub(crate) fn appended(&mut self, entry: &Entry) {
        match &entry.request {
            // Refused when it is executed; in the log only if a peer is broken.
            Request::Operation { slot, .. } if *slot >= self.slots_max => {}
            Request::Operation { client, session, slot, number, .. } => {
                self.forget_idle_clients();
                self.operations.entry(*client).or_default().appended(*session, *slot as usize, *number);
            }
            Request::Register { client, .. } | Request::Resume { client, .. } | Request::Checkpoint { client } => {
                self.sessions.insert(*client, entry.op());
            }
        }
    }

    fn forget_idle_clients(&mut self) {
        if self.operations.len() > self.clients_kept_max {
            self.operations.retain(|_, known| known.count > 0);
            self.clients_kept_max = CLIENTS_KEPT_MIN.max(2 * self.operations.len());
        }
    }

    /// Notes an entry that was executed.
    pub(crate) fn executed(&mut self, entry: &Entry) {
        match &entry.request {
            Request::Operation { client, session, slot, number, .. } => {
                if let Some(known) = self.operations.get_mut(client).filter(|known| known.session == *session) {
                    known.executed(*slot as usize, *number);
                }
            }
            Request::Register { client, .. } | Request::Resume { client, .. } | Request::Checkpoint { client } => {
                if self.sessions.get(client) == Some(&entry.op()) {
                    self.sessions.remove(client);
                }
            }
        }
    }
}

impl SlotsInFlight {
    fn appended(&mut self, session: SessionNumber, slot: usize, number: RequestNumber) {
        if self.session != session {
            *self = Self { session, ..Self::default() };
        }
        if self.latest.len() <= slot {
            self.latest.resize(slot + 1, RequestNumber::ZERO);
        }
        let latest = &mut self.latest[slot];
        self.count += usize::from(*latest == RequestNumber::ZERO);
        *latest = number;
    }

    fn executed(&mut self, slot: usize, number: RequestNumber) {
        if let Some(latest) = self.latest.get_mut(slot).filter(|latest| **latest == number) {
            *latest = RequestNumber::ZERO;
            self.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_table::tests::operation;

    #[test]
    fn what_was_executed_is_forgotten_but_not_a_newer_request() {
        let mut in_flight = InFlight::new(4);
        let (first, second) = (operation(1, 7, 1, 0, 1), operation(2, 7, 1, 0, 2));
        in_flight.appended(&first);
        in_flight.appended(&second);
        in_flight.executed(&first);
        assert_eq!(in_flight.latest(ClientId(7), SessionNumber(1), 0), Some(RequestNumber(2)));
        in_flight.executed(&second);
        assert_eq!(in_flight.latest(ClientId(7), SessionNumber(1), 0), None);
    }

    /// Clients that come and go leave nothing behind for ever. While many are active, none is looked at for each request.
    #[test]
    fn idle_clients_are_forgotten_and_active_ones_are_not() {
        let many = 3 * CLIENTS_KEPT_MIN as u64;
        let mut in_flight = InFlight::new(4);
        for client in 1..=many {
            in_flight.appended(&operation(client, u128::from(client), 1, 0, 1));
        }
        assert_eq!(in_flight.operations.len() as u64, many);
        assert!(in_flight.clients_kept_max as u64 > many, "the next search is far");
        for client in 1..many {
            in_flight.executed(&operation(client, u128::from(client), 1, 0, 1));
        }
        for client in many + 1..=3 * many {
            let entry = operation(client, u128::from(client), 1, 0, 1);
            in_flight.appended(&entry);
            in_flight.executed(&entry);
        }
        assert!(in_flight.operations.len() <= in_flight.clients_kept_max);
        assert_eq!(in_flight.clients_kept_max, CLIENTS_KEPT_MIN, "those that are gone do not count");
        assert_eq!(in_flight.latest(ClientId(u128::from(many)), SessionNumber(1), 0), Some(RequestNumber(1)));
    }
}
