//! The journal: what a replica must not forget, appended to a ring of sectors that is overwritten in place.
//!
//! Records are opaque bytes, numbered one after the other. Those appended between two syncs are one *batch*: it is written over
//! sectors that were prepared before, made durable by one sync, and only then the next one is written. So a power cut tears at most
//! the last batch, about which nobody was told, and leaves each of its sectors either new or as it was. Every sector names itself,
//! counted through all laps, and carries a checksum: what is neither of the two is damage, and damage is doubt, never the end of
//! the journal (docs/deviations.md, C12).
//!
//! No thread, no clock: whoever owns a [`Journal`] decides when to sync. Group commit is appending whatever came in meanwhile.

mod batch;
mod format;
mod options;
mod reading;
mod ring;
mod sectors;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use self::batch::Batch;
pub use self::format::Owner;
use self::format::{BATCH_SECTORS_MAX, Header, RING_OFFSET};
pub use self::options::JournalOptions;
use self::reading::{Beginning, Reading};
use self::ring::{Ring, page_end, page_start};
use self::sectors::Sectors;
pub use self::verdict::{Doubt, Reason, Verdict};
use crate::io::{Disk, DiskFile, SECTOR_BYTES};

/// The name of the file.
pub const JOURNAL: &str = "journal";

/// The next journal while it is being begun; ignored at start.
pub const JOURNAL_TEMPORARY: &str = "journal.tmp";

/// No journal gets so far: 2^60 sectors.
const POSITIONS_END: u64 = 1 << 60;

/// Where a record is. Names the batch that holds it, so that reading can begin there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The record's sequence number.
    pub sequence: u64,
    /// The sector in which its batch begins, counted through all laps.
    pub sector: u64,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number: one more than that of the record before, but for the record with which a broken journal began again.
    pub sequence: u64,
    /// What was appended.
    pub bytes: Bytes,
}

/// What is in a journal.
#[derive(Debug)]
pub struct Opened {
    /// The records from the one asked for to the end, or to the first doubt: each as it was appended, none missing between.
    pub records: Vec<Record>,
    /// What they are worth.
    pub verdict: Verdict,
    /// Where it ends: the next record, and the sector for the next batch. In doubt there may have been more.
    pub end: Position,
    /// The journal, to be continued. A doubtful one never is: it is begun anew with [`Journal::create`].
    pub journal: Option<Journal>,
}

/// What a journal refuses, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The ring is full of records that are still needed.
    #[error(
        "the journal is full: its {bytes} bytes hold records that are needed until the next checkpoint is durable; it goes on by \
         itself then. If this happens often, the disk is too slow for the load, or `journal_bytes` too small"
    )]
    Full {
        /// The size of the ring.
        bytes: u64,
    },
    /// The disk refused. Nothing that was durable is touched, and the same can be tried again.
    #[error(
        "cannot {action} the journal: {source}; the replica tries again, so free some space or look after the disk"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the disk says.
        source: io::Error,
    },
    /// A sync failed: now, or at some time before. Nobody knows what is durable of what was written since the sync before it, and
    /// trying again proves nothing, so this is a crash.
    #[error(
        "the disk could not make the journal durable ({reason}), and may have dropped any part of what was written; restart the \
         replica: it reads what there is, and recovers from its peers what is in doubt"
    )]
    Poisoned {
        /// What the disk said.
        reason: String,
    },
    /// It was marked as broken.
    #[error("the journal is broken since record {since}: later ones are missing. It goes on at the next checkpoint")]
    Broken {
        /// The first record that is missing.
        since: u64,
    },
}

#[derive(Debug)]
enum State {
    Usable,
    Broken,
    Poisoned(String),
}

/// The journal of a replica, open for appending.
#[derive(Debug)]
pub struct Journal {
    ring: Ring,
    options: JournalOptions,
    state: State,
    /// The sequence number of the next record.
    next: u64,
    /// The records since the last sync.
    batch: Batch,
    /// The sequence number of its first record.
    batch_sequence: u64,
    /// What it is chained to.
    chain: u32,
    /// The durable batches that are still needed, oldest first: their first records and their first sectors. At most one for each
    /// sector of the ring, 8 MiB for the default ring.
    batches: VecDeque<Position>,
}

