//! Reading a checkpoint back, all of it, and believing nothing that its hashes do not say.
//!
//! A tree is read level by level from the root page down: what a level names is known before it is read, so that its records can be
//! read in the order in which they lie. Then the pages are put together from the leaves up.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::thread;

use bytes::Bytes;
use viewstamped_state::{BadPart, FieldHandle, NamedPage, PageHandle, ReadInterior, ReadLeaf, ReadPage, State};

use super::Loaded;
use super::damage::Damage;
use super::index::{Hash, Index};
use super::place::Place;
use super::read::{self, Chunk, Source, damaged};
use super::record::{Kind, Record, RecordFault};
use super::superblock::{Contents, TreeRoot};

/// The most threads that take pages apart at once. 8: no disk delivers faster.
const THREADS_MAX: usize = 8;

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
            match below.page.read(record.content).map_err(|why| bad_page(below.place, why))? {
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
        let read = |at: usize, record: Record<'_>| read_leaf(&level[order[at]], &record);
        in_parallel(self.source, &places, read, |at, leaf| {
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
            let page = taken_apart(&level[number], &content)?.page(fields);
            pages[number] = Some(page.map_err(|why| bad_page(level[number].place, why))?);
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
    read::one(source, Kind::Page, below.place, |record| {
        let page = below.page.read(record.content).map_err(|why| bad_page(below.place, why))?;
        Ok(matches!(page, ReadPage::Leaf(_)))
    })
}

fn read_leaf(below: &Below, record: &Record<'_>) -> Result<Leaf, Damage> {
    let leaf = taken_apart(below, record.content)?;
    let hashes = leaf.fields();
    if hashes.is_empty() && record.places().len() == 0 {
        let page = leaf.page(Vec::new()).map_err(|why| bad_page(below.place, why))?;
        return Ok(Leaf::Whole(page));
    }
    let fields = hashes.into_iter().zip(places(below.place, record, leaf.fields().len())?).collect();
    Ok(Leaf::WithFields(WithFields { content: record.content.to_vec(), fields }))
}

fn taken_apart<'c>(below: &'c Below, content: &'c [u8]) -> Result<ReadLeaf<'c>, Damage> {
    match below.page.read(content).map_err(|why| bad_page(below.place, why))? {
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

/// The numbers of the places in the order in which they lie.
fn order(places: impl Iterator<Item = Place>) -> Vec<usize> {
    let mut order: Vec<(Place, usize)> = places.enumerate().map(|(number, place)| (place, number)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, number)| number).collect()
}

/// Gives each record to `found`, with its number, in the order in which they lie, or what is wrong with it.
pub(crate) fn each(
    source: Source<'_>,
    kind: Kind,
    unordered: impl Iterator<Item = Place> + Clone,
    mut found: impl FnMut(usize, Result<Record<'_>, Damage>) -> Result<(), Damage>,
) -> Result<(), Damage> {
    let order = order(unordered.clone());
    let mut places: Vec<Place> = unordered.collect();
    places.sort_unstable();
    let mut buffer = Vec::new();
    for run in read::runs(&places) {
        let chunk = Chunk::read(source, &places, run, buffer);
        for (at, record) in chunk.records(kind) {
            found(order[at], record)?;
        }
        buffer = chunk.into_buffer();
    }
    Ok(())
}

/// Lets several threads make something of the pages at `places`, which ascend, while the next ones are read; what they make is taken
/// in the order of the places, whichever thread is faster.
fn in_parallel<T: Send>(
    source: Source<'_>,
    places: &[Place],
    make: impl Fn(usize, Record<'_>) -> Result<T, Damage> + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), Damage>,
) -> Result<(), Damage> {
    let make_all = |chunk: &Chunk<'_>| -> Vec<(usize, Result<T, Damage>)> {
        chunk.records(Kind::Page).map(|(at, record)| (at, record.and_then(|record| make(at, record)))).collect()
    };
    let runs = read::runs(places);
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let mut batches = runs.chunks(threads);
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    let mut read_next = |buffers: &mut Vec<Vec<u8>>| -> Vec<Chunk<'_>> {
        let runs = batches.next().unwrap_or_default().iter();
        runs.map(|run| Chunk::read(source, places, run.clone(), buffers.pop().unwrap_or_default())).collect()
    };
    let mut batch = read_next(&mut buffers);
    while !batch.is_empty() {
        let mut next = Vec::new();
        let made: Vec<Vec<(usize, Result<T, Damage>)>> = if let [only] = batch.as_slice() {
            // A small state is not worth a thread.
            next = read_next(&mut buffers);
            vec![make_all(only)]
        } else {
            thread::scope(|scope| {
                let making: Vec<_> = batch.iter().map(|chunk| scope.spawn(|| make_all(chunk))).collect();
                next = read_next(&mut buffers);
                making
                    .into_iter()
                    .map(|thread| thread.join().expect("a thread that reads pages never panics"))
                    .collect()
            })
        };
        for (at, made) in made.into_iter().flatten() {
            take(at, made?)?;
        }
        buffers.extend(batch.into_iter().map(Chunk::into_buffer));
        batch = next;
    }
    Ok(())
}
