//! Pages out of bytes that came from somewhere else.
//!
//! A right hash says that the bytes are those that a root names, not that this root is one of a state. So everything that the rest of
//! the crate relies on is looked at here; what passes can be worked on like any other page.

use std::fmt;
use std::sync::Arc;

use crate::encoding::{LARGE_MARK, TOP_BEGIN};
use crate::entry::{ENTRY_OVERHEAD_BYTES, Entry, Field, LARGE_PAGE_BYTES};
use crate::interior::Interior;
use crate::large::{Large, Pieces};
use crate::leaf::Leaf;
use crate::options::PageOptions;
use crate::page::Page;
use crate::place::HEIGHT_MAX;
use crate::root::{Hash, Root, STRUCTURE_VERSION};
use crate::separators::Separators;

/// Why a part was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BadPart {
    /// Its hash is not the one that the root names at this place.
    WrongHash,
    /// The state was made by a release that forms pages in another way.
    OtherVersion {
        /// Its [`STRUCTURE_VERSION`].
        version: u64,
    },
    /// The state has other [`PageOptions`] than were asked for.
    OtherPageBytes {
        /// The bytes of its pages.
        page_bytes: u64,
    },
    /// Its hash is right, and yet it is no part of a state: this root is none of a state.
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for BadPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongHash => {
                f.write_str("the part was damaged on its way, or where it came from; ask for it elsewhere")
            }
            Self::OtherVersion { version } => write!(
                f,
                "the state has pages of structure version {version}, and this release knows {STRUCTURE_VERSION}; run the release that made it"
            ),
            Self::OtherPageBytes { page_bytes } => {
                write!(f, "the state has pages of {page_bytes} bytes; choose the same page options")
            }
            Self::Malformed { what } => {
                write!(f, "no state has this root, though the hashes are right: {what}; do not use where it came from")
            }
        }
    }
}

impl std::error::Error for BadPart {}

fn malformed(what: &'static str) -> BadPart {
    BadPart::Malformed { what }
}

fn ensure(is_right: bool, what: &'static str) -> Result<(), BadPart> {
    if is_right { Ok(()) } else { Err(malformed(what)) }
}

/// What is said of a page by the one above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Named {
    pub(crate) hash: Hash,
    /// The number of keys in the page and below.
    pub(crate) keys: u64,
    /// The bytes of all keys and values in the page and below.
    pub(crate) bytes: u64,
}

/// What must hold of a page because of where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) named: Named,
    /// How many pages lie between this one and the entries. Not known of the root page.
    pub(crate) height: Option<u8>,
    /// All keys are this one or larger.
    pub(crate) from: &'a [u8],
    /// All keys are smaller than this one.
    pub(crate) before: Option<&'a [u8]>,
}

impl<'a> Site<'a> {
    pub(crate) fn root(named: Named) -> Self {
        Self { named, height: None, from: &[], before: None }
    }

    /// The place of a child below a page of this place.
    pub(crate) fn child(&self, height: u8, separators: &'a Separators, named: Named, at: usize) -> Self {
        let from = if at == 0 { self.from } else { separators.key(at - 1) };
        let before = if at == separators.len() { self.before } else { Some(separators.key(at)) };
        Self { named, height: Some(height - 1), from, before }
    }

    /// Whether a page that is known to be right can lie here.
    pub(crate) fn admits(&self, page: &Page) -> Result<(), BadPart> {
        let is_named = self.height.is_none_or(|height| height == page.height());
        let is_named = is_named && (page.keys(), page.payload_bytes()) == (self.named.keys, self.named.bytes);
        ensure(is_named, "a page differs from what the page above says of it")?;
        self.admits_keys(page.first_key(), page.last_key())
    }

    fn admits_keys(&self, first: Option<&[u8]>, last: Option<&[u8]>) -> Result<(), BadPart> {
        let is_within = first.is_none_or(|first| self.from <= first)
            && last.is_none_or(|last| self.before.is_none_or(|before| last < before));
        ensure(is_within, "a key lies in a page where it is not looked for")
    }
}

/// The page at the top of a state, if the part is the top of this root and the options are these.
pub(crate) fn top(part: &[u8], root: Root, options: &PageOptions) -> Result<Named, BadPart> {
    if *blake3::hash(part).as_bytes() != root.0 {
        return Err(BadPart::WrongHash);
    }
    let mut rest = Reader(part);
    ensure(rest.take(TOP_BEGIN.len())? == TOP_BEGIN, "the top begins with something else")?;
    let [version, page_bytes] = [rest.u64()?, rest.u64()?];
    if version != STRUCTURE_VERSION {
        return Err(BadPart::OtherVersion { version });
    }
    if page_bytes != options.page_bytes() as u64 {
        return Err(BadPart::OtherPageBytes { page_bytes });
    }
    let [keys, bytes] = [rest.u64()?, rest.u64()?];
    let hash = rest.hash()?;
    rest.end()?;
    Ok(Named { hash, keys, bytes })
}

