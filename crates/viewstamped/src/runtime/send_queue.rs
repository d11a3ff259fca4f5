//! Frames on their way out of one connection: written with as few system calls as possible, never waited for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::tcp::OwnedWriteHalf;

/// The most frames handed to one vectored write.
const SLICES_MAX: usize = 64;

/// The most room taken at once for frames to come: as much as was needed the last time, so that a busy connection's buffer
/// need not grow anew, and an idle one has none.
const ROOM_BYTES_MAX: usize = 64 << 10;

/// Frames on their way out of one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    /// Whole frames, perhaps shared with other connections; the first `written` bytes of the front one are gone.
    frames: VecDeque<Bytes>,
    written: usize,
    /// Frames for this connection alone, behind all of `frames`.
    tail: BytesMut,
    bytes: usize,
    /// How long the tail was when it was written the last time.
    tail_before: usize,
}

/// How a flush ended.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Everything is written.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The connection is broken.
    Failed(io::Error),
}

impl SendQueue {
    /// The bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a frame that other connections may share.
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.seal_tail();
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Adds what `encode` appends to the buffer.
    pub(crate) fn append(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        if self.tail.capacity() == 0 {
            self.tail.reserve(self.tail_before.min(ROOM_BYTES_MAX));
        }
        let before = self.tail.len();
        encode(&mut self.tail);
        self.bytes += self.tail.len() - before;
    }

    /// Writes as much as the socket takes.
    pub(crate) fn flush(&mut self, socket: &OwnedWriteHalf) -> Flushed {
        while self.bytes > 0 {
            match self.write_some(socket) {
                Ok(0) => return Flushed::Failed(ErrorKind::WriteZero.into()),
                Ok(count) => self.consume(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Flushed::Failed(error),
            }
        }
        Flushed::All
    }

    /// Makes the queue ready for a new connection: a frame of which a part went to the old one is lost.
    pub(crate) fn restart(&mut self) {
        if self.written > 0 {
            self.drop_oldest();
        }
    }

    /// Drops the oldest frames until at most `limit` bytes wait.
    pub(crate) fn shrink_to(&mut self, limit: usize) {
        self.seal_tail();
        while self.bytes > limit {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let frame = self.frames.pop_front().expect("bytes wait, so a frame does");
        self.bytes -= frame.len() - self.written;
        self.written = 0;
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.frames.push_back(self.tail.split().freeze());
        }
    }

    fn write_some(&mut self, socket: &OwnedWriteHalf) -> io::Result<usize> {
        if self.frames.is_empty() {
            self.tail_before = self.tail.len();
            return socket.try_write(&self.tail);
        }
        self.seal_tail();
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.frames.len().min(SLICES_MAX);
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
        }
        slices[0] = IoSlice::new(&self.frames[0][self.written..]);
        socket.try_write_vectored(&slices[..count])
    }

    fn consume(&mut self, mut count: usize) {
        self.bytes -= count;
        if self.frames.is_empty() {
            if count < self.tail.len() {
                self.tail.advance(count);
            } else {
                self.tail = BytesMut::new();
            }
            return;
        }
        while count > 0 {
            let left = self.frames[0].len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (dialed, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async { listener.accept().await });
        (dialed.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn frames_arrive_whole_and_in_order_through_a_socket_that_blocks() {
        let (dialed, mut accepted) = pair().await;
        let (_read, socket) = dialed.into_split();
        let mut queue = SendQueue::default();
        let mut expected = Vec::new();
        for round in 0..400_u32 {
            let frame = vec![round.to_le_bytes()[0]; 50_000];
            expected.extend_from_slice(&frame);
            if round % 3 == 0 {
                queue.append(|buffer| buffer.extend_from_slice(&frame));
            } else {
                queue.push(frame.into());
            }
        }
        assert!(matches!(queue.flush(&socket), Flushed::Blocked), "20 MB do not fit a socket");

        let mut received = Vec::new();
        while received.len() < expected.len() {
            tokio::select! {
                count = accepted.read_buf(&mut received) => assert_ne!(count.unwrap(), 0),
                _ = socket.writable(), if queue.bytes() > 0 => {
                    assert!(!matches!(queue.flush(&socket), Flushed::Failed(_)));
                }
            }
        }
        assert_eq!(queue.bytes(), 0);
        assert!(received == expected);
    }

    #[test]
    fn the_oldest_frames_are_dropped_to_fit_a_limit() {
        let mut queue = SendQueue::default();
        for byte in 0..5 {
            queue.push(vec![byte; 10].into());
        }
        queue.append(|buffer| buffer.extend_from_slice(&[9; 10]));
        queue.shrink_to(25);
        assert_eq!(queue.bytes(), 20);
        assert_eq!(queue.frames.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [4, 9]);
    }

    #[test]
    fn a_new_connection_starts_with_a_whole_frame() {
        let mut queue = SendQueue::default();
        queue.push(Bytes::from_static(b"first"));
        queue.push(Bytes::from_static(b"second"));
        queue.consume(2);
        queue.restart();
        assert_eq!((queue.bytes(), queue.frames.len()), (6, 1));
    }
}
