//! Learning the group from a peer (4.3): what a replica whose directory was lost does first.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use viewstamped_protocol::codec::{self, Frame, Hello, Limits, Purpose, VERSION};
use viewstamped_protocol::message::{Body, Header};
use viewstamped_protocol::{ClusterId, EpochNumber, Incarnation, Message, NodeId, ViewNumber};

use super::control::Control;
use super::frames::{FrameReader, ReadError};
use super::socket;
use crate::boot::Group;
use crate::config::TransportOptions;
use crate::status::NodeStatus;

/// The most who may ask for the status at a time while there is no replica yet.
const ASKERS_MAX: usize = 16;

/// Who wants to learn, and from whom.
pub(crate) struct Learner {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    pub(crate) process: u64,
    pub(crate) peers: Vec<String>,
    pub(crate) transport: TransportOptions,
}

/// Asks the peers until one answers, and tells whoever asks how it goes. `None` when the node is stopped before.
pub(crate) async fn learn(
    learner: Learner,
    listener: &TcpListener,
    control: &Arc<Control>,
    status: &watch::Sender<NodeStatus>,
) -> Option<Group> {
    tracing::info!(id = learner.id.0, peers = ?learner.peers, "learning the group from peers");
    tokio::select! {
        group = ask_in_turn(&learner, status) => Some(group),
        () = tell_status(listener, status, learner.transport.hello_timeout) => None,
        () = control.stopping() => None,
    }
}

async fn ask_in_turn(learner: &Learner, status: &watch::Sender<NodeStatus>) -> Group {
    let mut backoff = learner.transport.reconnect_backoff;
    loop {
        for peer in &learner.peers {
            match ask(learner, peer).await {
                Ok(group) => return group,
                Err(problem) => {
                    tracing::warn!(%peer, %problem, "cannot learn the group from this peer");
                    status.send_modify(|status| {
                        status.recent_error = Some(format!("cannot learn the group from {peer}: {problem}"));
                    });
                }
            }
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(learner.transport.reconnect_backoff_max);
    }
}

async fn ask(learner: &Learner, peer: &str) -> Result<Group, String> {
    let limits = &learner.transport;
    let stream = timeout(limits.connect_timeout, TcpStream::connect(peer))
        .await
        .map_err(|_| "it does not answer".to_owned())?
        .map_err(|error| error.to_string())?;
    let exchange = async {
        socket::prepare(&stream, limits.peer_silence_timeout).map_err(|error| error.to_string())?;
        converse(learner, stream).await
    };
    timeout(limits.hello_timeout, exchange).await.map_err(|_| "it does not answer".to_owned())?
}

async fn converse(learner: &Learner, stream: TcpStream) -> Result<Group, String> {
    let (read, mut write) = stream.into_split();
    let mut reader = FrameReader::new(read, Limits::default());
    write.write_all(&question(learner)).await.map_err(|error| error.to_string())?;
    let mut durability = None;
    loop {
        match reader.next().await {
            Ok(Frame::Hello(hello)) if hello.cluster != learner.cluster => {
                return Err(format!("it belongs to cluster {}, not to {}", hello.cluster, learner.cluster));
            }
            Ok(Frame::Hello(hello)) if hello.node == Some(learner.id) => {
                return Err(format!(
                    "it is connected to another process that runs as replica {}: two replicas run with one id; stop one",
                    learner.id.0
                ));
            }
            Ok(Frame::Replica(Message { body: Body::ConfigurationInfo(info), .. })) => {
                let durability = durability.ok_or("it does not say the durability mode of the cluster")?;
                return Ok(Group { configuration: info.configuration, options: info.options, durability });
            }
            Ok(Frame::Hello(hello)) => durability = hello.durability,
            Ok(_) => {}
            Err(ReadError::Closed | ReadError::Broken(_)) => {
                return Err(format!("it refused replica {}; its log says why", learner.id.0));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// A hello and a GETCONFIGURATION, from a replica that knows nothing of itself but its name.
fn question(learner: &Learner) -> BytesMut {
    let (cluster, incarnation) = (learner.cluster, Incarnation::ZERO);
    let (node, purpose) = (Some(learner.id), Purpose::Replica);
    let hello =
        Hello { cluster, node, incarnation, purpose, version: VERSION, process: learner.process, durability: None };
    let header = Header { cluster, epoch: EpochNumber::ZERO, view: ViewNumber::ZERO, from: learner.id, incarnation };
    let mut frames = BytesMut::new();
    codec::encode(&Frame::Hello(hello), &mut frames);
    codec::encode_message(&Message { header, body: Body::GetConfiguration }, &mut frames);
    frames
}

/// Answers status requests while there is no replica; everybody else is turned away.
async fn tell_status(listener: &TcpListener, status: &watch::Sender<NodeStatus>, patience: Duration) {
    let mut answers = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        while answers.try_join_next().is_some() {}
        if answers.len() < ASKERS_MAX {
            let text = serde_json::to_vec(&*status.borrow()).expect("numbers and strings make JSON");
            answers.spawn(timeout(patience, answer_status(stream, text)));
        }
    }
}

async fn answer_status(stream: TcpStream, status: Vec<u8>) -> Result<(), ReadError> {
    let (read, mut write) = stream.into_split();
    let mut reader = FrameReader::new(read, Limits { frame_bytes_max: 1_024 });
    loop {
        if let Frame::StatusRequest = reader.next().await? {
            let mut frame = BytesMut::new();
            codec::encode(&Frame::Status(status.clone().into()), &mut frame);
            write.write_all(&frame).await.map_err(ReadError::Broken)?;
        }
    }
}
