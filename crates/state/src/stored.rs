//! Pages one by one, for somebody who stores them in his own order and reads them back in the order in which they lie.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::decoding::{self, BadPart, InteriorPart, LeafPart, Named, NamedField, PagePart, Site};
use crate::encoding;
use crate::interior::{Child, Interior};
use crate::large::Large;
use crate::page::Page;
use crate::{PageOptions, Root, State};

/// A page of a state and all that lies below it. Cheap to clone, and independent of the state, which may move on.
#[derive(Clone)]
pub struct PageHandle(Page);

/// A key or a value that lies outside of its page. Cheap to clone.
#[derive(Clone)]
pub struct FieldHandle(Arc<Large>);

impl State {
    /// The page at the root of the state.
    #[must_use]
    pub fn root_page(&self) -> PageHandle {
        PageHandle(self.root.clone())
    }

    /// The state whose top named this page.
    #[must_use]
    pub fn of_root_page(top: &NamedPage, page: PageHandle) -> Self {
        let NamedPage { options, named: Named { keys, bytes, .. }, .. } = *top;
        Self { root: page.0, keys, bytes, options }
    }
}

impl PageHandle {
    /// The BLAKE3 hash of its encoding.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.0.hash()
    }

    /// Appends the encoding to `buffer`: the bytes that its hash covers.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        encoding::page(&self.0, buffer);
    }

    /// The child of this number; `None` when it has no more.
    #[must_use]
    pub fn child(&self, at: usize) -> Option<Self> {
        match &self.0 {
            Page::Leaf(_) => None,
            Page::Interior(page) => page.children.get(at).map(|child| Self(child.page.clone())),
        }
    }

    /// The fields that lie outside of it, in the order of the entries, a key before its value.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldHandle> {
        match &self.0 {
            Page::Leaf(leaf) => leaf.large_in_order().cloned().map(FieldHandle).collect(),
            Page::Interior(_) => Vec::new(),
        }
    }
}

impl fmt::Debug for PageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = blake3::Hash::from_bytes(self.hash());
        f.debug_struct("PageHandle").field("height", &self.0.height()).field("hash", &hash.to_hex()).finish()
    }
}

impl FieldHandle {
    /// A field that was read.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Large::new(bytes)))
    }

    /// The BLAKE3 hash of its bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *Large::hash(&self.0)
    }

    /// The key or the value.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }
}

impl fmt::Debug for FieldHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldHandle").field("length", &self.0.bytes.len()).finish_non_exhaustive()
    }
}

/// A page that a page above it names, or the top of a state: what must hold of what is read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPage {
    options: PageOptions,
    named: Named,
    height: Option<u8>,
    from: Box<[u8]>,
    before: Option<Box<[u8]>>,
}

impl NamedPage {
    /// The root page of the state with this top, which [`State::part`] gives, and the root of the state.
    ///
    /// # Errors
    /// When it is no top, or of a release that forms pages in another way.
    pub fn of_top(top: &[u8]) -> Result<(Self, Root), BadPart> {
        let root = Root(blake3::hash(top).into());
        let options = decoding::options_of_top(top)?;
        let named = decoding::top(top, root, &options)?;
        Ok((Self { options, named, height: None, from: Box::default(), before: None }, root))
    }

