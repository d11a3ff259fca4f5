//! The client proxy (4, 4.1, 4.5): sessions, primary tracking, retries; a state machine like the replica.
//!
//! [`Client`] is driven like a replica: [`Client::submit`] and [`Client::handle`] take what happens, [`Client::poll_output`] is
//! drained after each, and [`Client::next_deadline`] says when to call [`Client::tick`].

mod answers;
mod endpoints;
mod error;
mod retry;
mod slots;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::VecDeque;

use bytes::Bytes;

pub use self::endpoints::ENDPOINTS_MAX;
use self::endpoints::{Endpoints, Hopeless};
pub use self::error::{ClientError, Unavailable};
use self::retry::{Backoff, Probe};
use self::slots::{Pending, Slots, Waiting};
use crate::message::{BusyReason, ClientRequest, FromClient, ToClient};
use crate::numbers::{ClientId, ClusterId, Nonce, OpNumber, SessionNumber, Slot, Time};
use crate::options::ClientOptions;
use crate::random::Random;

/// One of the addresses the client was given: an index into that list. Which replica answers there is learned from its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(pub usize);

/// What a client proxy is made from.
#[derive(Clone, Copy, Debug)]
pub struct ClientSetup {
    /// The cluster; `None` takes the cluster of the first answer, and says cluster 0 until then.
    pub cluster: Option<ClusterId>,
    /// A fresh random id, or the old one together with `resume`.
    pub client: ClientId,
    /// How many addresses there are: 1 to [`ENDPOINTS_MAX`].
    pub endpoints: usize,
    /// The session to take over after a crash (4.5). If it is gone, a new one is opened under a fresh id, see [`Client::id`].
    pub resume: Option<SessionNumber>,
    /// Timeouts and slots.
    pub options: ClientOptions,
    /// 128 random bits.
    pub seed: u128,
}

/// Names a submitted request until it is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the proxy wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum ClientOutput {
    /// Send this there. May be lost.
    Send {
        /// Where.
        to: Endpoint,
        /// What.
        message: FromClient,
    },
    /// A request is done.
    Completed {
        /// Which one.
        ticket: Ticket,
        /// How it ended.
        result: Result<Completion, ClientError>,
    },
    /// A session is open: what to remember for `resume`, together with [`Client::id`].
    SessionOpened {
        /// The session.
        session: SessionNumber,
        /// Its slots.
        slots: u32,
    },
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The op-number it was given.
    pub op: OpNumber,
    /// What the service answered.
    pub result: Bytes,
}

/// What a client has seen and ignored, or had to repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answers from other clusters.
    pub other_cluster: u64,
    /// Answers to other clients, or to the client-id this one had before it lost its session.
    pub other_client: u64,
    /// Answers to a request that is no longer outstanding: duplicates, and answers that came too late.
    pub unasked: u64,
    /// Answers that contradict themselves; their sender is broken.
    pub malformed: u64,
    /// Requests sent again, to all replicas or to another one.
    pub resent: u64,
    /// Sessions lost.
    pub sessions_lost: u64,
}

/// What the client knows of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// REGISTER is on its way.
    Registering,
    /// RESUME is on its way, always with the same nonce (4.5).
    Resuming {
        old: SessionNumber,
        nonce: Nonce,
    },
    Open(SessionNumber),
}

/// The client proxy.
#[derive(Clone, Debug)]
pub struct Client {
    options: ClientOptions,
    cluster: Option<ClusterId>,
    id: ClientId,
    session: Session,
    slots: Slots,
    waiting: Waiting,
    endpoints: Endpoints,
    /// While no primary answers: always while there is no session.
    probe: Option<Probe>,
    /// Since when every replica says that no try can succeed.
    hopeless: Option<(Hopeless, Time)>,
    /// No deadline is earlier. It may be too early, because answers do not move it: then `tick` finds nothing to do.
    wake: Option<Time>,
    token: OpNumber,
    next_ticket: u64,
    random: Random,
    outputs: VecDeque<ClientOutput>,
    counters: Counters,
    /// Why the primary did not open a session, while there is none.
    opening_busy: Option<BusyReason>,
}

impl Client {
    /// Makes a proxy; it opens its session at once.
    ///
    /// # Panics
    /// When there are no endpoints, more than [`ENDPOINTS_MAX`], or no slots.
    #[must_use]
    pub fn new(setup: ClientSetup, now: Time) -> Self {
        let ClientSetup { cluster, client, endpoints, resume, options, seed } = setup;
        assert!(options.slots > 0, "a client needs at least one slot; the option `slots` is 0");
        let mut random = Random::new(seed);
        let first = Endpoint(usize::try_from(random.below(endpoints as u64)).expect("below a usize"));
        let session = match resume {
            None => Session::Registering,
            Some(old) => Session::Resuming { old, nonce: Nonce(random.next_u128()) },
        };
        let mut client = Self {
            options,
            cluster,
            id: client,
            session,
            slots: Slots::default(),
            waiting: Waiting::default(),
            // Three rounds of the slowest retry: who has said nothing since is not there.
            endpoints: Endpoints::new(endpoints, first, options.retry_max.saturating_mul(3)),
            probe: None,
            hopeless: None,
            opening_busy: None,
            wake: None,
            token: OpNumber::ZERO,
            next_ticket: 0,
            random,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        };
        client.open_session(now);
        client
    }

