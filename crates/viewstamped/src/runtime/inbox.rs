//! What has been received and waits for the turn: peers and clients apart, so that no flood of requests delays a heartbeat.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// A bounded queue between the tasks that read sockets and the turn. All on one thread.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    items: RefCell<VecDeque<(T, usize)>>,
    bytes: Cell<usize>,
    bytes_max: usize,
    room: Notify,
}

impl<T> Inbox<T> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { items: RefCell::default(), bytes: Cell::new(0), bytes_max, room: Notify::new() }
    }

    /// Adds an item that took `bytes` on the wire. One receive buffer's worth may exceed the limit: readers wait for room before they read.
    pub(crate) fn push(&self, item: T, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
        self.items.borrow_mut().push_back((item, bytes));
    }

    /// Waits until there is room for more.
    pub(crate) async fn room(&self) {
        while self.bytes.get() > self.bytes_max {
            self.room.notified().await;
        }
    }

    /// Takes the oldest item.
    pub(crate) fn pop(&self) -> Option<T> {
        let (item, bytes) = self.items.borrow_mut().pop_front()?;
        let before = self.bytes.get();
        self.bytes.set(before - bytes);
        if before > self.bytes_max && before - bytes <= self.bytes_max {
            self.room.notify_waiters();
        }
        Some(item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.borrow().is_empty()
    }
}
