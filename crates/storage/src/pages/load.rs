//! Reading a checkpoint back, all of it, and believing nothing that its hashes do not say.
//!
//! A tree is read level by level from the root page down: what a level names is known before it is read, so that its records can be
//! read in the order in which they lie. Then the pages are put together from the leaves up.

use std::collections::BTreeMap;

use bytes::Bytes;
use viewstamped_state::{BadPart, FieldHandle, NamedPage, PageHandle, ReadInterior, ReadLeaf, ReadPage, State};

use super::Loaded;
use super::damage::Damage;
use super::index::{Hash, Index};
use super::place::Place;
use super::read::{self, Source, damaged};
use super::record::{Kind, Record, RecordFault};
use super::superblock::{Contents, TreeRoot};
use super::visit::{each, order, verified_in_parallel};

/// Reads the checkpoint that a superblock names. The index says where its records are.
pub(crate) fn load(source: Source<'_>, contents: &Contents) -> Result<(Loaded, Index), Damage> {
    let Contents { id, journal, .. } = *contents;
    let mut load = Load { source, index: Index::default(), fields: BTreeMap::new() };
    let header = header(source, contents)?;
    name(&mut load.index, id.root, contents.header)?;
    let service = load.tree(&contents.service)?;
    let client_table = load.tree(&contents.client_table)?;
    Ok((Loaded { id, header, service, client_table, journal }, load.index))
}

/// Reads the header of a checkpoint.
pub(crate) fn header(source: Source<'_>, contents: &Contents) -> Result<Bytes, Damage> {
    read::one(source, Kind::Header, contents.header, |record| {
        let is_named = *blake3::hash(record.content).as_bytes() == contents.id.root;
        let header = is_named.then(|| Bytes::copy_from_slice(record.content));
        header.ok_or_else(|| damaged(contents.header, RecordFault::Hash))
    })
}

struct Load<'a> {
    source: Source<'a>,
    index: Index,
    /// The keys and values that lie outside of pages: equal ones are held once.
    fields: BTreeMap<Hash, FieldHandle>,
}

/// A page that a page above or the superblock names.
#[derive(Debug)]
pub(crate) struct Below {
    pub(crate) page: NamedPage,
    pub(crate) place: Place,
    /// Nothing named it before.
    pub(crate) is_new: bool,
}

impl Below {
    /// The root page of a tree.
    pub(crate) fn root(tree: &TreeRoot, index: &mut Index) -> Result<Self, Damage> {
        let (page, _) = NamedPage::of_top(&tree.top).map_err(|why| bad_page(tree.place, why))?;
        let is_new = name(index, *page.hash(), tree.place)?;
        Ok(Self { page, place: tree.place, is_new })
    }

    /// Takes the page apart, if the record holds it.
    pub(crate) fn read<'a>(&'a self, record: &Record<'a>) -> Result<ReadPage<'a>, Damage> {
        self.verify(record)?;
        self.read_verified(record)
    }

    fn verify(&self, record: &Record<'_>) -> Result<(), Damage> {
        if self.page.is_of(record.content) { Ok(()) } else { Err(damaged(self.place, RecordFault::Hash)) }
    }

    fn read_verified<'a>(&'a self, record: &Record<'a>) -> Result<ReadPage<'a>, Damage> {
        self.page.read(record.content).map_err(|why| bad_page(self.place, why))
    }
}

/// A leaf that was read.
enum Leaf {
    Whole(PageHandle),
    /// Fields that lie outside of it are to be read, with these hashes at these places.
    WithFields(WithFields),
}

struct WithFields {
    content: Vec<u8>,
    fields: Vec<(Hash, Place)>,
}

