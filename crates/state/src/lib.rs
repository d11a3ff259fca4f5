//! The replicated state of a service: an ordered map of byte keys to byte values.
//!
//! [`State`] is the map, [`Snapshot`] a frozen copy of it that costs nothing to take, [`Root`] a hash of the whole contents:
//! two replicas that executed the same operations have the same root.
//!
//! # What stays, and what will change
//!
//! The interface is final: every method, its order of results, and that equal contents mean equal roots. What lies behind it is
//! the simplest thing for now, one `BTreeMap` shared by all snapshots. Pages (issue "State") will change:
//!
//! * the costs, where a method names one: the first write after a snapshot copies the whole map, [`State::root`] reads the whole
//!   map, [`State::count`] and [`State::rank`] walk the keys they count. With pages each of them costs what changed, or a path;
//! * the value of every root, once: [`STRUCTURE_VERSION`] lies under the root, so that roots of different structures never agree
//!   by accident.

mod range;
mod root;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;

pub use range::Range;
pub use root::{Root, STRUCTURE_VERSION};

/// A shared key or value up to this many bytes is copied when it is inserted, so that a small value never keeps alive the large
/// buffer it was received in. 64 KiB: a larger one is a good part of its buffer, and copying it would cost more than it saves.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// An ordered map of byte keys to byte values, ordered as byte strings.
///
/// Cloning costs nothing; the first write to either copy afterwards does (see the crate's documentation). Equality, order and
/// hashes depend on the contents alone, never on how they came about.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    map: Arc<BTreeMap<Bytes, Bytes>>,
    bytes: u64,
}

impl State {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(Bytes::as_ref)
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.map.contains_key(key)
    }

    /// Gives `key` this value. Returns whether it had one before.
    ///
    /// Takes over a buffer that nobody else holds; of a shared one it copies the bytes when they are few.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> bool {
        let (key, value) = (key.into(), unshared(value.into()));
        let map = Arc::make_mut(&mut self.map);
        if let Some(present) = map.get_mut(&key) {
            self.bytes = self.bytes - present.len() as u64 + value.len() as u64;
            *present = value;
            return true;
        }
        self.bytes += key.len() as u64 + value.len() as u64;
        map.insert(unshared(key), value);
        false
    }

    /// Removes `key` and its value. Returns whether it had one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if !self.contains(key) {
            // Removing nothing must not copy a map that a snapshot shares.
            return false;
        }
        let value = Arc::make_mut(&mut self.map).remove(key).expect("the key was there");
        self.bytes -= key.len() as u64 + value.len() as u64;
        true
    }

    /// The keys within `bounds` and their values, in order from both ends. Empty when the bounds exclude each other.
    ///
    /// ```
    /// # use viewstamped_state::State;
    /// let state: State = [("a", "1"), ("b", "2"), ("c", "3")].into_iter().collect();
    /// let from_b = state.range(b"b".as_slice()..).map(|(key, _)| key);
    /// assert!(from_b.eq([b"b", b"c"]));
    /// assert_eq!(state.range(..b"c".as_slice()).next_back(), Some((b"b".as_slice(), b"2".as_slice())));
    /// ```
    #[must_use]
    pub fn range<'k>(&self, bounds: impl RangeBounds<&'k [u8]>) -> Range<'_> {
        Range::new(&self.map, bounds.start_bound().cloned(), bounds.end_bound().cloned())
    }

    /// The smallest key and its value.
    #[must_use]
    pub fn first(&self) -> Option<(&[u8], &[u8])> {
        self.range(..).next()
    }

    /// The largest key and its value.
    #[must_use]
    pub fn last(&self) -> Option<(&[u8], &[u8])> {
        self.range(..).next_back()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The bytes of all keys and values together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many keys lie within `bounds`. For now linear in the result.
    #[must_use]
    pub fn count<'k>(&self, bounds: impl RangeBounds<&'k [u8]>) -> usize {
        self.range(bounds).count()
    }

    /// How many keys are smaller than `key`, which need not be present. For now linear in the result.
    #[must_use]
    pub fn rank(&self, key: &[u8]) -> usize {
        self.count((Bound::Unbounded, Bound::Excluded(key)))
    }

    /// The contents as they are now, to be read while the map moves on. O(1); see the crate's documentation for what the next
    /// write costs.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.clone())
    }

    /// The hash of the whole contents: equal exactly when the contents are. For now linear in [`Self::bytes`], every time.
    #[must_use]
    pub fn root(&self) -> Root {
        root::of(self)
    }
}

/// `bytes`, or a copy of them when they are few and someone else holds their buffer, too.
fn unshared(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPIED_BYTES_MAX && !bytes.is_unique() { Bytes::copy_from_slice(&bytes) } else { bytes }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.map.iter()).finish()
    }
}

impl<K: Into<Bytes>, V: Into<Bytes>> FromIterator<(K, V)> for State {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        let mut state = Self::default();
        for (key, value) in pairs {
            state.insert(key, value);
        }
        state
    }
}

/// A [`State`] that never changes: what [`State::snapshot`] saw. Cheap to clone and to send to another thread.
///
/// It lends itself as `&State`, so everything that reads a state reads a snapshot; nothing can write to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot(State);

impl Deref for Snapshot {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}
