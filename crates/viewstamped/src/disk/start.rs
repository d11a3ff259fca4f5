//! What a directory still knows when a replica starts (the second half of the boot decision, 8.2).

use std::io;
use std::path::Path;
use std::time::Instant;

use viewstamped_protocol::{Checkpoint, CheckpointId, ClusterId, Durability, ReplayError, Surviving, codec};
use viewstamped_storage::io::{Disk, RealDisk};
use viewstamped_storage::journal::{self, Journal, Owner, Position};
use viewstamped_storage::pages::{self, PAGES, PageFile};
use viewstamped_storage::{CleanMarker, FoundCheckpoint, IdentityFile, Remains, Trust, trust};

use super::options::StorageOptions;
use crate::error::NodeError;

/// Numbers of records that may have been used and cannot be read are fewer than this.
const NUMBERS_IN_DOUBT: u64 = 1 << 32;

/// What was found, for the replica and for the threads that go on writing.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// For the replica.
    pub(crate) surviving: Option<Surviving>,
    /// The journal, to be continued.
    pub(super) journal: Option<Journal>,
    /// The number of the newest record that any journal here may have had.
    pub(super) used: u64,
    /// The page file, to be continued.
    pub(super) pages: Option<PageFile>,
    /// The checkpoint in it.
    pub(crate) newest: CheckpointId,
}

/// Reads what there is, decides what counts, and erases the clean marker. Nothing was sent before.
pub(crate) fn open(directory: &Path, file: &IdentityFile, options: &StorageOptions) -> Result<Start, NodeError> {
    let disk = RealDisk::new(directory);
    let owner = Owner { cluster: file.cluster, node: file.node };
    if !file.identity.is_virgin() {
        tracing::info!("reading the checkpoint and the journal in {}", directory.display());
    }
    let begun = Instant::now();
    let (page_file, found) = PageFile::open(&disk, file.cluster).map_err(|error| unreadable(&error))?;
    let is_certain = !matches!(found.verdict, pages::Verdict::Doubt(_));
    if let pages::Verdict::Doubt(damage) = &found.verdict {
        tracing::warn!(%damage, "the page file is damaged");
    }
    let from = found.checkpoint.as_ref().map(|loaded| position(loaded.journal));
    let checkpoint = found.checkpoint.and_then(checkpoint);
    let newest = checkpoint.as_ref().map_or(CheckpointId::default(), |checkpoint| checkpoint.id);
    let opened = Journal::open(&disk, owner, options.journal(), from)
        .map_err(|error| storage(format!("cannot open the journal: {error}")))?;
    let used = match opened.verdict.is_certain() {
        true => opened.end.sequence.saturating_sub(1),
        false => opened.end.sequence.saturating_add(NUMBERS_IN_DOUBT),
    };
    let marker = CleanMarker::take(&disk).map_err(|error| storage(error.to_string()))?;
    let checkpoint_found = FoundCheckpoint { newest, is_certain };
    let remains = Remains { marker, checkpoint: checkpoint_found, journal: opened.verdict, journal_end: opened.end };
    let trust = trust(file, &remains);
    let mut start = Start { surviving: None, journal: opened.journal, used, pages: Some(page_file), newest };
    if file.durability == Durability::Replicated {
        // Nothing is written until the shutdown, and then all is.
        (start.journal, start.pages) = (None, None);
    }
    if trust != Trust::NeverTookPart {
        let surviving = Surviving { checkpoint, ..fold(opened.records) };
        start.surviving = Some(judged(surviving, &trust));
        let milliseconds = begun.elapsed().as_millis();
        let survived = start.surviving.as_ref().map_or(0, |surviving| surviving.log.op().0);
        tracing::info!(checkpoint = newest.op.0, log = survived, milliseconds, "read what is on disk");
    }
    Ok(start)
}

/// Says whether it is all, and tells why not.
fn judged(surviving: Surviving, trust: &Trust) -> Surviving {
    let is_whole = match trust {
        Trust::Everything => true,
        Trust::NeverTookPart => false,
        Trust::Prefix(lack) => {
            tracing::warn!("this replica recovers from the others: {lack}");
            false
        }
    };
    Surviving { is_whole, ..surviving }
}

/// What the records say together; nothing, when they contradict each other.
fn fold(records: Vec<journal::Record>) -> Surviving {
    let decoded: Result<Vec<_>, _> = records.iter().map(|record| codec::decode_record(&record.bytes)).collect();
    let folded = match decoded {
        Ok(records) => Surviving::replay(records),
        Err(error) => {
            tracing::warn!(%error, "the journal holds a record that makes no sense, so it counts for nothing");
            return Surviving::default();
        }
    };
    folded.unwrap_or_else(|error| {
        if error != ReplayError::NoBeginning {
            tracing::warn!(%error, "the journal contradicts itself, so it counts for nothing");
        }
        Surviving::default()
    })
}

fn checkpoint(loaded: pages::Loaded) -> Option<Checkpoint> {
    match codec::decode_checkpoint_header(&loaded.header) {
        Ok(header) => {
            let is_whole = storage_id(header.id()) == loaded.id
                && (header.service, header.client_table) == (loaded.service.root(), loaded.client_table.root());
            if !is_whole {
                tracing::warn!(
                    "the checkpoint in the page file is not the one that its header names, so it counts for nothing"
                );
            }
            is_whole.then(|| Checkpoint::new(header, loaded.service.snapshot(), loaded.client_table.snapshot()))
        }
        Err(error) => {
            tracing::warn!(%error, "the checkpoint in the page file makes no sense, so it counts for nothing");
            None
        }
    }
}

/// Begins a page file anew: the one that was there is of another time.
pub(super) fn open_pages(disk: &RealDisk, cluster: ClusterId) -> Result<PageFile, pages::OpenError> {
    match disk.remove(PAGES) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(pages::OpenError::Io { action: "replace", source: error });
        }
        _ => {}
    }
    PageFile::open(disk, cluster).map(|(pages, _)| pages)
}

pub(super) fn storage_id(id: CheckpointId) -> pages::CheckpointId {
    pages::CheckpointId { op: id.op.0, root: id.root.0 }
}

pub(super) fn journal_position(position: Position) -> pages::JournalPosition {
    pages::JournalPosition { sequence: position.sequence, sector: position.sector }
}

fn position(journal: pages::JournalPosition) -> Position {
    Position { sequence: journal.sequence, sector: journal.sector }
}

fn unreadable(error: &pages::OpenError) -> NodeError {
    storage(error.to_string())
}

fn storage(message: String) -> NodeError {
    NodeError::Storage { message }
}
