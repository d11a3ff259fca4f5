//! The page file: the newest checkpoint, and what is being written of the next one. The byte diagrams are in docs/formats.md.
//!
//! A checkpoint is two trees of pages and a header. Of a new one only the pages that the one before does not have are written, to
//! free space. When they are durable a superblock names the new checkpoint, and when that is durable, too, what only the one before
//! had is free. So a crash at any moment leaves the newest checkpoint that was reported durable, or the one that was being written.

mod choose;
mod damage;
mod file;
mod index;
mod load;
pub mod partial;
mod place;
mod read;
mod record;
mod save;
mod space;
mod superblock;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod visit;

use std::io;

use bytes::Bytes;
use viewstamped_protocol::ClusterId;
use viewstamped_state::{Snapshot, State};

pub use damage::Damage;
pub use file::PageFile;
pub use record::RecordFault;
pub use verify::{Listed, Listing, Verified, Verifying, list, read, verify};

/// The name of the page file in a replica's directory.
pub const PAGES: &str = "pages";

/// Names a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId {
    /// The last operation in it.
    pub op: u64,
    /// The BLAKE3 hash of its encoded header.
    pub root: [u8; 32],
}

/// Where the journal that belongs to a checkpoint begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPosition {
    /// The number of the record.
    pub sequence: u64,
    /// The sector where it begins.
    pub sector: u64,
}

/// A checkpoint as it is in memory.
#[derive(Clone, Debug)]
pub struct CheckpointFiles {
    /// Its name.
    pub id: CheckpointId,
    /// Its header, encoded.
    pub header: Bytes,
    /// The service state.
    pub service: Snapshot,
    /// The client-table.
    pub client_table: Snapshot,
}

/// A checkpoint as it was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its name.
    pub id: CheckpointId,
    /// Its header, encoded.
    pub header: Bytes,
    /// The service state.
    pub service: State,
    /// The client-table.
    pub client_table: State,
    /// Where the journal goes on.
    pub journal: JournalPosition,
}

/// What a page file is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No checkpoint was ever saved.
    Empty,
    /// The newest checkpoint that was ever durable is there, and whole.
    Sound,
    /// Something is damaged: what was found is a checkpoint, but a newer one may be lost.
    Doubt(Damage),
}

/// What was found in a page file.
#[derive(Debug)]
pub struct Opened {
    /// The checkpoint to go on from.
    pub checkpoint: Option<Loaded>,
    /// Whether it is the newest one.
    pub verdict: Verdict,
}

/// Why a page file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused something.
    #[error("cannot {action} the page file: {source}; check the owner and permissions of the directory, and the disk")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A later release wrote it.
    #[error(
        "the page file has version {version}: a later release wrote it; start the replica with that release or a later one"
    )]
    Newer {
        /// The version found.
        version: u32,
    },
    /// It belongs to another cluster.
    #[error(
        "the page file belongs to cluster {found}, not to {expected}; put back the file of this replica, or remove this one"
    )]
    Foreign {
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        expected: ClusterId,
    },
}

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is not what was written.
    #[error("the checkpoint is damaged: {0}; use that of another replica")]
    Damaged(#[from] Damage),
}

/// Why a checkpoint was not saved. The one saved before is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The disk refused a write; the next checkpoint may be saved again.
    #[error("cannot write a checkpoint: {source}; the one before is kept, and the next one is tried again")]
    Write {
        /// What the operating system said.
        source: io::Error,
    },
    /// It is unknown what a restart would find: the replica must stop.
    #[error("cannot make a checkpoint durable: {source}; check the disk, then start the replica again")]
    Sync {
        /// What the operating system said.
        source: io::Error,
    },
    /// An earlier sync failed: the replica must stop.
    #[error("an earlier checkpoint could not be made durable; check the disk, then start the replica again")]
    Poisoned,
}

/// How far a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to write.
    Writing {
        /// The bytes of records written so far.
        bytes: u64,
    },
    /// The checkpoint is durable.
    Saved {
        /// Its name.
        id: CheckpointId,
        /// The bytes of records written.
        bytes: u64,
    },
}

impl SaveError {
    /// Whether the process must end, because it is unknown what a restart would find.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}