impl Journal {
    /// Begins a journal: an empty one, or one with a first record, numbered `sequence`. It replaces the journal that was there, in
    /// one step: after a crash there is the old one, or the new one with its first record.
    ///
    /// `sequence` is above every one that was used before, so that positions in an earlier journal are known to be void.
    ///
    /// # Errors
    /// When the disk refuses; the old journal is then still there, or it is unknown which of the two.
    pub fn create(
        disk: &dyn Disk,
        owner: Owner,
        options: JournalOptions,
        sequence: u64,
        first: Option<&[&[u8]]>,
    ) -> Result<Self, JournalError> {
        let header = Header { owner, ring: options.ring(), first: sequence };
        let file = disk.create(JOURNAL_TEMPORARY).map_err(io_error("create"))?;
        let mut page = header.encode();
        page.resize(RING_OFFSET as usize, 0);
        file.write_at(&page, 0).map_err(io_error("write"))?;
        let (sectors, seed) = (header.ring, header.seed());
        let ring = Ring { file, sectors, seed, unprepared: sectors..2 * sectors, leftovers: 0 };
        let batch = Batch::new(sectors, Vec::new());
        let batches = VecDeque::new();
        let state = State::Usable;
        let mut journal =
            Self { ring, options, state, next: sequence, batch, batch_sequence: sequence, chain: seed, batches };
        match first {
            Some(parts) => journal.append(sequence, parts).and_then(|()| journal.sync())?,
            None => journal.prepare(sectors + 1)?,
        }
        disk.rename(JOURNAL_TEMPORARY, JOURNAL).map_err(io_error("replace"))?;
        disk.sync_names().map_err(io_error("make durable the name of"))?;
        Ok(journal)
    }

    /// Opens the journal and reads it: from the record that `from` names, or from its first one.
    ///
    /// Before anything of it is trusted, the last batch is made durable once more: after a sync that failed, the operating system
    /// may show what never reached the disk.
    ///
    /// # Errors
    /// When the file cannot be opened, though it is there. That it cannot be read or written is a doubt.
    pub fn open(disk: &dyn Disk, owner: Owner, options: JournalOptions, from: Option<Position>) -> io::Result<Opened> {
        let (file, header, reading) = match examine(disk, owner, from)? {
            Examined::Readable { file, header, reading } => (file, header, reading),
            Examined::Unreadable(opened) => return Ok(opened),
        };
        if !reading.verdict.is_certain() {
            return Ok(reading.into_opened(None));
        }
        let (unprepared, leftovers) = (reading.unprepared.clone(), reading.leftovers);
        let ring = Ring { file, sectors: header.ring, seed: header.seed(), unprepared, leftovers };
        if let Err(error) = confirm(disk, &ring, &reading) {
            let doubt = Doubt { at: ring.offset(reading.end.sector), reason: Reason::Unconfirmed(error.to_string()) };
            return Ok(Reading { verdict: Verdict::Doubtful(doubt), ..reading }.into_opened(None));
        }
        let journal = Self {
            state: State::Usable,
            options,
            next: reading.end.sequence,
            batch: Batch::new(reading.end.sector, read_page_part(&ring, reading.end.sector)),
            batch_sequence: reading.end.sequence,
            chain: reading.chain,
            batches: reading.batches.clone(),
            ring,
        };
        Ok(reading.into_opened(Some(journal)))
    }

    /// Reads the journal as [`Self::open`] does, and changes nothing.
    ///
    /// # Errors
    /// When the file cannot be opened, though it is there.
    pub fn read(disk: &dyn Disk, owner: Owner, from: Option<Position>) -> io::Result<Opened> {
        match examine(disk, owner, from)? {
            Examined::Readable { reading, .. } => Ok(reading.into_opened(None)),
            Examined::Unreadable(opened) => Ok(opened),
        }
    }

    /// Appends a record, given in parts that follow each other; it becomes durable with the next [`Self::sync`]. `sequence` is
    /// [`Self::next`].
    ///
    /// # Errors
    /// When the ring is full, or the journal broken or poisoned; the record is then not appended.
    pub fn append(&mut self, sequence: u64, parts: &[&[u8]]) -> Result<(), JournalError> {
        self.require_sound()?;
        if let State::Broken = self.state {
            return Err(JournalError::Broken { since: self.next });
        }
        assert_eq!(sequence, self.next, "records are numbered one after the other");
        self.require_space(parts)?;
        self.batch.append(parts);
        self.next += 1;
        Ok(())
    }

