//! The client proxy (4, 4.1, 4.5): sessions, primary tracking, retries; a state machine like the replica.

use bytes::Bytes;

use crate::message::{FromClient, ToClient};
use crate::numbers::{ClientId, ClusterId, OpNumber, SessionNumber, Time};
use crate::options::ClientOptions;

/// One of the addresses the client was given: an index into that list. Which replica answers there is learned from its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(pub usize);

/// What a client proxy is made from.
#[derive(Clone, Copy, Debug)]
pub struct ClientSetup {
    /// The cluster; `None` takes the cluster of the first answer.
    pub cluster: Option<ClusterId>,
    /// A fresh random id, or the old one together with `resume`.
    pub client: ClientId,
    /// How many addresses there are.
    pub endpoints: usize,
    /// The session to take over after a crash (4.5).
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
    /// A session is open: what to remember for `resume`.
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

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No answer in time. The operation may have been executed or not, or may be yet.
    #[error("no answer within the request timeout; the operation may or may not have been executed")]
    OutcomeUnknown,
}

/// The client proxy.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Makes a proxy; it opens its session at once.
    #[must_use]
    pub fn new(setup: ClientSetup, now: Time) -> Self {
        let _ = (setup, now);
        Self {}
    }

    /// Whether `submit` would send the request now rather than keep it waiting for a free slot.
    #[must_use]
    pub fn has_free_slot(&self) -> bool {
        unreachable!()
    }

    /// Submits an operation. It waits for a free slot, and for the session, as long as needed.
    pub fn submit(&mut self, now: Time, payload: Bytes) -> Ticket {
        let _ = (now, payload);
        unreachable!()
    }

    /// Takes a message that arrived from `from`.
    pub fn handle(&mut self, now: Time, from: Endpoint, message: ToClient) {
        let _ = (now, from, message);
    }

    /// The time of `next_deadline` has come.
    pub fn tick(&mut self, now: Time) {
        let _ = now;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        None
    }

    /// When to call [`Self::tick`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// The causal token: the largest op-number of any reply seen (6.3.2).
    #[must_use]
    pub fn token(&self) -> OpNumber {
        OpNumber::ZERO
    }
}
