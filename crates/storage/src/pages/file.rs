//! Opening the page file, and saving checkpoints into it.

use std::io;

use viewstamped_protocol::ClusterId;
use viewstamped_state::PageHandle;

use super::choose::{Choice, choose};
use super::damage::Damage;
use super::index::Index;
use super::load::load;
use super::place::{Place, UNIT_BYTES};
use super::read::Source;
use super::save::{Save, Target};
use super::space::{Overlap, Space};
use super::superblock::{self, COPY_UNITS, Contents, RECORDS_BEGIN, Superblock};
use super::{CheckpointFiles, JournalPosition, Loaded, OpenError, Opened, PAGES, Progress, SaveError, Verdict};
use crate::io::{Disk, DiskFile};

/// The file is cut only when this many bytes, and a quarter of it, are free at its end. 1 MiB: to cut it and let it grow again all
/// the time would cost more than the space is worth.
const CUT_BYTES_MIN: u64 = 1 << 20;

/// The page file of a replica, open for saving checkpoints.
///
/// Call [`PageFile::begin`], then [`PageFile::step`] until it says that the checkpoint is saved. After an error that is
/// [final](SaveError::is_final) the process must end: only a restart finds out what is durable.
///
/// It holds the newest checkpoint, too: pages that have changed since stay in memory until the next one is saved.
#[derive(Debug)]
pub struct PageFile {
    file: Box<dyn DiskFile>,
    cluster: ClusterId,
    /// The bytes of the file.
    length: u64,
    space: Space,
    /// The records of the newest checkpoint.
    index: Index,
    /// The newest checkpoint.
    newest: Option<CheckpointFiles>,
    /// What must be durable before the first record is written.
    unsettled: Option<Settling>,
    /// Superblocks were lost, and none is used: the next one replaces all.
    replaces_all: bool,
    /// That of the next superblock.
    generation: u64,
    /// Records of checkpoints of whose superblock a copy may have been written. Free when a newer superblock is durable.
    uncertain: Vec<Place>,
    saving: Option<(Save, Stage)>,
    is_poisoned: bool,
}

/// What must be durable before the first record is written.
#[derive(Clone, Debug)]
enum Settling {
    /// In a new file, superblocks that name no checkpoint.
    Blank,
    /// The superblock that was found: a crash of the process, but not of the machine, may have left it unsynced.
    Found(Superblock),
}

/// What comes next for a checkpoint that is being saved.
#[derive(Clone, Debug)]
enum Stage {
    Settle,
    Write,
    Sync(Box<Contents>),
    Superblock(Box<Contents>),
}

/// Why a step failed.
enum Failure {
    Write(io::Error),
    Sync(io::Error),
}

