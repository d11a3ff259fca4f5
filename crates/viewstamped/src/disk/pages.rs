//! The thread that saves checkpoints into the page file.

use std::sync::Arc;
use std::time::Instant;

use viewstamped_protocol::{CheckpointId, ClusterId, Durability, Input};
use viewstamped_storage::io::RealDisk;
use viewstamped_storage::pages::{CheckpointFiles, PageFile, Progress};

use super::options::StorageOptions;
use super::queue::{Command, Mailbox, Queue, Save};
use super::start::{journal_position, open_pages, storage_id};
use crate::error::NodeError;
use crate::runtime::reports::{Report, Reports};

/// The page file and what its thread needs.
pub(super) struct PagesThread {
    pub(super) disk: RealDisk,
    pub(super) cluster: ClusterId,
    pub(super) mode: Durability,
    pub(super) options: StorageOptions,
    /// `None` until there is something to write: then one is begun anew.
    pub(super) pages: Option<PageFile>,
    /// The newest checkpoint that is durable.
    pub(super) newest: CheckpointId,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) journal: Arc<Queue>,
    pub(super) reports: Arc<Reports>,
}

impl PagesThread {
    /// Saves what comes, until the mailbox is closed or the page file fails. Returns the newest checkpoint that is durable.
    pub(super) fn run(mut self) -> CheckpointId {
        self.save_all();
        self.mailbox.leave();
        // Whoever waits for space in the journal learns that there will be none.
        self.journal.push(Command::Release { before: 0 }, 0, usize::MAX);
        self.newest
    }

    fn save_all(&mut self) {
        let mut again: Option<Save> = None;
        loop {
            let deadline = again.is_some().then(|| Instant::now() + self.options.pages_save_retry);
            let (save, is_last) = match self.mailbox.take(deadline) {
                Ok(Some(save)) => (save, false),
                Ok(None) => match again.take() {
                    Some(save) => (save, false),
                    None => continue,
                },
                Err(_) => match again.take() {
                    Some(save) => (save, true),
                    None => return,
                },
            };
            match self.save(&save) {
                Ok(()) => again = None,
                Err(Failed::ForNow(text)) if self.mode != Durability::Synchronous => {
                    self.reports.send(Report::Problem { kind: "pages", text });
                    if is_last {
                        return;
                    }
                    again = Some(save);
                }
                Err(Failed::ForNow(text) | Failed::ForGood(text)) => {
                    self.reports.send(match self.mode {
                        Durability::Synchronous => Report::Failed(NodeError::Storage { message: text }),
                        _ => Report::Problem { kind: "pages", text },
                    });
                    return;
                }
            }
        }
    }

    fn save(&mut self, save: &Save) -> Result<(), Failed> {
        let checkpoint = &save.checkpoint;
        // Known already, unless it was fetched.
        let _ = (checkpoint.service.root(), checkpoint.client_table.root());
        let files = CheckpointFiles {
            id: storage_id(checkpoint.id),
            header: checkpoint.header.encode().freeze(),
            service: checkpoint.service.clone(),
            client_table: checkpoint.client_table.clone(),
        };
        let pages = match &mut self.pages {
            Some(pages) => pages,
            none => {
                none.insert(open_pages(&self.disk, self.cluster).map_err(|error| Failed::ForNow(error.to_string()))?)
            }
        };
        let failed = |error: viewstamped_storage::pages::SaveError| match error.is_final() {
            true => Failed::ForGood(error.to_string()),
            false => Failed::ForNow(error.to_string()),
        };
        pages.begin(files, journal_position(save.journal)).map_err(failed)?;
        while let Some(Progress::Writing { .. }) = pages.step(self.options.pages_step_bytes).map_err(failed)? {}
        self.newest = checkpoint.id;
        self.reports.send(Report::Input(Input::CheckpointSaved { op: checkpoint.id.op }));
        self.journal.push(Command::Release { before: save.journal.sequence }, 0, usize::MAX);
        Ok(())
    }
}

/// Why a checkpoint was not saved.
enum Failed {
    /// It may be tried again.
    ForNow(String),
    /// The page file is not used any more in this life.
    ForGood(String),
}
