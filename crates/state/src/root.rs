//! The hash of a whole state: the pages name the hashes of their children.

use std::fmt;

use crate::State;
use crate::encoding;
use crate::page::Page;

/// Says how pages are formed and how roots are made of them. Raised whenever the same operations would get another root, so that
/// replicas of different releases see at once that their roots cannot be compared.
pub const STRUCTURE_VERSION: u64 = 2;

/// A BLAKE3 hash.
pub(crate) type Hash = [u8; 32];

/// The hash of a whole state: what it holds, and how it lies in pages. See [`State::root`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub [u8; 32]);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash of the state's top.
pub(crate) fn of(state: &State) -> Root {
    Root(blake3::hash(&encoding::top(state)).into())
}

impl Page {
    /// The hash of the page's encoding. Computed once, and for the pages below, too.
    pub(crate) fn hash(&self) -> &Hash {
        self.hash_with(&mut Vec::new())
    }

    /// The same; `scratch` is memory to work in.
    fn hash_with(&self, scratch: &mut Vec<u8>) -> &Hash {
        let hash_of = |scratch: &mut Vec<u8>| {
            scratch.clear();
            encoding::page(self, scratch);
            blake3::hash(scratch).into()
        };
        match self {
            Self::Leaf(page) => page.hash.get_or_init(|| hash_of(scratch)),
            Self::Interior(page) => page.hash.get_or_init(|| {
                for child in &page.children {
                    child.page.hash_with(scratch);
                }
                hash_of(scratch)
            }),
        }
    }

    /// Notes a hash that is known without computing it.
    pub(crate) fn with_hash(self, hash: &Hash) -> Self {
        let known = match &self {
            Self::Leaf(page) => &page.hash,
            Self::Interior(page) => &page.hash,
        };
        known.get_or_init(|| *hash);
        self
    }
}
