//! The limits of what a replica writes to disk as flags.

use std::sync::LazyLock;

use clap::Args;
use viewstamped::StorageOptions;

use crate::human::{Size, Span};

static DEFAULT: LazyLock<StorageOptions> = LazyLock::new(StorageOptions::default);

/// Timeouts and limits of the journal and the page file of one replica.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timeouts and limits of what this replica writes to disk")]
pub(crate) struct StorageFlags {
    /// The largest size of the journal; one that exists keeps its size
    #[arg(long, value_name = "SIZE", default_value_t = Size(DEFAULT.journal_bytes))]
    journal_bytes: Size,
    /// How much of the journal is prepared at once, the first time through
    #[arg(long, value_name = "SIZE", default_value_t = Size(DEFAULT.journal_step_bytes))]
    journal_step_bytes: Size,
    /// From how many bytes on records are made durable before more are added
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.journal_batch_bytes))]
    journal_batch_bytes: Size,
    /// The most bytes that wait for the journal with durability background; beyond it the journal pauses until the next
    /// checkpoint
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.journal_queue_bytes_max))]
    journal_queue_bytes_max: Size,
    /// How often the journal is made durable with durability background
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.journal_sync_interval))]
    journal_sync_interval: Span,
    /// How many bytes of a checkpoint are written at a time
    #[arg(long, value_name = "SIZE", default_value_t = size(DEFAULT.pages_step_bytes))]
    pages_step_bytes: Size,
    /// How soon a checkpoint that could not be written is tried again
    #[arg(long, value_name = "TIME", default_value_t = Span(DEFAULT.pages_save_retry))]
    pages_save_retry: Span,
}

impl StorageFlags {
    /// The options as the runtime takes them.
    pub(crate) fn options(&self) -> StorageOptions {
        StorageOptions {
            journal_bytes: self.journal_bytes.0,
            journal_step_bytes: self.journal_step_bytes.0,
            journal_batch_bytes: self.journal_batch_bytes.bytes(),
            journal_queue_bytes_max: self.journal_queue_bytes_max.bytes(),
            journal_sync_interval: self.journal_sync_interval.0,
            pages_step_bytes: self.pages_step_bytes.bytes(),
            pages_save_retry: self.pages_save_retry.0,
        }
    }
}

fn size(bytes: usize) -> Size {
    Size(bytes as u64)
}
