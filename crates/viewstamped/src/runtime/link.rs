//! The connections this replica dials: to every peer one for the protocol and one for bulk, so that a heartbeat never
//! queues behind a state transfer. Only what dials writes; what accepts reads.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{sleep, timeout};
use viewstamped_protocol::NodeId;
use viewstamped_protocol::codec::{self, Frame, Hello, Purpose};
use viewstamped_protocol::random::Random;

use super::frames::{FrameReader, ReadError};
use super::listener::read_peer;
use super::outlet::Outlet;
use super::shared::Shared;
use super::socket;

/// One of the two connections to a peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: NodeId,
    pub(crate) purpose: Purpose,
    address: String,
    outlet: Rc<Outlet>,
    /// The process that answers at the address.
    process: Cell<u64>,
}

/// Why a peer is not connected.
#[derive(Debug, thiserror::Error)]
enum DialError {
    /// Nobody answers: a peer that is down. Normal, and not worth an alarm.
    #[error("{0}")]
    Unreachable(std::io::Error),
    /// The other side does not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The other side said no hello.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The other side is not who it should be.
    #[error("{0}")]
    Stranger(String),
}

impl DialError {
    /// Whether nobody listens at the address, and the peer's host says so: the peer's process does not run.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused)
    }
}

impl Link {
    pub(crate) fn new(peer: NodeId, purpose: Purpose, address: String) -> Self {
        Self { peer, purpose, address, outlet: Rc::default(), process: Cell::new(0) }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.outlet.is_up()
    }

    /// Whether another process than this one answers at the peer's address, right now.
    pub(crate) fn is_held_by_another(&self, process: u64) -> bool {
        self.is_up() && self.process.get() != process
    }

    /// Queues a frame. When there is no room, a message is dropped: the protocol sends again what matters.
    pub(crate) fn push(&self, frame: Bytes, shared: &Shared) {
        let limits = &shared.transport;
        if !self.is_up() {
            self.outlet.push(frame);
            self.outlet.shrink_to(limits.peer_queue_down_bytes_max);
        } else if self.outlet.bytes() + frame.len() <= limits.peer_queue_bytes_max {
            self.outlet.push(frame);
        } else {
            shared.problem("peer-queue-full", || {
                let peer = self.peer.0;
                format!(
                    "replica {peer} takes messages more slowly than they come; some are dropped and sent again later"
                )
            });
        }
    }

    /// Writes what this turn has queued.
    pub(crate) fn flush(&self) {
        self.outlet.flush();
    }
}

/// Keeps the link with this index connected, for ever.
pub(crate) async fn keep_connected(shared: Rc<Shared>, index: usize, seed: u128) {
    let link = &shared.links[index];
    let limits = &shared.transport;
    let mut random = Random::new(seed);
    let mut backoff = limits.reconnect_backoff;
    loop {
        match dial(&shared, link, patience(backoff, limits.connect_timeout)).await {
            Ok((reader, socket)) => {
                backoff = limits.reconnect_backoff;
                tracing::info!(peer = link.peer.0, purpose = ?link.purpose, address = %link.address, "connected to peer");
                link.outlet.connect(Arc::new(socket));
                let connected = Instant::now();
                // Few answers come back: what accepts reads.
                let end = read_peer(&shared, reader, link.peer).await;
                link.outlet.disconnect();
                tracing::info!(peer = link.peer.0, purpose = ?link.purpose, %end, "connection to peer ended");
                if connected.elapsed() >= limits.reconnect_backoff {
                    // Dialed again at once: whether the peer's process is gone is what the group wants to know.
                    continue;
                }
            }
            Err(DialError::Stranger(reason)) => shared.problem("foreign-peer", || reason),
            Err(error) => {
                if error.is_refusal() {
                    shared.peer_refused(link.peer);
                }
                tracing::debug!(peer = link.peer.0, address = %link.address, %error, "cannot connect to peer");
            }
        }
        sleep(jittered(backoff, &mut random)).await;
        backoff = (backoff * 2).min(limits.reconnect_backoff_max);
    }
}

/// Connects to the peer and makes sure that it is that peer.
async fn dial(
    shared: &Shared,
    link: &Link,
    connect_timeout: Duration,
) -> Result<(FrameReader, OwnedWriteHalf), DialError> {
    let limits = &shared.transport;
    let stream = timeout(connect_timeout, TcpStream::connect(&link.address))
        .await
        .map_err(|_| DialError::TimedOut)?
        .map_err(DialError::Unreachable)?;
    socket::prepare(&stream, limits.peer_silence_timeout).map_err(DialError::Unreachable)?;
    let (read, mut write) = stream.into_split();
    let mut reader = FrameReader::new(read, shared.peer_limits);
    let mut frame = BytesMut::new();
    codec::encode(&shared.hello(link.purpose, shared.id), &mut frame);
    write.write_all(&frame).await.map_err(DialError::Unreachable)?;
    let answer = timeout(limits.hello_timeout, reader.next()).await.map_err(|_| DialError::TimedOut)??;
    let Frame::Hello(answer) = answer else {
        return Err(DialError::Stranger(format!("what answers at {} does not say who it is", link.address)));
    };
    verify(shared, link, &answer).map_err(DialError::Stranger)?;
    link.process.set(answer.process);
    Ok((reader, write))
}

fn verify(shared: &Shared, link: &Link, answer: &Hello) -> Result<(), String> {
    let address = &link.address;
    if answer.cluster != shared.cluster {
        return Err(format!(
            "replica {} should answer at {address}, but a replica of cluster {} does, and this is cluster {}; correct the \
             member list or stop the other cluster's replica",
            link.peer.0, answer.cluster, shared.cluster
        ));
    }
    if answer.node == Some(shared.id) {
        return Err(format!(
            "replica {} at {address} is connected to another process that runs as replica {}, as this one does: two replicas \
             run with one id; stop one of them",
            link.peer.0, shared.id.0
        ));
    }
    if answer.node != Some(link.peer) {
        let other = answer.node.map_or_else(|| "something else".to_owned(), |node| format!("replica {}", node.0));
        return Err(format!(
            "replica {} should answer at {address}, but {other} does; start every replica on its own address",
            link.peer.0
        ));
    }
    shared.other_mode(link.peer, answer.durability).map_or(Ok(()), Err)
}

/// How long a try to connect may take when `pause` follows it: short at first. When a network heals, a new try gets through at
/// once; one that is under way only when TCP repeats it, after a second.
fn patience(pause: Duration, longest: Duration) -> Duration {
    longest.min(4 * pause)
}

/// Between half of `pause` and all of it.
fn jittered(pause: Duration, random: &mut Random) -> Duration {
    let half = pause / 2;
    let nanoseconds = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(random.below(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A primary fell silent, and came back; then the next one did. Its backups needed each other's votes, but one still waited
    /// for an answer to the connection request that it had sent into the silence: half a second without service became a second
    /// and a half, and a second view change.
    #[test]
    fn the_first_tries_to_connect_are_short_and_later_ones_long_enough_for_any_network() {
        let longest = Duration::from_secs(1);
        let tries = [50, 100, 200, 400, 800].map(|pause| patience(Duration::from_millis(pause), longest).as_millis());
        assert_eq!(tries, [200, 400, 800, 1_000, 1_000]);
    }
}
