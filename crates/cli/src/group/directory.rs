//! Where a group lives: its directory, the identities in it, and its addresses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use viewstamped::{ClusterId, ClusterOptions, Configuration, EpochNumber, Member, NodeId, Role};
use viewstamped_storage::{Durability, IdentityFile};

use crate::failure::Failure;
use crate::formatting::{self, NewReplica};
use crate::group::replica::{as_typed, program_as_typed};
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
    pub(crate) fn what_it_means(&self, durability: Durability) -> String {
        let meaning = formatting::meaning(durability);
        if self.is_temporary {
            format!(
                "Durability `{durability}`: {meaning}.\nThe directory is a temporary one; it is removed at the end."
            )
        } else {
            format!(
                "Durability `{durability}`: {meaning}.\nAfter Ctrl-C everything is on disk, and `vr dev` with the same flags goes on with it."
            )
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

/// A group whose directories were there.
struct Found {
    /// It has begun, so that a directory that is missing is not that of a new replica.
    has_run: bool,
}

/// The replicas of a group: who they are and where.
pub(crate) struct Group {
    cluster: ClusterId,
    durability: Durability,
    directory: PathBuf,
    /// Client and peer address of each.
    addresses: Vec<(String, String)>,
}

impl Group {
    /// Formats the directories of a new group, or takes over one that goes on where it was. Without a durability mode that of the
    /// group that is there counts, or the default. `recovers` says whether it begins again by itself after an outage of all.
    pub(crate) fn prepare(
        directory: &Directory,
        ports: &[(u16, u16)],
        durability: Option<Durability>,
        recovers: bool,
    ) -> Result<Self, Failure> {
        let address = |port: &u16| format!("127.0.0.1:{port}");
        let addresses: Vec<_> = ports.iter().map(|(client, peer)| (address(client), address(peer))).collect();
        let path = directory.path.clone();
        let (cluster, mode) = (ClusterId(0), durability.unwrap_or_default());
        let mut group = Self { cluster, durability: mode, directory: path, addresses };
        let mut has_run = false;
        match group.found(durability, recovers)? {
            Some(found) => has_run = found.has_run,
            None => group.cluster = ClusterId(formatting::random()?.max(1)),
        }
        if has_run {
            // A directory that is missing was lost: its replica recovers, and is never a new one.
            return Ok(group);
        }
        for id in 0..group.addresses.len() {
            let path = group.replica_directory(id);
            if formatting::look(&path)?.is_none() {
                let replica = NewReplica {
                    cluster: group.cluster,
                    id: NodeId(id as u64),
                    configuration: group.configuration(),
                    options: ClusterOptions { recover_automatically: u32::from(recovers), ..ClusterOptions::default() },
                    durability: group.durability,
                };
                formatting::format(&path, replica)?;
            }
        }
        Ok(group)
    }

    /// The group whose directories are there already, if it can begin or go on.
    fn found(&mut self, durability: Option<Durability>, recovers: bool) -> Result<Option<Found>, Failure> {
        let mut found: Vec<(PathBuf, IdentityFile)> = Vec::new();
        for id in 0..self.addresses.len() {
            let path = self.replica_directory(id);
            found.extend(formatting::look(&path)?.map(|identity| (path, identity)));
        }
        let Some((_, first)) = found.first() else { return Ok(None) };
        let (cluster, mode) = (first.cluster, first.durability);
        // What is advised names them, too.
        (self.cluster, self.durability) = (cluster, mode);
        let directory = self.directory.display();
        let is_of_another = |identity: &IdentityFile| {
            identity.configuration != self.configuration() || identity.cluster != cluster || identity.durability != mode
        };
        let recovers_by_itself =
            |(_, identity): &(PathBuf, IdentityFile)| identity.cluster_options.recover_automatically != 0;
        let is_other =
            durability.is_some_and(|wanted| wanted != mode) || recovers && !found.iter().all(recovers_by_itself);
        if is_other || found.iter().any(|(_, identity)| is_of_another(identity)) {
            let why = format!(
                "the replicas in it were formatted for another number of replicas, other ports, another cluster or another\n\
                 durability (the first one: `{mode}`), or without --recover-automatically"
            );
            let next =
                format!("use the same --replicas, --base-port and --durability again, or rm -r {directory} first");
            return Err(Failure::new(format!("cannot start a group in {directory}"), why, next));
        }
        let has_run = found.iter().any(|(_, identity)| !identity.identity.is_virgin());
        let able = found
            .iter()
            .filter(|(path, identity)| identity.identity.is_virgin() || formatting::goes_on(path, identity));
        let quorum = self.configuration().quorum();
        // Where every disk has a journal they may begin again with the best.
        let are_all_there = found.len() == self.addresses.len() && mode != Durability::Replicated;
        let begins_again = are_all_there && found.iter().all(recovers_by_itself);
        if has_run && !begins_again && able.count() < quorum {
            let why = format!(
                "cluster 0x{:x} in it has run before, and fewer than {quorum} of its replicas were stopped in order: the others\n\
                 have lost what was in their memory (durability `{mode}`), would wait for each other for ever, and serve nobody.",
                cluster.0
            );
            let mut next = format!("begin a new group: vr dev --data ANOTHER_DIR, or rm -r {directory} first");
            if are_all_there {
                next = format!("{}\nor {next}", self.begin_again_by_hand());
            }
            return Err(Failure::new(format!("cannot start the group in {directory} again"), why, next));
        }
        Ok(Some(Found { has_run }))
    }

    /// The commands after which the group goes on with what its disks hold.
    fn begin_again_by_hand(&self) -> String {
        let vr = program_as_typed();
        let start = |id| format!("  {vr} {} &\n", as_typed(&self.start_arguments(id)));
        let starts: String = (0..self.addresses.len()).map(start).collect();
        let endpoints = self.endpoints().join(",");
        format!("go on with what is on disk:\n{starts}  {vr} recover --endpoints {endpoints}")
    }

    /// What a commit waits for.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
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
            "--durability",
            self.durability.as_str(),
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