impl PageFile {
    /// Opens the page file of a directory, creates it if there is none, and reads the newest checkpoint.
    ///
    /// # Errors
    /// When the disk refuses, or the file belongs to a later release or another cluster. Damage is no error but a verdict.
    pub fn open(disk: &dyn Disk, cluster: ClusterId) -> Result<(Self, Opened), OpenError> {
        let file = match disk.open(PAGES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(PAGES).map_err(refused("create"))?;
                disk.sync_names().map_err(refused("make durable"))?;
                file
            }
            found => found.map_err(refused("open"))?,
        };
        let length = file.length().map_err(refused("measure"))?;
        let choice = choose(Source { file: &*file, length }, Some(cluster))?;
        let Found { checkpoint, superblock, verdict } = Found::read(Source { file: &*file, length }, &choice);
        let generation = choice.next_generation(superblock.as_ref().map(|superblock| superblock.generation));
        let is_empty = verdict == Verdict::Empty;
        let mut pages = Self {
            file,
            cluster,
            length,
            space: Space::new(RECORDS_BEGIN),
            index: Index::default(),
            newest: None,
            replaces_all: superblock.is_none() && !is_empty,
            unsettled: superblock.map(Settling::Found).or(is_empty.then_some(Settling::Blank)),
            generation,
            uncertain: Vec::new(),
            saving: None,
            is_poisoned: false,
        };
        let checkpoint = checkpoint.map(|(loaded, index, space)| {
            (pages.newest, pages.index, pages.space) = (Some(loaded.files()), index, space);
            loaded
        });
        Ok((pages, Opened { checkpoint, verdict }))
    }

    /// The name of the newest checkpoint that is durable.
    #[must_use]
    pub fn newest(&self) -> Option<super::CheckpointId> {
        self.newest.as_ref().map(|checkpoint| checkpoint.id)
    }

    /// The bytes of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.length
    }

    /// The bytes of the file that are in use, among them those of a checkpoint that is being saved.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        (self.space.used() + RECORDS_BEGIN) * UNIT_BYTES
    }

    /// Begins to save a checkpoint; one that was begun before and is not saved is given up. `journal` says where the journal begins
    /// whose records are above the checkpoint.
    ///
    /// The hashes of all pages should be known: ask both states for their roots first, on a thread that has time.
    ///
    /// # Errors
    /// When an earlier sync failed.
    pub fn begin(&mut self, checkpoint: CheckpointFiles, journal: JournalPosition) -> Result<(), SaveError> {
        if self.is_poisoned {
            return Err(SaveError::Poisoned);
        }
        self.abandon();
        self.space.rewind();
        let stage = if self.unsettled.is_some() { Stage::Settle } else { Stage::Write };
        // Of a file that has grown and emptied again, what lies at its end moves to the front.
        let is_anew = self.space.end() * UNIT_BYTES >= CUT_BYTES_MIN && self.space.used() < self.space.end() / 4;
        self.saving = Some((Save::new(checkpoint, journal, is_anew), stage));
        Ok(())
    }

    /// Gives up the checkpoint that is being saved, if there is one.
    pub fn abandon(&mut self) {
        if let Some((save, _)) = self.saving.take() {
            save.written.into_iter().for_each(|place| self.space.release(place));
        }
    }

    /// Goes on with the checkpoint that was begun: writes about `bytes` bytes of records, or makes something durable. Returns `None`
    /// when none is being saved.
    ///
    /// # Errors
    /// When the disk refuses a write: the checkpoint is given up, and another one can be begun. When a sync fails: all is over.
    pub fn step(&mut self, bytes: usize) -> Result<Option<Progress>, SaveError> {
        if self.is_poisoned {
            return Err(SaveError::Poisoned);
        }
        let Some((mut save, stage)) = self.saving.take() else { return Ok(None) };
        match self.advance(&mut save, &stage, bytes) {
            Ok(Some(stage)) => {
                let progress = Progress::Writing { bytes: save.bytes_written };
                self.saving = Some((save, stage));
                Ok(Some(progress))
            }
            Ok(None) => {
                let (id, bytes) = (save.checkpoint.id, save.bytes_written);
                self.replace_newest(save);
                self.cut();
                Ok(Some(Progress::Saved { id, bytes }))
            }
            Err(Failure::Write(source)) => {
                self.give_up(save, &stage);
                Err(SaveError::Write { source })
            }
            Err(Failure::Sync(source)) => {
                self.is_poisoned = true;
                Err(SaveError::Sync { source })
            }
        }
    }

    /// Does what comes next, and returns what comes then.
    fn advance(&mut self, save: &mut Save, stage: &Stage, bytes: usize) -> Result<Option<Stage>, Failure> {
        match stage {
            Stage::Settle => {
                self.settle()?;
                Ok(Some(Stage::Write))
            }
            Stage::Write => {
                let mut target = Target { file: &*self.file, space: &mut self.space, before: &self.index };
                let contents = save.step(bytes, &mut target).map_err(Failure::Write);
                self.length = self.length.max(save.written_end);
                Ok(Some(contents?.map_or(Stage::Write, |contents| Stage::Sync(Box::new(contents)))))
            }
            Stage::Sync(contents) => {
                self.file.sync_all().map_err(Failure::Sync)?;
                Ok(Some(Stage::Superblock(contents.clone())))
            }
            Stage::Superblock(contents) => {
                self.write_superblock(contents.clone()).map_err(Failure::Write)?;
                self.file.sync_data().map_err(Failure::Sync)?;
                Ok(None)
            }
        }
    }

    fn settle(&mut self) -> Result<(), Failure> {
        match self.unsettled.clone() {
            None => return Ok(()),
            Some(Settling::Blank) => {
                let blank = Superblock { cluster: self.cluster, generation: 0, contents: None };
                self.write_copies(&blank, &COPY_UNITS).map_err(Failure::Write)?;
            }
            Some(Settling::Found(superblock)) => {
                let units = superblock::copies_of(superblock.generation);
                self.write_copies(&superblock, &units).map_err(Failure::Write)?;
            }
        }
        self.file.sync_all().map_err(Failure::Sync)?;
        self.unsettled = None;
        Ok(())
    }

    fn write_superblock(&mut self, contents: Box<Contents>) -> io::Result<()> {
        let superblock = Superblock { cluster: self.cluster, generation: self.generation, contents: Some(contents) };
        let units = superblock::copies_of(self.generation);
        self.write_copies(&superblock, &units)?;
        if self.replaces_all {
            let blank = Superblock { generation: 0, contents: None, ..superblock };
            self.write_copies(&blank, &superblock::copies_of(self.generation + 1))?;
        }
        Ok(())
    }

    fn write_copies(&mut self, superblock: &Superblock, units: &[u64]) -> io::Result<()> {
        for unit in units {
            let sector = superblock.encode(*unit);
            self.file.write_at(&sector, unit * UNIT_BYTES)?;
            self.length = self.length.max(unit * UNIT_BYTES + sector.len() as u64);
        }
        Ok(())
    }

    /// The checkpoint that was saved is the newest one; what only the one before had is free.
    fn replace_newest(&mut self, save: Save) {
        self.generation += 1;
        self.replaces_all = false;
        for place in std::mem::take(&mut self.uncertain) {
            self.space.release(place);
        }
        let before = self.newest.replace(save.checkpoint);
        if save.is_anew {
            let before = std::mem::replace(&mut self.index, save.named);
            before.places().for_each(|place| self.space.release(place));
            return;
        }
        self.index.add(save.named);
        if let Some(before) = before {
            if let Some(place) = self.index.unname(&before.id.root) {
                self.space.release(place);
            }
            self.release(before.service.root_page());
            self.release(before.client_table.root_page());
        }
    }

    /// Names a page once less, and what is below it when nothing names it any more.
    fn release(&mut self, root: PageHandle) {
        let mut pages = vec![root];
        while let Some(page) = pages.pop() {
            let Some(place) = self.index.unname(&page.hash()) else { continue };
            self.space.release(place);
            for field in page.fields() {
                if let Some(place) = self.index.unname(&field.hash()) {
                    self.space.release(place);
                }
            }
            pages.extend((0..).map_while(|at| page.child(at)));
        }
    }

    /// Gives up a checkpoint after a write failed.
    fn give_up(&mut self, save: Save, stage: &Stage) {
        if let Stage::Superblock(_) = stage {
            // A copy of its superblock may be found after a crash, and then must be right.
            self.uncertain.extend(save.written);
            self.generation += 2;
        } else {
            save.written.into_iter().for_each(|place| self.space.release(place));
        }
        // What was written of it takes space that the disk may not have.
        self.length = self.file.length().unwrap_or(self.length);
        self.cut();
    }

    /// Cuts the free end of the file, if it is large. When that fails nothing is lost.
    fn cut(&mut self) {
        let end = self.space.end() * UNIT_BYTES;
        let free = self.length.saturating_sub(end);
        if free >= CUT_BYTES_MIN && free >= self.length / 4 && self.file.set_length(end).is_ok() {
            self.length = end;
        }
    }
}