/// The options that a top says its state has. The rest of it is not looked at.
pub(crate) fn options_of_top(part: &[u8]) -> Result<PageOptions, BadPart> {
    let mut rest = Reader(part);
    rest.take(TOP_BEGIN.len())?;
    let [_, page_bytes] = [rest.u64()?, rest.u64()?];
    let options = usize::try_from(page_bytes).ok().and_then(|page_bytes| PageOptions::new(page_bytes).ok());
    options.ok_or(malformed("its pages have an impossible size"))
}

/// A page, as its encoding says; what lies below it and beside it is only named.
#[derive(Debug)]
pub(crate) enum PagePart<'a> {
    Leaf(LeafPart<'a>),
    Interior(InteriorPart),
}

/// The page with this encoding, if it can lie at this site.
pub(crate) fn page<'a>(part: &'a [u8], site: &Site<'_>, options: &PageOptions) -> Result<PagePart<'a>, BadPart> {
    ensure(u32::try_from(part.len()).is_ok(), "a page has 4 GiB or more")?;
    let mut rest = Reader(part);
    let height = rest.take(1)?[0];
    ensure(height <= HEIGHT_MAX, "a page lies higher than trees are")?;
    ensure(site.height.is_none_or(|expected| expected == height), "the ways down to the entries differ in length")?;
    let is_root = site.height.is_none();
    let (page, keys, bytes) = if height == 0 {
        let leaf = LeafPart::read(&mut rest, options)?;
        let (keys, bytes) = (leaf.entries.len() as u64, leaf.payload_bytes()?);
        (PagePart::Leaf(leaf), keys, bytes)
    } else {
        let interior = InteriorPart::read(height, &mut rest, options)?;
        ensure(!is_root || interior.children.len() > 1, "the root page has no choice")?;
        interior.check_separators(site)?;
        let (keys, bytes) = interior.totals()?;
        (PagePart::Interior(interior), keys, bytes)
    };
    rest.end()?;
    ensure(keys > 0 || is_root && height == 0, "a page is empty")?;
    ensure((keys, bytes) == (site.named.keys, site.named.bytes), "a page has other totals than are named above it")?;
    Ok(page)
}

/// The entries of a page.
#[derive(Debug)]
pub(crate) struct LeafPart<'a> {
    entries: Vec<[FieldPart<'a>; 2]>,
}

/// A key or a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldPart<'a> {
    Inline(&'a [u8]),
    Large(NamedField),
}

/// What a page says of a field that lies outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NamedField {
    pub(crate) hash: Hash,
    pub(crate) pieces: Pieces,
}

impl<'a> LeafPart<'a> {
    fn read(rest: &mut Reader<'a>, options: &PageOptions) -> Result<Self, BadPart> {
        let count = rest.count(4)?;
        ensure(count <= options.page_bytes() / ENTRY_OVERHEAD_BYTES, "a page has more than its bytes")?;
        let (mut entries, mut used) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let key = FieldPart::read(rest, options.inline_key_bytes())?;
            let value = FieldPart::read(rest, options.inline_value_bytes())?;
            used += ENTRY_OVERHEAD_BYTES + key.page_bytes() + value.page_bytes();
            entries.push([key, value]);
        }
        ensure(used <= options.page_bytes(), "a page has more than its bytes")?;
        Ok(Self { entries })
    }

    fn payload_bytes(&self) -> Result<u64, BadPart> {
        let lengths = self.entries.iter().flatten().map(FieldPart::length);
        sum(lengths)
    }

    /// The fields that lie outside, in order, each with the key of its entry when that is not outside, too.
    pub(crate) fn large(&self) -> impl Iterator<Item = (NamedField, Option<&'a [u8]>)> {
        self.entries.iter().flat_map(|[key, value]| {
            let inline_key = match key {
                FieldPart::Inline(key) => Some(*key),
                FieldPart::Large(_) => None,
            };
            [key, value].into_iter().filter_map(move |field| match field {
                FieldPart::Large(named) => Some((*named, inline_key)),
                FieldPart::Inline(_) => None,
            })
        })
    }

    /// The page, with the fields that lie outside in the order of [`Self::large`].
    pub(crate) fn build(&self, large: Vec<Arc<Large>>, site: &Site<'_>) -> Result<Page, BadPart> {
        let mut large = large.into_iter();
        let mut field = |part: &FieldPart<'a>| match part {
            FieldPart::Inline(bytes) => Field::Inline(bytes),
            FieldPart::Large(_) => Field::Large(large.next().expect("every field that lies outside is here")),
        };
        let entries = self.entries.iter().map(|[key, value]| Entry { key: field(key), value: field(value) });
        let entries: Vec<Entry<'_>> = entries.collect();
        let ascend = entries.is_sorted_by(|lower, upper| lower.key.bytes() < upper.key.bytes());
        ensure(ascend, "the keys of a page do not ascend")?;
        let [first, last] = [entries.first(), entries.last()].map(|entry| entry.map(|entry| entry.key.bytes()));
        site.admits_keys(first, last)?;
        Ok(Page::Leaf(Leaf::build(&entries, 0)).with_hash(&site.named.hash))
    }
}

