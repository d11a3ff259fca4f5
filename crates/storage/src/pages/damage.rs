//! What can be wrong with a page file.

use viewstamped_state::BadPart;

use super::record::RecordFault;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Both copies of a superblock are unreadable: it is unknown whether they named a newer checkpoint.
    #[error(
        "the superblock at offset {offset} and its copy are damaged; a newer checkpoint than the one found may be lost"
    )]
    Superblock {
        /// Where the first copy lies, in bytes.
        offset: u64,
    },
    /// The disk does not give back what is there.
    #[error("the disk cannot read {bytes} bytes at offset {offset}: {error}")]
    Unreadable {
        /// Where, in bytes.
        offset: u64,
        /// How many bytes were asked for.
        bytes: u64,
        /// What the disk said.
        error: String,
    },
    /// The file ends before a record does.
    #[error("the file is cut: a record of {bytes} bytes at offset {offset} reaches beyond its end")]
    Truncated {
        /// Where the record begins, in bytes.
        offset: u64,
        /// How many bytes it has.
        bytes: u64,
    },
    /// A record is not what was written.
    #[error("the record at offset {offset} is damaged: {fault}")]
    Record {
        /// Where it begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// A page is not the one that is named, or none at all.
    #[error("the page at offset {offset} cannot be used: {why}")]
    Page {
        /// Where its record begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        why: BadPart,
    },
    /// Two records share bytes.
    #[error("the record at offset {offset} lies in the place of another one")]
    Overlap {
        /// Where it begins, in bytes.
        offset: u64,
    },
}
