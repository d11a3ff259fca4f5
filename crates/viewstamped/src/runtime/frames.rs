//! Frames from the receiving half of one connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use viewstamped_protocol::codec::{self, DecodeError, Frame, Limits};

/// The bytes of the first buffers of a connection: little, because most connections are idle.
const READ_BYTES_MIN: usize = 4 << 10;

/// The bytes of the buffers of a busy connection: some hundred small requests by one read.
pub(crate) const READ_BYTES_MAX: usize = 64 << 10;

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
    /// A frame was begun and not completed in time.
    #[error("it began a message and did not complete it in time")]
    TooSlow,
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

    /// The memory that a frame takes of which only a part has been received; 0 between frames.
    pub(crate) fn unfinished_bytes(&self) -> usize {
        if self.buffer.is_empty() { 0 } else { self.buffer.capacity() }
    }

    /// Gives the buffer back, unless it holds the beginning of a frame. The next read takes a new one.
    pub(crate) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Waits until there is something to receive. Takes no memory meanwhile.
    pub(crate) async fn readable(&self) -> Result<(), ReadError> {
        self.socket.readable().await.map_err(ReadError::Broken)
    }

    /// Takes what is there by one read, without waiting; `None` when nothing is there after all.
    pub(crate) async fn receive_now(&mut self) -> Result<Option<Received>, ReadError> {
        let mut received = pin!(self.receive());
        poll_fn(|context| match received.as_mut().poll(context) {
            Poll::Ready(received) => Poll::Ready(received.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }

    /// Waits for more bytes and takes what is there by one read.
    pub(crate) async fn receive(&mut self) -> Result<Received, ReadError> {
        self.make_room();
        let room = self.buffer.capacity() - self.buffer.len();
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) if self.buffer.is_empty() => Err(ReadError::Closed),
            Ok(0) => Err(ReadError::Truncated),
            Ok(count) => Ok(self.received(count, room)),
            Err(error) => Err(ReadError::Broken(error)),
        }
    }

    fn make_room(&mut self) {
        let (bytes, free) = (self.buffer.len(), self.buffer.capacity() - self.buffer.len());
        let missing = codec::needed(&self.buffer);
        // A buffer is used up before the next one is taken: what is kept of its content keeps it alive.
        let enough = self.read_bytes / 4;
        if free >= if bytes == 0 { enough } else { enough.min(missing) } {
            return;
        }
        if bytes + missing <= READ_BYTES_MAX {
            return self.buffer.reserve(self.read_bytes);
        }
        // Announced is not received: the buffer grows with what has come, and no further than the frame, which may be kept.
        let mut grown = BytesMut::with_capacity(bytes + missing.min(bytes.max(self.read_bytes)));
        grown.extend_from_slice(&self.buffer);
        self.buffer = grown;
    }

    fn received(&mut self, count: usize, room: usize) -> Received {
        let is_full = count == room;
        if is_full {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
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

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use viewstamped_protocol::codec::{MAGIC, VERSION};

    use super::*;

    const BODY_BYTES: usize = 3 << 20;

    /// The part of a header that says how long the frame is.
    const ANNOUNCEMENT_BYTES: usize = 12;

    /// The beginning of the header of a REQUEST with a large body, and a reader of what is written to the stream.
    async fn announced() -> (TcpStream, FrameReader) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (read, _write) = listener.accept().await.unwrap().0.into_split();
        let mut header = BytesMut::new();
        header.put_slice(&MAGIC);
        header.put_u16_le(VERSION);
        header.put_u16_le(0x0101);
        header.put_u32_le(u32::try_from(BODY_BYTES).unwrap());
        assert_eq!(header.len(), ANNOUNCEMENT_BYTES);
        stream.write_all(&header).await.unwrap();
        (stream, FrameReader::new(read, Limits { frame_bytes_max: 2 * BODY_BYTES }))
    }

    #[tokio::test]
    async fn announced_length_takes_no_memory_until_it_comes() {
        let (mut stream, mut reader) = announced().await;
        reader.receive().await.unwrap();
        assert!(reader.buffered().unwrap().is_none());
        assert_eq!(reader.unfinished_bytes(), READ_BYTES_MIN);

        let sent = BODY_BYTES / 3;
        let send = async { stream.write_all(&vec![0; sent]).await.unwrap() };
        let receive = async {
            while reader.buffer.len() < sent {
                reader.receive().await.unwrap();
                assert!(reader.buffered().unwrap().is_none());
                assert!(reader.unfinished_bytes() <= 2 * reader.buffer.len() + READ_BYTES_MAX);
            }
        };
        tokio::join!(send, receive);
    }

    #[tokio::test]
    async fn buffer_of_a_large_frame_is_no_larger_than_the_frame() {
        let (mut stream, mut reader) = announced().await;
        let frame_bytes = codec::HEADER_BYTES + BODY_BYTES;
        let send = async { stream.write_all(&vec![0; frame_bytes - ANNOUNCEMENT_BYTES]).await.unwrap() };
        let receive = async {
            while reader.buffer.len() < frame_bytes {
                reader.receive().await.unwrap();
            }
            assert!(reader.unfinished_bytes() <= frame_bytes + READ_BYTES_MAX);
        };
        tokio::join!(send, receive);
    }

    #[tokio::test]
    async fn idle_connection_takes_no_memory() {
        let (_stream, mut reader) = announced().await;
        reader.receive().await.unwrap();
        reader.buffer.clear();
        reader.release();
        assert_eq!((reader.unfinished_bytes(), reader.buffer.capacity()), (0, 0));
        assert!(reader.receive_now().await.unwrap().is_none(), "there is nothing");
    }
}
