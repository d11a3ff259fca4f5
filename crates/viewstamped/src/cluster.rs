//! A whole group in one process, on free loopback ports and in a temporary directory: for examples and tests.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use viewstamped_protocol::{
    ClientOptions, ClusterId, ClusterOptions, Durability, Member, NodeId, Options, Role, Service,
};

use crate::client::{Client, ClientConfig};
use crate::config::{Claim, Config, ConfigurationSource, TransportOptions};
use crate::error::{ConnectError, StartError};
use crate::node::{self, Listeners, Node};
use crate::runtime::random_bits;

/// Everything is gone when the group is, so nothing is written.
const DURABILITY: Durability = Durability::Replicated;

/// A group of replicas in this process. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    id: ClusterId,
    members: Vec<Member>,
    nodes: Vec<Option<Node>>,
    endpoints: Vec<String>,
    options: Options,
    transport: TransportOptions,
    directory: PathBuf,
}

impl Cluster {
    /// Starts `replicas` replicas, each with a service of its own, and default options.
    ///
    /// # Errors
    /// When a replica cannot start.
    pub fn start_local<S: Service + Send + 'static>(
        replicas: usize,
        service: impl Fn() -> S,
    ) -> Result<Self, StartError> {
        Self::start_with(replicas, Options::default(), TransportOptions::default(), service)
    }

    /// The same with other options.
    ///
    /// # Errors
    /// When a replica cannot start.
    pub fn start_with<S: Service + Send + 'static>(
        replicas: usize,
        options: Options,
        transport: TransportOptions,
        service: impl Fn() -> S,
    ) -> Result<Self, StartError> {
        let id = ClusterId(random_bits().map_err(StartError::Random)?);
        let peers = (0..replicas).map(|_| listen()).collect::<Result<Vec<_>, _>>()?;
        let members =
            (0_u64..).zip(&peers).map(|(id, listener)| member(id, listener)).collect::<Result<Vec<_>, _>>()?;
        let directory = std::env::temp_dir().join(format!("viewstamped-{id}"));
        let mut cluster = Self { id, members, nodes: Vec::new(), endpoints: Vec::new(), options, transport, directory };
        for (index, peers) in peers.into_iter().enumerate() {
            let (path, id) = (cluster.path(index), cluster.members[index].id);
            crate::boot::format(path, cluster.id, id, cluster.members.clone(), ClusterOptions::default(), DURABILITY)?;
            let config = cluster.config(index, "127.0.0.1:0", None);
            let listeners = Listeners { clients: None, peers: Some(peers) };
            let node = Node::start_on(config, listeners, service(), node::spawn)?;
            cluster.endpoints.push(node.client_address().to_string());
            cluster.nodes.push(Some(node));
        }
        Ok(cluster)
    }

    /// The replica with this id; `None` while it is stopped.
    #[must_use]
    pub fn node(&self, id: usize) -> Option<&Node> {
        self.nodes.get(id).and_then(Option::as_ref)
    }

    /// The cluster's id.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.id
    }

    /// The members, with their peer addresses.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Where the replicas serve clients, the stopped ones included.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// A client of the group on the caller's tokio runtime.
    ///
    /// # Errors
    /// Outside a tokio runtime.
    pub fn client(&self) -> Result<Client, ConnectError> {
        self.client_with(ClientOptions::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    /// Outside a tokio runtime.
    pub fn client_with(&self, options: ClientOptions) -> Result<Client, ConnectError> {
        let mut config = ClientConfig::new(&self.endpoints);
        config.cluster = Some(self.id);
        config.options = options;
        Client::connect(config)
    }

    /// The id of the primary as soon as a running replica is in status normal as such; `None` when none is within `timeout`.
    pub async fn primary(&self, timeout: Duration) -> Option<usize> {
        let mut watchers = tokio::task::JoinSet::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(mut status) = node.as_ref().map(Node::watch_status) else { continue };
            watchers.spawn(async move {
                let is_primary = status.wait_for(|status| status.role == "primary").await.is_ok();
                is_primary.then_some(id)
            });
        }
        let first = async {
            while let Some(found) = watchers.join_next().await {
                if let Ok(Some(id)) = found {
                    return Some(id);
                }
            }
            None
        };
        tokio::time::timeout(timeout, first).await.ok().flatten()
    }

    /// Kills a replica: it stops at once, and what it had in memory is lost.
    pub fn kill(&mut self, id: usize) {
        self.nodes[id] = None;
    }

    /// Starts a killed replica again; it recovers its state from the others.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn restart<S: Service + Send + 'static>(&mut self, id: usize, service: S) -> Result<(), StartError> {
        self.kill(id);
        let config = self.config(id, &self.endpoints[id], None);
        self.nodes[id] = Some(Node::start(config, service)?);
        Ok(())
    }

    /// Starts a killed replica again on an empty directory, as after the loss of its disk: it learns the group from its peers,
    /// and recovers its state from them.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn restart_wiped<S: Service + Send + 'static>(&mut self, id: usize, service: S) -> Result<(), StartError> {
        self.kill(id);
        let directory = self.path(id);
        std::fs::remove_dir_all(&directory)
            .map_err(|source| StartError::System { action: "remove the directory of a replica", source })?;
        let own = self.members[id].id;
        let others = self.members.iter().filter(|member| member.id != own);
        let peers = others.map(|member| member.address.clone()).collect();
        let claim = Claim { cluster: self.id, id: own, source: ConfigurationSource::Peers(peers) };
        let config = self.config(id, &self.endpoints[id], Some(claim));
        self.nodes[id] = Some(Node::start(config, service)?);
        Ok(())
    }

    fn path(&self, id: usize) -> PathBuf {
        self.directory.join(id.to_string())
    }

    fn config(&self, id: usize, listen_client: &str, claim: Option<Claim>) -> Config {
        let (options, transport) = (self.options, self.transport);
        Config { options, transport, claim, ..Config::new(self.path(id), listen_client) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        // Left behind at worst: the operating system empties its temporary directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn listen() -> Result<TcpListener, StartError> {
    TcpListener::bind("127.0.0.1:0").map_err(|source| StartError::Listen {
        address: "127.0.0.1:0".to_owned(),
        purpose: "peers",
        source,
    })
}

fn member(id: u64, listener: &TcpListener) -> Result<Member, StartError> {
    let address = listener
        .local_addr()
        .map_err(|source| StartError::System { action: "read the address of a socket", source })?;
    Ok(Member { id: NodeId(id), role: Role::Active, address: address.to_string() })
}
