//! What waits for the threads that write: in order for the journal, only the newest for the page file.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use viewstamped_protocol::{Checkpoint, Record};
use viewstamped_storage::journal::Position;

/// What the journal's thread is to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Append a record, numbered as the replica does.
    Record { sequence: u64, record: Record },
    /// Have this checkpoint saved when the record of this number is durable.
    Checkpoint { checkpoint: Box<Checkpoint>, sequence: u64 },
    /// The records before this one, numbered as the journal does, are not needed any more.
    Release { before: u64 },
}

/// What waits for the journal's thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: VecDeque<Command>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    /// Adds a command that takes `bytes` of memory, unless others wait and all together would take more than `limit`.
    pub(super) fn push(&self, command: Command, bytes: usize, limit: usize) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.bytes > 0 && waiting.bytes.saturating_add(bytes) > limit {
            return false;
        }
        waiting.bytes += bytes;
        waiting.commands.push_back(command);
        drop(waiting);
        self.news.notify_one();
        true
    }

    /// Nothing comes after what is there, but for [`Command::Release`].
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.news.notify_one();
    }

    /// Waits until there is something, the queue is closed, or `deadline`; takes all that is there, and whether that was the last.
    /// One who `needs_release` waits for that, though the queue is closed.
    pub(super) fn take(&self, deadline: Option<Instant>, needs_release: bool) -> (VecDeque<Command>, bool) {
        let mut waiting = lock(&self.waiting);
        while waiting.commands.is_empty() && (needs_release || !waiting.is_closed) {
            waiting = match deadline {
                None => self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let (waiting, timeout) =
                        self.news.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return (VecDeque::new(), false);
                    }
                    waiting
                }
            };
        }
        waiting.bytes = 0;
        (std::mem::take(&mut waiting.commands), waiting.is_closed)
    }
}

/// A checkpoint to be saved, and where the journal begins above it.
#[derive(Debug)]
pub(super) struct Save {
    pub(super) checkpoint: Box<Checkpoint>,
    pub(super) journal: Position,
}

/// The newest checkpoint that is to be saved.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    content: Mutex<Content>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    save: Option<Save>,
    is_busy: bool,
    is_closed: bool,
    /// Nobody takes anything out any more.
    is_left: bool,
}

impl Mailbox {
    /// Puts in a checkpoint, in place of one that has not been begun.
    pub(super) fn put(&self, save: Save) {
        let mut content = lock(&self.content);
        if !content.is_left {
            content.save = Some(save);
            self.news.notify_one();
        }
    }

    /// Takes nothing any more.
    pub(super) fn leave(&self) {
        *lock(&self.content) = Content { is_left: true, ..Content::default() };
    }

    pub(super) fn close(&self) {
        lock(&self.content).is_closed = true;
        self.news.notify_one();
    }

    /// Whether a checkpoint waits or is being saved: so that space in the journal may become free.
    pub(super) fn is_busy(&self) -> bool {
        let content = lock(&self.content);
        content.is_busy || content.save.is_some()
    }

    /// Waits for a checkpoint, until `deadline`. `Err`: the mailbox is closed and empty.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Result<Option<Save>, Closed> {
        let mut content = lock(&self.content);
        content.is_busy = deadline.is_some();
        loop {
            if let Some(save) = content.save.take() {
                content.is_busy = true;
                return Ok(Some(save));
            }
            if content.is_closed {
                return Err(Closed);
            }
            content = match deadline {
                None => self.news.wait(content).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let (content, timeout) =
                        self.news.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return Ok(None);
                    }
                    content
                }
            };
        }
    }
}

/// Nothing more is to be saved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
