//! One connection of a client: dialed when there is something to send, kept until it breaks.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{sleep, timeout};
use viewstamped_protocol::client::Endpoint;
use viewstamped_protocol::codec::{self, Frame, Hello, Limits, Purpose, VERSION};
use viewstamped_protocol::{ClusterId, Incarnation, ToClient};

use super::core::Shared;
use crate::runtime::frames::{FrameReader, ReadError};
use crate::runtime::socket;

/// Keeps one endpoint connected while there is something to send to it, for ever.
pub(super) async fn keep(shared: Arc<Shared>, endpoint: Endpoint) {
    let address = &shared.addresses[endpoint.0];
    let mut backoff = shared.options.reconnect_backoff;
    loop {
        shared.wanted[endpoint.0].notified().await;
        match dial(&shared, address).await {
            Ok((reader, socket)) => {
                backoff = shared.options.reconnect_backoff;
                let end = converse(&shared, endpoint, reader, Arc::new(socket)).await;
                tracing::debug!(%address, %end, "connection to replica ended");
            }
            Err(error) => tracing::debug!(%address, %error, "cannot connect to replica"),
        }
        shared.disconnected(endpoint);
        sleep(backoff).await;
        backoff = (backoff * 2).min(shared.options.reconnect_backoff_max);
    }
}

async fn dial(shared: &Shared, address: &str) -> io::Result<(FrameReader, OwnedWriteHalf)> {
    let stream = timeout(shared.options.connect_timeout, TcpStream::connect(address)).await??;
    socket::prepare(&stream, shared.options.silence_timeout)?;
    let (read, mut write) = stream.into_split();
    let mut hello = BytesMut::new();
    codec::encode(&Frame::Hello(introduction()), &mut hello);
    write.write_all(&hello).await?;
    Ok((FrameReader::new(read, Limits { frame_bytes_max: shared.options.frame_bytes_max }), write))
}

/// How a client introduces itself. Its requests name its cluster, so the connection needs not.
pub(crate) fn introduction() -> Hello {
    let (cluster, incarnation) = (ClusterId::default(), Incarnation::ZERO);
    Hello { cluster, node: None, incarnation, purpose: Purpose::Client, version: VERSION, process: 0, durability: None }
}

/// Hands over what the replica says, and writes when the socket takes more, until the connection ends.
async fn converse(
    shared: &Shared,
    endpoint: Endpoint,
    mut reader: FrameReader,
    socket: Arc<OwnedWriteHalf>,
) -> ReadError {
    shared.connected(endpoint, Arc::clone(&socket));
    let mut messages = Vec::new();
    let mut is_blocked = false;
    loop {
        tokio::select! {
            received = reader.receive() => {
                if let Err(end) = received.and_then(|_| take_answers(&mut reader, &mut messages)) {
                    return end;
                }
                shared.receive(endpoint, messages.drain(..));
            }
            () = shared.wanted[endpoint.0].notified() => is_blocked = true,
            _ = socket.writable(), if is_blocked => is_blocked = !shared.writable(endpoint),
        }
    }
}

fn take_answers(reader: &mut FrameReader, messages: &mut Vec<ToClient>) -> Result<(), ReadError> {
    while let Some((frame, _)) = reader.buffered()? {
        match frame {
            Frame::ToClient(message) => messages.push(message),
            Frame::Hello(_) => {}
            _ => return Err(ReadError::OutOfPlace),
        }
    }
    Ok(())
}