    /// The client-id. It changes when a session is lost: what is outstanding under the old one may be executed once at most, and
    /// never under the new one.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The open session.
    #[must_use]
    pub fn session(&self) -> Option<SessionNumber> {
        match self.session {
            Session::Open(session) => Some(session),
            Session::Registering | Session::Resuming { .. } => None,
        }
    }

    /// Whether `submit` would send the request now rather than keep it waiting for a free slot.
    #[must_use]
    pub fn has_free_slot(&self) -> bool {
        self.slots.has_free()
    }

    /// How many requests wait for a free slot.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Submits an operation. It waits for a free slot, and for the session, as long as its timeout allows. Requests submitted
    /// together may be executed in any order.
    pub fn submit(&mut self, now: Time, payload: Bytes) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let pending = Pending { ticket, payload, submitted: now };
        if self.slots.has_free() {
            assert_eq!(self.waiting.len(), 0, "nothing waits while a slot is free");
            self.start(now, pending);
            return ticket;
        }
        let waiting_bytes_max = self.options.waiting_bytes_max;
        match self.waiting.push(pending, waiting_bytes_max) {
            Ok(()) => self.wake_at(self.give_up_at(now)),
            Err(pending) => self.complete(pending.ticket, Err(ClientError::Overloaded { waiting_bytes_max })),
        }
        ticket
    }

    /// Takes a message that arrived from `from`, one of the endpoints. Never fails, whatever it says.
    pub fn handle(&mut self, now: Time, from: Endpoint, message: ToClient) {
        self.on_message(now, from, message);
    }

    /// The connection to `endpoint` failed or could not be made: what was sent there may be lost. A hint that saves a timeout.
    pub fn on_unreachable(&mut self, now: Time, endpoint: Endpoint) {
        for outstanding in self.slots.iter_mut() {
            outstanding.asked.forget(endpoint);
        }
        if self.endpoints.on_unreachable(endpoint) && self.probe.is_none() && !self.slots.is_idle() {
            self.suspect(now);
            self.send_probe(now);
        }
    }

    /// The time of `next_deadline` has come. Harmless at any other time.
    pub fn tick(&mut self, now: Time) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.on_deadline(now);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::tick`]. After a tick it is always later than that tick's `now`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.wake
    }

    /// The causal token: the largest op-number of any reply seen (6.3.2).
    #[must_use]
    pub fn token(&self) -> OpNumber {
        self.token
    }

    /// Makes later reads see at least what another client saw, whose token this is (6.3.2).
    pub fn advance_token(&mut self, token: OpNumber) {
        self.token = self.token.max(token);
    }

    /// What was ignored or repeated so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Asks all replicas for a session, until one is open.
    fn open_session(&mut self, now: Time) {
        assert!(self.slots.is_idle() && !matches!(self.session, Session::Open(_)));
        self.slots = Slots::default();
        self.probe = Some(Probe::new(now, now));
        self.endpoints.doubt();
        self.send_probe(now);
    }

    /// Begins to use the session that was granted.
    fn session_opened(&mut self, now: Time, session: SessionNumber, slots: Slots) {
        self.outputs.push_back(ClientOutput::SessionOpened { session, slots: slots.len() });
        self.session = Session::Open(session);
        self.opening_busy = None;
        self.slots = slots;
        self.probe = None;
        self.start_waiting(now);
    }

    /// The session is gone: what was sent in it has an unknown outcome. Goes on under a fresh client-id, so that nothing of the
    /// old session can be taken for a request of the new one.
    fn session_lost(&mut self, now: Time) {
        self.counters.sessions_lost += 1;
        for slot in 0..self.slots.len() {
            if let Some(outstanding) = self.slots.release(slot) {
                self.complete(outstanding.ticket, Err(ClientError::SessionLost));
            }
        }
        self.id = ClientId(self.random.next_u128());
        self.session = Session::Registering;
        self.open_session(now);
    }

    /// Sends as many waiting requests as there are free slots.
    fn start_waiting(&mut self, now: Time) {
        while self.slots.has_free() {
            let Some(pending) = self.waiting.pop() else { break };
            self.start(now, pending);
        }
    }

    /// Sends a request for the first time.
    fn start(&mut self, now: Time, pending: Pending) {
        let give_up_at = self.give_up_at(pending.submitted);
        let mut retry = Backoff::default();
        let retry_at = now.after(retry.step(self.options.retry, self.options.retry_max, &mut self.random));
        let slot = self.slots.occupy(pending, retry, retry_at);
        self.send_to(self.endpoints.target(), slot);
        self.wake_at(retry_at.min(give_up_at));
    }

    /// Sends the slot's request to one endpoint.
    fn send_to(&mut self, to: Endpoint, slot: Slot) {
        let Session::Open(session) = self.session else { unreachable!("requests are sent in an open session") };
        let outstanding = self.slots.outstanding(slot).expect("outstanding");
        self.endpoints.ask(&mut outstanding.asked, to);
        let body = self.slots.request(session, slot);
        self.send(to, body);
    }

    fn send(&mut self, to: Endpoint, body: ClientRequest) {
        let message = FromClient {
            cluster: self.cluster.unwrap_or_default(),
            epoch: self.endpoints.ballot().epoch,
            client: self.id,
            body,
        };
        self.outputs.push_back(ClientOutput::Send { to, message });
    }

    fn complete(&mut self, ticket: Ticket, result: Result<Completion, ClientError>) {
        self.outputs.push_back(ClientOutput::Completed { ticket, result });
    }

    fn wake_at(&mut self, at: Time) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}
