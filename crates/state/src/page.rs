//! A node of the tree, and the walks that need only its totals.

use std::sync::Arc;

use crate::entry::Entry;
use crate::interior::{Child, Interior};
use crate::keys;
use crate::leaf::Leaf;
use crate::leaf_edit;
use crate::options::PageOptions;
use crate::separators::Separators;
use crate::slots::small;

/// A page, shared by all states and snapshots in which it is the same; copied before it is changed, unless nobody shares it.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    /// Of entries.
    Leaf(Arc<Leaf>),
    /// Of pages.
    Interior(Arc<Interior>),
}

/// What writing an entry below a page did.
pub(crate) struct Inserted {
    /// The payload bytes of the entry that the new one replaced.
    pub(crate) replaced: Option<usize>,
    /// The upper part of the page, and what separates it from the lower one, if it had to be split.
    pub(crate) upper: Option<(Vec<u8>, Page)>,
}

/// The way down to an entry, so that it is searched for once.
pub(crate) struct Way {
    /// The numbers of the children, by the height of the page above them. Of higher pages than any should be they are not noted.
    children: [u16; 16],
    /// The place of the entry in its leaf, or the place where it would be.
    entry: Result<usize, usize>,
}

impl Default for Way {
    fn default() -> Self {
        Self { children: [0; _], entry: Err(0) }
    }
}

impl Way {
    fn note(&mut self, page: &Interior, child: usize) {
        if let Some(noted) = self.children.get_mut(usize::from(page.height) - 1) {
            *noted = small(child);
        }
    }

    fn to(self, entry: Result<usize, usize>) -> Self {
        Self { entry, ..self }
    }

    /// The child of `page` on the way to the entry of `key`.
    fn child(&self, page: &Interior, key: &[u8]) -> usize {
        match self.children.get(usize::from(page.height) - 1) {
            Some(child) => usize::from(*child),
            None => page.child_of(key, 0).0,
        }
    }
}

impl Page {
    /// The empty tree.
    pub(crate) fn empty() -> Self {
        Self::Leaf(Leaf::empty())
    }

