//! The replicated state of a service: an ordered map of byte keys to byte values, in pages that are copied when they change.
//!
//! [`State`] is the map, [`Snapshot`] a frozen copy of it that costs nothing to take, [`Root`] a hash of all of it. It is a B+tree:
//!
//! * a page is shared by all states and snapshots in which it is the same. A snapshot is one more pointer to the root; the first
//!   write to a page afterwards copies this page and those above it, and no others;
//! * a page keeps its hash until it changes. [`State::root`] hashes the pages that changed since the last root, and no others;
//! * what two states share is skipped by [`State::difference`], and by comparing them;
//! * a page knows how many keys and bytes lie below it: [`State::count`] and [`State::rank`] follow two paths;
//! * a page names those below it by their hashes: [`Fetch`] builds the state with a given root out of parts from anywhere, and asks
//!   for none that is there; [`State::pages_not_in`] finds what to write to a disk, and [`State::load`] reads it.
//!
//! # What a root says
//!
//! A root names the pages, and pages depend on how the contents came about: inserting in another order splits other pages. So
//!
//! * states that executed the same operations, in the same order, from empty states with the same [`PageOptions`], have the same
//!   root. Snapshots, clones and roots taken in between change nothing, nor does the machine;
//! * states with the same root have the same contents, and the same pages;
//! * states with the same contents but another history usually have different roots. Compare them with `==`, which sees only the
//!   contents, as do hashes of the standard library and `Debug`.
//!
//! An operation is a call of [`State::put`], [`State::insert`] or [`State::remove`]; the first two are one and the same here.
//! Removing a key that is not there is no operation. [`STRUCTURE_VERSION`] lies under the root, so that roots of releases that form
//! pages in different ways never agree by accident.

mod decoding;
mod difference;
mod encoding;
mod entry;
mod fetch;
mod interior;
#[cfg(test)]
mod invariants;
mod keys;
mod large;
mod leaf;
mod leaf_edit;
mod load;
mod options;
mod page;
mod pages;
mod part;
mod place;
mod range;
mod root;
mod separators;
mod slots;
mod stored;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, RangeBounds};

use bytes::Bytes;

use entry::{Entry, Field};
use page::{Page, Way};

pub use decoding::BadPart;
pub use difference::{Change, Difference};
pub use fetch::{Fetch, Progress};
pub use load::LoadError;
pub use options::{InvalidPageBytes, PageOptions};
pub use pages::{FieldRef, PageRef, Pages};
pub use place::Place;
pub use range::Range;
pub use root::{Root, STRUCTURE_VERSION};
pub use stored::{FieldHandle, NamedPage, PageHandle, ReadInterior, ReadLeaf, ReadPage};

/// A shared key or value up to this many bytes is copied when it is inserted, so that a small value never keeps alive the large
/// buffer it was received in. 64 KiB: a larger one is a good part of its buffer, and copying it would cost more than it saves.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// An ordered map of byte keys to byte values, ordered as byte strings.
///
/// Cloning costs nothing; writing to either copy afterwards copies the pages it changes. Equality and hashes depend on the contents
/// alone, never on how they came about.
#[derive(Clone)]
pub struct State {
    root: Page,
    keys: u64,
    /// The bytes of all keys and values.
    bytes: u64,
    options: PageOptions,
}

impl State {
    /// An empty state whose pages are as chosen. [`State::default`] has those of [`PageOptions::default`].
    #[must_use]
    pub fn with_options(options: PageOptions) -> Self {
        Self { root: Page::empty(), keys: 0, bytes: 0, options }
    }

    /// What was chosen for this state.
    #[must_use]
    pub fn options(&self) -> &PageOptions {
        &self.options
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (leaf, at) = self.root.find(key);
        at.map(|at| leaf.value(at))
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.root.find(key).1.is_some()
    }

