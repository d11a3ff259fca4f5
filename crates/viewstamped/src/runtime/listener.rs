//! The connections this replica accepts: from peers, which it only reads, and from clients.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout, timeout_at};
use viewstamped_protocol::codec::{self, Frame, Hello, KEPT_FRAME_BYTES, Limits, Purpose};
use viewstamped_protocol::message::ClientRequest;
use viewstamped_protocol::{FromClient, NodeId};

use super::clients::ClientConnection;
use super::frames::{FrameReader, READ_BYTES_MAX, ReadError};
use super::shared::{Asked, Shared};
use super::socket;

/// How long accepting rests when the operating system is out of file descriptors: they come back when connections end.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Who has not said who it is gets room for that and no more.
const HELLO_LIMITS: Limits = Limits { frame_bytes_max: 1_024 };

/// Who is expected on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Clients, and whoever asks for the status.
    Clients,
    /// Peers, and the clients inside their processes.
    Peers,
}

/// Accepts connections, for ever.
pub(crate) async fn accept(shared: Rc<Shared>, listener: TcpListener, port: Port) {
    let open = Rc::new(Cell::new(0));
    let open_max = match port {
        Port::Clients => shared.transport.client_connections_max,
        Port::Peers => shared.transport.peer_connections_max,
    };
    loop {
        match listener.accept().await {
            Ok((stream, address)) if open.get() < open_max => {
                let place = Place::take(&open);
                spawn_local(greet(Rc::clone(&shared), stream, address, port, place));
            }
            Ok((_, address)) => shared.problem("too-many-connections", || {
                format!(
                    "closed a connection from {address}: {open_max} are open, which is the limit; raise it or use fewer"
                )
            }),
            Err(error) => {
                shared.problem("accept-failed", || {
                    format!("cannot accept connections: {error}; raise the limit of open files")
                });
                sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// A connection's place among those that may be open; free again when dropped.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Finds out who has connected.
async fn greet(shared: Rc<Shared>, stream: TcpStream, address: SocketAddr, port: Port, place: Place) {
    let prepared = match port {
        Port::Clients => socket::prepare(&stream, shared.transport.client_silence_timeout),
        Port::Peers => socket::prepare(&stream, shared.transport.peer_silence_timeout),
    };
    if let Err(error) = prepared {
        tracing::debug!(%address, %error, "a connection ended before it began");
        return;
    }
    let (read, write) = stream.into_split();
    let mut reader = FrameReader::new(read, HELLO_LIMITS);
    match timeout(shared.transport.hello_timeout, reader.next()).await {
        Ok(Ok(Frame::Hello(hello))) => match (hello.purpose, port) {
            (Purpose::Client, _) => add_client(&shared, reader, write, address, place, None),
            (_, Port::Peers) => add_peer(shared, reader, write, address, place, hello).await,
            (_, Port::Clients) => shared.problem("wrong-port", || {
                format!("a replica at {address} took this client port for a peer's; correct the addresses in the member list")
            }),
        },
        Ok(Ok(Frame::StatusRequest)) => add_client(&shared, reader, write, address, place, Some(Asked::Status)),
        Ok(Ok(Frame::ForceRecover(consent))) => {
            add_client(&shared, reader, write, address, place, Some(Asked::ForceRecover(consent)));
        }
        Ok(Ok(_)) => shared.problem("garbage", || format!("closed a connection from {address}: it did not begin with a hello")),
        Ok(Err(end)) => ended(&shared, address, &end),
        Err(_) => shared.problem("silent-connection", || format!("closed a connection from {address}: it did not say hello in time")),
    }
}

fn ended(shared: &Shared, address: SocketAddr, end: &ReadError) {
    if end.is_foul() {
        shared.problem("garbage", || {
            format!("closed a connection from {address}: {end}; only replicas and clients of this cluster belong on this port")
        });
    } else {
        tracing::debug!(%address, %end, "connection ended");
    }
}

fn add_client(
    shared: &Rc<Shared>,
    mut reader: FrameReader,
    write: OwnedWriteHalf,
    address: SocketAddr,
    place: Place,
    first: Option<Asked>,
) {
    let connection = shared.clients.borrow_mut().add(address, write);
    if let Some(first) = first {
        shared.from_clients.push((Rc::clone(&connection), first), 0);
        shared.control.wake();
    }
    reader.set_limits(shared.client_limits);
    let requests = Requests { reader, connection: Rc::clone(&connection), begun: Instant::now() };
    let task = spawn_local(read_client(Rc::clone(shared), requests, place));
    connection.read_by(task.abort_handle());
}

/// What one connection of a client receives.
struct Requests {
    reader: FrameReader,
    connection: Rc<ClientConnection>,
    /// When the message began of which only a part has been received.
    begun: Instant,
}

/// Hands what a client sends to the turn, until the connection ends.
async fn read_client(shared: Rc<Shared>, mut requests: Requests, _place: Place) {
    // Something may have come behind the hello.
    let mut outcome = requests.hand_over(&shared);
    let end = loop {
        if let Err(end) = outcome {
            break end;
        }
        outcome = requests.receive(&shared).await;
    };
    ended(&shared, requests.connection.address, &end);
    shared.clients.borrow_mut().remove(&requests.connection);
}

impl Requests {
    /// Waits for more, receives it by one read, and hands it over.
    async fn receive(&mut self, shared: &Shared) -> Result<(), ReadError> {
        if self.reader.unfinished_bytes() == 0 {
            // Most connections are idle, and idle ones take no memory.
            self.reader.release();
            self.reader.readable().await?;
        } else {
            let end = self.begun + shared.transport.client_frame_timeout;
            timeout_at(end.into(), self.reader.readable()).await.map_err(|_| ReadError::TooSlow)??;
        }
        let room = shared.from_clients.room().await;
        let received = self.reader.receive_now().await?;
        self.hand_over(shared)?;
        drop(room);
        if received.is_some_and(|received| received.is_full) {
            // There is more: others first.
            yield_now().await;
        }
        Ok(())
    }

    fn hand_over(&mut self, shared: &Shared) -> Result<(), ReadError> {
        let mut is_any = false;
        while let Some((frame, size)) = self.reader.buffered()? {
            let asked = match frame {
                Frame::FromClient(message) => Asked::Message(with_payload_of_its_own(message, size)),
                Frame::StatusRequest => Asked::Status,
                Frame::ForceRecover(consent) => Asked::ForceRecover(consent),
                _ => return Err(ReadError::OutOfPlace),
            };
            shared.from_clients.push((Rc::clone(&self.connection), asked), size);
            is_any = true;
        }
        if is_any {
            shared.control.wake();
        }
        self.note_unfinished(shared, is_any);
        Ok(())
    }

    /// Notes that the rest is the beginning of a message, of a new one after others.
    fn note_unfinished(&mut self, shared: &Shared, is_new: bool) {
        let bytes = self.reader.unfinished_bytes();
        let mut clients = shared.clients.borrow_mut();
        if is_new || bytes == 0 {
            clients.finished(&self.connection);
        }
        if bytes == 0 {
            return;
        }
        if self.connection.unfinished.get().is_none() {
            self.begun = Instant::now();
        }
        if let Some(address) = clients.unfinished(&self.connection, bytes) {
            shared.problem("unfinished-messages", || {
                format!(
                    "closed a connection from {address}: clients have begun messages of too many bytes without completing \
                     them, and this one began first"
                )
            });
        }
    }
}

/// Copies what came in a frame that fills a part of its buffer only: the log would keep the rest of the buffer with it. Small
/// operations have been copied already, and larger ones have their buffer to themselves.
fn with_payload_of_its_own(mut message: FromClient, frame_bytes: usize) -> FromClient {
    if let ClientRequest::Operation { payload, .. } = &mut message.body
        && (KEPT_FRAME_BYTES..=READ_BYTES_MAX).contains(&frame_bytes)
    {
        *payload = Bytes::copy_from_slice(payload);
    }
    message
}

async fn add_peer(
    shared: Rc<Shared>,
    mut reader: FrameReader,
    mut write: OwnedWriteHalf,
    address: SocketAddr,
    place: Place,
    hello: Hello,
) {
    // Whoever it is learns who is here, so that both sides can say what is wrong: under its own name, if another process has it.
    let rival = hello.node.filter(|node| hello.cluster == shared.cluster && is_rival(&shared, *node, hello.process));
    if let Err(error) = answer_hello(&shared, &mut write, hello.purpose, rival).await {
        tracing::debug!(%address, %error, "a peer's connection broke before it was used");
        return;
    }
    if let Some(node) = rival {
        return shared.problem("two-replicas-with-one-id", || {
            format!(
                "refused a second process that says it is replica {}, at {address}: the one at the address in the member \
                 list is up; stop one of them",
                node.0
            )
        });
    }
    let peer = match verify(&shared, address, &hello) {
        Ok(peer) => peer,
        Err(problem) => return shared.problem("foreign-peer", || problem),
    };
    let Some(ticket) = shared.accepted.borrow_mut().add(peer, hello.purpose, hello.incarnation, write) else {
        tracing::debug!(peer = peer.0, "refused a connection of an older incarnation");
        return;
    };
    reader.set_limits(shared.peer_limits);
    let task = spawn_local({
        let shared = Rc::clone(&shared);
        async move {
            let _place = place;
            let end = read_peer(&shared, reader, peer).await;
            ended(&shared, address, &end);
            shared.accepted.borrow_mut().remove(ticket);
        }
    });
    shared.accepted.borrow_mut().read_by(ticket, task.abort_handle());
}

/// Whether the replica at the peer's own address is up, and this is not it.
fn is_rival(shared: &Shared, node: NodeId, process: u64) -> bool {
    shared.links.iter().any(|link| link.peer == node && link.is_held_by_another(process))
}

async fn answer_hello(
    shared: &Shared,
    write: &mut OwnedWriteHalf,
    purpose: Purpose,
    rival: Option<NodeId>,
) -> io::Result<()> {
    let mut frame = BytesMut::new();
    codec::encode(&shared.hello(purpose, rival.unwrap_or(shared.id)), &mut frame);
    write.write_all(&frame).await
}

/// Who the peer is, or what is wrong with it.
fn verify(shared: &Shared, address: SocketAddr, hello: &Hello) -> Result<NodeId, String> {
    let Some(node) = hello.node else {
        return Err(format!("refused a peer at {address} that does not say which replica it is"));
    };
    let from = node.0;
    if hello.cluster != shared.cluster {
        return Err(format!(
            "refused replica {from} of cluster {} at {address}: this is cluster {}; correct the member list there",
            hello.cluster, shared.cluster
        ));
    }
    if node == shared.id {
        return Err(format!(
            "refused a replica at {address} that says it is replica {from}, which is this one: two replicas run with one id; \
             stop one of them"
        ));
    }
    if !shared.configuration.contains(node) {
        return Err(format!(
            "refused replica {from} at {address}: it is no member of this group; correct its id or its member list"
        ));
    }
    match shared.other_mode(node, hello.durability) {
        Some(problem) => Err(problem),
        None => Ok(node),
    }
}

/// Hands what a peer sends to the turn, until the connection ends.
pub(crate) async fn read_peer(shared: &Shared, mut reader: FrameReader, peer: NodeId) -> ReadError {
    // Something may have come behind the hello.
    let mut outcome = hand_over_messages(shared, &mut reader, peer);
    loop {
        if let Err(end) = outcome {
            return end;
        }
        outcome = receive_messages(shared, &mut reader, peer).await;
    }
}

async fn receive_messages(shared: &Shared, reader: &mut FrameReader, peer: NodeId) -> Result<(), ReadError> {
    reader.readable().await?;
    let _room = shared.from_peers.room().await;
    reader.receive_now().await?;
    hand_over_messages(shared, reader, peer)
}

fn hand_over_messages(shared: &Shared, reader: &mut FrameReader, peer: NodeId) -> Result<(), ReadError> {
    let mut is_any = false;
    while let Some((frame, size)) = reader.buffered()? {
        match frame {
            Frame::Replica(message) if message.header.from == peer => shared.from_peers.push(message, size),
            _ => return Err(ReadError::OutOfPlace),
        }
        is_any = true;
    }
    if is_any {
        shared.control.wake();
    }
    Ok(())
}
