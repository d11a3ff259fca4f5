//! Installing a checkpoint that was fetched, and repairing a state that is not that of a quorum (5.1, 5.2).
//!
//! 5.2 says that the replica "moves to the view in which that checkpoint was taken". A log that is cut at the checkpoint, but counts
//! as that of a later view, would then win against longer ones (docs/deviations.md, T4). Here the checkpoint replaces the state, and
//! stands for the log below it; view and log-view stay as they are. All in it is committed, so that is always safe: what the own log
//! has above it stays if it follows from it, and was never committed if it does not.

use viewstamped_state::State;

use super::Replica;
use super::io::{Event, Ignored, Output};
use super::staged::Staged;
use super::status::Status;
use crate::checkpoint::{Checkpoint, CheckpointHeader};
use crate::client_table::ClientTable;
use crate::log::Log;
use crate::numbers::OpNumber;
use crate::service::Service;

impl<S: Service> Replica<S> {
    /// Replaces the state by that of a checkpoint.
    ///
    /// # Errors
    /// When the client-table in it makes no sense. Nothing has changed then.
    pub(super) fn install_checkpoint(
        &mut self,
        header: CheckpointHeader,
        service: State,
        client_table: State,
    ) -> Result<(), Ignored> {
        assert!(!matches!(self.status, Status::Primary(_)), "a primary has the state");
        let is_repair = self.checkpoints.is_divergent();
        // Nor may a repair go back to where there is no log to execute again.
        if (header.op <= self.executor.executed() && !is_repair) || header.op < self.log.base() {
            return Err(Ignored::Duplicate);
        }
        let options = self.cluster_options;
        let table = ClientTable::read(&client_table, &options).map_err(|_| Ignored::Malformed)?;
        let checkpoint = Checkpoint::new(header, service.snapshot(), client_table.snapshot());
        let (id, head, timestamp) = (checkpoint.id, checkpoint.header.head, checkpoint.header.timestamp);
        if let Err(message) = self.executor.install(id.op, service, client_table, table) {
            self.outputs.push_back(Output::Event(Event::ServicePanicked { op: Some(id.op), message }));
        }
        if !self.log.matches(id.op, head) {
            // It is shorter, or has another entry there, which was then never committed; nor was anything above it.
            self.log = Log::above(id.op, head, timestamp);
        }
        self.commit = self.commit.max(id.op);
        self.checkpoints.installed(checkpoint);
        self.outputs.push_back(Output::Event(Event::CheckpointInstalled { id, is_repair }));
        self.progress_made();
        self.go_on_above(id.op);
        Ok(())
    }

    /// What was going on when the checkpoint was installed goes on with the log above it.
    fn go_on_above(&mut self, op: OpNumber) {
        self.spare = self.spare.take().map(|spare| spare.above_base_of(&self.log)).filter(|spare| spare.op() > op);
        if let Some(transfer) = &mut self.transfer {
            transfer.staged = None;
        }
        let nothing = Staged::new(self.commit, self.log.hash_at(self.commit).expect("within the log"));
        match &mut self.status {
            Status::Primary(_) | Status::Starting(_) => {}
            Status::Backup(backup) => {
                backup.ack_owed = true;
                self.drain_reorder();
                self.advance_commit_heard();
                self.send_get_state();
            }
            Status::ViewChange(change) => {
                if let Some(building) = &mut change.building {
                    building.suffix = std::mem::take(&mut building.suffix).above_base_of(&self.log);
                    building.fetched = nothing;
                    self.build_log();
                }
                self.send_get_state();
            }
            Status::Recovering(_) => {
                if !self.finish_recovery_if_complete() {
                    self.send_get_state();
                }
            }
        }
    }

    /// A backup whose state is not that of a quorum fetches it, page by page that differs (T9).
    pub(super) fn repair_if_divergent(&mut self) {
        let quorum = self.checkpoints.quorum().agreed;
        if self.checkpoints.is_divergent() && quorum.op >= self.log.base() {
            self.start_checkpoint_transfer(quorum);
        }
    }
}
