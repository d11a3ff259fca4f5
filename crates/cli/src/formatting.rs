//! Directories of replicas: looking at them and formatting them.

use std::path::Path;

use viewstamped::{ClusterId, ClusterOptions, Configuration, NodeId};
use viewstamped_protocol::{Identity, InstanceId};
use viewstamped_storage::io::RealDisk;
use viewstamped_storage::{CleanMarker, Directory, DirectoryError, Durability, Found, FoundMarker, IdentityFile};

use crate::failure::Failure;

/// Who a directory is to belong to.
pub(crate) struct NewReplica {
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    /// Its id: a member of the configuration.
    pub(crate) id: NodeId,
    /// The group.
    pub(crate) configuration: Configuration,
    /// The options all members share.
    pub(crate) options: ClusterOptions,
    /// What a commit waits for.
    pub(crate) durability: Durability,
}

/// What a mode means when all replicas crash at once, in one sentence.
pub(crate) fn meaning(durability: Durability) -> &'static str {
    match durability {
        Durability::Replicated => "when more replicas than the group tolerates crash at once, all data is lost",
        Durability::Background => "when all replicas crash at once, the operations of the last moments are lost",
        Durability::Synchronous => "nothing that was acknowledged is lost, even when all replicas crash at once",
    }
}

/// Whether the replica in this directory goes on where it was, as far as can be seen from outside: it was shut down cleanly, or
/// waits for its disk.
pub(crate) fn goes_on(directory: &Path, identity: &IdentityFile) -> bool {
    let is_clean = || matches!(CleanMarker::read(&RealDisk::new(directory)), Ok(FoundMarker::Valid(_)));
    identity.durability == Durability::Synchronous || is_clean()
}

/// The replica a directory belongs to; none when it does not exist or is empty.
///
/// # Errors
/// When it is in use, damaged, or belongs to something else.
pub(crate) fn look(directory: &Path) -> Result<Option<IdentityFile>, Failure> {
    if !directory.exists() {
        return Ok(None);
    }
    let found = Directory::lock(directory).and_then(|directory| directory.load());
    match found.map_err(|error| unusable(directory, &error))? {
        Found::Empty => Ok(None),
        Found::Identity(identity) => Ok(Some(*identity)),
    }
}

/// Formats the directory for a new replica.
///
/// # Errors
/// When it is in use, formatted already, holds anything else, or cannot be written.
pub(crate) fn format(directory: &Path, replica: NewReplica) -> Result<(), Failure> {
    let instance = InstanceId(random()?);
    let identity = IdentityFile {
        cluster: replica.cluster,
        node: replica.id,
        configuration: replica.configuration,
        cluster_options: replica.options,
        durability: replica.durability,
        identity: Identity::formatted(instance),
    };
    viewstamped_storage::format(directory, identity, instance).map_err(|error| unusable(directory, &error))?;
    Ok(())
}

fn unusable(directory: &Path, error: &DirectoryError) -> Failure {
    Failure::new(format!("cannot use the directory {}", directory.display()), error, "")
}

/// 128 random bits from the operating system.
///
/// # Errors
/// When it has none.
pub(crate) fn random() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new("cannot get random numbers from the operating system", error, ""))?;
    Ok(u128::from_le_bytes(bytes))
}
