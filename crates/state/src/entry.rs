//! Keys and values on their way into pages.

use std::sync::Arc;

use bytes::Bytes;

use crate::large::Large;
use crate::options::PageOptions;

/// A key or a value.
#[derive(Clone, Debug)]
pub(crate) enum Field<'a> {
    /// Lies in the page.
    Inline(&'a [u8]),
    /// Lies outside; the page has its place and its hash.
    Large(Arc<Large>),
}

impl<'a> Field<'a> {
    /// In a page when it has at most `inline_bytes`; `buffer` makes the bytes outside otherwise.
    pub(crate) fn new(bytes: &'a [u8], inline_bytes: usize, buffer: impl FnOnce() -> Bytes) -> Self {
        if bytes.len() <= inline_bytes { Self::Inline(bytes) } else { Self::Large(Arc::new(Large::new(buffer()))) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Large(large) => &large.bytes,
        }
    }

    /// The bytes it takes in the memory of a page.
    pub(crate) fn stored_bytes(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Large(_) => LARGE_STORED_BYTES,
        }
    }

    /// The bytes it counts in a page: those of its encoding.
    pub(crate) fn page_bytes(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Large(_) => LARGE_PAGE_BYTES,
        }
    }
}

/// What a page stores of a large field: its place among the large fields of the page.
pub(crate) const LARGE_STORED_BYTES: usize = 2;

/// What a large field counts in its page: its length and its hash.
pub(crate) const LARGE_PAGE_BYTES: usize = 40;

/// What an entry counts in its page beside its key and value: its slot.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 10;

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Field<'a>,
    pub(crate) value: Field<'a>,
}

impl<'a> Entry<'a> {
    /// An entry whose bytes are copied, be it into a page or beside it.
    pub(crate) fn copied(key: &'a [u8], value: &'a [u8], options: &PageOptions) -> Self {
        Self {
            key: Field::new(key, options.inline_key_bytes(), || Bytes::copy_from_slice(key)),
            value: Field::new(value, options.inline_value_bytes(), || Bytes::copy_from_slice(value)),
        }
    }

    /// The bytes of its key and its value.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.key.bytes().len() + self.value.bytes().len()
    }

    pub(crate) fn stored_bytes(&self) -> usize {
        self.key.stored_bytes() + self.value.stored_bytes()
    }

    pub(crate) fn page_bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES + self.key.page_bytes() + self.value.page_bytes()
    }
}
