//! Where a group lives: its directory, the identities in it, and its addresses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use viewstamped::{ClusterId, ClusterOptions, Configuration, EpochNumber, Member, NodeId, Role};
use viewstamped_storage::{Durability, IdentityFile};

use crate::failure::Failure;
use crate::formatting::{self, NewReplica};
use crate::members::Members;

/// The directory of a group. A temporary one is removed when this is dropped.
pub(crate) struct Directory {
    path: PathBuf,
    is_temporary: bool,
}

impl Directory {
    /// The directory given, or a new temporary one.
    pub(crate) fn open(given: Option<PathBuf>) -> Result<Self, Failure> {
        let (path, is_temporary) = match given {
            Some(path) => (path, false),
            None => (
                std::env::temp_dir().join(format!(
                    "vr-dev-{}-{:08x}",
                    std::process::id(),
                    formatting::random()? as u32
                )),
                true,
            ),
        };
        let made = if is_temporary { fs::create_dir(&path) } else { fs::create_dir_all(&path) };
        let made = made.and_then(|()| fs::canonicalize(&path));
        let path = made.map_err(|error| unusable(&path, &error))?;
        Ok(Self { path, is_temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path, when it stays after the end.
    pub(crate) fn kept(&self) -> Option<&Path> {
        (!self.is_temporary).then_some(&self.path)
    }

    /// What happens to the data, for people.
    pub(crate) fn what_it_means(&self) -> &'static str {
        if self.is_temporary {
            "The data is in the memory of the replicas: when all are down at once it is gone. The directory, with\n\
             the identities and the logs of the replicas, is a temporary one; it is removed at the end."
        } else {
            "The data is in the memory of the replicas: when all are down at once it is gone, although their\n\
             directories stay; this group cannot be started again as a whole."
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_temporary {
            // A replica started by hand may still write there; what it leaves is left.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("cannot use the directory {}", path.display()),
        error,
        "name one that can be written: vr dev --data DIR",
    )
}

/// The replicas of a group: who they are and where.
pub(crate) struct Group {
    cluster: ClusterId,
    directory: PathBuf,
    /// Client and peer address of each.
    addresses: Vec<(String, String)>,
}

impl Group {
    /// Formats the directories of a new group, or takes over one that was formatted and has not run yet.
    pub(crate) fn prepare(directory: &Directory, ports: &[(u16, u16)]) -> Result<Self, Failure> {
        let address = |port: &u16| format!("127.0.0.1:{port}");
        let addresses: Vec<_> = ports.iter().map(|(client, peer)| (address(client), address(peer))).collect();
        let mut group = Self { cluster: ClusterId(0), directory: directory.path.clone(), addresses };
        group.cluster = match group.found()? {
            Some(cluster) => cluster,
            None => ClusterId(formatting::random()?.max(1)),
        };
        for id in 0..group.addresses.len() {
            let path = group.replica_directory(id);
            if formatting::look(&path)?.is_none() {
                let replica = NewReplica {
                    cluster: group.cluster,
                    id: NodeId(id as u64),
                    configuration: group.configuration(),
                    options: ClusterOptions::default(),
                    durability: Durability::Replicated,
                };
                formatting::format(&path, replica)?;
            }
        }
        Ok(group)
    }

    /// The cluster whose directories are there already, if it can still begin.
    fn found(&self) -> Result<Option<ClusterId>, Failure> {
        let mut found: Vec<IdentityFile> = Vec::new();
        for id in 0..self.addresses.len() {
            found.extend(formatting::look(&self.replica_directory(id))?);
        }
        let Some(first) = found.first() else { return Ok(None) };
        let directory = self.directory.display();
        if found.iter().any(|replica| !replica.identity.is_virgin()) {
            let why = format!(
                "cluster 0x{:x} in it has run before and was stopped as a whole; what it stored was in the memory of its\n\
                 replicas (durability `replicated`) and is gone. Its replicas would wait for each other for ever: each\n\
                 has to recover from the others.",
                first.cluster.0
            );
            let next = format!("begin a new group: vr dev --data ANOTHER_DIR, or rm -r {directory} first");
            return Err(Failure::new(format!("cannot start the group in {directory} again"), why, next));
        }
        if found.iter().any(|replica| replica.configuration != self.configuration() || replica.cluster != first.cluster)
        {
            let why =
                "the replicas in it were formatted for another number of replicas, other ports or another cluster";
            let next = format!("use the same --replicas and --base-port again, or rm -r {directory} first");
            return Err(Failure::new(format!("cannot start a group in {directory}"), why, next));
        }
        Ok(Some(first.cluster))
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Client and peer address of each replica.
    pub(crate) fn addresses(&self) -> &[(String, String)] {
        &self.addresses
    }

    /// Where clients are served.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.addresses.iter().map(|(client, _)| client.clone()).collect()
    }

    /// The log of a replica: beside its directory, so that it survives when that is removed.
    pub(crate) fn log(&self, id: usize) -> PathBuf {
        self.directory.join(format!("replica-{id}.log"))
    }

    /// How to start a replica, whatever is left of its directory.
    pub(crate) fn start_arguments(&self, id: usize) -> Vec<String> {
        let (client, _) = &self.addresses[id];
        let directory = self.replica_directory(id).display().to_string();
        let cluster = format!("0x{:x}", self.cluster.0);
        let members = Members(self.configuration().members().to_vec()).to_string();
        let id = id.to_string();
        let arguments = [
            "start",
            "--listen-client",
            client,
            "--cluster",
            &cluster,
            "--replica",
            &id,
            "--members",
            &members,
            &directory,
        ];
        arguments.map(str::to_owned).to_vec()
    }

    fn replica_directory(&self, id: usize) -> PathBuf {
        self.directory.join(format!("replica-{id}"))
    }

    fn configuration(&self) -> Configuration {
        let member = |(id, (_, peer)): (usize, &(String, String))| Member {
            id: NodeId(id as u64),
            role: Role::Active,
            address: peer.clone(),
        };
        let members = self.addresses.iter().enumerate().map(member).collect();
        Configuration::new(EpochNumber::ZERO, members).expect("one to 31 members with different ids and ports")
    }
}
