//! How nodes start and stop: by order, by a broken invariant, by a broken disk, and before they know their group.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use support::{Echo, PATIENCE, execute, until, within};
use viewstamped::{
    Bytes, Claim, Client, ClientConfig, ClientError, ClusterId, ClusterOptions, Config, ConfigurationSource,
    Durability, Member, Node, NodeError, NodeId, Operation, Role, Service, State, fetch_status, format,
};

/// A directory that disappears with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn formatted(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("viewstamped-{name}-{}", std::process::id()));
        let alone = Member { id: NodeId(0), role: Role::Active, address: "127.0.0.1:0".into() };
        format(&path, ClusterId(7), NodeId(0), vec![alone], ClusterOptions::default(), Durability::Replicated).unwrap();
        Self(path)
    }

    fn config(&self) -> Config {
        Config::new(&self.0, "127.0.0.1:0")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Panics at the operation `trip`; at `break` so that it cannot go on.
#[derive(Default)]
struct Fragile {
    is_broken: bool,
}

impl Service for Fragile {
    fn execute(&mut self, _: &mut State, operation: Operation<'_>) -> Bytes {
        self.is_broken = operation.payload == "break";
        assert!(operation.payload == "fine", "an invariant of the service");
        Bytes::new()
    }

    fn restored(&mut self, _: &State) {
        assert!(!self.is_broken, "an invariant of the service that nothing mends");
    }
}

fn client_of(node: &Node) -> Client {
    Client::connect(ClientConfig::new([node.client_address().to_string()])).unwrap()
}

/// One request must not bring down every replica that executes it.
#[tokio::test]
async fn a_panic_of_the_service_fails_its_request_and_stops_nobody() {
    let scratch = Scratch::formatted("tripped");
    let node = Node::start(scratch.config(), Fragile::default()).unwrap();
    let client = client_of(&node);
    assert_eq!(within(client.submit("trip")).await.unwrap_err(), ClientError::Panicked);
    execute(&client, "fine").await;
}

/// A replica whose invariants are broken never limps on.
#[tokio::test]
async fn a_broken_invariant_stops_the_replica_and_is_told() {
    let scratch = Scratch::formatted("fragile");
    let node = Node::start(scratch.config(), Fragile::default()).unwrap();
    let client = client_of(&node);
    execute(&client, "fine").await;
    let _pending = client.submit("break");
    let error = within(node.wait()).await.unwrap_err();
    let NodeError::Panicked { message } = &error else { panic!("{error}") };
    assert!(message.contains("that nothing mends"), "{message}");
    let address = node.client_address().to_string();
    assert!(fetch_status(&address, PATIENCE).await.is_err(), "its sockets are closed");
}

#[tokio::test]
async fn an_identity_that_cannot_be_saved_stops_the_replica() {
    let scratch = Scratch::formatted("unsaved");
    // A directory in place of the file: even root cannot write it.
    std::fs::create_dir(scratch.0.join("identity.tmp")).unwrap();
    let node = Node::start(scratch.config(), Echo).unwrap();
    let error = within(node.wait()).await.unwrap_err();
    assert!(matches!(error, NodeError::Storage { .. }), "{error}");
}

#[tokio::test]
async fn shutdown_ends_the_waiting_without_an_error() {
    let scratch = Scratch::formatted("shutdown");
    let node = Node::start(scratch.config(), Echo).unwrap();
    execute(&client_of(&node), "hello").await;
    let mut statuses = node.watch_status();
    within(node.shutdown()).await.unwrap();
    let is_over = async { while statuses.changed().await.is_ok() {} };
    within(is_over).await;
}

#[tokio::test]
async fn watchers_see_every_change_of_status() {
    let scratch = Scratch::formatted("watch");
    let node = Node::start(scratch.config(), Echo).unwrap();
    let op = execute(&client_of(&node), "hello").await.op;
    let status = until(&node, |status| status.executed >= op.0).await;
    assert_eq!((status.role.as_str(), status.sessions), ("primary", 1));
}

/// All its peers are down: it says what it waits for, and stops when it is told to.
#[tokio::test]
async fn a_replica_that_cannot_learn_its_group_says_so() {
    let path = std::env::temp_dir().join(format!("viewstamped-learning-{}", std::process::id()));
    let source = ConfigurationSource::Peers(vec!["127.0.0.1:1".into()]);
    let claim = Claim { cluster: ClusterId(7), id: NodeId(2), source };
    let node = Node::start(Config { claim: Some(claim), ..Config::new(&path, "127.0.0.1:0") }, Echo).unwrap();
    until(&node, |status| status.recent_error.is_some()).await;
    let status = fetch_status(&node.client_address().to_string(), PATIENCE).await.unwrap();
    assert_eq!((status.id, status.status.as_str()), (2, "learning"));
    let error = status.recent_error.unwrap();
    assert!(error.contains("cannot learn the group from 127.0.0.1:1"), "{error}");
    within(node.shutdown()).await.unwrap();
    std::fs::remove_dir_all(path).unwrap();
}

/// A directory that was lost is never taken for new: alone, such a replica recovers from nobody and serves nobody.
#[tokio::test]
async fn a_group_that_lost_its_memory_refuses_to_serve() {
    let scratch = Scratch::formatted("amnesia");
    let node = Node::start(scratch.config(), Echo).unwrap();
    execute(&client_of(&node), "hello").await;
    // As a crash does: only a shutdown writes anything in this mode.
    drop(node);

    let node = Node::start(scratch.config(), Echo).unwrap();
    let status = until(&node, |status| status.not_serving.as_deref() == Some("quorum-lost")).await;
    assert_eq!(status.status, "recovering");
    let mut config = ClientConfig::new([node.client_address().to_string()]);
    config.options.hopeless_timeout = Duration::from_millis(100);
    let error = within(Client::connect(config).unwrap().execute("anyone?")).await.unwrap_err();
    assert!(error.to_string().contains("lost its memory"), "{error}");
}
