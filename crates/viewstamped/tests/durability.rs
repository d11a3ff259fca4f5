//! What survives when all replicas are down at once, by mode, and what is refused.

mod support;

use std::net::TcpListener;
use std::path::PathBuf;

use support::{Echo, execute, until, within};
use viewstamped::{
    Claim, Client, ClientConfig, ClusterId, ClusterOptions, Config, ConfigurationSource, Durability, Member, Node,
    NodeId, NodeStatus, Role, format,
};

const CLUSTER: ClusterId = ClusterId(0xd15c);

/// Three replicas with directories, which disappear with the test.
struct Group {
    path: PathBuf,
    members: Vec<Member>,
    nodes: Vec<Node>,
}

impl Group {
    fn formatted(name: &str, mode: impl Fn(u64) -> Durability) -> Self {
        let path = std::env::temp_dir().join(format!("viewstamped-{name}-{}", std::process::id()));
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let members: Vec<Member> = (0..)
            .zip(&listeners)
            .map(|(id, listener)| {
                let address = listener.local_addr().unwrap().to_string();
                Member { id: NodeId(id), role: Role::Active, address }
            })
            .collect();
        let options = ClusterOptions { checkpoint_ops: 8, ..ClusterOptions::default() };
        for id in 0..3 {
            format(path.join(id.to_string()), CLUSTER, NodeId(id), members.clone(), options, mode(id)).unwrap();
        }
        Self { path, members, nodes: Vec::new() }
    }

    fn start(&mut self) {
        self.nodes = (0..3).map(|id| self.start_one(id, None)).collect();
    }

    fn start_one(&self, id: u64, claim: Option<Claim>) -> Node {
        let config = Config { claim, ..Config::new(self.path.join(id.to_string()), "127.0.0.1:0") };
        Node::start(config, Echo).unwrap()
    }

    async fn shut_down(&mut self) {
        for node in self.nodes.drain(..) {
            within(node.shutdown()).await.unwrap();
        }
    }

    fn client(&self) -> Client {
        Client::connect(ClientConfig::new(self.nodes.iter().map(|node| node.client_address().to_string()))).unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.nodes.clear();
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

/// 21 operations: two checkpoints, and operations above them.
async fn execute_some(client: &Client, first: u64) {
    for count in first..first + 21 {
        assert_eq!(execute(client, "some").await.result, format!("{count}: some"));
    }
}

#[tokio::test]
async fn a_group_that_was_shut_down_as_a_whole_goes_on_where_it_was_in_every_mode() {
    for mode in Durability::ALL {
        let mut group = Group::formatted(&format!("shutdown-{mode}"), |_| mode);
        for first in [1, 22, 43] {
            group.start();
            execute_some(&group.client(), first).await;
            for node in &group.nodes {
                let status = until(node, |status| status.status == "normal").await;
                assert_eq!((status.incarnation, status.durability.as_str()), (1, mode.as_str()));
            }
            group.shut_down().await;
        }
    }
}

#[tokio::test]
async fn a_checkpoint_is_taken_and_saved_while_the_replica_serves() {
    let mut group = Group::formatted("saving", |_| Durability::Synchronous);
    group.start();
    execute_some(&group.client(), 1).await;
    // One replica of three may be behind the quorum that has answered.
    let is_saved = |status: &NodeStatus| {
        status.checkpoint.op >= 16
            && status.checkpoint_saved == status.checkpoint.op
            && status.quorum_checkpoint.op == status.checkpoint.op
            && status.journal.durable_op >= 21
    };
    for node in &group.nodes {
        let status = until(node, is_saved).await;
        assert!(!status.journal.is_broken, "{:?}", status.journal);
    }
}

/// A power cut, as far as it can be had in one process: the directories are as they were while the replicas ran.
#[tokio::test]
async fn what_was_acknowledged_in_the_synchronous_mode_is_there_after_all_were_killed() {
    let mut group = Group::formatted("killed", |_| Durability::Synchronous);
    for first in [1, 22] {
        group.start();
        execute_some(&group.client(), first).await;
        group.nodes.clear();
    }
}

#[tokio::test]
async fn a_member_of_another_mode_is_refused_and_both_say_why() {
    let mode = |id| if id == 2 { Durability::Background } else { Durability::Synchronous };
    let mut group = Group::formatted("mixed", mode);
    group.start();
    for node in &group.nodes {
        let is_told = |status: &NodeStatus| {
            let error = status.recent_error.as_deref().unwrap_or_default();
            error.contains("`background`") && error.contains("`synchronous`") && error.contains("--durability")
        };
        until(node, is_told).await;
    }
}

#[tokio::test]
async fn a_replica_without_a_directory_learns_the_mode_with_the_group() {
    let mut group = Group::formatted("learned", |_| Durability::Background);
    group.start();
    execute_some(&group.client(), 1).await;
    drop(group.nodes.pop());
    std::fs::remove_dir_all(group.path.join("2")).unwrap();
    let peers = group.members[..2].iter().map(|member| member.address.clone()).collect();
    let claim = Claim { cluster: CLUSTER, id: NodeId(2), source: ConfigurationSource::Peers(peers) };
    let node = group.start_one(2, Some(claim));
    let status = until(&node, |status| status.status == "normal").await;
    assert_eq!(status.durability, "background");
    within(node.shutdown()).await.unwrap();
}
