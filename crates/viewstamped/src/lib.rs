//! Viewstamped makes any deterministic service survive machine failures, by Viewstamped Replication Revisited
//! (Liskov & Cowling, 2012).
//!
//! Implement [`Service`], start a [`Node`] on each machine, and talk to the group through a [`Client`]: every operation is
//! executed exactly once, in one order, on every replica, while any minority of them may fail.
//!
//! * [`Node`]: one replica in this process, on a thread of its own.
//! * [`Client`]: sends operations to the group, wherever its primary is.
//! * [`Cluster`]: a whole group in one process, for examples and tests.
//! * [`fetch_status`]: what a replica says about itself; [`force_recover`]: an operator's consent to begin again after an outage of all.

mod boot;
mod checkpoint;
mod client;
mod cluster;
mod config;
mod disk;
mod error;
mod memory;
mod node;
mod runtime;
mod status;

pub use boot::format;
pub use bytes::Bytes;
pub use checkpoint::take_checkpoint;
pub use client::{Client, ClientConfig, ConnectionOptions, Pending, SessionHandle};
pub use cluster::Cluster;
pub use config::{Claim, Config, ConfigurationSource, TransportOptions};
pub use disk::StorageOptions;
pub use error::{ConnectError, NodeError, StartError, StatusError};
pub use memory::MemoryBudget;
pub use node::{Node, ReplicaTask};
pub use status::{
    CheckpointStatus, JournalStatus, MemberStatus, NodeStatus, SurvivorStatus, TransferStatus, fetch_status,
    force_recover,
};
pub use viewstamped_protocol::client::{ClientError, Completion, Unavailable};
pub use viewstamped_protocol::{
    ClientId, ClientOptions, ClusterId, ClusterOptions, Configuration, Contributions, Durability, EpochNumber,
    Incarnation, Member, NodeId, OpNumber, Operation, Options, PREDICTED_BYTES_MAX, PageSet, PageSetMut, PagedService,
    Role, SelfPaging, Service, SessionNumber, Timestamp, ViewNumber,
};
pub use viewstamped_state::State;
