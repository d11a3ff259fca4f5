//! A tree that is not complete yet.

use std::sync::Arc;

use bytes::Bytes;

use crate::decoding::{self, BadPart, InteriorPart, NamedField, PagePart, Site};
use crate::interior::{Child, Interior};
use crate::large::{Large, Piece};
use crate::page::Page;
use crate::place::Path;
use crate::root::Hash;

use super::known::{Known, Pieces, Whole};
use super::work::Work;

/// What every draft of a tree needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Desk {
    pub(super) known: Known,
    pub(super) work: Work,
}

/// What is there of a page that is named by another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Draft {
    /// Nothing.
    Missing,
    /// The page, but not all fields that lie outside of it.
    Leaf(Box<LeafDraft>),
    /// The page, but not all that lies below it.
    Interior(Box<InteriorDraft>),
    /// Everything.
    Whole(Whole),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LeafDraft {
    /// A copy: what was given is a part of a larger buffer.
    encoding: Bytes,
    /// The fields that lie outside, in the order of the entries.
    fields: Vec<FieldDraft>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum FieldDraft {
    Pieces { named: NamedField, pieces: Pieces },
    Whole(Arc<Large>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InteriorDraft {
    encoding: Bytes,
    part: InteriorPart,
    children: Vec<Draft>,
    /// How many of them are not whole.
    missing: usize,
}

/// What is given of the page at a place.
#[derive(Debug)]
pub(super) enum Part {
    Page(Bytes),
    Piece { field: u16, piece: u32, bytes: Bytes },
}

impl Draft {
    /// What is known of the page at `path`. What is missing becomes work.
    pub(super) fn of(site: &Site<'_>, path: &[u16], desk: &mut Desk) -> Result<Self, BadPart> {
        if let Some(whole) = desk.known.page(site)? {
            desk.work.count_reused(&site.named);
            return Ok(Self::Whole(whole));
        }
        match desk.known.encoding(&site.named.hash) {
            Some(encoding) => Self::read(&encoding, site, path, desk),
            None => {
                desk.work.want_page(path);
                Ok(Self::Missing)
            }
        }
    }

    /// The page with this encoding, whose hash is right, and all that is known below it.
    fn read(encoding: &[u8], site: &Site<'_>, path: &[u16], desk: &mut Desk) -> Result<Self, BadPart> {
        let options = desk.known.options;
        match decoding::page(encoding, site, &options)? {
            PagePart::Leaf(part) => {
                let fields = part.large().enumerate();
                let fields = fields.map(|(at, (named, key))| FieldDraft::of(named, key, (site, path, at), desk));
                let leaf = LeafDraft { encoding: Bytes::copy_from_slice(encoding), fields: fields.collect() };
                match leaf.large() {
                    Some(large) => Ok(Self::whole(part.build(large, site)?, site, desk)),
                    None => Ok(Self::Leaf(Box::new(leaf))),
                }
            }
            PagePart::Interior(part) => {
                let interior = InteriorDraft::of(encoding, part, site, path, desk)?;
                let mut draft = Self::Interior(Box::new(interior));
                draft.complete(site, desk)?;
                Ok(draft)
            }
        }
    }

    /// Makes a page of a draft of which nothing is missing.
    fn complete(&mut self, site: &Site<'_>, desk: &mut Desk) -> Result<(), BadPart> {
        let page = match self {
            Self::Leaf(leaf) => {
                let Some(large) = leaf.large() else { return Ok(()) };
                leaf.page(large, site, &desk.known)?
            }
            Self::Interior(interior) if interior.missing == 0 => interior.page(&site.named.hash),
            _ => return Ok(()),
        };
        *self = Self::whole(page, site, desk);
        Ok(())
    }

    fn whole(page: Page, site: &Site<'_>, desk: &mut Desk) -> Self {
        if page.height() == 0 {
            desk.work.count_complete(&site.named);
        }
        let whole = Whole(page);
        desk.known.add_page(&whole);
        Self::Whole(whole)
    }

    /// Takes what was fetched for the page at the end of `way`, the rest of `path`. Returns whether it was missing.
    pub(super) fn give(
        &mut self,
        site: &Site<'_>,
        (path, way): (&[u16], &[u16]),
        part: Part,
        desk: &mut Desk,
    ) -> Result<bool, BadPart> {
        let is_new = match (way.split_first(), &mut *self) {
            (None, _) => return self.give_here(site, path, part, desk),
            (Some((child, way)), Self::Interior(interior)) => {
                interior.give_below(usize::from(*child), site, (path, way), part, desk)?
            }
            (Some(_), _) => false,
        };
        if is_new {
            self.complete(site, desk)?;
        }
        Ok(is_new)
    }

    fn give_here(&mut self, site: &Site<'_>, path: &[u16], part: Part, desk: &mut Desk) -> Result<bool, BadPart> {
        match (&mut *self, part) {
            (Self::Missing, Part::Page(encoding)) => {
                if *blake3::hash(&encoding).as_bytes() != site.named.hash {
                    return Err(BadPart::WrongHash);
                }
                *self = Self::read(&encoding, site, path, desk)?;
                Ok(true)
            }
            (Self::Leaf(leaf), Part::Piece { field, piece, bytes }) => {
                let Some(field) = leaf.fields.get_mut(usize::from(field)) else { return Ok(false) };
                let is_new = field.give(piece, &bytes, &mut desk.known)?;
                if is_new {
                    self.complete(site, desk)?;
                }
                Ok(is_new)
            }
            _ => Ok(false),
        }
    }

    fn at(&self, path: &[u16]) -> Option<&Self> {
        path.iter().try_fold(self, |draft, child| {
            let Self::Interior(interior) = draft else { return None };
            interior.children.get(usize::from(*child))
        })
    }

    /// Whether nothing is there of the page at `path`, which another names.
    pub(super) fn lacks_page(&self, path: &[u16]) -> bool {
        matches!(self.at(path), Some(Self::Missing))
    }

    /// Whether the piece is missing of a field that a page names.
    pub(super) fn lacks_piece(&self, leaf: &[u16], field: u16, piece: u32) -> bool {
        let Some(Self::Leaf(leaf)) = self.at(leaf) else { return false };
        matches!(leaf.fields.get(usize::from(field)), Some(FieldDraft::Pieces { named, pieces })
            if u64::from(piece) < named.pieces.count() && !pieces.contains_key(&piece))
    }

    /// Adds to what is known what was fetched of this page, which has this hash, and is not yet known for all roots.
    pub(super) fn keep_in(self, hash: Hash, known: &mut Known) {
        match self {
            Self::Missing | Self::Whole(_) => {}
            Self::Leaf(leaf) => {
                known.add_encoding(hash, leaf.encoding);
                for field in leaf.fields {
                    if let FieldDraft::Pieces { named, pieces } = field {
                        known.add_pieces(named, pieces);
                    }
                }
            }
            Self::Interior(interior) => {
                known.add_encoding(hash, interior.encoding);
                let named = interior.part.children.iter();
                named.zip(interior.children).for_each(|(named, child)| child.keep_in(named.hash, known));
            }
        }
    }
}

impl LeafDraft {
    /// The fields that lie outside, if all are there.
    fn large(&self) -> Option<Vec<Arc<Large>>> {
        let fields = self.fields.iter().map(|field| match field {
            FieldDraft::Whole(large) => Some(large.clone()),
            FieldDraft::Pieces { .. } => None,
        });
        fields.collect()
    }

    fn page(&self, large: Vec<Arc<Large>>, site: &Site<'_>, known: &Known) -> Result<Page, BadPart> {
        let PagePart::Leaf(part) = decoding::page(&self.encoding, site, &known.options)? else {
            unreachable!("the encoding of a leaf was read before");
        };
        part.build(large, site)
    }
}

impl FieldDraft {
    fn of(
        named: NamedField,
        key: Option<&[u8]>,
        (site, path, at): (&Site<'_>, &[u16], usize),
        desk: &mut Desk,
    ) -> Self {
        if let Some(field) = desk.known.field(named, key, site) {
            desk.work.count_reused_field(named);
            return Self::Whole(field);
        }
        let pieces = desk.known.pieces(named);
        desk.work.want_pieces(path, at, named, pieces.len());
        Self::Pieces { named, pieces }
    }

    /// Takes a piece. Returns whether it was missing.
    fn give(&mut self, number: u32, part: &Bytes, known: &mut Known) -> Result<bool, BadPart> {
        let Self::Pieces { named, pieces } = self else { return Ok(false) };
        if u64::from(number) >= named.pieces.count() || pieces.contains_key(&number) {
            return Ok(false);
        }
        let piece = named.pieces.verified(&named.hash, number as usize, part).ok_or(BadPart::WrongHash)?;
        pieces.insert(number, piece);
        if pieces.len() as u64 == named.pieces.count() {
            let field = Arc::new(Large::of_pieces(named.hash, &pieces.values().collect::<Vec<&Piece>>()));
            known.add_field(&field);
            *self = Self::Whole(field);
        }
        Ok(true)
    }
}

impl InteriorDraft {
    fn of(
        encoding: &[u8],
        part: InteriorPart,
        site: &Site<'_>,
        path: &[u16],
        desk: &mut Desk,
    ) -> Result<Self, BadPart> {
        let mut path: Path = path.to_vec();
        let mut children = Vec::with_capacity(part.children.len());
        // From the last to the first: the work that comes last is done first.
        for (at, named) in part.children.iter().enumerate().rev() {
            let site = site.child(part.height, &part.separators, *named, at);
            path.push(u16::try_from(at).expect("a page has few children"));
            children.push(Draft::of(&site, &path, desk)?);
            path.pop();
        }
        children.reverse();
        let missing = children.iter().filter(|child| !matches!(child, Draft::Whole(_))).count();
        Ok(Self { encoding: Bytes::copy_from_slice(encoding), part, children, missing })
    }

    fn give_below(
        &mut self,
        at: usize,
        site: &Site<'_>,
        (path, way): (&[u16], &[u16]),
        part: Part,
        desk: &mut Desk,
    ) -> Result<bool, BadPart> {
        let (Some(named), Some(child)) = (self.part.children.get(at), self.children.get_mut(at)) else {
            return Ok(false);
        };
        let site = site.child(self.part.height, &self.part.separators, *named, at);
        let is_new = child.give(&site, (path, way), part, desk)?;
        if is_new && matches!(child, Draft::Whole(_)) {
            self.missing -= 1;
        }
        Ok(is_new)
    }

    /// The page, all of whose children are there.
    fn page(&mut self, hash: &Hash) -> Page {
        let children = self.part.children.iter().zip(&self.children).map(|(named, child)| {
            let Draft::Whole(whole) = child else { unreachable!("no child is missing") };
            Child { page: whole.0.clone(), keys: named.keys, bytes: named.bytes }
        });
        let (children, separators) = (children.collect(), std::mem::take(&mut self.part.separators));
        Page::Interior(Interior::new(self.part.height, separators, children)).with_hash(hash)
    }
}
