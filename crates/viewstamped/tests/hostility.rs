//! Whatever arrives on a port, nobody but its sender is harmed, and the operator reads what was wrong.

mod support;

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use support::{Echo, PATIENCE, cluster, cluster_with, execute, until, until_settled, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use viewstamped::{
    Client, ClientConfig, ClientError, Cluster, ClusterId, ClusterOptions, Config, Durability, Member, Node, NodeId,
    Role, StartError, TransportOptions, format,
};
use viewstamped_protocol::codec::{Frame, HEADER_BYTES, Hello, MAGIC, Purpose, VERSION, encode};
use viewstamped_protocol::message::ClientRequest;
use viewstamped_protocol::{ClientId, EpochNumber, FromClient, Incarnation, RequestNumber, SessionNumber};

fn hello(cluster: ClusterId, node: Option<u64>, purpose: Purpose) -> Vec<u8> {
    let node = node.map(NodeId);
    let mut bytes = BytesMut::new();
    encode(
        &Frame::Hello(Hello {
            cluster,
            node,
            incarnation: Incarnation::ZERO,
            purpose,
            version: VERSION,
            process: 7,
            durability: None,
        }),
        &mut bytes,
    );
    bytes.to_vec()
}

/// The beginning of a REQUEST frame with a body of so many bytes.
fn giant(body_bytes: u32) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&MAGIC);
    bytes.put_u16_le(VERSION);
    bytes.put_u16_le(0x0101);
    bytes.put_u32_le(body_bytes);
    bytes.to_vec()
}

/// Sends `bytes` and waits until the other side closes the connection; returns what it had to say.
async fn send_and_be_closed(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may close before it has been sent everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    answer
}

fn peer_address(cluster: &Cluster, id: usize) -> &str {
    &cluster.members()[id].address
}

async fn assert_serves(cluster: &Cluster) {
    let op = execute(&cluster.client().unwrap(), "still there?").await.op;
    until_settled(cluster, op.0).await;
}

#[tokio::test]
async fn garbage_on_any_port_is_refused_and_harms_nobody() {
    let cluster = cluster(3);
    assert_serves(&cluster).await;
    let view = cluster.node(0).unwrap().status().view;
    let text = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut damaged = hello(cluster.id(), Some(1), Purpose::Replica);
    damaged[40] ^= 1;
    let mut later_version = hello(cluster.id(), None, Purpose::Client);
    later_version[4] = 99;
    for id in 0..3 {
        for address in [peer_address(&cluster, id), &cluster.endpoints()[id]] {
            for bytes in [&text, &noise, &damaged, &later_version, &giant(u32::MAX)] {
                assert!(send_and_be_closed(address, bytes).await.is_empty());
            }
        }
    }
    assert_serves(&cluster).await;
    let status = until(cluster.node(0).unwrap(), |status| status.ignored.contains_key("garbage")).await;
    assert_eq!(status.view, view, "no view change");
    let error = status.recent_error.unwrap();
    assert!(error.contains("closed a connection from 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn garbage_after_a_good_beginning_ends_the_connection() {
    let cluster = cluster(3);
    assert_serves(&cluster).await;
    let as_client = hello(cluster.id(), None, Purpose::Client);
    for end in [&b"and now for something else"[..], &giant(100 << 20), &hello(cluster.id(), None, Purpose::Client)] {
        send_and_be_closed(&cluster.endpoints()[0], &[&as_client, end].concat()).await;
    }
    let as_peer = hello(cluster.id(), Some(1), Purpose::Bulk);
    for end in [&b"and now for something else"[..], &giant(100 << 20)] {
        let answer = send_and_be_closed(peer_address(&cluster, 0), &[&as_peer, end].concat()).await;
        assert_eq!(answer.len(), hello(cluster.id(), Some(0), Purpose::Bulk).len(), "it said hello, and no more");
    }
    assert_serves(&cluster).await;
}

#[tokio::test]
async fn a_truncated_frame_ends_with_its_connection() {
    let cluster = cluster(3);
    assert_serves(&cluster).await;
    let whole = hello(cluster.id(), Some(1), Purpose::Replica);
    for address in [peer_address(&cluster, 0), &cluster.endpoints()[0]] {
        for length in [1, HEADER_BYTES - 1, HEADER_BYTES, whole.len() - 1] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&whole[..length]).await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
        }
    }
    assert_serves(&cluster).await;
}