    /// Makes everything that was appended durable, and returns when it is.
    ///
    /// # Errors
    /// When it is not. After [`JournalError::Io`] it may be tried again.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.require_sound()?;
        if self.batch.records == 0 {
            return Ok(());
        }
        // One sector more: the one after the batch must be prepared, so that it is known to be the end.
        self.prepare(page_end(self.batch.end()) + 1)?;
        let (pages, start, checksum) = self.batch.seal(&self.ring, self.batch_sequence, self.chain);
        if let Err(source) = self.ring.write(pages, start) {
            // What was written of it is no batch, and must not be taken for a part of what is written next.
            self.ring.leave(self.batch.start()..page_end(self.batch.end()));
            return Err(JournalError::Io { action: "write", source });
        }
        self.ring.file.sync_data().map_err(|error| self.poison(&error))?;
        self.batches.push_back(Position { sequence: self.batch_sequence, sector: self.batch.start() });
        self.chain = checksum;
        self.batch.begin_next(self.options.batch_bytes);
        self.batch_sequence = self.next;
        Ok(())
    }

    /// Whether so much was appended since the last sync that it should be synced before more is appended.
    #[must_use]
    pub fn is_batch_full(&self) -> bool {
        self.batch.bytes >= self.options.batch_bytes
    }

    /// The sequence number of the next record.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Every record below this one is durable.
    #[must_use]
    pub fn durable_before(&self) -> u64 {
        self.batch_sequence
    }

    /// Where the durable records end: the next record, and the sector for the next batch.
    #[must_use]
    pub fn end(&self) -> Position {
        Position { sequence: self.batch_sequence, sector: self.batch.start() }
    }

    /// Where a durable record is, if it was not released.
    #[must_use]
    pub fn position_of(&self, sequence: u64) -> Option<Position> {
        let after = self.batches.partition_point(|batch| batch.sequence <= sequence);
        let batch = self.batches.get(after.checked_sub(1)?)?;
        (sequence < self.durable_before()).then_some(Position { sequence, sector: batch.sector })
    }

    /// The records below `before` are not needed any more, not even after a crash: their sectors may be overwritten.
    pub fn release(&mut self, before: u64) {
        while self.batches.get(1).is_some_and(|batch| batch.sequence <= before) {
            self.batches.pop_front();
        }
    }

    /// Drops what was appended and not synced, and takes no more until [`Self::begin_again`]. What is durable stays durable, and a
    /// reader finds it.
    pub fn mark_broken(&mut self) {
        self.batch.clear();
        self.next = self.batch_sequence;
        if let State::Usable = self.state {
            self.state = State::Broken;
        }
    }

    /// Appends a record that needs none before it, as [`Self::append`] does. A broken journal is whole again from there on: its
    /// reader sees the sequence numbers jump.
    ///
    /// # Errors
    /// When the ring is full, or the journal poisoned; it is then as broken as it was.
    pub fn begin_again(&mut self, sequence: u64, parts: &[&[u8]]) -> Result<(), JournalError> {
        self.require_sound()?;
        if let State::Broken = self.state {
            assert!(sequence >= self.next, "records are numbered one after the other");
            self.require_space(parts)?;
            (self.next, self.batch_sequence) = (sequence, sequence);
            self.state = State::Usable;
        }
        self.append(sequence, parts)
    }

    fn require_sound(&self) -> Result<(), JournalError> {
        match &self.state {
            State::Poisoned(reason) => Err(JournalError::Poisoned { reason: reason.clone() }),
            State::Usable | State::Broken => Ok(()),
        }
    }

    fn require_space(&self, parts: &[&[u8]]) -> Result<(), JournalError> {
        let length = parts.iter().map(|part| part.len()).sum();
        let end = self.batch.end_with(length);
        let oldest = self.batches.front().map_or(self.batch.start(), |batch| batch.sector);
        let is_free = page_end(end) < page_start(oldest) + self.ring.sectors;
        match is_free && end - self.batch.start() <= BATCH_SECTORS_MAX {
            true => Ok(()),
            false => Err(JournalError::Full { bytes: self.ring.sectors * SECTOR_BYTES as u64 }),
        }
    }

    /// Sees to it that all sectors before `end` are prepared.
    fn prepare(&mut self, end: u64) -> Result<(), JournalError> {
        let range = self.ring.to_prepare(end, self.options.step());
        if range.is_empty() {
            return Ok(());
        }
        self.ring.write_blanks(&range).map_err(io_error("prepare"))?;
        self.ring.file.sync_all().map_err(|error| self.poison(&error))?;
        self.ring.unprepared.start = range.end;
        Ok(())
    }

    fn poison(&mut self, error: &io::Error) -> JournalError {
        self.state = State::Poisoned(error.to_string());
        JournalError::Poisoned { reason: error.to_string() }
    }
}

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { action, source }
}

