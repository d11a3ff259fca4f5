//! A page of pages.

use std::sync::{Arc, OnceLock};

use crate::leaf_edit::split_place;
use crate::options::PageOptions;
use crate::page::Page;
use crate::root::Hash;
use crate::separators::Separators;

/// What a child counts in its page beside its separator: its hash, its numbers of keys and of bytes, the length of the separator.
const CHILD_PAGE_BYTES: usize = 32 + 8 + 8 + 4;

/// A page with fewer children is not split, however long its separators are: both halves would have one way to go only.
const SPLIT_CHILDREN_MIN: usize = 4;

/// Children in the order of their keys. The keys of child `n` are smaller than separator `n`, those of child `n + 1` are not.
#[derive(Clone, Debug)]
pub(crate) struct Interior {
    pub(crate) hash: OnceLock<Hash>,
    /// How many pages lie between this one and the entries; the same on every way down.
    pub(crate) height: u8,
    pub(crate) separators: Separators,
    pub(crate) children: Vec<Child>,
}

/// A page and what lies in it and below.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) page: Page,
    pub(crate) keys: u64,
    /// The bytes of all keys and values.
    pub(crate) bytes: u64,
}

impl Child {
    pub(crate) fn new(page: Page) -> Self {
        Self { keys: page.keys(), bytes: page.payload_bytes(), page }
    }
}

impl Interior {
    pub(crate) fn new(height: u8, separators: Separators, children: Vec<Child>) -> Arc<Self> {
        assert_eq!(separators.len() + 1, children.len(), "a separator stands between two children");
        Arc::new(Self { hash: OnceLock::new(), height, separators, children })
    }

    /// The place of the child that has `key` if any has, and how many bytes the key shares with all keys there, when it shares
    /// `known` with all keys here.
    pub(crate) fn child_of(&self, key: &[u8], known: usize) -> (usize, usize) {
        let at = self.separators.up_to(key, known);
        (at, self.separators.known_between(at, known))
    }

    /// No page has more children: one that counts more than its bytes is split until it has very few.
    pub(crate) fn children_max(options: &PageOptions) -> usize {
        (options.page_bytes() / CHILD_PAGE_BYTES).max(SPLIT_CHILDREN_MIN - 1)
    }

    /// What the page counts, against the page bytes of the options.
    pub(crate) fn used(&self) -> usize {
        self.separators.bytes() + self.children.len() * CHILD_PAGE_BYTES
    }

    /// Takes in what the child at `at` split off.
    pub(crate) fn adopt(&mut self, at: usize, separator: &[u8], upper: Page) {
        let upper = Child::new(upper);
        let lower = &mut self.children[at];
        (lower.keys, lower.bytes) = (lower.keys - upper.keys, lower.bytes - upper.bytes);
        self.children.insert(at + 1, upper);
        self.separators.insert(at, separator);
    }

    /// Splits the page if it has become too large because of the child at `at`. Returns the upper part and what separates it.
    pub(crate) fn split(&mut self, at: usize, options: &PageOptions) -> Option<(Vec<u8>, Arc<Self>)> {
        let count = self.children.len();
        if self.used() <= options.page_bytes() || count < SPLIT_CHILDREN_MIN {
            return None;
        }
        let total = self.used();
        let wanted = match at {
            0 => total / 8,
            at if at + 1 == count => total / 8 * 7,
            _ => total / 2,
        };
        let separator_bytes = self.separators.keys().map(<[u8]>::len).chain([0]);
        let sizes = separator_bytes.map(|bytes| CHILD_PAGE_BYTES + bytes);
        let place = split_place(sizes, total, wanted, options.page_bytes()).clamp(2, count - 2);
        let children = self.children.split_off(place);
        let separator = self.separators.key(place - 1).to_vec();
        let upper = Self::new(self.height, Separators::new(self.separators.keys().skip(place)), children);
        self.separators = Separators::new(self.separators.keys().take(place - 1));
        Some((separator, upper))
    }

    /// Removes the child at `at`, if it is empty, or merges it with a neighbour, if both are small. Does nothing when it has no
    /// neighbour.
    pub(crate) fn tend(&mut self, at: usize, options: &PageOptions) {
        let child = &self.children[at];
        if self.children.len() == 1 || child.page.used() >= options.sparse_bytes() {
            return;
        }
        if child.keys == 0 {
            self.children.remove(at);
            self.separators.remove(at.saturating_sub(1));
            return;
        }
        let is_small = |lower: usize| {
            let (lower, upper) = (&self.children[lower].page, &self.children[lower + 1].page);
            lower.used() + upper.used() <= options.merged_bytes()
        };
        let below = at.checked_sub(1).filter(|lower| is_small(*lower));
        let above = Some(at).filter(|lower| lower + 1 < self.children.len() && is_small(*lower));
        if let Some(lower) = below.or(above) {
            self.merge(lower);
        }
    }

    /// Makes one of the children at `lower` and behind it.
    fn merge(&mut self, lower: usize) {
        let upper = self.children.remove(lower + 1);
        let merged = &mut self.children[lower];
        merged.page = Page::merge(&merged.page, self.separators.key(lower), &upper.page);
        (merged.keys, merged.bytes) = (merged.keys + upper.keys, merged.bytes + upper.bytes);
        self.separators.remove(lower);
    }
}