    /// Gives `key` this value, copying both. Returns whether it had one before.
    ///
    /// A value as long as the one before is written over it.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        match self.root.overwrite(key, value) {
            Ok(()) => true,
            Err(way) => self.write(&way, &Entry::copied(key, value, &self.options)),
        }
    }

    /// Gives `key` this value, as [`State::put`] does. Returns whether it had one before.
    ///
    /// What is too long to lie in a page is taken over, if nobody else holds its buffer; of a shared one the bytes are copied when
    /// they are few.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> bool {
        let (key, value) = (key.into(), value.into());
        let options = self.options;
        if key.len() <= options.inline_key_bytes() && value.len() <= options.inline_value_bytes() {
            return self.put(&key, &value);
        }
        let (key, value) = (unshared(key), unshared(value));
        let entry = Entry {
            key: Field::new(&key, options.inline_key_bytes(), || key.clone()),
            value: Field::new(&value, options.inline_value_bytes(), || value.clone()),
        };
        self.write(&self.root.way(&key), &entry)
    }

    fn write(&mut self, way: &Way, entry: &Entry<'_>) -> bool {
        let page::Inserted { replaced, upper } = self.root.insert(way, entry, &self.options);
        if let Some((separator, upper)) = upper {
            let lower = std::mem::replace(&mut self.root, Page::empty());
            self.root = Page::above(lower, &separator, upper);
        }
        self.bytes += entry.payload_bytes() as u64;
        let Some(replaced) = replaced else {
            self.keys += 1;
            return false;
        };
        self.bytes -= replaced as u64;
        self.trim();
        true
    }

    /// Removes `key` and its value. Returns whether it had one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if !self.contains(key) {
            // Removing nothing must not copy pages that a snapshot shares.
            return false;
        }
        self.bytes -= self.root.remove(0, key, &self.options);
        self.keys -= 1;
        self.trim();
        true
    }

    /// Takes away pages above the only one that has a choice.
    fn trim(&mut self) {
        if let Some(root) = self.root.trimmed() {
            self.root = root;
        }
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
        Range::new(&self.root, self.keys, bounds.start_bound().cloned(), bounds.end_bound().cloned())
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
        in_memory(self.keys)
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// The bytes of all keys and values together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many keys lie within `bounds`. Logarithmic.
    #[must_use]
    pub fn count<'k>(&self, bounds: impl RangeBounds<&'k [u8]>) -> usize {
        let (start, end) =
            range::ranks(&self.root, self.keys, bounds.start_bound().cloned(), bounds.end_bound().cloned());
        in_memory(end - start)
    }

    /// How many keys are smaller than `key`, which need not be present. Logarithmic.
    #[must_use]
    pub fn rank(&self, key: &[u8]) -> usize {
        in_memory(self.root.rank(key, false))
    }

    /// The contents as they are now, to be read while the map moves on. O(1); the next write to a page copies it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.clone())
    }

    /// The hash of the whole state: equal for replicas that executed the same operations; see the crate's documentation for what
    /// else it says. Hashes the pages that changed since a root of this state, of a clone or of a snapshot of it was asked for.
    #[must_use]
    pub fn root(&self) -> Root {
        root::of(self)
    }

    /// What changed from this state to `newer`, in the order of the keys.
    ///
    /// Costs what differs, and for each difference a path, when one is a snapshot of the other. Pages that are equal but not shared
    /// are skipped as well if both states know their hashes: ask for the roots first.
    ///
    /// ```
    /// # use viewstamped_state::{Change, State};
    /// let mut state: State = [("a", "1"), ("b", "2")].into_iter().collect();
    /// let before = state.snapshot();
    /// state.put(b"b", b"3");
    /// let changes: Vec<Change> = before.difference(&state).collect();
    /// assert_eq!(changes, [Change { key: b"b", old: Some(b"2"), new: Some(b"3") }]);
    /// ```
    #[must_use]
    pub fn difference<'a>(&'a self, newer: &'a Self) -> Difference<'a> {
        Difference::new(&self.root, &newer.root)
    }
}

/// `bytes`, or a copy of them when they are few and someone else holds their buffer, too.
fn unshared(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPIED_BYTES_MAX && !bytes.is_unique() { Bytes::copy_from_slice(&bytes) } else { bytes }
}

fn in_memory(keys: u64) -> usize {
    usize::try_from(keys).expect("a key takes at least a byte of memory")
}

impl Default for State {
    fn default() -> Self {
        Self::with_options(PageOptions::default())
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        (self.keys, self.bytes) == (other.keys, other.bytes) && self.difference(other).next().is_none()
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.keys);
        self.range(..).for_each(|pair| pair.hash(hasher));
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.range(..).map(|(key, value)| (Text(key), Text(value)))).finish()
    }
}

/// Bytes, shown as a byte string.
struct Text<'a>(&'a [u8]);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
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

impl Snapshot {
    /// A state that begins as this snapshot is, and can be changed.
    #[must_use]
    pub fn thawed(&self) -> State {
        self.0.clone()
    }
}

impl Deref for Snapshot {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
