//! Directories of replicas: looking at them and formatting them.

use std::path::Path;

use viewstamped::{ClusterId, ClusterOptions, Member, NodeId};

use crate::failure::Failure;

/// Who a directory is to belong to.
pub(crate) struct NewReplica {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    pub(crate) members: Vec<Member>,
    pub(crate) options: ClusterOptions,
}

/// Who a directory belongs to.
pub(crate) struct Found {
    pub(crate) cluster: ClusterId,
    pub(crate) members: Vec<Member>,
    /// Whether the replica has never taken part in the protocol.
    pub(crate) is_virgin: bool,
}

/// The replica a directory belongs to; none when it does not exist or is empty.
pub(crate) fn look(directory: &Path) -> Result<Option<Found>, Failure> {
    unimplemented!("{directory:?}")
}

/// Formats the directory for a new replica.
pub(crate) fn format(directory: &Path, replica: NewReplica) -> Result<(), Failure> {
    let _ = replica;
    unimplemented!("{directory:?}")
}

/// 128 random bits from the operating system.
pub(crate) fn random() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new("cannot get random numbers from the operating system", error, ""))?;
    Ok(u128::from_le_bytes(bytes))
}
