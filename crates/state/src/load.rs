//! A state out of what was stored of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::decoding::{self, BadPart, InteriorPart, LeafPart, NamedField, PagePart, Site};
use crate::interior::{Child, Interior};
use crate::large::Large;
use crate::page::Page;
use crate::{PageOptions, Root, State};

/// Why a state could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError<E> {
    /// Something could not be read.
    Read(E),
    /// What was read is not what was asked for.
    Bad {
        /// The hash of what was asked for.
        hash: [u8; 32],
        /// What is wrong with it.
        why: BadPart,
    },
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Bad { hash, why } => {
                write!(f, "the part of a state with hash {} cannot be used: {why}", blake3::Hash::from_bytes(*hash))
            }
        }
    }
}

impl<E: std::error::Error> std::error::Error for LoadError<E> {}

/// What has the bytes of a hash.
type Read<'r, E> = &'r mut dyn FnMut(&[u8; 32]) -> Result<Bytes, E>;

impl State {
    /// The state with this root and these options, made of what `read` returns for the hashes of its parts. Every part is verified.
    ///
    /// The root is the hash of the top, which [`State::part`] gives; the top names the root page, and pages name pages and fields:
    /// those of [`State::pages`]. A part is read before those that it names, and these in order, each with all that it names before
    /// the next.
    ///
    /// # Errors
    /// When a part cannot be read, or is not what its hash says; see [`LoadError`].
    pub fn load<E>(
        root: Root,
        options: PageOptions,
        mut read: impl FnMut(&[u8; 32]) -> Result<Bytes, E>,
    ) -> Result<Self, LoadError<E>> {
        let top = read(&root.0).map_err(LoadError::Read)?;
        let top = decoding::top(&top, root, &options).map_err(|why| LoadError::Bad { hash: root.0, why })?;
        let page = load_page(&Site::root(top), &options, &mut read)?;
        Ok(Self { root: page, keys: top.keys, bytes: top.bytes, options })
    }
}

fn load_page<E>(site: &Site<'_>, options: &PageOptions, read: Read<'_, E>) -> Result<Page, LoadError<E>> {
    let hash = site.named.hash;
    let bad = |why| LoadError::Bad { hash, why };
    let encoding = read(&hash).map_err(LoadError::Read)?;
    if *blake3::hash(&encoding).as_bytes() != hash {
        return Err(bad(BadPart::WrongHash));
    }
    match decoding::page(&encoding, site, options).map_err(bad)? {
        PagePart::Leaf(leaf) => {
            let large = load_fields(&leaf, read)?;
            leaf.build(large, site).map_err(bad)
        }
        PagePart::Interior(part) => load_below(part, site, options, read),
    }
}

fn load_fields<E>(leaf: &LeafPart<'_>, read: Read<'_, E>) -> Result<Vec<Arc<Large>>, LoadError<E>> {
    leaf.large().map(|(named, _)| load_field(named, read)).collect()
}

fn load_field<E>(named: NamedField, read: Read<'_, E>) -> Result<Arc<Large>, LoadError<E>> {
    let field = Large::new(read(&named.hash).map_err(LoadError::Read)?);
    if *Large::hash(&field) != named.hash {
        return Err(LoadError::Bad { hash: named.hash, why: BadPart::WrongHash });
    }
    if field.bytes.len() as u64 != named.pieces.length {
        let why = BadPart::Malformed { what: "a field has another length than its page says" };
        return Err(LoadError::Bad { hash: named.hash, why });
    }
    Ok(Arc::new(field))
}

fn load_below<E>(
    part: InteriorPart,
    site: &Site<'_>,
    options: &PageOptions,
    read: Read<'_, E>,
) -> Result<Page, LoadError<E>> {
    let children = part.children.iter().enumerate().map(|(at, named)| {
        let page = load_page(&site.child(part.height, &part.separators, *named, at), options, read)?;
        Ok(Child { page, keys: named.keys, bytes: named.bytes })
    });
    let children: Result<Vec<Child>, LoadError<E>> = children.collect();
    let page = Interior::new(part.height, part.separators, children?);
    Ok(Page::Interior(page).with_hash(&site.named.hash))
}
