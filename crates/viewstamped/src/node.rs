//! A replica in this process: one thread that owns it, its sockets and its timer.

use std::net::SocketAddr;

use tokio::sync::watch;
use viewstamped_protocol::{ClientOptions, Service};

use crate::client::Client;
use crate::config::Config;
use crate::error::{ConnectError, NodeError, StartError};
use crate::status::NodeStatus;

/// A running replica. Dropping it stops the replica and waits until its thread, sockets and directory are free.
#[derive(Debug)]
pub struct Node {
    status: watch::Receiver<NodeStatus>,
    client_address: SocketAddr,
}

impl Node {
    /// Starts the replica whose directory `config` names, on a thread of its own.
    ///
    /// Returns when the directory is locked and the client address is bound. Whether the replica serves yet, its status says.
    ///
    /// # Errors
    /// When the directory does not belong to a replica that may run, or an address cannot be listened on.
    pub fn start<S: Service + Send + 'static>(config: Config, service: S) -> Result<Self, StartError> {
        let _ = service;
        Err(StartError::NoIdentity { directory: config.directory })
    }

    /// What the replica says about itself, at most [`status_interval`](crate::TransportOptions::status_interval) old.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// A stream of statuses: changes whenever status, view or a number does.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// Where clients are served, with the real port when the configured one was 0.
    #[must_use]
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// A client of the group in this process, on the caller's tokio runtime. It does not depend on this replica being up.
    ///
    /// # Errors
    /// Outside a tokio runtime.
    pub fn client(&self, options: ClientOptions) -> Result<Client, ConnectError> {
        let _ = options;
        Err(ConnectError::NoEndpoints)
    }

    /// Waits until the replica stops by itself or is shut down.
    ///
    /// # Errors
    /// Why it stopped by itself: it must not go on, and nor should the process.
    pub async fn wait(&self) -> Result<(), NodeError> {
        Ok(())
    }

    /// Stops the replica and waits until its thread, sockets and directory are free.
    ///
    /// # Errors
    /// When the replica had stopped by itself before.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        Ok(())
    }
}
