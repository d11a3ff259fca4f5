//! Looking at a page file without changing it and without loading what it holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use viewstamped_protocol::ClusterId;
use viewstamped_state::{NamedPage, ReadPage};

use super::choose::{Choice, choose};
use super::damage::Damage;
use super::file::refused;
use super::index::{Hash, Index};
use super::load::{self, Below};
use super::place::Place;
use super::read::{Source, damaged};
use super::record::{Kind, Record, RecordFault};
use super::superblock::{Contents, Superblock, TreeRoot};
use super::visit::each;
use super::{CheckpointId, JournalPosition, Loaded, OpenError, PAGES, ReadError, Verdict};
use crate::io::{Disk, DiskFile};

/// The most damages that are listed. 100: what is wrong with a disk shows in a few.
const DAMAGES_MAX: usize = 100;

/// What a page file says it holds.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Whose it is; `None` when it has no superblock.
    pub cluster: Option<ClusterId>,
    /// Its checkpoints, the newest first. What only an older one has is overwritten by the next one.
    pub checkpoints: Vec<Listed>,
    /// What its superblocks are worth.
    pub verdict: Verdict,
}

/// What a superblock says of a checkpoint.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub id: CheckpointId,
    /// Counts the checkpoints saved into the file.
    pub generation: u64,
    /// Where the journal goes on.
    pub journal: JournalPosition,
    /// Its header, encoded, or what is wrong with it.
    pub header: Result<Bytes, Damage>,
    /// The keys of the service state.
    pub service_keys: u64,
    /// The bytes of all keys and values of the service state.
    pub service_bytes: u64,
    /// The keys of the client-table.
    pub client_table_keys: u64,
}

/// What was found when a checkpoint was verified.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// The newest checkpoint; `None` when there is none.
    pub id: Option<CheckpointId>,
    /// The pages that are whole.
    pub pages: u64,
    /// The keys and values outside of pages that are whole.
    pub fields: u64,
    /// The bytes of all these.
    pub bytes: u64,
    /// What is damaged. What lies below a damaged page is unknown.
    pub damages: Vec<Damage>,
    /// A newer checkpoint was saved in the meantime: what seems damaged may have been overwritten by it. Verify again.
    pub is_outdated: bool,
}

/// How far verifying has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verifying {
    /// The keys in pages that were read.
    pub keys: u64,
    /// The keys of the checkpoint.
    pub keys_total: u64,
}

/// Lists the checkpoints of the page file in a directory, which may be in use.
///
/// # Errors
/// When there is no such file, the disk refuses, or a later release wrote it.
pub fn list(disk: &dyn Disk) -> Result<Listing, OpenError> {
    let (file, length) = open(disk)?;
    let source = Source { file: &*file, length };
    let Choice { candidates, verdict } = choose(source, None)?;
    let cluster = candidates.first().map(|superblock| superblock.cluster);
    let listed =
        |superblock: &Superblock| Some(Listed::of(source, superblock.generation, superblock.contents.as_ref()?));
    Ok(Listing { cluster, checkpoints: candidates.iter().filter_map(listed).collect(), verdict })
}

/// Reads the newest checkpoint of the page file in a directory, which may be in use, and verifies every byte of it. `report` is told
/// now and then how far it is.
///
/// # Errors
/// When there is no such file, the disk refuses, or a later release wrote it. Damage is no error but what is looked for.
pub fn verify(disk: &dyn Disk, mut report: impl FnMut(Verifying)) -> Result<Verified, OpenError> {
    let (file, length) = open(disk)?;
    let source = Source { file: &*file, length };
    let choice = choose(source, None)?;
    let newest = choice.candidates.first();
    let mut verify = Verify { source, index: Index::default(), fields: BTreeMap::new(), found: Verified::default() };
    if let Verdict::Doubt(damage) = choice.verdict {
        verify.found.damages.push(damage);
    }
    if let Some(contents) = newest.and_then(|newest| newest.contents.as_ref()) {
        verify.checkpoint(contents, &mut report);
    }
    let mut found = verify.found;
    found.damages.truncate(DAMAGES_MAX);
    let now = choose(source, None)?;
    found.is_outdated = now.candidates.first() != newest;
    Ok(found)
}

