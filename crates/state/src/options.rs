//! What the user of a state may choose.

use std::fmt;

/// How large the pages of a state are. Lies under its root: states with different options never have one root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageOptions {
    page_bytes: usize,
}

impl PageOptions {
    /// The most bytes of a page unless another number is chosen. 4 KiB: some twenty entries of 200 bytes. A smaller page makes the
    /// tree deeper, a larger one costs more to copy and to hash when one of its entries changes.
    pub const PAGE_BYTES_DEFAULT: usize = 4 << 10;

    /// The smallest choice of page bytes: a page has room for a few entries, whatever they are.
    pub const PAGE_BYTES_MIN: usize = 512;

    /// The largest choice of page bytes: places within a page are numbers of 16 bits.
    pub const PAGE_BYTES_MAX: usize = 16 << 10;

    /// Options with pages of at most `page_bytes` bytes each.
    ///
    /// # Errors
    /// When `page_bytes` lies outside of [`Self::PAGE_BYTES_MIN`] to [`Self::PAGE_BYTES_MAX`].
    pub const fn new(page_bytes: usize) -> Result<Self, InvalidPageBytes> {
        if page_bytes < Self::PAGE_BYTES_MIN || page_bytes > Self::PAGE_BYTES_MAX {
            return Err(InvalidPageBytes(page_bytes));
        }
        Ok(Self { page_bytes })
    }

    /// The most bytes of a page. Keys longer than a sixteenth of it and values longer than a quarter lie outside of the pages, which
    /// hold their hashes. A page of fewer than eight children may be larger, when long keys separate them.
    #[must_use]
    pub const fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// The longest key that lies in a page.
    pub(crate) const fn inline_key_bytes(&self) -> usize {
        self.page_bytes / 16
    }

    /// The longest value that lies in a page.
    pub(crate) const fn inline_value_bytes(&self) -> usize {
        self.page_bytes / 4
    }

    /// A page with fewer bytes is merged with a neighbour, if it can be.
    pub(crate) const fn sparse_bytes(&self) -> usize {
        self.page_bytes / 4
    }

    /// The most bytes of a page that comes from merging two: some room is left, so that the next insertion does not split it again.
    pub(crate) const fn merged_bytes(&self) -> usize {
        self.page_bytes / 4 * 3
    }
}

impl Default for PageOptions {
    fn default() -> Self {
        Self { page_bytes: Self::PAGE_BYTES_DEFAULT }
    }
}

/// A number of bytes that pages cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPageBytes(pub usize);

impl fmt::Display for InvalidPageBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (PageOptions::PAGE_BYTES_MIN, PageOptions::PAGE_BYTES_MAX);
        write!(f, "pages of {} bytes are not supported; choose {least} to {most}", self.0)
    }
}

impl std::error::Error for InvalidPageBytes {}
