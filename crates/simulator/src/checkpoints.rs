//! What a run has exercised of checkpoints: who took, needed, fetched, served and installed them, in which role.

use viewstamped_protocol::message::{Body, LogChunk, NewState, StateContent};
use viewstamped_protocol::{Event, Message, OpNumber};

use crate::coverage::{Blow, Mark, Role};
use crate::simulation::Simulation;
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    /// Counts what a message tells when it reaches a machine.
    pub(crate) fn note_received(&mut self, to: usize, message: &Message) {
        let content = match &message.body {
            Body::NewState(state) => {
                let NewState { content, .. } = &**state;
                content
            }
            Body::LogChunk(LogChunk { content, .. }) => content,
            _ => return,
        };
        if matches!(content, StateContent::NeedCheckpoint(_)) {
            self.coverage.struck(Blow::Gap, self.role(to));
            let view = self.cluster.checkers().seen(to).map(|seen| seen.view);
            if self.role(to) == Role::Primary && view < Some(message.header.view) {
                self.coverage.hit(Mark::StepDown);
            }
        }
    }

    /// Counts what a message tells when it is sent.
    pub(crate) fn note_sent(&mut self, from: usize, message: &Message) {
        let Some(probe) = self.cluster.probe(from) else { return };
        let mark = match &message.body {
            Body::Pages(pages) if pages.checkpoint.op < probe.kept[0] => Mark::PinnedServed,
            Body::DoViewChange(promise) => {
                let begins = promise.suffix.first().map(|entry| entry.op());
                let is_clipped = probe.log.base() > OpNumber::ZERO && begins == Some(probe.log.base().next());
                if !is_clipped {
                    return;
                }
                Mark::Clipped
            }
            _ => return,
        };
        self.coverage.hit(mark);
    }

    /// Counts what a replica says of checkpoints.
    pub(crate) fn note_checkpoint(&mut self, place: usize, event: &Event) {
        match event {
            Event::CheckpointTaken { .. } => {
                self.coverage.hit(Mark::CheckpointTaken);
                if self.cluster.was_service_dropped(place) {
                    self.coverage.hit(Mark::ServiceDropped);
                }
            }
            Event::TransferStarted { checkpoint } => {
                let executed = self.cluster.checkers().seen(place).map_or(OpNumber::ZERO, |seen| seen.executed);
                let before = self.machines[place].fetches.replace(checkpoint.op);
                let is_retargeted = before.is_some_and(|op| op > executed);
                self.coverage.hit(if is_retargeted { Mark::TransferRetargeted } else { Mark::TransferStarted });
            }
            Event::Diverged { .. } => self.coverage.hit(Mark::Diverged),
            Event::RootsDiffer { .. } => self.coverage.hit(Mark::RootsDiffer),
            Event::CheckpointInstalled { is_repair, .. } => {
                if *is_repair {
                    self.coverage.hit(Mark::Repaired);
                }
                self.coverage.struck(Blow::Install, self.machines[place].role);
                self.machines[place].fetches = None;
                if std::mem::take(&mut self.machines[place].has_lost_source) {
                    self.coverage.hit(Mark::TransferSurvived);
                }
            }
            _ => {}
        }
    }

    /// Counts a log that begins later than before, though no checkpoint was installed.
    pub(crate) fn note_log(&mut self, place: usize) {
        let Some(seen) = self.cluster.checkers().seen(place).copied() else { return };
        let before = std::mem::replace(&mut self.machines[place].base, seen.base);
        if before < seen.base && seen.base != seen.installed {
            self.coverage.hit(Mark::LogCut);
        }
    }

    /// A replica has crashed, from which others may be fetching.
    pub(crate) fn note_source_lost(&mut self, place: usize) {
        for (other, machine) in self.machines.iter_mut().enumerate() {
            machine.has_lost_source |= other != place && machine.fetches.is_some();
        }
    }
}