impl Load<'_> {
    fn tree(&mut self, tree: &TreeRoot) -> Result<State, Damage> {
        let root = Below::root(tree, &mut self.index)?;
        let top = root.page.clone();
        let mut level = vec![root];
        let mut levels = Vec::new();
        while !level.is_empty() && !is_of_leaves(self.source, &level[0])? {
            let (above, below) = self.interior(&level)?;
            levels.push((above, level));
            level = below;
        }
        let mut pages = self.leaves(&level)?;
        while let Some((above, level)) = levels.pop() {
            pages = assemble(above, &level, pages)?;
        }
        let page = pages.pop().ok_or(damaged(tree.place, RecordFault::Fields))?;
        Ok(State::of_root_page(&top, page))
    }

    /// Reads a level of pages of pages. Returns with them what they name.
    fn interior(&mut self, level: &[Below]) -> Result<(Vec<ReadInterior>, Vec<Below>), Damage> {
        let mut read: Vec<Option<(ReadInterior, Vec<Below>)>> = level.iter().map(|_| None).collect();
        let index = &mut self.index;
        each(self.source, Kind::Page, level.iter().map(|page| page.place), |number, record| {
            let (below, record) = (&level[number], record?);
            match below.read(&record)? {
                ReadPage::Leaf(_) => Err(damaged(below.place, RecordFault::Fields)),
                ReadPage::Interior(interior) => {
                    let children = children(index, below, &interior, &record)?;
                    read[number] = Some((interior, children));
                    Ok(())
                }
            }
        })?;
        let (above, below): (Vec<ReadInterior>, Vec<Vec<Below>>) = read.into_iter().flatten().unzip();
        Ok((above, below.into_iter().flatten().collect()))
    }

    fn leaves(&mut self, level: &[Below]) -> Result<Vec<PageHandle>, Damage> {
        let mut pages: Vec<Option<PageHandle>> = vec![None; level.len()];
        let mut with_fields: Vec<(usize, WithFields)> = Vec::new();
        let order = order(level.iter().map(|page| page.place));
        let places: Vec<Place> = order.iter().map(|number| level[*number].place).collect();
        let verify = |at: usize, record: &Record<'_>| level[order[at]].verify(record);
        verified_in_parallel(self.source, &places, verify, |at, record| {
            let leaf = read_leaf(&level[order[at]], &record)?;
            match leaf {
                Leaf::Whole(page) => pages[order[at]] = Some(page),
                Leaf::WithFields(leaf) => {
                    for (hash, place) in leaf.fields.iter().filter(|_| level[order[at]].is_new) {
                        name(&mut self.index, *hash, *place)?;
                    }
                    with_fields.push((order[at], leaf));
                }
            }
            Ok(())
        })?;
        self.read_fields(with_fields.iter().flat_map(|(_, leaf)| &leaf.fields))?;
        for (number, WithFields { content, fields }) in with_fields {
            let fields = fields.iter().map(|(hash, _)| self.fields[hash].clone()).collect();
            let below = &level[number];
            let leaf = as_leaf(below, below.page.read(&content).map_err(|why| bad_page(below.place, why))?)?;
            pages[number] = Some(leaf.page(fields).map_err(|why| bad_page(below.place, why))?);
        }
        Ok(pages.into_iter().flatten().collect())
    }

    /// Reads the fields with these hashes at these places, as far as they are not known.
    fn read_fields<'n>(&mut self, named: impl Iterator<Item = &'n (Hash, Place)>) -> Result<(), Damage> {
        let unknown: BTreeMap<Hash, Place> =
            named.filter(|(hash, _)| !self.fields.contains_key(hash)).copied().collect();
        let unknown: Vec<(Hash, Place)> = unknown.into_iter().collect();
        each(self.source, Kind::Field, unknown.iter().map(|(_, place)| *place), |number, record| {
            let (hash, place) = unknown[number];
            let field = FieldHandle::new(Bytes::copy_from_slice(record?.content));
            if field.hash() != hash {
                return Err(damaged(place, RecordFault::Hash));
            }
            self.fields.insert(hash, field);
            Ok(())
        })
    }
}

fn is_of_leaves(source: Source<'_>, below: &Below) -> Result<bool, Damage> {
    read::one(source, Kind::Page, below.place, |record| Ok(matches!(below.read(&record)?, ReadPage::Leaf(_))))
}

/// Makes a leaf of a record that was verified.
fn read_leaf(below: &Below, record: &Record<'_>) -> Result<Leaf, Damage> {
    let leaf = as_leaf(below, below.read_verified(record)?)?;
    let hashes = leaf.fields();
    let places = places(below.place, record, hashes.len())?;
    if hashes.is_empty() {
        let page = leaf.page(Vec::new()).map_err(|why| bad_page(below.place, why))?;
        return Ok(Leaf::Whole(page));
    }
    let fields = hashes.into_iter().zip(places).collect();
    Ok(Leaf::WithFields(WithFields { content: record.content.to_vec(), fields }))
}

fn as_leaf<'a>(below: &Below, page: ReadPage<'a>) -> Result<ReadLeaf<'a>, Damage> {
    match page {
        ReadPage::Leaf(leaf) => Ok(leaf),
        ReadPage::Interior(_) => Err(damaged(below.place, RecordFault::Fields)),
    }
}

pub(crate) fn bad_page(place: Place, why: BadPart) -> Damage {
    Damage::Page { offset: place.offset(), why }
}

/// The places beside a page that names `count` others.
pub(crate) fn places(place: Place, record: &Record<'_>, count: usize) -> Result<Vec<Place>, Damage> {
    let places: Result<Vec<Place>, RecordFault> = record.places().collect();
    let places = places.ok().filter(|places| places.len() == count);
    places.ok_or(damaged(place, RecordFault::Fields))
}

/// What a page of pages names.
pub(crate) fn children(
    index: &mut Index,
    above: &Below,
    interior: &ReadInterior,
    record: &Record<'_>,
) -> Result<Vec<Below>, Damage> {
    let pages = interior.children();
    let places = places(above.place, record, pages.len())?;
    let children = pages.into_iter().zip(places).map(|(page, place)| {
        // A page names what is below it once, however often it is named itself.
        let is_new = above.is_new && name(index, *page.hash(), place)?;
        Ok(Below { page, place, is_new })
    });
    children.collect()
}

/// Notes that the content of this hash lies at `place`. Returns whether it was unknown before.
pub(crate) fn name(index: &mut Index, hash: Hash, place: Place) -> Result<bool, Damage> {
    let is_new = index.name(hash, place);
    if index.place(&hash) == Some(place) { Ok(is_new) } else { Err(damaged(place, RecordFault::Misplaced)) }
}

/// The pages of a level, when those below are loaded.
fn assemble(above: Vec<ReadInterior>, level: &[Below], below: Vec<PageHandle>) -> Result<Vec<PageHandle>, Damage> {
    let mut below = below.into_iter();
    let page = |(interior, named): (ReadInterior, &Below)| {
        let children = below.by_ref().take(interior.len()).collect();
        interior.page(children).map_err(|why| bad_page(named.place, why))
    };
    above.into_iter().zip(level).map(page).collect()
}
