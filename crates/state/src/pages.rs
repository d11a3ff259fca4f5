//! The pages of a state for somebody who stores them, and those that another state has not.

use std::fmt;
use std::iter::FusedIterator;

use bytes::Bytes;

use crate::State;
use crate::encoding;
use crate::interior::Interior;
use crate::large::Large;
use crate::page::Page;

/// A page of a state as it is stored: its encoding, its hash, and what it names.
#[derive(Clone, Copy)]
pub struct PageRef<'a>(&'a Page);

/// A key or a value that lies outside of its page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// The BLAKE3 hash of the bytes, which names them in the page.
    pub hash: [u8; 32],
    /// The key or the value.
    pub bytes: &'a Bytes,
}

impl<'a> PageRef<'a> {
    /// The BLAKE3 hash of its encoding.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.0.hash()
    }

    /// The bytes that [`State::load`] makes the page of.
    #[must_use]
    pub fn encoding(&self) -> Vec<u8> {
        let mut encoding = Vec::new();
        encoding::page(self.0, &mut encoding);
        encoding
    }

    /// How many pages lie between this one and the entries.
    #[must_use]
    pub fn height(&self) -> u8 {
        self.0.height()
    }

    /// The hashes of the pages below it, in order; none when it holds entries.
    pub fn children(&self) -> impl ExactSizeIterator<Item = [u8; 32]> + use<'a> {
        let children = match self.0 {
            Page::Leaf(_) => &[],
            Page::Interior(page) => &page.children[..],
        };
        children.iter().map(|child| *child.page.hash())
    }

    /// The fields that lie outside of it, in the order of the entries, a key before its value. The same field may be there more than
    /// once, in one page and in many.
    pub fn fields(&self) -> impl Iterator<Item = FieldRef<'a>> + use<'a> {
        let leaf = match self.0 {
            Page::Leaf(leaf) => Some(leaf),
            Page::Interior(_) => None,
        };
        let fields = leaf.into_iter().flat_map(|leaf| leaf.large_in_order());
        fields.map(|field| FieldRef { hash: *Large::hash(field), bytes: &field.bytes })
    }
}

impl fmt::Debug for PageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = blake3::Hash::from_bytes(self.hash());
        f.debug_struct("PageRef").field("height", &self.height()).field("hash", &hash.to_hex()).finish_non_exhaustive()
    }
}

impl fmt::Debug for FieldRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = blake3::Hash::from_bytes(self.hash);
        f.debug_struct("FieldRef")
            .field("length", &self.bytes.len())
            .field("hash", &hash.to_hex())
            .finish_non_exhaustive()
    }
}

/// Pages, each behind those below it. Made by [`State::pages`] and [`State::pages_not_in`].
#[derive(Clone, Debug)]
pub struct Pages<'a> {
    /// The root page, before it was looked at.
    root: Option<&'a Page>,
    /// The pages that are open, from the root down.
    open: Vec<Open<'a>>,
    /// The root page of the state whose pages are left out.
    other: Option<&'a Page>,
}

/// A page some of whose children were looked at.
#[derive(Clone, Debug)]
struct Open<'a> {
    page: &'a Page,
    interior: &'a Interior,
    /// How many children were looked at.
    done: usize,
    /// The page where these keys lie in the other state, and the child there that is likely to be the next one here.
    beside: Option<(&'a Interior, usize)>,
}

impl State {
    /// All pages of this state, each behind those below it, the root page last. See [`State::load`] for how they become a state again.
    #[must_use]
    pub fn pages(&self) -> Pages<'_> {
        self.root.hash();
        Pages { root: Some(&self.root), open: Vec::new(), other: None }
    }

    /// The pages of this state that `other` has not, each behind those below it.
    ///
    /// A page lies in a state at most once. So to have the pages of a new state where those of an old one are, add what
    /// `new.pages_not_in(&old)` gives, and take away what `old.pages_not_in(&new)` gives; of the fields that lie outside of pages
    /// count how many times they are named. Costs what differs, when the roots of both were asked for before.
    ///
    /// ```
    /// # use viewstamped_state::State;
    /// let mut state: State = (0..10_000u32).map(|number| (number.to_be_bytes().to_vec(), "value")).collect();
    /// let before = state.snapshot();
    /// state.put(&77u32.to_be_bytes(), b"changed");
    /// let (added, removed) = (state.pages_not_in(&before), before.pages_not_in(&state));
    /// let path = [0, 1]; // A page with the entry, and the root page.
    /// assert!(added.map(|page| page.height()).eq(path) && removed.map(|page| page.height()).eq(path));
    /// ```
    #[must_use]
    pub fn pages_not_in<'a>(&'a self, other: &'a Self) -> Pages<'a> {
        // Pages are known to be the same when both are hashed.
        self.root.hash();
        other.root.hash();
        Pages { root: Some(&self.root), open: Vec::new(), other: Some(&other.root) }
    }
}

impl<'a> Pages<'a> {
    /// Whether the other state has the page. Its first key would lie in no other page of this height there.
    fn is_left_out(&self, page: &Page) -> bool {
        let Some(other) = self.other else { return false };
        let same = match page.first_key() {
            Some(key) => other.around(key, page.height()),
            None => Some(other),
        };
        same.is_some_and(|same| same.is_same(page))
    }

    /// Opens the page, or returns it when there is nothing below it.
    fn enter(&mut self, page: &'a Page) -> Option<PageRef<'a>> {
        let Page::Interior(interior) = page else { return Some(PageRef(page)) };
        let beside = page.first_key().zip(self.other).and_then(|(key, other)| other.around(key, interior.height));
        let beside = beside.and_then(|beside| match beside {
            Page::Interior(interior) => Some((&**interior, 0)),
            Page::Leaf(_) => None,
        });
        self.open.push(Open { page, interior, done: 0, beside });
        None
    }
}

impl<'a> Open<'a> {
    /// The next child, unless it is the one that is likely to be the same.
    fn next_child(&mut self) -> Option<Option<&'a Page>> {
        let child = &self.interior.children.get(self.done)?.page;
        self.done += 1;
        let Some((beside, at)) = &mut self.beside else { return Some(Some(child)) };
        *at += 1;
        let is_same = beside.children.get(*at - 1).is_some_and(|other| other.page.is_same(child));
        Some((!is_same).then_some(child))
    }
}

impl<'a> Iterator for Pages<'a> {
    type Item = PageRef<'a>;

    fn next(&mut self) -> Option<PageRef<'a>> {
        if let Some(root) = self.root.take() {
            if self.is_left_out(root) {
                return None;
            }
            if let Some(leaf) = self.enter(root) {
                return Some(leaf);
            }
        }
        loop {
            match self.open.last_mut()?.next_child() {
                None => return self.open.pop().map(|open| PageRef(open.page)),
                Some(None) => {}
                Some(Some(child)) => {
                    if !self.is_left_out(child)
                        && let Some(leaf) = self.enter(child)
                    {
                        return Some(leaf);
                    }
                }
            }
        }
    }
}

impl FusedIterator for Pages<'_> {}