    /// How many pages lie between this one and the entries.
    pub(crate) fn height(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Interior(page) => page.height,
        }
    }

    /// Whether both are one page in memory, or known to have one hash.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(a), Self::Leaf(b)) => {
                Arc::ptr_eq(a, b) || (a.hash.get().is_some() && a.hash.get() == b.hash.get())
            }
            (Self::Interior(a), Self::Interior(b)) => {
                Arc::ptr_eq(a, b) || (a.hash.get().is_some() && a.hash.get() == b.hash.get())
            }
            _ => false,
        }
    }

    /// The number of keys in the page and below.
    pub(crate) fn keys(&self) -> u64 {
        match self {
            Self::Leaf(page) => page.len() as u64,
            Self::Interior(page) => page.children.iter().map(|child| child.keys).sum(),
        }
    }

    /// The bytes of all keys and values in the page and below.
    pub(crate) fn payload_bytes(&self) -> u64 {
        match self {
            Self::Leaf(page) => page.payload_bytes(),
            Self::Interior(page) => page.children.iter().map(|child| child.bytes).sum(),
        }
    }

    /// What the page itself counts, against the page bytes of the options.
    pub(crate) fn used(&self) -> usize {
        match self {
            Self::Leaf(page) => page.used(),
            Self::Interior(page) => page.used(),
        }
    }

    /// The leaf that has `key` if any has, and where it is there.
    pub(crate) fn find(&self, key: &[u8]) -> (&Leaf, Option<usize>) {
        let (mut page, mut known) = (self, 0);
        loop {
            match page {
                Self::Leaf(leaf) => return (leaf, leaf.search(key, known).ok()),
                Self::Interior(interior) => {
                    let at;
                    (at, known) = interior.child_of(key, known);
                    page = &interior.children[at].page;
                }
            }
        }
    }

    /// The page of this height in whose place `key` lies; `None` when the tree is not as high.
    pub(crate) fn around(&self, key: &[u8], height: u8) -> Option<&Self> {
        let (mut page, mut known) = (self, 0);
        while let Self::Interior(interior) = page
            && interior.height > height
        {
            let at;
            (at, known) = interior.child_of(key, known);
            page = &interior.children[at].page;
        }
        (page.height() == height).then_some(page)
    }

    /// The smallest key in the page and below.
    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        let mut page = self;
        loop {
            match page {
                Self::Leaf(leaf) => return (leaf.len() > 0).then(|| leaf.key(0)),
                Self::Interior(interior) => page = &interior.children.first()?.page,
            }
        }
    }

    /// The largest key in the page and below.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        let mut page = self;
        loop {
            match page {
                Self::Leaf(leaf) => return leaf.len().checked_sub(1).map(|last| leaf.key(last)),
                Self::Interior(interior) => page = &interior.children.last()?.page,
            }
        }
    }

    /// How many keys are smaller than `key`, or also `key` itself if `with_key`.
    pub(crate) fn rank(&self, key: &[u8], with_key: bool) -> u64 {
        let (mut page, mut known, mut before) = (self, 0, 0);
        loop {
            match page {
                Self::Leaf(leaf) => {
                    let place = leaf.search(key, known).map_or_else(|at| at, |at| at + usize::from(with_key));
                    return before + place as u64;
                }
                Self::Interior(interior) => {
                    let at;
                    (at, known) = interior.child_of(key, known);
                    let (smaller, rest) = interior.children.split_at(at);
                    before += smaller.iter().map(|child| child.keys).sum::<u64>();
                    page = &rest[0].page;
                }
            }
        }
    }

    /// The leaf with the entry before which there are `rank` others, and its place there. The last place behind all when there are
    /// no more than `rank`.
    pub(crate) fn select(&self, rank: u64) -> (&Leaf, usize) {
        let (mut page, mut rank) = (self, rank);
        loop {
            match page {
                Self::Leaf(leaf) => return (leaf, usize::try_from(rank).map_or(leaf.len(), |at| at.min(leaf.len()))),
                Self::Interior(interior) => {
                    let (last, others) = interior.children.split_last().expect("a page has children");
                    let child = others.iter().find(|child| {
                        let is_here = rank < child.keys;
                        rank -= if is_here { 0 } else { child.keys };
                        is_here
                    });
                    page = &child.unwrap_or(last).page;
                }
            }
        }
    }

    /// The way to the entry of `key`, or to where it would be.
    pub(crate) fn way(&self, key: &[u8]) -> Way {
        let (mut page, mut known, mut way) = (self, 0, Way::default());
        loop {
            match page {
                Self::Leaf(leaf) => return way.to(leaf.search(key, known)),
                Self::Interior(interior) => {
                    let at;
                    (at, known) = interior.child_of(key, known);
                    way.note(interior, at);
                    page = &interior.children[at].page;
                }
            }
        }
    }

    /// Writes `value` over the one of `key`, if there is one of the same length in a page; returns the way there otherwise.
    ///
    /// The usual way to write, and fast: nothing moves, and no number changes. Otherwise all that it touched is about to be changed
    /// by [`Self::insert`].
    pub(crate) fn overwrite(&mut self, key: &[u8], value: &[u8]) -> Result<(), Way> {
        let (mut page, mut known, mut way) = (self, 0, Way::default());
        loop {
            match page {
                Self::Leaf(leaf) => {
                    let at = leaf.search(key, known);
                    let is_done = at.is_ok_and(|at| leaf_edit::overwrite(leaf, at, value));
                    return if is_done { Ok(()) } else { Err(way.to(at)) };
                }
                Self::Interior(interior) => {
                    let interior = changed(interior);
                    let at;
                    (at, known) = interior.child_of(key, known);
                    way.note(interior, at);
                    page = &mut interior.children[at].page;
                }
            }
        }
    }

    /// Writes an entry below the page, to which this is the way.
    pub(crate) fn insert(&mut self, way: &Way, entry: &Entry<'_>, options: &PageOptions) -> Inserted {
        match self {
            Self::Leaf(page) => {
                let written = leaf_edit::write(page, way.entry, entry, options);
                let upper = written.upper.map(|upper| {
                    let separator = keys::separator(page.key(page.len() - 1), upper.key(0)).to_vec();
                    (separator, Self::Leaf(upper))
                });
                Inserted { replaced: written.replaced, upper }
            }
            Self::Interior(page) => insert_below(changed(page), way, entry, options),
        }
    }

    /// Removes the entry of `key`, which is there. Returns the bytes of its key and value.
    pub(crate) fn remove(&mut self, known: usize, key: &[u8], options: &PageOptions) -> u64 {
        match self {
            Self::Leaf(page) => {
                let at = page.search(key, known).expect("the key is there");
                let bytes = page.key(at).len() + page.value(at).len();
                leaf_edit::remove(page, at);
                bytes as u64
            }
            Self::Interior(page) => {
                let page = changed(page);
                let (at, known) = page.child_of(key, known);
                let child = &mut page.children[at];
                let bytes = child.page.remove(known, key, options);
                (child.keys, child.bytes) = (child.keys - 1, child.bytes - bytes);
                page.tend(at, options);
                bytes
            }
        }
    }

    /// One page of two neighbours, between which there was `separator`.
    pub(crate) fn merge(lower: &Self, separator: &[u8], upper: &Self) -> Self {
        match (lower, upper) {
            (Self::Leaf(lower), Self::Leaf(upper)) => Self::Leaf(leaf_edit::merge(lower, upper)),
            (Self::Interior(lower), Self::Interior(upper)) => {
                let separators = lower.separators.keys().chain([separator]).chain(upper.separators.keys());
                let children = lower.children.iter().chain(&upper.children).cloned();
                Self::Interior(Interior::new(lower.height, Separators::new(separators), children.collect()))
            }
            _ => unreachable!("neighbours have one height"),
        }
    }

    /// A page above two that were one.
    pub(crate) fn above(lower: Self, separator: &[u8], upper: Self) -> Self {
        let height = lower.height() + 1;
        let children = vec![Child::new(lower), Child::new(upper)];
        Self::Interior(Interior::new(height, Separators::new([separator]), children))
    }

    /// The page that can take the place of this one at the root: it has entries, or more than one child, or nothing at all.
    pub(crate) fn trimmed(&self) -> Option<Self> {
        let Self::Interior(page) = self else { return None };
        match page.children.as_slice() {
            [only] => Some(only.page.trimmed().unwrap_or_else(|| only.page.clone())),
            _ => None,
        }
    }
}

fn insert_below(page: &mut Interior, way: &Way, entry: &Entry<'_>, options: &PageOptions) -> Inserted {
    let at = way.child(page, entry.key.bytes());
    let child = &mut page.children[at];
    let Inserted { replaced, upper } = child.page.insert(way, entry, options);
    child.keys += u64::from(replaced.is_none());
    let (old_bytes, new_bytes) = (replaced.unwrap_or(0) as u64, entry.payload_bytes() as u64);
    child.bytes = child.bytes + new_bytes - old_bytes;
    let Some((separator, upper)) = upper else {
        if new_bytes < old_bytes {
            page.tend(at, options);
        }
        return Inserted { replaced, upper: None };
    };
    page.adopt(at, &separator, upper);
    let upper = page.split(at + 1, options).map(|(separator, upper)| (separator, Page::Interior(upper)));
    Inserted { replaced, upper }
}

/// The page, shared with nobody and without a hash.
fn changed(page: &mut Arc<Interior>) -> &mut Interior {
    let page = Arc::make_mut(page);
    page.hash.take();
    page
}
