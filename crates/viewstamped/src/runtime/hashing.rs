//! The thread that computes the roots of checkpoints: it hashes every page that has changed, which may take seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use viewstamped_protocol::TakeCheckpoint;

use super::reports::{Report, Reports, watched};
use crate::error::NodeError;

/// A replica keeps its newest two checkpoints, and lets go of one when the root of the next is known.
const HELD: usize = 3;

/// Hashes on a thread of its own, which starts with the first checkpoint.
#[derive(Debug)]
pub(crate) struct Hashing {
    reports: Arc<Reports>,
    worker: Option<(SyncSender<TakeCheckpoint>, JoinHandle<()>)>,
}

impl Hashing {
    pub(crate) fn new(reports: Arc<Reports>) -> Self {
        Self { reports, worker: None }
    }

    /// Has the roots computed; they come back as a report.
    pub(crate) fn take(&mut self, checkpoint: TakeCheckpoint) -> Result<(), NodeError> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.spawn()?,
        };
        // The next one is wanted only when this one has been taken, so there is always room. The thread ends before the channel does
        // only by a panic, which is a broken invariant.
        let sent = worker.0.try_send(checkpoint);
        self.worker = Some(worker);
        sent.map_err(|error| NodeError::Panicked { message: format!("the thread that hashes pages: {error}") })
    }

    fn spawn(&self) -> Result<(SyncSender<TakeCheckpoint>, JoinHandle<()>), NodeError> {
        let (sender, checkpoints) = mpsc::sync_channel::<TakeCheckpoint>(1);
        let reports = Arc::clone(&self.reports);
        let work = move || {
            // To free the pages of a checkpoint may take long, too: 57 ms of ten million keys. Whoever lets go of it last does that, so
            // each is held here for longer than the replica keeps it.
            let mut held = VecDeque::new();
            for checkpoint in checkpoints {
                reports.send(Report::Input(checkpoint.taken()));
                held.push_back(checkpoint);
                if held.len() > HELD {
                    held.pop_front();
                }
            }
        };
        Ok((sender, watched("hashing", Arc::clone(&self.reports), work)?))
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.worker.take() {
            drop(sender);
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}
