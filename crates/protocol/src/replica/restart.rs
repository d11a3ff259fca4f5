//! A replica that starts again from what survived of it (4.3, 5.1, 8.2).
//!
//! When that is all it ever said, it goes on as the same incarnation: it has forgotten no promise, and is no more than a replica
//! that was slow. In any doubt it recovers, but need not fetch what is certain all the same: the log up to the commit mark.

use std::time::Duration;

use super::Replica;
use super::io::{Event, Output};
use super::staged::Staged;
use crate::checkpoint::Checkpoint;
use crate::client_table::ClientTable;
use crate::identity::Identity;
use crate::journal::Surviving;
use crate::log::Log;
use crate::message::Survivor;
use crate::numbers::{Incarnation, OpNumber, ViewNumber};
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// Starts a replica that took part before.
    pub(super) fn start_again(&mut self, identity: &Identity, surviving: Option<Surviving>) {
        let goes_on = |surviving: &Surviving| {
            // What another life wrote is no promise of this one, and this one may have made others.
            surviving.is_whole && surviving.incarnation == identity.incarnation
        };
        let mut surviving = surviving.unwrap_or_default();
        let checkpoint = surviving.checkpoint.take();
        if goes_on(&surviving) && self.stands_on(&surviving.log, checkpoint.as_ref()) {
            if let Some(checkpoint) = checkpoint {
                self.adopt_checkpoint(checkpoint);
            }
            return self.restart(surviving);
        }
        self.enter_recovering(Some(identity.incarnation));
        if let Some(checkpoint) = checkpoint {
            self.adopt_checkpoint(checkpoint);
        }
        self.trust_prefix(surviving);
    }

    /// Whether the log goes on where the checkpoint, or the empty state, ends.
    fn stands_on(&self, log: &Log, checkpoint: Option<&Checkpoint>) -> bool {
        let Some(checkpoint) = checkpoint else { return log.base() == OpNumber::ZERO };
        let is_table = ClientTable::read(&checkpoint.client_table, &self.cluster_options).is_ok();
        let is_own = checkpoint.header.options == self.cluster_options && is_table;
        is_own && log.matches(checkpoint.id.op, checkpoint.header.head)
    }

    /// 5.1: "if this state is on disk, the replica doesn't need to fetch the prefix of the log that has already been applied to the
    /// application state and it needn't execute the requests in that prefix either". Not one of a cluster with other options: its
    /// pages are other pages.
    fn adopt_checkpoint(&mut self, checkpoint: Checkpoint) {
        let Ok(table) = ClientTable::read(&checkpoint.client_table, &self.cluster_options) else { return };
        if checkpoint.header.options != self.cluster_options {
            return;
        }
        let (op, head, timestamp) = (checkpoint.id.op, checkpoint.header.head, checkpoint.header.timestamp);
        let (service, pages) = (checkpoint.service.thawed(), checkpoint.client_table.thawed());
        if let Err(message) = self.executor.install(op, service, pages, table) {
            self.outputs.push_back(Output::Event(Event::ServicePanicked { op: Some(op), message }));
        }
        (self.log, self.commit) = (Log::above(op, head, timestamp), op);
        self.checkpoints.adopt(checkpoint);
    }

    /// A boot without RECOVERY.
    fn restart(&mut self, surviving: Surviving) {
        let Surviving {
            incarnation,
            view,
            log_view,
            log,
            commit,
            crash_vector,
            recoveries,
            checkpoint: _,
            is_whole: _,
        } = surviving;
        (self.incarnation, self.view, self.log_view) = (incarnation, view, log_view);
        (self.log, self.commit) = (log, self.commit.max(commit));
        (self.crash_vector, self.recoveries) = (crash_vector, recoveries);
        self.heard_view = view;
        self.journal_is_current();
        // R9: it may have promised a primary to start no other view for so long, and that is not in the journal.
        let lease = Duration::from_millis(u64::from(self.cluster_options.lease_max_ms));
        self.promises_from = self.now.monotonic.after(lease);
        if view > log_view {
            self.begin_view_change();
        } else if self.primary_of(view) == self.id {
            // C14: others may have acknowledged what this replica sent and did not get to write, so its view is over.
            self.enter_view_change(view.next());
        } else {
            self.enter_normal();
        }
    }

    /// T8: what lies above the commit mark may have been replaced since. It is kept as a guess, which one hash proves or refutes.
    /// What lies below is certain, and not fetched again.
    fn trust_prefix(&mut self, surviving: Surviving) {
        let Surviving { view, log_view, mut log, commit, crash_vector, incarnation, .. } = surviving;
        self.finish_in_view_or_later(view);
        self.crash_vector.merge(&crash_vector);
        let has_journal = incarnation > Incarnation::ZERO;
        let survivor = Survivor { has_journal, view, log_view, ..Survivor::default() };
        if !log.matches(self.log.base(), self.log.head_hash()) || commit < self.log.base() {
            // It does not reach up to the checkpoint, which is all that is certain then.
            let tail = Staged::new(self.log.op(), self.log.head_hash());
            return self.note_survivor(Survivor { has_journal: false, log_view: ViewNumber::ZERO, ..survivor }, tail);
        }
        let above = log.iter_above(commit).cloned().collect();
        let hash = log.hash_at(commit).expect("folded within the log");
        let tail = Staged::from_run(commit, hash, above).expect("folded, so chained");
        log.truncate(commit);
        (self.log, self.commit) = (log, commit);
        self.spare = Some(tail.clone());
        self.note_survivor(survivor, tail);
    }

    /// The others hold another log than the one that was trusted. So the disk lied, and nothing it holds is certain.
    pub(super) fn distrust_prefix(&mut self) {
        self.log = Log::default();
        self.commit = OpNumber::ZERO;
        self.executor.reset(&self.cluster_options);
        self.checkpoints.clear();
        self.spare = None;
    }
}
