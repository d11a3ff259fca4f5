//! The memory of a leaf: slots in the order of their keys from the front, keys and values behind them in any order.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::large::Large;
use crate::leaf::Leaf;

/// What a page knows of one entry, as it lies in memory: four bytes of the key, and where the key and the value are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// See [`keys::head`](crate::keys::head).
    pub(crate) head: u32,
    /// Where the key begins, counted back from the end of the page, so that it stays when the page gets more room. The value
    /// follows the key.
    pub(crate) at: u16,
    /// The length of the key, or [`LARGE`].
    pub(crate) key: u16,
    /// The length of the value, or [`LARGE`].
    pub(crate) value: u16,
}

/// Stands for the length of a field that lies outside: in its place is its number among the large fields.
pub(crate) const LARGE: u16 = u16::MAX;

/// The bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 10;

/// The room of the smallest leaf that has any.
pub(crate) const SMALLEST_ROOM_BYTES: usize = 256;

impl Slot {
    pub(crate) fn read(bytes: &[u8; SLOT_BYTES]) -> Self {
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self { head: Self::head(bytes), at: number(4), key: number(6), value: number(8) }
    }

    pub(crate) fn write(self, bytes: &mut [u8; SLOT_BYTES]) {
        bytes[..4].copy_from_slice(&self.head.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.at.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.key.to_le_bytes());
        bytes[8..].copy_from_slice(&self.value.to_le_bytes());
    }

    pub(crate) fn head(bytes: &[u8; SLOT_BYTES]) -> u32 {
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Where the stored bytes of the key lie in a page with `room` bytes.
    pub(crate) fn key_range(self, room: usize) -> Range<usize> {
        let at = room - usize::from(self.at);
        at..at + stored(self.key)
    }

    /// Where the stored bytes of the value lie.
    pub(crate) fn value_range(self, room: usize) -> Range<usize> {
        let at = room - usize::from(self.at) + stored(self.key);
        at..at + stored(self.value)
    }

    pub(crate) fn stored_bytes(self) -> usize {
        stored(self.key) + stored(self.value)
    }
}

fn stored(length: u16) -> usize {
    if length == LARGE { crate::entry::LARGE_STORED_BYTES } else { usize::from(length) }
}

/// `number` as a place or a length in a page.
pub(crate) fn small(number: usize) -> u16 {
    u16::try_from(number).expect("a page is smaller than 64 KiB")
}

/// A leaf without entries that has room for `bytes` bytes of them, and a bit more.
///
/// The room comes with the leaf in one piece of memory, of one of a few sizes.
pub(crate) fn allocate(bytes: usize, large: Vec<Arc<Large>>) -> Arc<Leaf> {
    macro_rules! room {
        ($($size:literal)*) => {
            match bytes {
                $(..=$size => Arc::new(empty([0; $size], large)),)*
                _ => unreachable!("a page has at most PageOptions::PAGE_BYTES_MAX bytes, not {bytes}"),
            }
        };
    }
    room! {
        0 256 512 768 1024 1280 1536 1792 2048 2304 2560 2816 3072 3328 3584 3840 4096
        4608 5120 5632 6144 6656 7168 7680 8192 9216 10240 11264 12288 13312 14336 15360 16384
    }
}

fn empty<const N: usize>(bytes: [u8; N], large: Vec<Arc<Large>>) -> Leaf<[u8; N]> {
    Leaf { hash: OnceLock::new(), prefix_end: 0, count: 0, prefix: 0, heap: 0, garbage: 0, used: 0, large, bytes }
}
