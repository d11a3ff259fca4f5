//! What a node is started with, and the limits of its transport.

use std::path::PathBuf;
use std::time::Duration;

use viewstamped_protocol::{ClusterId, ClusterOptions, Durability, Member, NodeId, Options};

use crate::disk::StorageOptions;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's own directory, as `format` left it. Locked while the node runs.
    pub directory: PathBuf,
    /// The address on which clients are served, `host:port`. Port 0 takes a free one; [`crate::NodeStatus`] says which.
    pub listen_client: String,
    /// The address on which peers are heard. `None`: the member's own address in the configuration.
    pub listen_peer: Option<String>,
    /// The replica's timeouts and limits.
    pub options: Options,
    /// The transport's timeouts and limits.
    pub transport: TransportOptions,
    /// Those of what is written to disk.
    pub storage: StorageOptions,
    /// Who this node is, when its directory was lost. Ignored by an intact directory unless it contradicts it: then the
    /// start is refused.
    pub claim: Option<Claim>,
}

impl Config {
    /// A node in `directory` that serves clients on `listen_client`, with default options.
    pub fn new(directory: impl Into<PathBuf>, listen_client: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            listen_client: listen_client.into(),
            listen_peer: None,
            options: Options::default(),
            transport: TransportOptions::default(),
            storage: StorageOptions::default(),
            claim: None,
        }
    }
}

/// Who a node with an empty directory says it is. Such a node is recovering, never new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The cluster it belonged to.
    pub cluster: ClusterId,
    /// Its replica id there.
    pub id: NodeId,
    /// From where it learns the group.
    pub source: ConfigurationSource,
}

/// From where a node with an empty directory learns the group (4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationSource {
    /// From any of these peers (their peer addresses); asked until one answers.
    Peers(Vec<String>),
    /// From the operator.
    Members {
        /// All members of the current epoch, in order.
        members: Vec<Member>,
        /// The options the cluster was formatted with.
        options: ClusterOptions,
        /// The durability mode it was formatted with.
        durability: Durability,
    },
}

/// Timeouts and limits of a node's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// The most client connections. Default 10,000: each costs a few KiB; beyond it new ones are closed at once.
    pub client_connections_max: usize,
    /// The most connections on the peer port. Default 256: two for each of 30 peers, with room for reconnects and learners.
    pub peer_connections_max: usize,
    /// How long a new connection may stay silent before its first frame is complete. Default 5 s.
    pub hello_timeout: Duration,
    /// The most bytes queued for one client. Default 16 MiB; a client that reads no faster is disconnected.
    pub client_queue_bytes_max: usize,
    /// The most bytes queued for all clients together. Default 128 MiB; beyond it the one with the longest queue is disconnected.
    pub client_queues_bytes_max: usize,
    /// The most bytes of messages that clients have begun and not completed, all together. Default 64 MiB; beyond it the
    /// message begun first is given up, and its connection closed. Never less than one message of the largest size.
    pub client_unfinished_bytes_max: usize,
    /// How long a client may take from the first byte of a message to the last. Default 30 s: the largest one over 1 Mbit/s.
    pub client_frame_timeout: Duration,
    /// The most clients reached through one connection. Default 1,024: a gateway needs few. The one longest known is forgotten
    /// for a new one, and is known again when it sends something.
    pub connection_clients_max: usize,
    /// The most clients reached through connections that serve more than one, all together. Default 65,536: some MiB.
    pub clients_max: usize,
    /// The most bytes queued for one peer. Default 32 MiB; beyond it messages are dropped, and the protocol sends again.
    pub peer_queue_bytes_max: usize,
    /// The most bytes received from peers and not handled. Default 32 MiB; beyond it their sockets are not read.
    pub peer_inbox_bytes_max: usize,
    /// The most bytes received from clients and not handled. Default 8 MiB; beyond it their sockets are not read.
    pub client_inbox_bytes_max: usize,
    /// The most messages of peers, and of clients, handled before outputs are written and timers looked at. Default 1,024: a
    /// millisecond or two, so that no burst of requests silences a heartbeat.
    pub turn_messages_max: usize,
    /// The longest time for which messages of peers, and of clients, are handled before outputs are written and timers looked
    /// at. Default 10 ms, a fifth of a heartbeat's interval: for services whose operations take long.
    pub turn_time_max: Duration,
    /// The most bytes queued for a peer that is not connected. Default 64 KiB, the newest: what was asked last goes out first
    /// thing when it is there again, and no backlog of what was sent again long since.
    pub peer_queue_down_bytes_max: usize,
    /// How long a peer may acknowledge nothing that was sent before its connection is given up. Default 1 s: a healed network
    /// is used at once, and not when TCP tries again.
    pub peer_silence_timeout: Duration,
    /// The same for a client. Default 60 s.
    pub client_silence_timeout: Duration,
    /// How long connecting to a peer may take. Default 1 s; the first tries take four times the pause that follows them.
    pub connect_timeout: Duration,
    /// The first pause before a peer is dialed again. Default 50 ms, doubled by each failure, with jitter.
    pub reconnect_backoff: Duration,
    /// The longest pause before a peer is dialed again. Default 1 s.
    pub reconnect_backoff_max: Duration,
    /// How often the status is refreshed for watchers while nothing but numbers changes. Default 200 ms.
    pub status_interval: Duration,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            client_connections_max: 10_000,
            peer_connections_max: 256,
            hello_timeout: Duration::from_secs(5),
            client_queue_bytes_max: 16 << 20,
            client_queues_bytes_max: 128 << 20,
            client_unfinished_bytes_max: 64 << 20,
            client_frame_timeout: Duration::from_secs(30),
            connection_clients_max: 1_024,
            clients_max: 65_536,
            peer_queue_bytes_max: 32 << 20,
            peer_queue_down_bytes_max: 64 << 10,
            peer_silence_timeout: Duration::from_secs(1),
            client_silence_timeout: Duration::from_secs(60),
            peer_inbox_bytes_max: 32 << 20,
            client_inbox_bytes_max: 8 << 20,
            turn_messages_max: 1_024,
            turn_time_max: Duration::from_millis(10),
            connect_timeout: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            status_interval: Duration::from_millis(200),
        }
    }
}
