//! Checkpoints (5.1): the replicated state as of one op-number, under one root.
//!
//! "To take a checkpoint the application must record a snapshot of its state"; the paper names no more. A replica that goes on from
//! that alone executes retried requests twice, for its client-table is empty (docs/deviations.md, T5). So a checkpoint holds all
//! that executing the log up to its op-number has made: the service's state, the client-table with its replies, the replicated
//! clock, and the configuration.

use std::fmt;

use bytes::BytesMut;
use viewstamped_state::{Root, Snapshot};

use crate::codec;
use crate::configuration::Configuration;
use crate::numbers::{Ballot, ChainHash, OpNumber, Timestamp};
use crate::options::ClusterOptions;

/// The hash of a whole checkpoint: the BLAKE3 hash of its header, which holds the roots of its states.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointRoot(pub [u8; 32]);

/// Names a checkpoint: the paper's checkpoint number, and what the state was then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId {
    /// The op-number of the newest operation in it; zero for none.
    pub op: OpNumber,
    /// The hash of all of it.
    pub root: CheckpointRoot,
}

/// What a checkpoint holds besides pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointHeader {
    /// The op-number of the newest operation in it.
    pub op: OpNumber,
    /// The chain hash of the log up to there.
    pub head: ChainHash,
    /// The ballot of the entry there.
    pub ballot: Ballot,
    /// The replicated clock: the timestamp of the entry there.
    pub timestamp: Timestamp,
    /// The group.
    pub configuration: Configuration,
    /// The options all members share.
    pub options: ClusterOptions,
    /// The root of the service's state.
    pub service: Root,
    /// The root of the client-table's pages.
    pub client_table: Root,
}

/// A checkpoint in memory. Costs nothing to keep but the pages that have changed since.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Its name.
    pub id: CheckpointId,
    /// What it holds besides pages.
    pub header: CheckpointHeader,
    /// The service's state.
    pub service: Snapshot,
    /// The client-table as pages.
    pub client_table: Snapshot,
}

impl CheckpointHeader {
    /// The bytes that its hash covers; docs/formats.md has the diagram.
    #[must_use]
    pub fn encode(&self) -> BytesMut {
        let mut bytes = BytesMut::new();
        codec::encode_checkpoint_header(self, &mut bytes);
        bytes
    }

    /// The name of the checkpoint with this header.
    #[must_use]
    pub fn id(&self) -> CheckpointId {
        CheckpointId { op: self.op, root: CheckpointRoot(blake3::hash(&self.encode()).into()) }
    }
}

impl Checkpoint {
    /// The checkpoint with this header and these states, whose roots the header has.
    #[must_use]
    pub fn new(header: CheckpointHeader, service: Snapshot, client_table: Snapshot) -> Self {
        Self { id: header.id(), header, service, client_table }
    }
}

impl fmt::Display for CheckpointRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As much of it as tells roots apart in a log.
impl fmt::Debug for CheckpointRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As `n100#0a1b2c3d`.
impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:?}", self.op, self.root)
    }
}
