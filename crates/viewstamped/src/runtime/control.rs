//! How other threads reach the replica's thread: they can only wake it and stop it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes and stops the turn.
#[derive(Debug, Default)]
pub(crate) struct Control {
    wake: Notify,
    is_stopping: AtomicBool,
    is_shutting_down: AtomicBool,
}

impl Control {
    /// Wakes the turn: there is something to handle.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits to be woken; at once when that has happened already.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Tells the replica to stop after its current turn, and to write out everything.
    pub(crate) fn shut_down(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
        self.stop();
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::Acquire)
    }

    /// Tells the replica to stop after its current turn, as a crash does.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Waits until it is told to stop.
    pub(crate) async fn stopping(&self) {
        while !self.is_stopping() {
            self.woken().await;
        }
    }
}
