//! The thread that writes the journal: it takes all that waits, and makes it durable by one sync.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use viewstamped_protocol::{Checkpoint, Durability, Input, OpNumber, Record, codec};
use viewstamped_storage::io::RealDisk;
use viewstamped_storage::journal::{Journal, JournalError, Owner, Position};

use super::options::StorageOptions;
use super::queue::{Command, Mailbox, Queue, Save};
use crate::error::NodeError;
use crate::runtime::reports::{Report, Reports};

/// The journal and what its thread needs.
pub(super) struct JournalThread {
    pub(super) disk: RealDisk,
    pub(super) owner: Owner,
    pub(super) mode: Durability,
    pub(super) options: StorageOptions,
    /// `None` until there is something to write.
    pub(super) journal: Option<Journal>,
    /// What the journal's numbers are ahead of the replica's: those of a process begin with 1.
    pub(super) offset: u64,
    pub(super) queue: Arc<Queue>,
    pub(super) pages: Arc<Mailbox>,
    pub(super) reports: Arc<Reports>,
    pub(super) progress: Progress,
}

/// How far the thread is.
#[derive(Default)]
pub(super) struct Progress {
    /// What is to be done and was taken from the queue.
    work: VecDeque<Command>,
    /// The replica's number of the newest record that was appended.
    appended: u64,
    /// That of the newest one it was told about.
    persisted: u64,
    /// Until when that must be durable.
    due: Option<Instant>,
    /// The checkpoint that is to be saved when the record of this number is durable.
    checkpoint: Option<(Box<Checkpoint>, u64)>,
    /// On which checkpoint the newest whole state stands, and its number.
    rebase: Option<(OpNumber, u64)>,
    /// The newest record did not get into the journal.
    is_broken: bool,
    /// The first command that is to be done waits for space in the ring.
    is_stuck: bool,
    scratch: BytesMut,
}

/// Where the journal has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its end, when all records are durable.
    pub(super) end: Option<Position>,
    /// The checkpoint on which it stands.
    pub(super) base: OpNumber,
}

/// Why a command was not carried out.
enum Obstacle {
    /// There is no space in the ring until a checkpoint is saved.
    Full(Command),
    /// The replica must stop, and was told.
    Fatal,
}

impl JournalThread {
    pub(super) fn run(mut self) -> Ended {
        loop {
            let (taken, is_closed) = self.queue.take(self.progress.due, self.progress.is_stuck);
            for command in taken {
                match command {
                    Command::Release { before } => {
                        self.journal.iter_mut().for_each(|journal| journal.release(before));
                    }
                    command => self.progress.work.push_back(command),
                }
            }
            let Ok(is_stuck) = self.work_off() else { return self.ended() };
            self.progress.is_stuck = is_stuck;
            let is_due =
                self.mode == Durability::Synchronous || self.progress.due.is_some_and(|due| due <= Instant::now());
            if (is_due || is_closed || is_stuck || self.progress.checkpoint.is_some()) && self.sync().is_err() {
                return self.ended();
            }
            if is_stuck && !self.pages.is_busy() {
                self.fail(&JournalError::Full { bytes: self.options.journal_bytes });
                return self.ended();
            }
            if is_closed && self.progress.work.is_empty() {
                return self.ended();
            }
        }
    }

