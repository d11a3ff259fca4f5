//! Why bytes are no frame.

use super::header::{MAGIC, VERSION};
use super::reader::NUMBER_MAX;
use crate::configuration::ConfigurationError;
use crate::numbers::ChainHash;

/// Why bytes are no frame. `frame` names the kind of frame, `field` the place in it, as docs/wire-format.md does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes start like no frame: something else speaks.
    #[error(
        "not a frame: it starts with {found:02x?} instead of {MAGIC:02x?}; is this address meant for another program?"
    )]
    Magic {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// The sender speaks another version of the format.
    #[error(
        "the sender speaks version {found} of the wire format and this program version {VERSION}; run releases that share one"
    )]
    Version {
        /// The sender's version.
        found: u16,
    },
    /// The kind is none of this version.
    #[error("frame kind {found:#06x} does not exist in version {VERSION} of the wire format")]
    UnknownKind {
        /// The kind.
        found: u16,
    },
    /// The frame is longer than the limit.
    #[error("{frame} frame of {found} bytes exceeds the limit of {max} bytes")]
    TooLong {
        /// The kind of frame.
        frame: &'static str,
        /// Its length, header included.
        found: u64,
        /// The limit.
        max: usize,
    },
    /// The bytes were damaged on the way.
    #[error("{frame} frame was damaged on the way: its checksum is {found:08x}, its bytes give {expected:08x}")]
    Checksum {
        /// The kind of frame it claims to be.
        frame: &'static str,
        /// The checksum it carries.
        found: u32,
        /// The checksum of its bytes.
        expected: u32,
    },
    /// Bytes name no place in a state.
    #[error("{frame} frame names no place in a state for its {field}")]
    NoPlace {
        /// The kind of frame.
        frame: &'static str,
        /// The field that was being read.
        field: &'static str,
    },
    /// The body ends before its fields do.
    #[error("{frame} frame ends {missing} bytes before the end of its {field}")]
    Truncated {
        /// The kind of frame.
        frame: &'static str,
        /// The field that was being read.
        field: &'static str,
        /// How many bytes more it needs.
        missing: usize,
    },
    /// The fields end before the body does.
    #[error("{frame} frame has {extra} bytes after its last field")]
    Trailing {
        /// The kind of frame.
        frame: &'static str,
        /// How many bytes are left.
        extra: usize,
    },
    /// A byte that chooses between few things chooses none of them.
    #[error("{frame} frame has {found} for {field}, which stands for nothing")]
    Choice {
        /// The kind of frame.
        frame: &'static str,
        /// The field.
        field: &'static str,
        /// The byte.
        found: u8,
    },
    /// A number from which nobody could count on.
    #[error("{frame} frame has {found} for {field}, above {NUMBER_MAX}")]
    NumberTooLarge {
        /// The kind of frame.
        frame: &'static str,
        /// The field.
        field: &'static str,
        /// The number.
        found: u64,
    },
    /// A field that this kind of frame does not use is not zero.
    #[error("{frame} frame has a {field}, which must be zero in it")]
    Unused {
        /// The kind of frame.
        frame: &'static str,
        /// The field.
        field: &'static str,
    },
    /// More of something than is allowed, or than the body has room for.
    #[error("{frame} frame has {found} {field}, at most {max} are possible")]
    TooMany {
        /// The kind of frame.
        frame: &'static str,
        /// What there is too much of.
        field: &'static str,
        /// How many there are.
        found: u64,
        /// How many there may be.
        max: usize,
    },
    /// There are no entries where there must be some.
    #[error("{frame} frame has no entries")]
    NoEntries {
        /// The kind of frame.
        frame: &'static str,
    },
    /// The entries do not end at the op-number the message names.
    #[error("{frame} frame has entries up to op-number {found}, but speaks of a log up to {expected}")]
    WrongEnd {
        /// The kind of frame.
        frame: &'static str,
        /// The op-number of the last entry.
        found: u64,
        /// The op-number of the log.
        expected: u64,
    },
    /// The entries are not the ones the chain hash stands for.
    #[error("{frame} frame has entries with chain hash {found}, but names {expected}")]
    WrongHash {
        /// The kind of frame.
        frame: &'static str,
        /// The hash of the entries.
        found: ChainHash,
        /// The hash named.
        expected: ChainHash,
    },
    /// A crash vector, or another list by node, does not name its nodes in order, each once.
    #[error("{frame} frame has a list of nodes that names {found} after {after}")]
    Disorder {
        /// The kind of frame.
        frame: &'static str,
        /// The node that comes too late.
        found: u64,
        /// The node before it.
        after: u64,
    },
    /// A text is not UTF-8.
    #[error("{frame} frame has a {field} that is not UTF-8")]
    NotText {
        /// The kind of frame.
        frame: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The members make no configuration.
    #[error("CONFIGURATION frame makes no sense: {0}")]
    Configuration(#[from] ConfigurationError),
}