    /// The hash of its encoding.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.named.hash
    }

    /// The number of keys in the page and below.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.named.keys
    }

    /// The bytes of all keys and values in the page and below.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.named.bytes
    }

    /// The options of the state.
    #[must_use]
    pub fn options(&self) -> &PageOptions {
        &self.options
    }

    /// Whether `encoding` is that of the page: whether it has the hash.
    #[must_use]
    pub fn is_of(&self, encoding: &[u8]) -> bool {
        *blake3::hash(encoding).as_bytes() == self.named.hash
    }

    /// Takes the encoding of the page apart, of which [`NamedPage::is_of`] was asked before: many threads may do that while one goes on.
    ///
    /// # Errors
    /// When it is no page of a state, though it may have the hash.
    pub fn read<'a>(&'a self, encoding: &'a [u8]) -> Result<ReadPage<'a>, BadPart> {
        Ok(match decoding::page(encoding, &self.site(), &self.options)? {
            PagePart::Leaf(part) => ReadPage::Leaf(ReadLeaf { part, named: self }),
            PagePart::Interior(part) => ReadPage::Interior(ReadInterior { part, named: self.clone() }),
        })
    }

    fn site(&self) -> Site<'_> {
        Site { named: self.named, height: self.height, from: &self.from, before: self.before.as_deref() }
    }

    fn of(site: &Site<'_>, options: PageOptions) -> Self {
        let Site { named, height, from, before } = *site;
        Self { options, named, height, from: from.into(), before: before.map(Into::into) }
    }
}

/// A page that was read, without what it names.
#[derive(Debug)]
pub enum ReadPage<'a> {
    /// A page of entries.
    Leaf(ReadLeaf<'a>),
    /// A page of pages.
    Interior(ReadInterior),
}

/// A page of entries that was read.
#[derive(Debug)]
pub struct ReadLeaf<'a> {
    part: LeafPart<'a>,
    named: &'a NamedPage,
}

/// A page of pages that was read.
#[derive(Debug)]
pub struct ReadInterior {
    part: InteriorPart,
    named: NamedPage,
}

impl ReadLeaf<'_> {
    /// The hashes of the fields that lie outside of it, in the order of [`PageHandle::fields`].
    #[must_use]
    pub fn fields(&self) -> Vec<[u8; 32]> {
        self.part.large().map(|(named, _)| named.hash).collect()
    }

    /// The page, with the fields that lie outside of it.
    ///
    /// # Errors
    /// When these are not the fields that it names, or it is no page of a state.
    pub fn page(&self, fields: Vec<FieldHandle>) -> Result<PageHandle, BadPart> {
        let is_named = |(field, (named, _)): (&FieldHandle, (NamedField, Option<&[u8]>))| {
            field.hash() == named.hash && field.0.bytes.len() as u64 == named.pieces.length
        };
        if fields.len() != self.part.large().count() || !fields.iter().zip(self.part.large()).all(is_named) {
            return Err(BadPart::WrongHash);
        }
        let fields = fields.into_iter().map(|field| field.0).collect();
        self.part.build(fields, &self.named.site()).map(PageHandle)
    }
}

#[expect(clippy::len_without_is_empty, reason = "no page of pages is empty")]
impl ReadInterior {
    /// How many pages it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.part.children.len()
    }

    /// The pages that it names, in order.
    #[must_use]
    pub fn children(&self) -> Vec<NamedPage> {
        let site = self.named.site();
        let InteriorPart { height, separators, children } = &self.part;
        let child = |(at, named): (usize, &Named)| {
            NamedPage::of(&site.child(*height, separators, *named, at), self.named.options)
        };
        children.iter().enumerate().map(child).collect()
    }

    /// The page, with the pages that it names.
    ///
    /// # Errors
    /// When these are others.
    pub fn page(self, children: Vec<PageHandle>) -> Result<PageHandle, BadPart> {
        let Self { part, named } = self;
        let is_named = |(page, named): (&PageHandle, &Named)| *page.0.hash() == named.hash;
        if children.len() != part.children.len() || !children.iter().zip(&part.children).all(is_named) {
            return Err(BadPart::WrongHash);
        }
        let child = |(page, named): (PageHandle, &Named)| Child { page: page.0, keys: named.keys, bytes: named.bytes };
        let children = children.into_iter().zip(&part.children).map(child).collect();
        Ok(PageHandle(
            Page::Interior(Interior::new(part.height, part.separators, children)).with_hash(&named.named.hash),
        ))
    }
}
