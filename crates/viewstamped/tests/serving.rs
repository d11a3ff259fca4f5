//! Three replicas in one process, connected by real sockets, serve clients through failures.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::{Echo, PATIENCE, cluster, execute, until, until_settled, within};
use viewstamped::{Bytes, Client, ClientConfig, ClientOptions, Cluster, Options, TransportOptions, fetch_status};

#[tokio::test]
async fn three_replicas_execute_each_operation_once_in_one_order() {
    let cluster = cluster(3);
    let client = cluster.client().unwrap();
    let pending: Vec<_> = (0..1_000).map(|number| client.submit(format!("{number}"))).collect();
    let mut counts = BTreeSet::new();
    let mut ops = BTreeSet::new();
    for (number, pending) in pending.into_iter().enumerate() {
        let completion = within(pending).await.unwrap();
        let text = String::from_utf8(completion.result.to_vec()).unwrap();
        let (count, echo) = text.split_once(": ").unwrap();
        assert_eq!(echo, number.to_string(), "each future gets its own result");
        counts.insert(count.parse::<u64>().unwrap());
        ops.insert(completion.op);
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), (1..=1_000).collect::<Vec<_>>());
    assert_eq!(ops.len(), 1_000);
    assert_eq!(ops.last(), Some(&client.token()));
}

#[tokio::test]
async fn a_single_replica_serves() {
    let cluster = cluster(1);
    let client = cluster.client().unwrap();
    assert_eq!(execute(&client, "alone").await.result, "1: alone");
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let cluster = cluster(3);
    let clients: Vec<Client> = (0..50).map(|_| cluster.client().unwrap()).collect();
    let pending: Vec<_> = clients.iter().map(|client| client.submit("hello")).collect();
    for pending in pending {
        within(pending).await.unwrap();
    }
    let sessions: BTreeSet<_> = clients.iter().map(|client| client.session().unwrap().session).collect();
    assert_eq!(sessions.len(), 50);
}

#[tokio::test]
async fn the_death_of_the_primary_loses_nothing() {
    let mut cluster = cluster(3);
    let client = cluster.client().unwrap();
    for _ in 0..10 {
        execute(&client, "before").await;
    }
    let primary = cluster.primary(PATIENCE).await.unwrap();
    let outstanding: Vec<_> = (0..50).map(|_| client.submit("during")).collect();
    cluster.kill(primary);
    for pending in outstanding {
        within(pending).await.unwrap();
    }
    assert_eq!(execute(&client, "after").await.result, "61: after");
    let next = cluster.primary(PATIENCE).await.unwrap();
    assert_ne!(next, primary);
}

/// V14: its host refuses connections, so its backups know that it is gone.
#[tokio::test]
async fn a_primary_that_is_gone_is_replaced_long_before_it_would_be_suspected() {
    let options = Options { suspect_timeout: 2 * PATIENCE, ..Options::default() };
    let mut cluster = Cluster::start_with(3, options, TransportOptions::default(), || Echo).unwrap();
    let client = cluster.client().unwrap();
    execute(&client, "before").await;
    let primary = cluster.primary(PATIENCE).await.unwrap();
    cluster.kill(primary);
    assert_eq!(execute(&client, "after").await.result, "2: after");
}

#[tokio::test]
async fn a_restarted_replica_recovers_and_can_stand_in_for_the_others() {
    let mut cluster = cluster(3);
    let client = cluster.client().unwrap();
    for _ in 0..100 {
        execute(&client, "before").await;
    }
    for id in 0..3 {
        cluster.kill(id);
        let op = execute(&client, "while one is down").await.op;
        cluster.restart(id, Echo).unwrap();
        until_settled(&cluster, op.0).await;
        assert_eq!(cluster.node(id).unwrap().status().incarnation, 2);
    }
    assert_eq!(execute(&client, "after").await.result, "104: after");
}

#[tokio::test]
async fn a_replica_that_lost_its_directory_learns_the_group_from_its_peers() {
    let mut cluster = cluster(3);
    let client = cluster.client().unwrap();
    let op = execute(&client, "before").await.op;
    until_settled(&cluster, op.0).await;
    cluster.restart_wiped(1, Echo).unwrap();
    let status = until(cluster.node(1).unwrap(), |status| status.status == "normal" && status.executed >= op.0).await;
    assert_eq!(status.members.len(), 3);
    assert_eq!(status.incarnation, 2, "its peers knew the first one");
    cluster.kill(0);
    assert_eq!(execute(&client, "after").await.result, "2: after");
}

