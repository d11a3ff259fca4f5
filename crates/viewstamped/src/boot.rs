//! The boot decision (4.8): what this directory is, and so what the replica does first.

use std::net::SocketAddr;
use std::path::Path;

use viewstamped_protocol::{
    ClusterId, ClusterOptions, Configuration, EpochNumber, Identity, InstanceId, Member, NodeId,
};
use viewstamped_storage::{self as storage, Directory, Durability, IdentityFile, Start};

use crate::config::{Claim, Config, ConfigurationSource};
use crate::error::{NodeError, StartError};
use crate::runtime::random_bits;
use crate::status::NodeStatus;

/// A replica that may run.
pub(crate) struct Boot {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    /// What survived of it.
    pub(crate) identity: Option<Identity>,
    pub(crate) membership: Membership,
    pub(crate) directory: Directory,
    pub(crate) listen_peer: Option<String>,
}

/// What is known of the group.
pub(crate) enum Membership {
    /// All of it.
    Known(Group),
    /// Where it can be asked for.
    Unknown {
        /// Peer addresses.
        peers: Vec<String>,
    },
}

/// The group and what its members share.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) configuration: Configuration,
    pub(crate) options: ClusterOptions,
    pub(crate) durability: Durability,
}

impl Group {
    /// The member with this id.
    pub(crate) fn member(&self, id: NodeId) -> Result<&Member, String> {
        let members = self.configuration.members();
        members
            .iter()
            .find(|member| member.id == id)
            .ok_or_else(|| format!("replica {} is no member of the group; check its id against the member list", id.0))
    }
}

impl Boot {
    /// Where peers are to be heard, when that is known.
    pub(crate) fn peer_address(&self) -> Option<&str> {
        if let Some(address) = &self.listen_peer {
            return Some(address);
        }
        match &self.membership {
            Membership::Known(group) => group.member(self.id).ok().map(|member| member.address.as_str()),
            Membership::Unknown { .. } => None,
        }
    }

    /// The durability mode; empty while the group is not known.
    fn durability(&self) -> &'static str {
        match &self.membership {
            Membership::Known(group) => group.durability.as_str(),
            Membership::Unknown { .. } => "",
        }
    }

    /// What is known before the replica runs.
    pub(crate) fn first_status(&self, client_address: SocketAddr) -> NodeStatus {
        let (status, not_serving) = match (&self.membership, &self.identity) {
            (Membership::Unknown { .. }, _) => ("learning", "recovering"),
            (Membership::Known(_), Some(identity)) if identity.is_virgin() => ("starting", "starting"),
            (Membership::Known(_), _) => ("recovering", "recovering"),
        };
        NodeStatus {
            cluster: self.cluster.to_string(),
            id: self.id.0,
            pid: std::process::id(),
            role: "none".to_owned(),
            status: status.to_owned(),
            not_serving: Some(not_serving.to_owned()),
            durability: self.durability().to_owned(),
            client_address: client_address.to_string(),
            incarnation: self.identity.as_ref().map_or(0, |identity| identity.incarnation.0),
            ..NodeStatus::default()
        }
    }
}

/// Locks the directory and decides what it means.
pub(crate) fn open(config: &Config) -> Result<Boot, StartError> {
    if config.claim.is_some() {
        // Its loss is the reason for the claim.
        viewstamped_storage::directory::create(&config.directory)?;
    }
    let directory = Directory::lock(&config.directory)?;
    let claim = config.claim.as_ref().map(storage_claim).transpose()?;
    let start = viewstamped_storage::decide(directory.load()?, claim)?;
    let listen_peer = config.listen_peer.clone();
    Ok(match start {
        Start::WithIdentity(file) => {
            let (options, durability) = (file.cluster_options, file.durability);
            let membership = Membership::Known(Group { configuration: file.configuration, options, durability });
            let (cluster, id, identity) = (file.cluster, file.node, Some(file.identity));
            Boot { cluster, id, identity, membership, directory, listen_peer }
        }
        Start::Rebuild { cluster, node, group } => {
            let membership = match (group, config.claim.as_ref().map(|claim| &claim.source)) {
                (storage::Group::Peers(peers), _) => Membership::Unknown { peers },
                (
                    storage::Group::Members(configuration),
                    Some(ConfigurationSource::Members { options, durability, members: _ }),
                ) => Membership::Known(Group { configuration, options: *options, durability: *durability }),
                (storage::Group::Members(_), _) => unreachable!("members come from a claim that names them"),
            };
            Boot { cluster, id: node, identity: None, membership, directory, listen_peer }
        }
    })
}

fn storage_claim(claim: &Claim) -> Result<storage::Claim, StartError> {
    let group = match &claim.source {
        ConfigurationSource::Peers(peers) => storage::Group::Peers(peers.clone()),
        ConfigurationSource::Members { members, .. } => {
            storage::Group::Members(Configuration::new(EpochNumber::ZERO, members.clone())?)
        }
    };
    Ok(storage::Claim { cluster: claim.cluster, node: claim.id, group: Some(group) })
}

/// The directory, and what its identity file says besides the identity.
pub(crate) struct Store {
    directory: Directory,
    cluster: ClusterId,
    id: NodeId,
    group: Group,
}

impl Store {
    pub(crate) fn new(directory: Directory, cluster: ClusterId, id: NodeId, group: Group) -> Self {
        Self { directory, cluster, id, group }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What the identity file says of this identity.
    pub(crate) fn file(&self, identity: &Identity) -> IdentityFile {
        IdentityFile {
            cluster: self.cluster,
            node: self.id,
            configuration: self.group.configuration.clone(),
            cluster_options: self.group.options,
            durability: self.group.durability,
            identity: identity.clone(),
        }
    }

    /// Makes the identity durable. After an error the replica must stop: what a restart would find is unknown.
    pub(crate) fn save(&mut self, identity: &Identity) -> Result<(), NodeError> {
        self.directory.save(&self.file(identity)).map_err(|error| NodeError::Storage { message: error.to_string() })
    }
}

/// Makes `directory` the directory of replica `id` of a new cluster. Once for each replica; never to bring one back.
///
/// # Errors
/// When the directory is formatted already, in use, or holds anything else; when the members are no group or lack `id`.
pub fn format(
    directory: impl AsRef<Path>,
    cluster: ClusterId,
    id: NodeId,
    members: Vec<Member>,
    options: ClusterOptions,
    durability: Durability,
) -> Result<(), StartError> {
    let group = Group { configuration: Configuration::new(EpochNumber::ZERO, members)?, options, durability };
    group.member(id).map_err(|_| StartError::NotAMember { id })?;
    let instance = InstanceId(random_bits().map_err(StartError::Random)?);
    let file = IdentityFile {
        cluster,
        node: id,
        configuration: group.configuration,
        cluster_options: options,
        durability,
        identity: Identity::formatted(instance),
    };
    viewstamped_storage::format(directory, file, instance)?;
    Ok(())
}
