//! The limits of a journal.

use super::format::{PAGE_SECTORS, RING_OFFSET, RING_SECTORS_MAX, RING_SECTORS_MIN};
use crate::io::SECTOR_BYTES;

/// The limits of a journal, each with its unit, its default and the reason for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// The largest size of the file, in bytes, at least [`Self::BYTES_MIN`]; 256 MiB. What was written since the last durable
    /// checkpoint must fit: two intervals of the default checkpoints of 64 MiB or 65,536 operations, each operation with a sector of
    /// its own, take 192 MiB. Counts for a journal that is created; one that exists keeps its size.
    pub bytes: u64,
    /// How many bytes are prepared at once, in the first lap; 4 MiB. Preparing takes a sync of its own, some ten milliseconds on a
    /// slow disk; and a small cluster shall not take the full size at once.
    pub step_bytes: u64,
    /// From how many bytes on a batch is to be synced before more is appended; 4 MiB. Larger batches make a sync no cheaper, and
    /// let those wait who were first.
    pub batch_bytes: usize,
}

impl JournalOptions {
    /// The smallest journal, in bytes: a page of header and three pages of ring.
    pub const BYTES_MIN: u64 = 16 << 10;

    /// Sectors in the ring: whole pages, within the bounds of the format.
    pub(super) fn ring(&self) -> u64 {
        let sectors = self.bytes.saturating_sub(RING_OFFSET) / SECTOR_BYTES as u64 / PAGE_SECTORS * PAGE_SECTORS;
        sectors.clamp(RING_SECTORS_MIN, RING_SECTORS_MAX)
    }

    /// Sectors in a step.
    pub(super) fn step(&self) -> u64 {
        (self.step_bytes / SECTOR_BYTES as u64).next_multiple_of(PAGE_SECTORS).max(PAGE_SECTORS)
    }
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { bytes: 256 << 20, step_bytes: 4 << 20, batch_bytes: 4 << 20 }
    }
}
