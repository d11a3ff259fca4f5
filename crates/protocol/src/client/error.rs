//! Why a request has no result: whose fault it is, whether it may have been executed, and what to do next.

use crate::message::{BusyReason, NotServingReason, RefusedReason};
use crate::numbers::{ClusterId, NodeId};

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No answer in time. The operation may have been executed or not, or may be yet.
    #[error("no answer within the time allowed: {0}; the operation may or may not have been executed, or may be yet")]
    OutcomeUnknown(Unavailable),
    /// Never sent in time. The operation has not been executed and never will be.
    #[error("not sent within the time allowed: {0}; the operation was not executed, submit it again")]
    NotSent(Unavailable),
    /// The session ended while the request was outstanding: evicted, or resumed elsewhere. The outcome is unknown.
    #[error(
        "the session was lost before an answer came: it was evicted because too many others were open, or was resumed by \
         another client; the operation may or may not have been executed, so look before submitting it again"
    )]
    SessionLost,
    /// Too many replicas have lost their memory at once. Nothing is served until an operator acts.
    #[error(
        "the group has lost its memory: more replicas than it tolerates were restarted or wiped before the others could tell \
         them the state, so nobody can serve it; `vr status` shows which ones. An operator must form a new cluster in empty \
         directories with `vr format` and load a backup into it"
    )]
    QuorumLost,
    /// All addresses that answer belong to another cluster. The operation was not sent.
    #[error(
        "the replicas at these addresses belong to cluster {found}, not to {expected}; the operation was not sent: correct the \
         addresses or the cluster id"
    )]
    OtherCluster {
        /// The cluster the client wants.
        expected: ClusterId,
        /// The cluster that answered.
        found: ClusterId,
    },
    /// Too many bytes of requests wait already. The operation was not sent.
    #[error(
        "more than {waiting_bytes_max} bytes of requests are waiting for a free slot; the operation was not sent: submit fewer at \
         once, or raise `waiting_bytes_max` or `slots`"
    )]
    Overloaded {
        /// The limit, in bytes.
        waiting_bytes_max: usize,
    },
    /// A later request of the same slot was executed already, so somebody else uses this session.
    #[error(
        "a later request of the same slot was executed already, so another client uses this session; the operation may or may \
         not have been executed: open a session of your own"
    )]
    StaleRequest,
    /// The request-number was used for another operation, so somebody else uses this session.
    #[error(
        "the request-number was used for another operation, so another client uses this session; the operation was not executed: \
         open a session of your own"
    )]
    DifferentOperation,
    /// The session has no such slot.
    #[error("the session has fewer slots than the client believes; the operation was not executed: open a new session")]
    NoSuchSlot,
    /// The operation was executed, but its result was too large to be kept for a retry.
    #[error(
        "the operation was executed, but its answer was lost on the way and was too large to be kept for a retry: read the result, \
         or raise the cluster's `reply_bytes_max`"
    )]
    ReplyLost,
    /// The service panicked while it executed the operation.
    #[error(
        "the service panicked while it executed the operation, which may have taken effect in part, at every replica alike: report \
         it as a bug of the service, with the replicas' logs"
    )]
    Panicked,
    /// The operation is larger than the cluster accepts.
    #[error("the operation is larger than the {max} bytes the cluster accepts and was not executed: split it")]
    TooLarge {
        /// The limit, in bytes.
        max: u32,
    },
    /// The service rejected the operation before it was ordered.
    #[error("the service rejected the operation, which was not executed: {reason}")]
    Invalid {
        /// What the service says.
        reason: String,
    },
}

impl ClientError {
    /// Whether the operation may have been executed, or may be yet, although there is no result.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_) | Self::SessionLost | Self::QuorumLost | Self::StaleRequest)
    }
}

impl From<RefusedReason> for ClientError {
    fn from(reason: RefusedReason) -> Self {
        match reason {
            RefusedReason::StaleRequest => Self::StaleRequest,
            RefusedReason::DifferentOperation => Self::DifferentOperation,
            RefusedReason::NoSuchSlot => Self::NoSuchSlot,
            RefusedReason::ReplyLost => Self::ReplyLost,
            RefusedReason::Panicked => Self::Panicked,
            RefusedReason::TooLarge(max) => Self::TooLarge { max },
            RefusedReason::Invalid(reason) => Self::Invalid { reason },
        }
    }
}

/// What kept a request from being answered, as far as the client can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// Nobody answered.
    #[error("no replica answers; check that they run and that the addresses are right")]
    NoAnswer,
    /// All replicas that answered wait for the members of a new cluster.
    #[error("the cluster is new and waits until all its members have been started; start the missing ones")]
    Starting,
    /// All replicas that answered are recovering.
    #[error(
        "the replicas that answer are recovering their state from the others; start the others, `vr status` shows which"
    )]
    Recovering,
    /// Those that answered were changing the view.
    #[error(
        "the replicas that answer are choosing a new primary and lack a quorum; start the others, `vr status` shows which"
    )]
    ViewChange,
    /// The primary has no room.
    #[error("the primary is overloaded; submit less at once, or later")]
    Overloaded,
    /// The primary's log has reached its limit.
    #[error("the primary's log is full; restart the replicas, one by one, with a larger `log-bytes-max`")]
    LogFull,
    /// The primary is none of the addresses.
    #[error("the primary is replica {}, which is none of the addresses given; add its address", .0.0)]
    PrimaryUnlisted(NodeId),
    /// Replicas answered, but not as the primary.
    #[error("replicas answer, but their primary does not; `vr status` shows which replica cannot be reached")]
    NoPrimary,
    /// Those that answered belong to another cluster now.
    #[error("the replicas at these addresses now belong to cluster {found}, not to {expected}; correct the addresses")]
    OtherCluster {
        /// The cluster the client wants.
        expected: ClusterId,
        /// The cluster that answered.
        found: ClusterId,
    },
}

impl From<BusyReason> for Unavailable {
    fn from(reason: BusyReason) -> Self {
        match reason {
            BusyReason::QueueFull => Self::Overloaded,
            BusyReason::LogFull => Self::LogFull,
        }
    }
}

impl From<NotServingReason> for Unavailable {
    fn from(reason: NotServingReason) -> Self {
        match reason {
            NotServingReason::Starting => Self::Starting,
            NotServingReason::Recovering | NotServingReason::QuorumLost => Self::Recovering,
            NotServingReason::ViewChange => Self::ViewChange,
        }
    }
}