impl<'a> FieldPart<'a> {
    fn read(rest: &mut Reader<'a>, inline_bytes: usize) -> Result<Self, BadPart> {
        let length = rest.u16()?;
        if length != LARGE_MARK {
            ensure(usize::from(length) <= inline_bytes, "a field that lies in its page is too long for it")?;
            return rest.take(length.into()).map(Self::Inline);
        }
        let length = rest.u64()?;
        ensure(length > inline_bytes as u64, "a field that lies outside of its page is short enough for it")?;
        let pieces = Pieces { length };
        // A buffer has at most `isize::MAX` bytes, and places name pieces by 32 bits.
        let is_possible = isize::try_from(length).is_ok() && u32::try_from(pieces.count()).is_ok();
        ensure(is_possible, "a field is longer than memory can be")?;
        Ok(Self::Large(NamedField { hash: rest.hash()?, pieces }))
    }

    fn page_bytes(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Large(_) => LARGE_PAGE_BYTES,
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Large(named) => named.pieces.length,
        }
    }
}

/// The children of a page, and what separates them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InteriorPart {
    pub(crate) height: u8,
    pub(crate) separators: Separators,
    pub(crate) children: Vec<Named>,
}

impl InteriorPart {
    fn read(height: u8, rest: &mut Reader<'_>, options: &PageOptions) -> Result<Self, BadPart> {
        let count = rest.count(48)?;
        ensure((1..=Interior::children_max(options)).contains(&count), "a page has too many children, or none")?;
        let children: Result<Vec<Named>, BadPart> = (0..count).map(|_| rest.named()).collect();
        let children = children?;
        let separators: Result<Vec<&[u8]>, BadPart> = (1..count).map(|_| rest.separator()).collect();
        let has_empty = children.iter().any(|child| child.keys == 0);
        ensure(!has_empty, "a page is empty")?;
        Ok(Self { height, separators: Separators::new(separators?), children })
    }

    fn check_separators(&self, site: &Site<'_>) -> Result<(), BadPart> {
        let keys = || self.separators.keys();
        let is_within = keys().next().is_none_or(|first| site.from < first)
            && keys().last().is_none_or(|last| site.before.is_none_or(|before| last < before));
        ensure(is_within && keys().is_sorted_by(|lower, upper| lower < upper), "what separates pages does not ascend")
    }

    fn totals(&self) -> Result<(u64, u64), BadPart> {
        Ok((sum(self.children.iter().map(|child| child.keys))?, sum(self.children.iter().map(|child| child.bytes))?))
    }
}

fn sum(mut numbers: impl Iterator<Item = u64>) -> Result<u64, BadPart> {
    numbers.try_fold(0, u64::checked_add).ok_or(malformed("a page names more bytes or keys than can be counted"))
}

/// The bytes of a part that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], BadPart> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(malformed("a part ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadPart> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, BadPart> {
        self.array().map(u16::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadPart> {
        self.array().map(u64::from_le_bytes)
    }

    fn hash(&mut self) -> Result<Hash, BadPart> {
        self.array()
    }

    /// A number of things that take at least `least_bytes` each, and so are not more than there are bytes for.
    fn count(&mut self, least_bytes: usize) -> Result<usize, BadPart> {
        let count = self.array().map(u32::from_le_bytes)? as usize;
        ensure(count <= self.0.len() / least_bytes, "a part ends too early")?;
        Ok(count)
    }

    fn named(&mut self) -> Result<Named, BadPart> {
        Ok(Named { hash: self.hash()?, keys: self.u64()?, bytes: self.u64()? })
    }

    fn separator(&mut self) -> Result<&'a [u8], BadPart> {
        let length = self.array().map(u32::from_le_bytes)?;
        self.take(length as usize)
    }

    fn end(self) -> Result<(), BadPart> {
        ensure(self.0.is_empty(), "a part goes on behind its end")
    }
}
