//! The limits of what is written to disk.

use std::time::Duration;

use viewstamped_storage::journal::JournalOptions;

/// Timeouts and limits of a node's journal and page file. They mean nothing in the `replicated` mode, but at a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageOptions {
    /// The largest size of the journal, in bytes. Default 256 MiB: it holds what was said since the newest durable checkpoint, and
    /// that is two intervals of checkpoints at most while the disk keeps up. One that exists keeps its size.
    pub journal_bytes: u64,
    /// How many bytes of the journal are prepared at once, the first time through. Default 4 MiB: preparing takes a sync of its own.
    pub journal_step_bytes: u64,
    /// From how many bytes on records are made durable before more are added. Default 4 MiB: more makes a sync no cheaper.
    pub journal_batch_bytes: usize,
    /// The most bytes of records that wait for the disk in the `background` mode. Default 64 MiB, a second or so of a fast disk;
    /// beyond it the journal is broken until the next checkpoint, and no operation waits. In the `synchronous` mode nothing is
    /// dropped: what waits is bounded by what a primary may have outstanding.
    pub journal_queue_bytes_max: usize,
    /// How often the journal is made durable in the `background` mode. Default 1 s: what a power cut of all replicas may cost.
    pub journal_sync_interval: Duration,
    /// How many bytes of a checkpoint are written at a time. Default 1 MiB: a disk writes that at full speed.
    pub pages_step_bytes: usize,
    /// How soon a checkpoint that could not be written is tried again. Default 1 s: a disk that was full has space again some time.
    pub pages_save_retry: Duration,
}

impl StorageOptions {
    pub(super) fn journal(&self) -> JournalOptions {
        JournalOptions {
            bytes: self.journal_bytes,
            step_bytes: self.journal_step_bytes,
            batch_bytes: self.journal_batch_bytes,
        }
    }
}

impl Default for StorageOptions {
    fn default() -> Self {
        let journal = JournalOptions::default();
        Self {
            journal_bytes: journal.bytes,
            journal_step_bytes: journal.step_bytes,
            journal_batch_bytes: journal.batch_bytes,
            journal_queue_bytes_max: 64 << 20,
            journal_sync_interval: Duration::from_secs(1),
            pages_step_bytes: 1 << 20,
            pages_save_retry: Duration::from_secs(1),
        }
    }
}
