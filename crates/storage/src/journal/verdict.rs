//! What an opened journal is worth.

use std::fmt;

use viewstamped_protocol::NodeId;

use crate::frame::FileError;

/// What an opened journal is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ends where a batch was made durable, or where one was about to be written.
    Whole,
    /// The last batch reached the disk in part: the power went before its sync was done, so nobody was told that it is durable. It
    /// is dropped.
    Torn {
        /// Sectors that it should have.
        sectors: u32,
        /// Sectors that did not reach the disk.
        missing: u32,
    },
    /// Something that was durable may be damaged or missing. What was read before that is as it was written.
    Doubtful(Doubt),
}

impl Verdict {
    /// Whether everything that was ever durable is there.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Doubtful(_))
    }
}

/// Why a journal cannot be trusted to be all there was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The byte in the file where it begins.
    pub at: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// There is none.
    #[error("there is no journal")]
    Missing,
    /// The header is damaged, or of a later release.
    #[error("the header is wrong: {0}")]
    Header(FileError),
    /// It is the journal of another replica.
    #[error("it is the journal of replica {} or of another cluster", .0.0)]
    Foreign(NodeId),
    /// The disk cannot read it.
    #[error("the disk cannot read it: {0}")]
    Unreadable(String),
    /// What is there could not be made durable.
    #[error("what is there could not be made durable: {0}")]
    Unconfirmed(String),
    /// The file ends too early.
    #[error("the file ends there, and must not")]
    Truncated,
    /// A sector does not match its checksum.
    #[error("a sector does not match its checksum")]
    Damaged,
    /// A sector is older than it can be after a crash: a write was reported as done and never reached it, or it was overwritten.
    #[error("a sector holds something older than it must")]
    Outdated,
    /// A sector beyond the end is newer than the end: something between was lost.
    #[error("the journal ends there, but the sector at byte {beyond} is newer")]
    NewerBeyond {
        /// Where the newer sector is in the file.
        beyond: u64,
    },
    /// The sectors are right, and what they say together is not.
    #[error("a batch makes no sense: its {0}")]
    Content(&'static str),
    /// The record from which it was to be read is not there.
    #[error("the record {sequence}, from which it was to be read, is not there")]
    NoSuchRecord {
        /// Its sequence number.
        sequence: u64,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.reason)
    }
}
