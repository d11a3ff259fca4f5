//! The sending half of one connection: a queue and, while it is up, a socket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;

use super::send_queue::{Flushed, SendQueue};

/// Writes straight from the turn; only what the socket does not take is left to a task.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    queue: RefCell<SendQueue>,
    socket: RefCell<Option<Arc<OwnedWriteHalf>>>,
    writer: RefCell<Option<AbortHandle>>,
    is_blocked: Cell<bool>,
    /// What the outlets of one kind hold together, and the part of it that is this one's.
    total: Rc<Cell<usize>>,
    counted: Cell<usize>,
}

impl Outlet {
    /// An outlet whose bytes count in `total`, too.
    pub(crate) fn counted_in(total: &Rc<Cell<usize>>) -> Self {
        Self { total: Rc::clone(total), ..Self::default() }
    }

    /// The bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.borrow().bytes()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.socket.borrow().is_some()
    }

    /// Adds a frame that other connections may share.
    pub(crate) fn push(&self, frame: Bytes) {
        self.queue.borrow_mut().push(frame);
        self.count();
    }

    /// Adds what `encode` appends to the buffer.
    pub(crate) fn append(&self, encode: impl FnOnce(&mut BytesMut)) {
        self.queue.borrow_mut().append(encode);
        self.count();
    }

    /// Drops the oldest frames until at most `limit` bytes wait.
    pub(crate) fn shrink_to(&self, limit: usize) {
        self.queue.borrow_mut().shrink_to(limit);
        self.count();
    }

    /// Takes a new connection.
    pub(crate) fn connect(self: &Rc<Self>, socket: Arc<OwnedWriteHalf>) {
        self.disconnect();
        self.queue.borrow_mut().restart();
        self.count();
        *self.socket.borrow_mut() = Some(socket);
        self.flush();
    }

    /// Gives the connection up. What waits is kept for the next one.
    pub(crate) fn disconnect(&self) {
        *self.socket.borrow_mut() = None;
        self.is_blocked.set(false);
        if let Some(writer) = self.writer.borrow_mut().take() {
            writer.abort();
        }
    }

    /// Gives the connection up, and what waits, too.
    pub(crate) fn close(&self) {
        self.disconnect();
        self.queue.take();
        self.count();
    }

    /// Writes what waits, as far as the socket takes it now; the rest follows when it takes more.
    pub(crate) fn flush(self: &Rc<Self>) {
        if self.is_blocked.get() || self.bytes() == 0 {
            return;
        }
        let Some(socket) = self.socket.borrow().clone() else { return };
        match self.write(&socket) {
            Flushed::All => {}
            Flushed::Blocked => {
                self.is_blocked.set(true);
                let writer = tokio::task::spawn_local(write_on(Rc::clone(self), socket));
                *self.writer.borrow_mut() = Some(writer.abort_handle());
            }
            // The reader of the same connection meets the same error and takes the connection down.
            Flushed::Failed(error) => tracing::debug!(%error, "a connection broke while being written"),
        }
    }

    fn write(&self, socket: &OwnedWriteHalf) -> Flushed {
        let flushed = self.queue.borrow_mut().flush(socket);
        self.count();
        flushed
    }

    fn count(&self) {
        let bytes = self.bytes();
        self.total.set(self.total.get() - self.counted.replace(bytes) + bytes);
    }
}

/// Writes whenever the socket takes more, until nothing waits.
async fn write_on(outlet: Rc<Outlet>, socket: Arc<OwnedWriteHalf>) {
    while socket.writable().await.is_ok() {
        match outlet.write(&socket) {
            Flushed::Blocked => {}
            Flushed::All => break,
            Flushed::Failed(error) => {
                tracing::debug!(%error, "a connection broke while being written");
                break;
            }
        }
    }
    outlet.is_blocked.set(false);
}
