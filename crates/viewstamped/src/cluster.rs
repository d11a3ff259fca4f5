//! A whole group in one process, on free loopback ports and temporary directories: for examples and tests.

use std::time::Duration;

use viewstamped_protocol::Service;

use crate::client::Client;
use crate::error::{ConnectError, StartError};
use crate::node::Node;

/// A group of replicas in this process. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// Starts `replicas` replicas, each with a service of its own.
    ///
    /// # Errors
    /// When a replica cannot start.
    pub fn start_local<S: Service + Send + 'static>(
        replicas: usize,
        service: impl Fn() -> S,
    ) -> Result<Self, StartError> {
        let _ = (replicas, service());
        Ok(Self { nodes: Vec::new() })
    }

    /// The replica with this id; `None` while it is stopped.
    #[must_use]
    pub fn node(&self, id: usize) -> Option<&Node> {
        self.nodes.get(id).and_then(Option::as_ref)
    }

    /// Where the replicas serve clients, the stopped ones included.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// A client of the group on the caller's tokio runtime.
    ///
    /// # Errors
    /// Outside a tokio runtime.
    pub fn client(&self) -> Result<Client, ConnectError> {
        Err(ConnectError::NoEndpoints)
    }

    /// The id of the primary, once a replica is in status normal as such; `None` when none is within `timeout`.
    pub async fn primary(&self, timeout: Duration) -> Option<usize> {
        let _ = timeout;
        None
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
        let _ = (id, service);
        Ok(())
    }
}
