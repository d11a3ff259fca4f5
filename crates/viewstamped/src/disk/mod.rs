//! What a replica keeps on disk besides its identity: the journal and the page file, each written by a thread of its own.
//!
//! What waits for what is decided by the replica. Here is only how its records and checkpoints reach the disk, and what a disk that
//! fails means in each durability mode: `background` goes on without it until it works again, `synchronous` stops.

mod journal;
mod options;
mod pages;
mod queue;
mod start;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use viewstamped_protocol::{Checkpoint, CheckpointId, Durability, Incarnation, Record};
use viewstamped_storage::CleanMarker;
use viewstamped_storage::io::RealDisk;
use viewstamped_storage::journal::Owner;

use self::journal::{Ended, JournalThread, Progress};
pub use self::options::StorageOptions;
use self::pages::PagesThread;
use self::queue::{Command, Mailbox, Queue};
pub(crate) use self::start::{Start, open};
use crate::error::NodeError;
use crate::runtime::reports::{Reports, watched};

/// What a record takes in the queue besides its entries.
const RECORD_BYTES: usize = 256;

/// The journal and the page file of a running replica.
pub(crate) struct Disk {
    disk: RealDisk,
    owner: Owner,
    mode: Durability,
    options: StorageOptions,
    reports: Arc<Reports>,
    queue: Arc<Queue>,
    mailbox: Arc<Mailbox>,
    /// Until there is something to write.
    start: Option<Start>,
    threads: Option<Threads>,
    /// The queue was full, so what comes is dropped until a record needs none before it.
    is_dropping: bool,
}

struct Threads {
    journal: JoinHandle<Ended>,
    pages: JoinHandle<CheckpointId>,
}

impl Disk {
    pub(crate) fn new(
        directory: &Path,
        owner: Owner,
        mode: Durability,
        options: StorageOptions,
        start: Start,
        reports: Arc<Reports>,
    ) -> Self {
        let disk = RealDisk::new(directory);
        let (queue, mailbox) = (Arc::default(), Arc::default());
        Self {
            disk,
            owner,
            mode,
            options,
            reports,
            queue,
            mailbox,
            start: Some(start),
            threads: None,
            is_dropping: false,
        }
    }

    /// Adds a record to what waits for the journal. Returns whether it did: not when too much waits in the `background` mode.
    pub(crate) fn write(&mut self, sequence: u64, record: Record) -> Result<bool, NodeError> {
        self.ensure_threads()?;
        let is_beginning = matches!(record, Record::Rebase(_));
        if self.is_dropping && !is_beginning {
            return Ok(true);
        }
        let (bytes, limit) = (record_bytes(&record), self.queue_limit());
        let is_taken = self.queue.push(Command::Record { sequence, record }, bytes, limit);
        self.is_dropping = !is_taken;
        Ok(is_taken)
    }

    /// Has a checkpoint saved as soon as the record of this number is durable.
    pub(crate) fn save(&mut self, checkpoint: Box<Checkpoint>, sequence: u64) -> Result<(), NodeError> {
        self.ensure_threads()?;
        self.queue.push(Command::Checkpoint { checkpoint, sequence }, 0, usize::MAX);
        Ok(())
    }

    /// Writes out everything, and marks the directory as cleanly shut down if it holds all that the replica ever said. `None`: it
    /// has nothing to say. Returns whether the next start needs no recovery.
    pub(crate) fn shut_down(mut self, sequence: Option<u64>, incarnation: Incarnation) -> Result<bool, NodeError> {
        let ended = self.finish();
        let (Some(_), Some((Ended { end: Some(journal_end), base }, checkpoint))) = (sequence, ended) else {
            return Ok(false);
        };
        if checkpoint.op != base {
            return Ok(false);
        }
        let marker = CleanMarker { owner: self.owner, incarnation, journal_end, checkpoint };
        marker.write(&self.disk).map_err(|error| NodeError::Storage { message: error.to_string() })?;
        Ok(true)
    }

    fn queue_limit(&self) -> usize {
        match self.mode {
            Durability::Synchronous => usize::MAX,
            Durability::Replicated | Durability::Background => self.options.journal_queue_bytes_max,
        }
    }

    fn ensure_threads(&mut self) -> Result<(), NodeError> {
        let Some(start) = self.start.take() else { return Ok(()) };
        let (mode, options, reports) = (self.mode, self.options, Arc::clone(&self.reports));
        let journal = JournalThread {
            disk: self.disk.clone(),
            owner: self.owner,
            mode,
            options,
            journal: start.journal,
            offset: start.used,
            queue: Arc::clone(&self.queue),
            pages: Arc::clone(&self.mailbox),
            reports: Arc::clone(&reports),
            progress: Progress::default(),
        };
        let pages = PagesThread {
            disk: self.disk.clone(),
            cluster: self.owner.cluster,
            mode,
            options,
            pages: start.pages,
            newest: start.newest,
            mailbox: Arc::clone(&self.mailbox),
            journal: Arc::clone(&self.queue),
            reports,
        };
        let reports = &self.reports;
        let journal = watched("journal", Arc::clone(reports), move || journal.run())?;
        let pages = watched("pages", Arc::clone(reports), move || pages.run())?;
        self.threads = Some(Threads { journal, pages });
        Ok(())
    }

    /// Ends the threads when they have done what waits.
    fn finish(&mut self) -> Option<(Ended, CheckpointId)> {
        let Threads { journal, pages } = self.threads.take()?;
        self.queue.close();
        let ended = journal.join();
        self.mailbox.close();
        let saved = pages.join();
        Some((ended.ok()?, saved.ok()?))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What a record takes in the queue. The entries are the log's, as long as it has them.
fn record_bytes(record: &Record) -> usize {
    let entries = match record {
        Record::Rebase(rebase) => &rebase.entries[..],
        Record::Append { entries, .. } | Record::Install { entries, .. } => entries,
        Record::View { .. } | Record::Knowledge { .. } | Record::Commit(_) => &[],
    };
    RECORD_BYTES + entries.iter().map(viewstamped_protocol::log::Entry::size).sum::<usize>()
}
