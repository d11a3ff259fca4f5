//! What the tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::time::Duration;

use viewstamped::{
    Bytes, Client, Cluster, Completion, Node, NodeStatus, Operation, Options, Service, State, TransportOptions,
};

/// How long anything may take before a test fails: far longer than it ever takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Counts its operations and repeats them; `big N` is answered by so many bytes.
pub struct Echo;

impl Service for Echo {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let count = count_of(state) + 1;
        state.insert(&b"count"[..], count.to_le_bytes().to_vec());
        let text = String::from_utf8_lossy(operation.payload);
        match text.strip_prefix("big ") {
            Some(size) => vec![b'x'; size.parse().unwrap_or(0)].into(),
            None => format!("{count}: {text}").into(),
        }
    }
}

fn count_of(state: &State) -> u64 {
    state.get(b"count").map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

pub fn cluster(replicas: usize) -> Cluster {
    Cluster::start_local(replicas, || Echo).expect("start")
}

pub fn cluster_with(transport: TransportOptions) -> Cluster {
    Cluster::start_with(3, Options::default(), transport, || Echo).expect("start")
}

pub async fn execute(client: &Client, text: impl Into<Bytes>) -> Completion {
    within(client.execute(text)).await.expect("executed")
}

/// The result of `future`, which must not take long.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Waits until the node's status is as wanted.
pub async fn until(node: &Node, is_wanted: impl FnMut(&NodeStatus) -> bool) -> NodeStatus {
    let mut watcher = node.watch_status();
    let status = within(watcher.wait_for(is_wanted)).await.expect("the node runs");
    status.clone()
}

/// Waits until all running nodes are normal in one view and have executed the same.
pub async fn until_settled(cluster: &Cluster, op: u64) {
    for node in (0..cluster.members().len()).filter_map(|id| cluster.node(id)) {
        until(node, |status| status.status == "normal" && status.executed >= op).await;
    }
}
