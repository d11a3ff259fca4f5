//! Frames from the receiving half of one connection.

use std::io;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use viewstamped_protocol::codec::{self, DecodeError, Frame, Limits};

/// The bytes of the first buffers of a connection: little, because most connections are idle.
const READ_BYTES_MIN: usize = 4 << 10;

/// The bytes of the buffers of a busy connection: some hundred small requests by one read.
const READ_BYTES_MAX: usize = 64 << 10;

/// Reads frames. Holds at most one incomplete frame and one read's worth of others.
#[derive(Debug)]
pub(crate) struct FrameReader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    /// How large the next buffer will be.
    read_bytes: usize,
    limits: Limits,
}

/// Why there are no more frames.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The other side closed the connection between two frames.
    #[error("the connection was closed")]
    Closed,
    /// The connection ended in the middle of a frame.
    #[error("the connection was closed in the middle of a frame")]
    Truncated,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// What arrived is no frame.
    #[error("{0}")]
    Garbage(#[from] DecodeError),
    /// A frame that has no place on this connection.
    #[error("it sent something that has no place on this connection")]
    OutOfPlace,
}

/// How much one read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Whether it was as much as a read may bring: there is probably more.
    pub(crate) is_full: bool,
}

impl ReadError {
    /// Whether the other side sent something that no peer or client of ours sends.
    pub(crate) fn is_foul(&self) -> bool {
        matches!(self, Self::Garbage(_) | Self::Truncated | Self::OutOfPlace)
    }
}

impl FrameReader {
    pub(crate) fn new(socket: OwnedReadHalf, limits: Limits) -> Self {
        Self { socket, buffer: BytesMut::new(), read_bytes: READ_BYTES_MIN, limits }
    }

    /// Sets other limits for the frames to come.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next frame that has been received whole, with its size on the wire.
    pub(crate) fn buffered(&mut self) -> Result<Option<(Frame, usize)>, ReadError> {
        let before = self.buffer.len();
        let frame = codec::decode(&mut self.buffer, &self.limits)?;
        Ok(frame.map(|frame| (frame, before - self.buffer.len())))
    }

    /// Waits for more bytes and takes what is there by one read.
    pub(crate) async fn receive(&mut self) -> Result<Received, ReadError> {
        // A buffer is used up before the next one is taken: what is kept of its content keeps it alive.
        if self.buffer.capacity() - self.buffer.len() < self.read_bytes / 4 {
            self.buffer.reserve(self.read_bytes.max(codec::needed(&self.buffer)));
        }
        let room = self.buffer.capacity() - self.buffer.len();
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) if self.buffer.is_empty() => Err(ReadError::Closed),
            Ok(0) => Err(ReadError::Truncated),
            Ok(count) => Ok(self.received(count, room)),
            Err(error) => Err(ReadError::Broken(error)),
        }
    }

    fn received(&mut self, count: usize, room: usize) -> Received {
        let is_full = count == room;
        if is_full {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Received { is_full }
    }

    /// Waits for the next frame.
    pub(crate) async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some((frame, _)) = self.buffered()? {
                return Ok(frame);
            }
            self.receive().await?;
        }
    }
}
