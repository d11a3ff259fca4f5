//! What changed between two states, found without reading what they share.

use std::cmp::Ordering;
use std::iter::FusedIterator;

use crate::interior::Interior;
use crate::leaf::Leaf;
use crate::page::Page;

/// A key that has another value in one state than in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value in the old state; `None`: it had none.
    pub old: Option<&'a [u8]>,
    /// Its value in the new state; `None`: it has none.
    pub new: Option<&'a [u8]>,
}

/// The changes from one state to another, in the order of their keys. Made by [`State::difference`](crate::State::difference).
#[derive(Clone, Debug)]
pub struct Difference<'a> {
    old: Walk<'a>,
    new: Walk<'a>,
}

impl<'a> Difference<'a> {
    pub(crate) fn new(old: &'a Page, new: &'a Page) -> Self {
        Self { old: Walk::new(old), new: Walk::new(new) }
    }

    /// Opens pages and skips those that both have, until both stand at an entry or at their end.
    fn advance(&mut self) {
        loop {
            let (old, new) = (self.old.page, self.new.page);
            match (old, new) {
                (Some(old), Some(new)) if old.is_same(new) => {
                    self.old.skip();
                    self.new.skip();
                }
                (Some(old), Some(new)) => {
                    let order = old.height().cmp(&new.height());
                    if order.is_ge() {
                        self.old.open();
                    }
                    if order.is_le() {
                        self.new.open();
                    }
                }
                (Some(page), None) => open_or_skip(&mut self.old, page, &mut self.new),
                (None, Some(page)) => open_or_skip(&mut self.new, page, &mut self.old),
                (None, None) => return,
            }
        }
    }
}

/// Skips `page`, before which `walk` stands, if `other` has opened the same one; opens it otherwise.
///
/// Of one that is the same `other` has passed nothing: it passes an entry only when `walk` has passed all up to it.
fn open_or_skip<'a>(walk: &mut Walk<'a>, page: &'a Page, other: &mut Walk<'a>) {
    if other.opened(page.height()).is_some_and(|opened| opened.is_same(page)) {
        walk.skip();
        other.leave(page.height());
    } else {
        walk.open();
    }
}

impl<'a> Iterator for Difference<'a> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        loop {
            self.advance();
            let order = match (self.old.entry(), self.new.entry()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let old = order.is_le().then(|| self.old.take()).flatten();
            let new = order.is_ge().then(|| self.new.take()).flatten();
            let key = old.or(new).map(|(key, _)| key)?;
            let (old, new) = (old.map(|(_, value)| value), new.map(|(_, value)| value));
            if old != new {
                return Some(Change { key, old, new });
            }
        }
    }
}

impl FusedIterator for Difference<'_> {}

/// A place in a tree: before a page that is not opened yet, before an entry of a leaf, or at the end.
#[derive(Clone, Debug)]
struct Walk<'a> {
    /// The pages opened, from the root down, each with the place of the child that comes next.
    above: Vec<(&'a Page, &'a Interior, usize)>,
    /// The page that is next, unless a leaf is open.
    page: Option<&'a Page>,
    /// The leaf that is open and the place of the entry that is next.
    leaf: Option<(&'a Page, &'a Leaf, usize)>,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Page) -> Self {
        Self { above: Vec::new(), page: Some(root), leaf: None }
    }

    fn entry(&self) -> Option<(&'a [u8], &'a [u8])> {
        self.leaf.map(|(_, leaf, at)| leaf.pair(at))
    }

    /// Passes the entry that is next, and returns it.
    fn take(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let entry = self.entry()?;
        let (_, leaf, at) = self.leaf.as_mut()?;
        *at += 1;
        if *at == leaf.len() {
            self.leaf = None;
            self.skip();
        }
        Some(entry)
    }

    /// Goes into the page that is next.
    fn open(&mut self) {
        let Some(page) = self.page.take() else { return };
        match page {
            Page::Leaf(leaf) if leaf.len() == 0 => self.skip(),
            Page::Leaf(leaf) => self.leaf = Some((page, leaf, 0)),
            Page::Interior(interior) => {
                self.above.push((page, interior, 0));
                self.skip();
            }
        }
    }

    /// Goes to the page behind the one that was next or open.
    fn skip(&mut self) {
        self.page = None;
        while let Some((_, interior, next)) = self.above.last_mut() {
            if let Some(child) = interior.children.get(*next) {
                *next += 1;
                self.page = Some(&child.page);
                return;
            }
            self.above.pop();
        }
    }

    /// The open page of this height, if a leaf is open.
    fn opened(&self, height: u8) -> Option<&'a Page> {
        let (leaf, _, _) = self.leaf?;
        let place = self.above.len().checked_sub(usize::from(height))?;
        Some(self.above.get(place).map_or(leaf, |(page, _, _)| *page))
    }

    /// Goes to the page behind the open one of this height.
    fn leave(&mut self, height: u8) {
        self.leaf = None;
        self.above.truncate(self.above.len() - usize::from(height));
        self.skip();
    }
}
