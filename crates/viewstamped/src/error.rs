//! Why a node does not start or stops, and why a client gets no answer: what happened, why, what to do next.

use std::io;

use viewstamped_protocol::{ConfigurationError, NodeId};
use viewstamped_storage::{BootError, DirectoryError};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process listens there already.
    #[error("{address} is in use: another process listens there; stop it, or choose another port for {purpose}")]
    AddressInUse {
        /// The address.
        address: String,
        /// What was to listen there.
        purpose: &'static str,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for {purpose}: {source}; give an address of this machine as host:port")]
    Listen {
        /// The address.
        address: String,
        /// What was to listen there.
        purpose: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The operating system refused what a node needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory and the claim do not say who this replica is, or contradict each other.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The claimed id is not among the members.
    #[error("replica {} is no member of the group; check its id against the member list", .id.0)]
    NotAMember {
        /// The id.
        id: NodeId,
    },
    /// The members are no group.
    #[error("the member list is invalid: {0}")]
    Configuration(#[from] ConfigurationError),
    /// The operating system has no random numbers.
    #[error("cannot get random numbers from the operating system: {0}")]
    Random(String),
}

/// Why a running node stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A broken invariant. The replica must not go on; its process should end.
    #[error(
        "the replica stopped because an invariant is broken: {message}; please report this, then restart the replica"
    )]
    Panicked {
        /// What the assertion said.
        message: String,
    },
    /// The operating system refused what a replica needs.
    #[error("the replica stopped: {message}; free what is short, then restart it")]
    System {
        /// What failed.
        message: String,
    },
    /// What must be durable could not be written, or what is on disk could not be read.
    #[error("the replica stopped because its disk failed: {message}; check the disk, then restart it")]
    Storage {
        /// What failed.
        message: String,
    },
    /// The peer address could not be listened on once the configuration was learned.
    #[error("the replica stopped because it cannot hear its peers: {message}")]
    Listen {
        /// What failed.
        message: String,
    },
    /// The group that was learned from the peers does not fit this replica.
    #[error("the replica stopped because the group learned from its peers does not fit: {message}")]
    Configuration {
        /// What does not fit.
        message: String,
    },
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is nobody to ask.
    #[error("a client needs at least one endpoint; give the client addresses of the replicas as host:port")]
    NoEndpoints,
    /// There are more than a client can keep track of.
    #[error("{given} endpoints are too many: a client has at most {}", viewstamped_protocol::client::ENDPOINTS_MAX)]
    TooManyEndpoints {
        /// How many were given.
        given: usize,
    },
    /// No request could ever be sent.
    #[error("a client needs at least one slot; the option `slots` is 0")]
    NoSlots,
    /// There is no tokio runtime to run on.
    #[error("a client lives on a tokio runtime; call this from within one")]
    NoRuntime,
    /// The operating system has no random numbers.
    #[error("cannot get random numbers from the operating system: {0}")]
    Random(String),
}

/// Why a replica's status is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// Nobody listens there, or the network is down.
    #[error("cannot reach a replica at {endpoint}: {source}; is it running?")]
    Unreachable {
        /// The address asked.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer from {endpoint} in time; is it a replica's client address?")]
    TimedOut {
        /// The address asked.
        endpoint: String,
    },
    /// The replica did not do what it was asked.
    #[error("the replica at {endpoint} declined: {reason}; try again in a moment")]
    Declined {
        /// The address asked.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// Something else than a replica answered.
    #[error("{endpoint} answered something else than a replica's status: {reason}; is it a replica's client address?")]
    NotAReplica {
        /// The address asked.
        endpoint: String,
        /// What was wrong with the answer.
        reason: String,
    },
}
