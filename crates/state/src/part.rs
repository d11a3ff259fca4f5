//! Taking a state apart for somebody who fetches it.

use bytes::Bytes;

use crate::State;
use crate::encoding;
use crate::page::Page;
use crate::place::{Kind, Place};

impl State {
    /// The part of the state that lies at `place`, to be given to a [`Fetch`](crate::Fetch) of this state's root; `None` when there
    /// is none.
    ///
    /// For the top and for a page it is the bytes whose BLAKE3 hash names them; for a piece of a long field these are the hashes
    /// beside it in the tree of the field's BLAKE3 hash, and its bytes. Costs a path, if the root was asked for before.
    ///
    /// A page is at most five bytes longer than [`PageOptions::page_bytes`](crate::PageOptions::page_bytes), but for one above keys
    /// that lie outside of their pages and begin with many same bytes: what tells them apart is as long.
    #[must_use]
    pub fn part(&self, place: &Place) -> Option<Bytes> {
        match &place.0 {
            Kind::Top => Some(encoding::top(self)),
            Kind::Page(path) => {
                let mut part = Vec::with_capacity(self.options.page_bytes());
                encoding::page(self.root.below(path)?, &mut part);
                Some(part.into())
            }
            Kind::Piece { leaf, field, piece } => {
                let Page::Leaf(leaf) = self.root.below(leaf)? else { return None };
                leaf.large_in_order().nth(usize::from(*field))?.piece(usize::try_from(*piece).ok()?)
            }
        }
    }
}

impl Page {
    /// The page at the end of this way down.
    fn below(&self, path: &[u16]) -> Option<&Self> {
        path.iter().try_fold(self, |page, child| {
            let Self::Interior(interior) = page else { return None };
            interior.children.get(usize::from(*child)).map(|child| &child.page)
        })
    }
}
