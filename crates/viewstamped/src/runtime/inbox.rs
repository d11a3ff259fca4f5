//! What has been received and waits for the turn: peers and clients apart, so that no flood of requests delays a heartbeat.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::{Mutex, MutexGuard, Notify};

/// A bounded queue between the tasks that read sockets and the turn. All on one thread.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    items: RefCell<VecDeque<(T, usize)>>,
    bytes: Cell<usize>,
    bytes_max: usize,
    /// Held by the one reader who may read next; the others queue for it, first come, first served.
    next: Mutex<()>,
    room: Notify,
}

/// Leave to read once, and to push what that brings.
#[derive(Debug)]
#[must_use = "others may read when it is dropped"]
pub(crate) struct Room<'a> {
    _next: MutexGuard<'a, ()>,
}

impl<T> Inbox<T> {
    /// What an item counts besides its bytes on the wire: its place in the queue.
    const ITEM_BYTES: usize = size_of::<(T, usize)>();

    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { items: RefCell::default(), bytes: Cell::new(0), bytes_max, next: Mutex::new(()), room: Notify::new() }
    }

    /// Adds an item that took `bytes` on the wire. What one read has brought may exceed the limit: who reads has waited for
    /// room before.
    pub(crate) fn push(&self, item: T, bytes: usize) {
        let bytes = bytes + Self::ITEM_BYTES;
        self.bytes.set(self.bytes.get() + bytes);
        self.items.borrow_mut().push_back((item, bytes));
    }

    /// Waits until there is room for what one read brings. Readers get their turns in the order in which they ask, one at a
    /// time: a thousand of them exceed the limit by no more than one does, and none is passed over.
    pub(crate) async fn room(&self) -> Room<'_> {
        let next = self.next.lock().await;
        while self.bytes.get() > self.bytes_max {
            self.room.notified().await;
        }
        Room { _next: next }
    }

    /// Takes the oldest item.
    pub(crate) fn pop(&self) -> Option<T> {
        let (item, bytes) = self.items.borrow_mut().pop_front()?;
        let before = self.bytes.get();
        self.bytes.set(before - bytes);
        if before > self.bytes_max && before - bytes <= self.bytes_max {
            self.room.notify_one();
        }
        Some(item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    /// A thousand readers that were let in together would exceed the limit a thousand times.
    #[tokio::test]
    async fn readers_wait_in_line_and_one_exceeds_the_limit_at_most() {
        const READ_BYTES: usize = 100;
        let inbox = Rc::new(Inbox::new(1_000));
        let bytes_max = 1_000 + READ_BYTES + Inbox::<usize>::ITEM_BYTES;
        let readers = async {
            for reader in 0..200 {
                let inbox = Rc::clone(&inbox);
                spawn_local(async move {
                    for _ in 0..3 {
                        let room = inbox.room().await;
                        inbox.push(reader, READ_BYTES);
                        assert!(inbox.bytes.get() <= bytes_max, "{} bytes", inbox.bytes.get());
                        drop(room);
                        yield_now().await;
                    }
                });
            }
            let mut handled = Vec::new();
            while handled.len() < 600 {
                yield_now().await;
                handled.extend(inbox.pop());
            }
            handled
        };
        let handled = LocalSet::new().run_until(readers).await;
        assert_eq!(handled[..200], (0..200).collect::<Vec<_>>(), "nobody is passed over");
        assert_eq!(inbox.bytes.get(), 0);
    }

    /// A reader may be gone before its turn comes.
    #[tokio::test]
    async fn reader_that_is_gone_keeps_nobody_waiting() {
        let inbox = Rc::new(Inbox::new(0));
        inbox.push(0, 1);
        let readers = async {
            let first = spawn_local({
                let inbox = Rc::clone(&inbox);
                async move { drop(inbox.room().await) }
            });
            let second = spawn_local({
                let inbox = Rc::clone(&inbox);
                async move { drop(inbox.room().await) }
            });
            yield_now().await;
            inbox.pop();
            first.abort();
            second.await
        };
        LocalSet::new().run_until(readers).await.unwrap();
    }
}
