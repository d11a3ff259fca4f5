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
use crate::numbers::OpNumber;
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// Starts a replica that took part before.
    pub(super) fn start_again(&mut self, identity: &Identity, surviving: Option<Surviving>) {
        let goes_on = |surviving: &Surviving| {
            // What another life wrote is no promise of this one, and this one may have made others.
            surviving.is_whole && surviving.incarnation == identity.incarnation
        };
        let surviving = surviving.unwrap_or_default();
        if goes_on(&surviving) && self.restore(&surviving) {
            self.restart(surviving);
        } else {
            self.enter_recovering(Some(identity.incarnation));
            self.trust_prefix(surviving);
        }
    }

    /// Takes over the checkpoint on which the log stands. Says whether there is one, if it stands on any.
    fn restore(&mut self, surviving: &Surviving) -> bool {
        let log = &surviving.log;
        if log.base() == OpNumber::ZERO {
            return true;
        }
        let joins = |checkpoint: &&Checkpoint| {
            log.base() == checkpoint.id.op && log.matches(log.base(), checkpoint.header.head)
        };
        let Some(checkpoint) = surviving.checkpoint.as_ref().filter(joins).cloned() else { return false };
        let (op, service, client_table) = (checkpoint.id.op, &checkpoint.service, &checkpoint.client_table);
        let Ok(table) = ClientTable::read(client_table, &self.cluster_options) else { return false };
        if let Err(message) = self.executor.install(op, (**service).clone(), (**client_table).clone(), table) {
            self.outputs.push_back(Output::Event(Event::ServicePanicked { op: Some(op), message }));
        }
        self.checkpoints.installed(checkpoint);
        self.journal.holds_checkpoint(op);
        true
    }

    /// A boot without RECOVERY.
    fn restart(&mut self, surviving: Surviving) {
        let Surviving { incarnation, view, log_view, log, commit, crash_vector, recoveries, .. } = surviving;
        (self.incarnation, self.view, self.log_view) = (incarnation, view, log_view);
        (self.log, self.commit) = (log, commit);
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
        self.finish_in_view_or_later(surviving.view);
        if !self.restore(&surviving) {
            return;
        }
        let Surviving { mut log, commit, .. } = surviving;
        let above = log.iter_above(commit).cloned().collect();
        let hash = log.hash_at(commit).expect("folded within the log");
        self.spare = Staged::from_run(commit, hash, above).ok();
        log.truncate(commit);
        (self.log, self.commit) = (log, commit);
    }

    /// The others hold another log than the one that was trusted. So the disk lied, and nothing it holds is certain.
    pub(super) fn distrust_prefix(&mut self) {
        self.log = Log::default();
        self.commit = OpNumber::ZERO;
        self.executor.reset(&self.cluster_options);
        self.checkpoints.clear();
        self.spare = None;
        self.journal.holds_checkpoint(OpNumber::ZERO);
    }
}
