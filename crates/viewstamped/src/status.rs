//! What a node says about itself: for `vr status`, metrics and status streams.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use viewstamped_protocol::codec::{self, ForceRecover, Frame, Limits};
use viewstamped_protocol::{ClusterId, NodeId};

use crate::error::StatusError;
use crate::runtime::frames::FrameReader;

/// What a node says about itself. Serialized as JSON in answer to a status request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// The cluster id, in hexadecimal.
    pub cluster: String,
    /// The replica id.
    pub id: u64,
    /// The operating system's id of the process.
    pub pid: u32,
    /// `primary`, `backup`, or `none` while the replica is not in status normal.
    pub role: String,
    /// `learning` (the configuration, from peers), `starting`, `normal`, `view-change` or `recovering`.
    pub status: String,
    /// Why clients are not served by the group through this replica: `starting`, `recovering`, `quorum-lost`, `view-change`.
    pub not_serving: Option<String>,
    /// The epoch-number.
    pub epoch: u64,
    /// The view-number.
    pub view: u64,
    /// The latest view in which the status was normal.
    pub log_view: u64,
    /// The replica id of the primary of `view`.
    pub primary: u64,
    /// The op-number.
    pub op: u64,
    /// The commit-number.
    pub commit: u64,
    /// The op-number up to which operations are executed.
    pub executed: u64,
    /// How many operations this replica is behind the highest op-number it has heard of.
    pub lag: u64,
    /// How often this replica has lost its memory, its first start counted.
    pub incarnation: u64,
    /// What a commit waits for: `replicated` or `background` (the memory of a quorum) or `synchronous` (their disks). Empty while
    /// the group is being learned.
    pub durability: String,
    /// The log in memory begins after this op-number; what is below is in a checkpoint.
    pub log_base: u64,
    /// The newest checkpoint of this replica.
    pub checkpoint: CheckpointStatus,
    /// The newest checkpoint that a quorum has, as far as this replica knows.
    pub quorum_checkpoint: CheckpointStatus,
    /// The op-number of the newest checkpoint on this replica's disk; 0: none.
    pub checkpoint_saved: u64,
    /// Whether the state of this replica is not that of a quorum, and has to be repaired.
    pub divergent: bool,
    /// The journal of this replica.
    pub journal: JournalStatus,
    /// The checkpoint that is being fetched from other replicas, if any.
    pub transfer: Option<TransferStatus>,
    /// While the replica recovers: what its disk holds.
    pub survivor: Option<SurvivorStatus>,
    /// The bytes of log in memory.
    pub log_bytes: u64,
    /// The most memory that the process may take besides the state of its service, computed from its options; see
    /// [`MemoryBudget`](crate::MemoryBudget).
    pub memory_max_bytes: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Where clients are served.
    pub client_address: String,
    /// Where peers are heard; empty while the configuration is being learned.
    pub peer_address: String,
    /// Client connections open.
    pub client_connections: u64,
    /// How long the node has been running, in milliseconds.
    pub uptime_ms: u64,
    /// The members of the group, in order.
    pub members: Vec<MemberStatus>,
    /// How many inputs were ignored or refused, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// The latest problem an operator should look at, for example a peer of another cluster.
    pub recent_error: Option<String>,
}

/// A checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointStatus {
    /// The op-number of the newest operation in it; 0: none.
    pub op: u64,
    /// The hash of all of it, in hexadecimal; empty: none, or not known.
    pub root: String,
}

/// A journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalStatus {
    /// The op-number up to which it certainly holds the log; 0 in the `replicated` mode.
    pub durable_op: u64,
    /// Whether later operations are missing in it: it goes on with the next checkpoint.
    pub is_broken: bool,
}

/// How far a replica has come with fetching a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransferStatus {
    /// The checkpoint.
    pub checkpoint: CheckpointStatus,
    /// Pages and large values fetched.
    pub parts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The keys that are complete.
    pub keys: u64,
    /// The keys of the checkpoint.
    pub keys_total: u64,
    /// How much of it is complete, from 0 to 100.
    pub percent: u64,
}

/// What the disk of a recovering replica holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SurvivorStatus {
    /// Whether there is a journal at all. Without one the rest is zero.
    pub has_journal: bool,
    /// The view-number.
    pub view: u64,
    /// The view to which the log belongs.
    pub log_view: u64,
    /// How far the log goes.
    pub op: u64,
    /// How far it is known to be committed.
    pub commit: u64,
}

/// A member of the group, as one replica sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberStatus {
    /// Its replica id.
    pub id: u64,
    /// Its peer address.
    pub address: String,
    /// Whether a connection to it is up; always true for the replica itself.
    pub connected: bool,
}

/// The longest status accepted from a replica, in bytes: many times what one needs.
const STATUS_BYTES_MAX: usize = 1 << 20;

/// Asks the replica whose client address is `endpoint` for its status.
///
/// # Errors
/// When no replica answers there within `timeout`.
pub async fn fetch_status(endpoint: &str, timeout: Duration) -> Result<NodeStatus, StatusError> {
    ask_within(endpoint, &Frame::StatusRequest, timeout).await
}

/// Tells the replica whose client address is `endpoint` that an operator wants the group to begin again with the best that the
/// members' disks hold, without these members, and accepts that what was acknowledged in the last moments may be lost. To be told to
/// all members but those, who are at most as many as a group has; without effect at a replica of another cluster, and while a quorum remembers. Returns its status.
///
/// # Errors
/// When no replica answers there within `timeout`.
pub async fn force_recover(
    endpoint: &str,
    cluster: ClusterId,
    without: BTreeSet<NodeId>,
    timeout: Duration,
) -> Result<NodeStatus, StatusError> {
    ask_within(endpoint, &Frame::ForceRecover(ForceRecover { cluster, without }), timeout).await
}

async fn ask_within(endpoint: &str, question: &Frame, timeout: Duration) -> Result<NodeStatus, StatusError> {
    let answer = tokio::time::timeout(timeout, ask(endpoint, question)).await;
    answer.unwrap_or_else(|_| Err(StatusError::TimedOut { endpoint: endpoint.to_owned() }))
}

async fn ask(endpoint: &str, question: &Frame) -> Result<NodeStatus, StatusError> {
    match exchange(endpoint, std::slice::from_ref(question)).await? {
        Frame::Status(text) => serde_json::from_slice(&text).map_err(|error| stranger(endpoint, error)),
        _ => Err(stranger(endpoint, "it is another kind of message")),
    }
}

/// Sends these frames over a connection of their own, and returns what comes first.
pub(crate) async fn exchange(endpoint: &str, question: &[Frame]) -> Result<Frame, StatusError> {
    let unreachable = |source| StatusError::Unreachable { endpoint: endpoint.to_owned(), source };
    let (read, mut write) = TcpStream::connect(endpoint).await.map_err(unreachable)?.into_split();
    let mut bytes = BytesMut::new();
    question.iter().for_each(|frame| codec::encode(frame, &mut bytes));
    write.write_all(&bytes).await.map_err(unreachable)?;
    let mut reader = FrameReader::new(read, Limits { frame_bytes_max: STATUS_BYTES_MAX });
    reader.next().await.map_err(|end| stranger(endpoint, end))
}

/// Something else than a replica.
pub(crate) fn stranger(endpoint: &str, reason: impl ToString) -> StatusError {
    StatusError::NotAReplica { endpoint: endpoint.to_owned(), reason: reason.to_string() }
}
