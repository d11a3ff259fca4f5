//! The messages between client proxies and replicas (4.1, 4.5).

use bytes::Bytes;

use super::Header;
use crate::numbers::{ClientId, ClusterId, EpochNumber, NodeId, Nonce, OpNumber, RequestNumber, SessionNumber, Slot};

/// A message from a client proxy to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FromClient {
    /// The client's cluster.
    pub cluster: ClusterId,
    /// The epoch the client knows (7.1).
    pub epoch: EpochNumber,
    /// Who asks.
    pub client: ClientId,
    /// What it asks.
    pub body: ClientRequest,
}

/// What a client asks of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientRequest {
    /// REQUEST op, c, s (4.1).
    Operation {
        /// The session.
        session: SessionNumber,
        /// The slot.
        slot: Slot,
        /// s.
        number: RequestNumber,
        /// op, with its arguments.
        payload: Bytes,
    },
    /// Opens a session with up to this many slots. Idempotent for one client-id.
    Register {
        /// The slots wanted.
        slots: u32,
    },
    /// 4.5: takes the session over after a crash of the client.
    Resume {
        /// The session before the crash.
        session: SessionNumber,
        /// Random: tells a retry from another RESUME.
        nonce: Nonce,
    },
    /// An operator wants a checkpoint here and now (5.1), whatever the interval is. Needs no session: asked twice, there are two.
    TakeCheckpoint,
}

/// A message from a replica to a client proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToClient {
    /// Who answers; the view is the latest one in which the sender was normal, never one merely attempted.
    pub header: Header,
    /// To whom.
    pub client: ClientId,
    /// What it says.
    pub body: ClientReply,
}

/// What a replica tells a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientReply {
    /// REPLY v, s, x (4.1), with the op-number of the request for causal reads (6.3.2).
    Reply {
        /// The session.
        session: SessionNumber,
        /// The slot.
        slot: Slot,
        /// s.
        number: RequestNumber,
        /// The op-number the request was given.
        op: OpNumber,
        /// x: the result of the up-call.
        result: Bytes,
    },
    /// The session that REGISTER opened.
    Registered {
        /// The session.
        session: SessionNumber,
        /// How many slots were granted.
        slots: u32,
    },
    /// The session that RESUME opened, with the latest request-number of each slot: go on at + 2 (4.5).
    Resumed {
        /// The session that was taken over.
        old: SessionNumber,
        /// The RESUME this answers.
        nonce: Nonce,
        /// The session that replaces it.
        session: SessionNumber,
        /// The latest executed request-number of each slot, 0 for none.
        numbers: Vec<RequestNumber>,
    },
    /// The checkpoint that TAKECHECKPOINT asked for is taken.
    CheckpointTaken {
        /// Its op-number.
        op: OpNumber,
    },
    /// The sender is not the primary; ask `primary`, who leads the header's view.
    Redirect {
        /// The primary of the header's view.
        primary: NodeId,
    },
    /// The request was not accepted; nothing happened, try again later.
    Busy {
        /// The slot of the request; none for REGISTER and RESUME.
        slot: Option<Slot>,
        /// s; 0 for REGISTER and RESUME.
        number: RequestNumber,
        /// What is full.
        reason: BusyReason,
    },
    /// The request failed and will always fail.
    Refused {
        /// The session.
        session: SessionNumber,
        /// The slot of the request.
        slot: Slot,
        /// s.
        number: RequestNumber,
        /// Why.
        reason: RefusedReason,
    },
    /// The session is unknown: evicted, or taken over by a RESUME.
    NoSession {
        /// The session that was named.
        session: SessionNumber,
    },
    /// The sender cannot serve for now.
    NotServing {
        /// Why.
        reason: NotServingReason,
    },
}

/// Why a request was answered BUSY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BusyReason {
    /// The pipeline window and the queue behind it are full.
    QueueFull,
    /// The log has reached its byte limit.
    LogFull,
}

/// Why a request is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefusedReason {
    /// A later request of the slot has been executed already.
    StaleRequest,
    /// The request-number was used for another operation.
    DifferentOperation,
    /// The session has no such slot.
    NoSuchSlot,
    /// The operation was executed, but its result was too large to keep for a retry.
    ReplyLost,
    /// The operation is larger than the limit, in bytes.
    TooLarge(u32),
    /// The service's `validate` rejected the operation.
    Invalid(String),
    /// The service panicked while it executed the operation.
    Panicked,
}

/// Why a replica serves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotServingReason {
    /// It waits for all members of a new cluster.
    Starting,
    /// It recovers its state from the others.
    Recovering,
    /// It recovers, and so many others do that too few remember to bring them back: the group has lost its memory.
    QuorumLost,
    /// It takes part in a view change.
    ViewChange,
}