/// A journal that was read.
enum Examined {
    Readable {
        file: Box<dyn DiskFile>,
        header: Header,
        reading: Reading,
    },
    /// Nothing could be read.
    Unreadable(Opened),
}

fn examine(disk: &dyn Disk, owner: Owner, from: Option<Position>) -> io::Result<Examined> {
    let end = from.unwrap_or_default();
    let unreadable = |reason| {
        let verdict = Verdict::Doubtful(Doubt { at: 0, reason });
        Ok(Examined::Unreadable(Opened { records: Vec::new(), verdict, end, journal: None }))
    };
    let file = match disk.open(JOURNAL) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return unreadable(Reason::Missing),
        Err(error) => return Err(error),
    };
    let mut page = [0; SECTOR_BYTES];
    if let Err(error) = file.read_at(&mut page, 0) {
        return unreadable(match error.kind() {
            io::ErrorKind::UnexpectedEof => Reason::Truncated,
            _ => Reason::Unreadable(error.to_string()),
        });
    }
    let header = match Header::decode(&page) {
        Ok(header) if header.owner == owner => header,
        Ok(header) => return unreadable(Reason::Foreign(header.owner.node)),
        Err(error) => return unreadable(Reason::Header(error)),
    };
    if from.is_some_and(|from| !(header.ring..POSITIONS_END).contains(&from.sector)) {
        return unreadable(Reason::NoSuchRecord { sequence: end.sequence });
    }
    let reading = match Sectors::new(&*file, header.ring, header.seed()) {
        Ok(mut sectors) => reading::read(&mut sectors, beginning(&header, from)),
        Err(error) => return unreadable(Reason::Unreadable(error.to_string())),
    };
    Ok(Examined::Readable { file, header, reading })
}

/// Where to begin. A position below the first record is one in a journal that this one has replaced.
fn beginning(header: &Header, from: Option<Position>) -> Beginning {
    match from {
        Some(at) if at.sequence >= header.first => Beginning { at, chain: None, must_be_there: true },
        _ => {
            let at = Position { sequence: header.first, sector: header.ring };
            Beginning { at, chain: Some(header.seed()), must_be_there: false }
        }
    }
}

/// Writes the last batch once more, and makes it and the name of the file durable.
fn confirm(disk: &dyn Disk, ring: &Ring, reading: &Reading) -> io::Result<()> {
    let end = reading.end.sector;
    let mut start = reading.batches.back().map_or(end, |last| last.sector);
    while start < end {
        let page = page_end(start + 1).min(end) - start;
        let mut bytes = vec![0; page as usize * SECTOR_BYTES];
        ring.file.read_at(&mut bytes, ring.offset(start))?;
        ring.write(&bytes, start)?;
        start += page;
    }
    ring.file.sync_all()?;
    disk.sync_names()
}

/// What precedes sector `end` in its page. It is written again with the next batch.
fn read_page_part(ring: &Ring, end: u64) -> Vec<u8> {
    let start = page_start(end);
    let mut bytes = vec![0; (end - start) as usize * SECTOR_BYTES];
    if ring.file.read_at(&mut bytes, ring.offset(start)).is_err() {
        // It was read before, if it is needed: this is older than the record from which the journal was read.
        for (number, sector) in (start..end).zip(bytes.chunks_exact_mut(SECTOR_BYTES)) {
            ring.blank(number, sector);
        }
    }
    bytes
}

impl Reading {
    fn into_opened(self, journal: Option<Journal>) -> Opened {
        let Self { records, verdict, end, .. } = self;
        Opened { records, verdict, end, journal }
    }
}
