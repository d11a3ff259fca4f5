//! What need not be fetched.

use std::collections::BTreeMap;
use std::hash::{Hash as StdHash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use crate::decoding::{BadPart, NamedField, Site};
use crate::large::{Large, Piece};
use crate::page::Page;
use crate::root::Hash;
use crate::{PageOptions, Snapshot};

/// What is there already: a state of one's own, and everything that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) options: PageOptions,
    /// `None` when its pages are formed in another way.
    own: Option<Own>,
    /// The pages that were fetched with all that lies below them.
    pages: BTreeMap<Hash, Whole>,
    /// The fields that were fetched.
    fields: BTreeMap<Hash, Arc<Large>>,
    /// The encodings of the pages that were fetched for an earlier root, when something below them was missing.
    encodings: BTreeMap<Hash, Bytes>,
    /// The pieces that were fetched for an earlier root, when others of the field were missing.
    pieces: BTreeMap<Hash, Pieces>,
}

/// Some pieces of one field, by their number.
pub(super) type Pieces = BTreeMap<u32, Piece>;

/// A page with all that lies below it; the same as every other with its hash.
#[derive(Clone, Debug)]
pub(super) struct Whole(pub(super) Page);

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash() == other.0.hash()
    }
}

impl Eq for Whole {}

impl StdHash for Whole {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash().hash(hasher);
    }
}

/// A state; the same as every other with its root, and no others: its pages matter here, too.
#[derive(Clone, Debug)]
struct Own(Snapshot);

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.0.root() == other.0.root()
    }
}

impl Eq for Own {}

impl StdHash for Own {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.root().hash(hasher);
    }
}

impl Known {
    pub(super) fn new(own: Snapshot, options: PageOptions) -> Self {
        let own = (*own.options() == options).then_some(Own(own));
        let (pages, fields) = (BTreeMap::new(), BTreeMap::new());
        Self { options, own, pages, fields, encodings: BTreeMap::new(), pieces: BTreeMap::new() }
    }

    /// The page that is named, with all that lies below it.
    pub(super) fn page(&self, site: &Site<'_>) -> Result<Option<Whole>, BadPart> {
        let fetched = self.pages.get(&site.named.hash).map(|whole| &whole.0);
        let Some(page) = fetched.or_else(|| self.own_page(site)) else { return Ok(None) };
        site.admits(page)?;
        Ok(Some(Whole(page.clone())))
    }

    fn own_page(&self, site: &Site<'_>) -> Option<&Page> {
        let root = &self.own.as_ref()?.0.root;
        let page = match site.height {
            Some(height) => root.around(site.from, height)?,
            None => root,
        };
        (*page.hash() == site.named.hash).then_some(page)
    }

    /// The encoding of the page that is named.
    pub(super) fn encoding(&self, hash: &Hash) -> Option<Bytes> {
        self.encodings.get(hash).cloned()
    }

    /// The field that is named in a page: one that was fetched, or one that lies where the entry or the page would be in the own
    /// state.
    pub(super) fn field(&self, named: NamedField, key: Option<&[u8]>, site: &Site<'_>) -> Option<Arc<Large>> {
        if let Some(field) = self.fields.get(&named.hash) {
            return Some(field.clone());
        }
        let root = &self.own.as_ref()?.0.root;
        [key.unwrap_or(site.from), site.from].into_iter().find_map(|key| {
            let Page::Leaf(leaf) = root.around(key, 0)? else { return None };
            let is_named = |field: &&Arc<Large>| {
                field.bytes.len() as u64 == named.pieces.length && *Large::hash(field) == named.hash
            };
            leaf.large.iter().find(is_named).cloned()
        })
    }

    /// The pieces of the field that is named.
    pub(super) fn pieces(&self, named: NamedField) -> Pieces {
        self.pieces.get(&named.hash).cloned().unwrap_or_default()
    }

    pub(super) fn add_page(&mut self, page: &Whole) {
        self.pages.insert(*page.0.hash(), page.clone());
    }

    pub(super) fn add_field(&mut self, field: &Arc<Large>) {
        self.fields.insert(*Large::hash(field), field.clone());
    }

    pub(super) fn add_encoding(&mut self, hash: Hash, encoding: Bytes) {
        self.encodings.insert(hash, encoding);
    }

    pub(super) fn add_pieces(&mut self, named: NamedField, pieces: Pieces) {
        self.pieces.insert(named.hash, pieces);
    }
}