#[tokio::test]
async fn whoever_says_nothing_is_disconnected() {
    let transport = TransportOptions { hello_timeout: Duration::from_millis(50), ..TransportOptions::default() };
    let cluster = cluster_with(transport);
    for address in [peer_address(&cluster, 0), &cluster.endpoints()[0]] {
        assert!(send_and_be_closed(address, b"").await.is_empty());
    }
    until(cluster.node(0).unwrap(), |status| status.ignored.get("silent-connection") == Some(&2)).await;
    assert_serves(&cluster).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_others_live_on() {
    let transport = TransportOptions { client_connections_max: 3, ..TransportOptions::default() };
    let cluster = cluster_with(transport);
    let client = cluster.client().unwrap();
    execute(&client, "first").await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(TcpStream::connect(&cluster.endpoints()[0]).await.unwrap());
    }
    until(cluster.node(0).unwrap(), |status| status.ignored.contains_key("too-many-connections")).await;
    execute(&client, "still connected").await;
}

/// Two clusters whose member lists were mixed up never mix.
#[tokio::test]
async fn a_replica_of_another_cluster_is_refused_by_name() {
    let (one, other) = (cluster(3), cluster(3));
    let foreign = hello(other.id(), Some(1), Purpose::Replica);
    send_and_be_closed(peer_address(&one, 0), &foreign).await;
    let problem = until(one.node(0).unwrap(), |status| status.recent_error.is_some()).await.recent_error.unwrap();
    assert!(problem.contains(&format!("refused replica 1 of cluster {}", other.id())), "{problem}");
    assert_serves(&one).await;
}

#[tokio::test]
async fn a_second_replica_with_the_same_id_is_refused_by_name() {
    let cluster = cluster(3);
    send_and_be_closed(peer_address(&cluster, 0), &hello(cluster.id(), Some(0), Purpose::Replica)).await;
    let problem = until(cluster.node(0).unwrap(), |status| status.recent_error.is_some()).await.recent_error.unwrap();
    assert!(problem.contains("two replicas run with one id"), "{problem}");
    send_and_be_closed(peer_address(&cluster, 1), &hello(cluster.id(), Some(7), Purpose::Replica)).await;
    let problem = until(cluster.node(1).unwrap(), |status| status.recent_error.is_some()).await.recent_error.unwrap();
    assert!(problem.contains("refused replica 7") && problem.contains("no member of this group"), "{problem}");
    assert_serves(&cluster).await;
}

#[tokio::test]
async fn a_client_of_another_cluster_is_told_so() {
    let cluster = cluster(3);
    assert_serves(&cluster).await;
    let mut config = ClientConfig::new(cluster.endpoints());
    config.cluster = Some(ClusterId(cluster.id().0 ^ 1));
    let error = within(Client::connect(config).unwrap().execute("hello")).await.unwrap_err();
    assert!(matches!(error, ClientError::OtherCluster { found, .. } if found == cluster.id()), "{error}");
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let transport = TransportOptions { client_queue_bytes_max: 1 << 20, ..TransportOptions::default() };
    let cluster = cluster_with(transport);
    let op = execute(&cluster.client().unwrap(), "hello").await.op;
    until_settled(&cluster, op.0).await;
    let primary = cluster.primary(PATIENCE).await.unwrap();
    let mut stream = TcpStream::connect(&cluster.endpoints()[primary]).await.unwrap();
    let deaf = ClientId(77);
    let from_client = |body| {
        let mut bytes = BytesMut::new();
        let (cluster, epoch) = (cluster.id(), EpochNumber::ZERO);
        encode(&Frame::FromClient(FromClient { cluster, epoch, client: deaf, body }), &mut bytes);
        bytes
    };
    stream.write_all(&hello(cluster.id(), None, Purpose::Client)).await.unwrap();
    stream.write_all(&from_client(ClientRequest::Register { slots: 1 })).await.unwrap();
    let registered = until(cluster.node(primary).unwrap(), |status| status.sessions == 2).await;
    // Its session is the op-number of its REGISTER, the latest operation; what it never reads, it does not wait for.
    let session = SessionNumber(registered.op);
    let ask = async {
        for number in 1.. {
            let (slot, number, payload) = (0, RequestNumber(number), "big 60000".into());
            let request = from_client(ClientRequest::Operation { session, slot, number, payload });
            if stream.write_all(&request).await.is_err() {
                return;
            }
        }
    };
    within(ask).await;
    let status = until(cluster.node(primary).unwrap(), |status| status.ignored.contains_key("slow-client")).await;
    assert!(status.recent_error.unwrap().contains("does not read its answers"));
    assert_serves(&cluster).await;
}