#[tokio::test]
async fn a_client_that_knows_only_a_backup_reaches_the_primary_or_is_told_who_it_is() {
    let cluster = cluster(3);
    let client = cluster.client().unwrap();
    let op = execute(&client, "hello").await.op;
    until_settled(&cluster, op.0).await;
    let primary = cluster.primary(PATIENCE).await.unwrap();
    let backup = (primary + 1) % 3;
    let mut config = ClientConfig::new([&cluster.endpoints()[backup]]);
    config.options.request_timeout = Duration::from_millis(500);
    let error = within(Client::connect(config).unwrap().execute("lost")).await.unwrap_err();
    assert!(error.to_string().contains(&format!("the primary is replica {primary}")), "{error}");

    let both = ClientConfig::new([&cluster.endpoints()[backup], &cluster.endpoints()[primary]]);
    assert_eq!(execute(&Client::connect(both).unwrap(), "found").await.result, "2: found");
}

#[tokio::test]
async fn a_client_inside_the_process_of_a_backup_is_served() {
    let cluster = cluster(3);
    let client = cluster.client().unwrap();
    let op = execute(&client, "hello").await.op;
    until_settled(&cluster, op.0).await;
    let primary = cluster.primary(PATIENCE).await.unwrap();
    for id in 0..3 {
        let inside = cluster.node(id).unwrap().client(ClientOptions::default()).unwrap();
        execute(&inside, "from inside").await;
    }
    assert_eq!(cluster.primary(PATIENCE).await.unwrap(), primary);
    assert_eq!(execute(&client, "outside").await.result, "5: outside");
}

#[tokio::test]
async fn a_crashed_client_takes_its_session_over() {
    let cluster = cluster(3);
    let client = cluster.client().unwrap();
    execute(&client, "before the crash").await;
    let session = client.session().unwrap();
    drop(client);
    let mut config = ClientConfig::new(cluster.endpoints());
    config.resume = Some(session);
    let resumed = Client::connect(config).unwrap();
    assert_eq!(execute(&resumed, "after it").await.result, "2: after it");
    let now = resumed.session().unwrap();
    assert_eq!(now.client, session.client);
    assert!(now.session > session.session);
}

#[tokio::test]
async fn the_status_is_told_over_the_network() {
    let cluster = cluster(3);
    let client = cluster.client().unwrap();
    let op = execute(&client, "hello").await.op;
    until_settled(&cluster, op.0).await;
    let mut roles = Vec::new();
    for (id, endpoint) in (0_u64..).zip(cluster.endpoints()) {
        let status = fetch_status(endpoint, PATIENCE).await.unwrap();
        assert_eq!((status.id, status.pid), (id, std::process::id()));
        assert_eq!((status.cluster, status.durability.as_str()), (cluster.id().to_string(), "replicated"));
        assert_eq!((status.status.as_str(), status.executed, status.lag), ("normal", op.0, 0));
        assert_eq!(status.client_address, *endpoint);
        assert!(status.members.iter().all(|member| member.connected), "{:?}", status.members);
        roles.push(status.role);
    }
    roles.sort();
    assert_eq!(roles, ["backup", "backup", "primary"]);
    let error = fetch_status("127.0.0.1:1", PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("cannot reach a replica at 127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn large_operations_and_results_pass() {
    let cluster = cluster(3);
    let client = cluster.client().unwrap();
    let pending: Vec<_> = (0..8).map(|_| client.submit(vec![b'a'; 1 << 20])).collect();
    for pending in pending {
        assert_eq!(within(pending).await.unwrap().result.len(), "1: ".len() + (1 << 20));
    }
    assert_eq!(execute(&client, "big 5000000").await.result.len(), 5_000_000);
    let error = within(client.execute(vec![b'a'; (1 << 20) + 1])).await.unwrap_err();
    assert!(error.to_string().contains("larger than the 1048576 bytes"), "{error}");
    let _: Bytes = execute(&client, "still served").await.result;
}