/// Reads the newest checkpoint of the page file in a directory, which may be in use, into memory; with the cluster whose it is.
/// `None` when there is none.
///
/// # Errors
/// When there is no such file, the disk refuses, a later release wrote it, or the checkpoint is damaged. While a replica uses it, a
/// newer checkpoint may take the place of what is read, which looks like damage: read again.
pub fn read(disk: &dyn Disk) -> Result<Option<(ClusterId, Loaded)>, ReadError> {
    let (file, length) = open(disk)?;
    let source = Source { file: &*file, length };
    let choice = choose(source, None)?;
    if let Verdict::Doubt(damage) = choice.verdict {
        return Err(damage.into());
    }
    let Some(newest) = choice.candidates.first() else { return Ok(None) };
    let Some(contents) = &newest.contents else { return Ok(None) };
    let (loaded, _) = load::load(source, contents)?;
    Ok(Some((newest.cluster, loaded)))
}

fn open(disk: &dyn Disk) -> Result<(Box<dyn DiskFile>, u64), OpenError> {
    let file = disk.open(PAGES).map_err(refused("open"))?;
    let length = file.length().map_err(refused("measure"))?;
    Ok((file, length))
}

impl Listed {
    fn of(source: Source<'_>, generation: u64, contents: &Contents) -> Self {
        let totals =
            |tree: &TreeRoot| NamedPage::of_top(&tree.top).map_or((0, 0), |(top, _)| (top.keys(), top.bytes()));
        let (service_keys, service_bytes) = totals(&contents.service);
        let (client_table_keys, _) = totals(&contents.client_table);
        let Contents { id, journal, .. } = *contents;
        let header = load::header(source, contents);
        Self { id, generation, journal, header, service_keys, service_bytes, client_table_keys }
    }
}

struct Verify<'a> {
    source: Source<'a>,
    /// What was named, and where it lies.
    index: Index,
    /// The keys and values outside of pages.
    fields: BTreeMap<Hash, Place>,
    found: Verified,
}

impl Verify<'_> {
    fn checkpoint(&mut self, contents: &Contents, report: &mut dyn FnMut(Verifying)) {
        self.found.id = Some(contents.id);
        if let Err(damage) = load::header(self.source, contents) {
            self.found.damages.push(damage);
        }
        let mut level = Vec::new();
        for tree in [&contents.service, &contents.client_table] {
            match Below::root(tree, &mut self.index) {
                Ok(root) => level.push(root),
                Err(damage) => self.found.damages.push(damage),
            }
        }
        let mut progress = Verifying { keys: 0, keys_total: level.iter().map(|root| root.page.keys()).sum() };
        while !level.is_empty() {
            level = self.level(&level, &mut progress, report);
        }
        self.check_fields();
    }

    /// Verifies some pages, and returns those that they name for the first time.
    fn level(&mut self, level: &[Below], progress: &mut Verifying, report: &mut dyn FnMut(Verifying)) -> Vec<Below> {
        let mut below = Vec::new();
        let places = level.iter().map(|page| page.place);
        let done = each(self.source, Kind::Page, places, |number, record| {
            match record.and_then(|record| self.page(&level[number], &record)) {
                Ok(children) if children.is_empty() => progress.keys += level[number].page.keys(),
                Ok(children) => below.extend(children.into_iter().filter(|page| page.is_new)),
                Err(damage) => self.found.damages.push(damage),
            }
            report(*progress);
            Ok(())
        });
        self.found.damages.extend(done.err());
        below
    }

    fn page(&mut self, page: &Below, record: &Record<'_>) -> Result<Vec<Below>, Damage> {
        let children = match page.read(record)? {
            ReadPage::Interior(interior) => load::children(&mut self.index, page, &interior, record)?,
            ReadPage::Leaf(leaf) => {
                let hashes = leaf.fields();
                let places = load::places(page.place, record, hashes.len())?;
                self.fields.extend(hashes.into_iter().zip(places));
                Vec::new()
            }
        };
        self.found.pages += 1;
        self.found.bytes += page.place.bytes() as u64;
        Ok(children)
    }

    fn check_fields(&mut self) {
        let fields: Vec<(Hash, Place)> = std::mem::take(&mut self.fields).into_iter().collect();
        let done = each(self.source, Kind::Field, fields.iter().map(|(_, place)| *place), |number, record| {
            let (hash, place) = fields[number];
            match record {
                Ok(record) if *blake3::hash(record.content).as_bytes() == hash => {
                    self.found.fields += 1;
                    self.found.bytes += place.bytes() as u64;
                }
                Ok(_) => self.found.damages.push(damaged(place, RecordFault::Hash)),
                Err(damage) => self.found.damages.push(damage),
            }
            Ok(())
        });
        self.found.damages.extend(done.err());
    }
}
