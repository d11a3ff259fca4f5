//! Walking the keys in order.

use std::iter::FusedIterator;
use std::ops::Bound;

use crate::leaf::Leaf;
use crate::page::Page;

/// The keys of a range and their values, in order from both ends. Made by [`State::range`](crate::State::range).
#[derive(Clone, Debug, Default)]
pub struct Range<'a> {
    root: Option<&'a Page>,
    /// How many keys lie before the next one.
    start: u64,
    /// How many keys lie before the end.
    end: u64,
    /// The leaf with the next key and its place there, or the place behind its last one.
    front: Option<(&'a Leaf, usize)>,
    /// The leaf with the last key and the place behind it, or the place of its first one.
    back: Option<(&'a Leaf, usize)>,
}

impl<'a> Range<'a> {
    pub(crate) fn new(root: &'a Page, keys: u64, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Self {
        let (start, end) = ranks(root, keys, start, end);
        Self { root: Some(root), start, end, front: None, back: None }
    }
}

/// How many keys lie before the first and before the end of the bounds.
pub(crate) fn ranks(root: &Page, keys: u64, start: Bound<&[u8]>, end: Bound<&[u8]>) -> (u64, u64) {
    let start = match start {
        Bound::Unbounded => 0,
        Bound::Included(key) => root.rank(key, false),
        Bound::Excluded(key) => root.rank(key, true),
    };
    let end = match end {
        Bound::Unbounded => keys,
        Bound::Included(key) => root.rank(key, true),
        Bound::Excluded(key) => root.rank(key, false),
    };
    (start, end.max(start))
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        let (leaf, at) = match self.front {
            Some((leaf, at)) if at < leaf.len() => (leaf, at),
            _ => self.root?.select(self.start),
        };
        self.start += 1;
        self.front = Some((leaf, at + 1));
        Some(leaf.pair(at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.end - self.start).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        self.end -= 1;
        let (leaf, at) = match self.back {
            Some((leaf, end)) if end > 0 => (leaf, end - 1),
            _ => self.root?.select(self.end),
        };
        self.back = Some((leaf, at));
        Some(leaf.pair(at))
    }
}

impl ExactSizeIterator for Range<'_> {}

impl FusedIterator for Range<'_> {}