fn member(id: u64, address: &str) -> Member {
    Member { id: NodeId(id), role: Role::Active, address: address.into() }
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let cluster = cluster(1);
    let directory = std::env::temp_dir().join(format!("viewstamped-in-use-{}", cluster.id()));
    let (taken_client, taken_peer) = (&cluster.endpoints()[0], peer_address(&cluster, 0));
    format(
        &directory,
        ClusterId(1),
        NodeId(0),
        vec![member(0, taken_peer)],
        ClusterOptions::default(),
        Durability::Replicated,
    )
    .unwrap();
    for (config, address, purpose) in [
        (Config::new(&directory, taken_client), taken_client.as_str(), "clients"),
        (Config::new(&directory, "127.0.0.1:0"), taken_peer, "peers"),
    ] {
        let error = Node::start(config, Echo).unwrap_err();
        assert!(matches!(&error, StartError::AddressInUse { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(address) && text.contains(purpose), "{text}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_directory_that_is_not_a_replicas_is_an_error_that_says_what_to_do() {
    let directory = std::env::temp_dir().join(format!("viewstamped-foreign-{}", std::process::id()));
    let start = || Node::start(Config::new(&directory, "127.0.0.1:0"), Echo).unwrap_err().to_string();
    assert!(start().contains("does not exist"), "{}", start());
    std::fs::create_dir(&directory).unwrap();
    assert!(start().contains("vr format"), "{}", start());
    std::fs::write(directory.join("thesis.txt"), "do not touch").unwrap();
    assert!(start().contains("holds other files"), "{}", start());
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_directory_in_use_is_an_error_and_free_after_shutdown() {
    let directory = std::env::temp_dir().join(format!("viewstamped-locked-{}", std::process::id()));
    let members = vec![member(0, "127.0.0.1:0")];
    format(&directory, ClusterId(1), NodeId(0), members, ClusterOptions::default(), Durability::Replicated).unwrap();
    let start = || Node::start(Config::new(&directory, "127.0.0.1:0"), Echo);
    let node = start().unwrap();
    let error = start().unwrap_err().to_string();
    assert!(error.contains("is in use by process"), "{error}");
    within(node.shutdown()).await.unwrap();
    within(start().unwrap().shutdown()).await.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_member_listed_twice_is_refused() {
    let directory = std::env::temp_dir().join("viewstamped-never-created");
    let twice = vec![member(0, "h:1"), member(0, "h:2")];
    let error = format(&directory, ClusterId(1), NodeId(0), twice, ClusterOptions::default(), Durability::Replicated)
        .unwrap_err();
    assert!(error.to_string().contains("replica id 0 is listed twice"), "{error}");
    let stranger = vec![member(0, "h:1")];
    let error =
        format(&directory, ClusterId(1), NodeId(4), stranger, ClusterOptions::default(), Durability::Replicated)
            .unwrap_err();
    assert!(error.to_string().contains("replica 4 is no member"), "{error}");
    assert!(!directory.exists());
}