    /// Carries out what was taken from the queue. Returns whether it got stuck because the journal is full.
    fn work_off(&mut self) -> Result<bool, Obstacle> {
        while let Some(command) = self.progress.work.pop_front() {
            match self.carry_out(command) {
                Ok(()) => {}
                Err(Obstacle::Full(command)) => {
                    self.progress.work.push_front(command);
                    return Ok(true);
                }
                Err(fatal) => return Err(fatal),
            }
        }
        Ok(false)
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Obstacle> {
        match command {
            Command::Record { sequence, record } => self.append(sequence, record)?,
            Command::Checkpoint { checkpoint, sequence } => self.progress.checkpoint = Some((checkpoint, sequence)),
            Command::Release { .. } => {}
        }
        let is_batch_full = self.journal.as_ref().is_some_and(Journal::is_batch_full);
        if is_batch_full { self.sync() } else { Ok(()) }
    }

    fn append(&mut self, sequence: u64, record: Record) -> Result<(), Obstacle> {
        self.progress.scratch.clear();
        codec::encode_record(&record, &mut self.progress.scratch);
        let (number, parts) = (self.offset + sequence, &[&self.progress.scratch[..]][..]);
        let outcome = match (&mut self.journal, &record) {
            (Some(journal), Record::Rebase(_)) => journal.begin_again(number, parts),
            (None, Record::Rebase(_)) => {
                let created = Journal::create(&self.disk, self.owner, self.options.journal(), number, Some(parts));
                created.map(|journal| self.journal = Some(journal))
            }
            // What follows a record that is missing is worth nothing.
            _ if self.progress.is_broken => return Ok(()),
            (Some(journal), _) => journal.append(number, parts),
            (None, _) => return Ok(()),
        };
        match outcome {
            Ok(()) => self.note_appended(sequence, &record),
            Err(JournalError::Full { .. }) if self.mode == Durability::Synchronous => {
                return Err(Obstacle::Full(Command::Record { sequence, record }));
            }
            Err(error) => return self.fail_or_break(&error),
        }
        Ok(())
    }

    fn note_appended(&mut self, sequence: u64, record: &Record) {
        let progress = &mut self.progress;
        progress.appended = sequence;
        progress.due = progress.due.or(Some(Instant::now() + self.options.journal_sync_interval));
        if let Record::Rebase(rebase) = record {
            progress.is_broken = false;
            progress.rebase = Some((rebase.base, sequence));
            if let Some((checkpoint, number)) = &mut progress.checkpoint
                && checkpoint.id.op == rebase.base
            {
                // The record it was to be saved with may have got lost.
                *number = sequence;
            }
        }
    }

    /// Makes what was appended durable, and says so.
    fn sync(&mut self) -> Result<(), Obstacle> {
        self.progress.due = None;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if let Err(error) = journal.sync() {
            if self.progress.is_broken && self.mode != Durability::Synchronous {
                return Ok(());
            }
            return self.fail_or_break(&error);
        }
        if self.progress.appended > self.progress.persisted && !self.progress.is_broken {
            self.progress.persisted = self.progress.appended;
            self.reports.send(Report::Input(Input::Persisted { sequence: self.progress.persisted }));
        }
        self.hand_over_checkpoint();
        Ok(())
    }

    /// The page file's turn comes when the record above the checkpoint is durable.
    fn hand_over_checkpoint(&mut self) {
        let Some((_, sequence)) = &self.progress.checkpoint else { return };
        let position = self.journal.as_ref().and_then(|journal| journal.position_of(self.offset + sequence));
        let Some(journal) = position else { return };
        if let Some((checkpoint, _)) = self.progress.checkpoint.take() {
            self.pages.put(Save { checkpoint, journal });
        }
    }

    fn fail_or_break(&mut self, error: &JournalError) -> Result<(), Obstacle> {
        if self.mode == Durability::Synchronous {
            self.fail(error);
            return Err(Obstacle::Fatal);
        }
        if let Some(journal) = &mut self.journal {
            journal.mark_broken();
        }
        self.progress.is_broken = true;
        self.reports.send(Report::Problem { kind: "journal", text: error.to_string() });
        self.reports.send(Report::Input(Input::JournalBroken));
        Ok(())
    }

    fn fail(&mut self, error: &JournalError) {
        self.progress.is_broken = true;
        self.reports.send(Report::Failed(NodeError::Storage { message: error.to_string() }));
    }

    fn ended(self) -> Ended {
        let Progress { appended, persisted, is_broken, rebase, checkpoint, .. } = &self.progress;
        let is_whole = appended == persisted && !is_broken && checkpoint.is_none();
        let (base, _) = rebase.unwrap_or_default();
        Ended { end: self.journal.as_ref().map(Journal::end).filter(|_| is_whole), base }
    }
}
