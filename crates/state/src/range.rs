//! Walking the keys in order.

use std::collections::{BTreeMap, btree_map};
use std::iter::FusedIterator;
use std::ops::Bound;

use bytes::Bytes;

/// The keys of a range and their values, in order from both ends. Made by [`State::range`](crate::State::range).
#[derive(Clone, Debug, Default)]
pub struct Range<'a>(btree_map::Range<'a, Bytes, Bytes>);

impl<'a> Range<'a> {
    pub(crate) fn new(map: &'a BTreeMap<Bytes, Bytes>, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Self {
        if exclude_each_other(start, end) { Self::default() } else { Self(map.range::<[u8], _>((start, end))) }
    }
}

/// Whether no key can lie within these bounds because of the bounds alone.
fn exclude_each_other(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

impl FusedIterator for Range<'_> {}