impl Loaded {
    /// The same checkpoint, to be written elsewhere.
    #[must_use]
    pub fn files(&self) -> CheckpointFiles {
        CheckpointFiles {
            id: self.id,
            header: self.header.clone(),
            service: self.service.snapshot(),
            client_table: self.client_table.snapshot(),
        }
    }
}

/// What a file holds.
struct Found {
    checkpoint: Option<(Loaded, Index, Space)>,
    /// The one that names the checkpoint.
    superblock: Option<Superblock>,
    verdict: Verdict,
}

impl Found {
    /// Reads the newest checkpoint that is whole.
    fn read(source: Source<'_>, choice: &Choice) -> Self {
        let mut verdict = choice.verdict.clone();
        for superblock in &choice.candidates {
            let Some(contents) = &superblock.contents else { continue };
            match read(source, contents) {
                Ok(checkpoint) => {
                    return Self { checkpoint: Some(checkpoint), superblock: Some(superblock.clone()), verdict };
                }
                Err(damage) if verdict == Verdict::Sound => verdict = Verdict::Doubt(damage),
                Err(_) => {}
            }
        }
        Self { checkpoint: None, superblock: None, verdict }
    }
}

fn read(source: Source<'_>, contents: &Contents) -> Result<(Loaded, Index, Space), Damage> {
    let (loaded, index) = load(source, contents)?;
    let space = Space::with(RECORDS_BEGIN, index.places().collect());
    let space = space.map_err(|Overlap(place)| Damage::Overlap { offset: place.offset() })?;
    Ok((loaded, index, space))
}

pub(crate) fn refused(action: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { action, source }
}
