//! One checkpoint in one file that can be written and read in one pass. The byte diagram is in docs/formats.md.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;

use bytes::Bytes;
use viewstamped_protocol::ClusterId;
use viewstamped_state::State;

use crate::pages::CheckpointId;

pub use read::{inspect, read};
pub use write::write;

/// How every backup begins.
const MAGIC: [u8; 8] = *b"VRBACKUP";

/// The version written, and the newest one read.
const VERSION: u32 = 1;

/// The bytes of the header before that of the checkpoint.
const FIXED_BYTES: usize = 240;

/// The bytes of the top of a state.
const TOP_BYTES: usize = 81;

/// The most bytes of a checkpoint's header that are read. 16 MiB: many times what the largest group needs.
const HEADER_BYTES_MAX: u32 = 16 << 20;

/// What a part of a backup is: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// What the hash before it covers: nothing comes behind.
    End = 0,
    /// A page.
    Page = 1,
    /// A key or value that lies outside of pages.
    Field = 2,
}

/// A checkpoint out of a backup.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The cluster that it was saved from.
    pub cluster: ClusterId,
    /// Its name.
    pub id: CheckpointId,
    /// Its header, encoded.
    pub header: Bytes,
    /// The service state.
    pub service: State,
    /// The client-table.
    pub client_table: State,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The cluster that it was saved from.
    pub cluster: ClusterId,
    /// The name of the checkpoint.
    pub id: CheckpointId,
    /// The header of the checkpoint, encoded.
    pub header: Bytes,
    /// The keys of the service state.
    pub service_keys: u64,
    /// The bytes of all keys and values of the service state.
    pub service_bytes: u64,
    /// The keys of the client-table.
    pub client_table_keys: u64,
    /// The parts of the backup: pages, and keys and values outside of them.
    pub parts: u64,
    /// The bytes of the backup.
    pub bytes: u64,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The operating system refused something.
    #[error("cannot read the backup: {0}; check its permissions and the disk")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no backup: it does not begin like one; name a file that `vr backup save` wrote")]
    NotABackup,
    /// A later release wrote it.
    #[error("the backup has version {version}: a later release wrote it; use that release or a later one")]
    Newer {
        /// The version found.
        version: u32,
    },
    /// It ends too early.
    #[error("the backup is cut: it ends after {bytes} bytes; copy it again from where it was saved")]
    Cut {
        /// Its bytes.
        bytes: u64,
    },
    /// It is not what was written.
    #[error(
        "the backup is damaged before byte {offset}: {what}; copy it again from where it was saved, or use another one"
    )]
    Damaged {
        /// Where that shows, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}
