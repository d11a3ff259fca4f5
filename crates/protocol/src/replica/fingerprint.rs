//! What a search of all states needs of a replica (docs/search.md): to take time away, to make timers a choice, and to tell
//! states apart. Nothing else calls this.

use std::hash::Hash;

use xxhash_rust::xxh3::Xxh3;

use super::Replica;
use super::reach::Reach;
use super::status::{RecoveryStage, Status};
use crate::configuration::MEMBERS_MAX;
use crate::numbers::Time;
use crate::random::Random;
use crate::service::Service;

/// A timer that a search may let run out whenever it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// A backup loses patience with its primary.
    Suspect,
    /// A view change takes too long.
    ViewChange,
    /// The primary sends COMMIT.
    Heartbeat,
    /// A backup asks for what is missing before a PREPARE it holds, or below the op-number of a COMMIT.
    Gap,
    /// A GETSTATE goes to the next member.
    Transfer,
}

impl<S: Service> Replica<S> {
    /// Makes this timer due, so that the next [`Input::Tick`](super::Input::Tick) finds it so; false when it does not run.
    pub fn make_due(&mut self, timer: Timer) -> bool {
        let now = self.now.monotonic;
        match (timer, &mut self.status) {
            (Timer::Suspect, Status::Backup(backup)) => {
                backup.suspect_at = now;
                backup.vote_at = now;
            }
            (Timer::ViewChange, Status::ViewChange(change)) => {
                change.timeout_at = now;
                // Whom it hears counts for something only after view changes that failed.
                change.reach = Reach::beginning(now);
                change.retry_at = now;
            }
            (Timer::Heartbeat, Status::Primary(primary)) => primary.heartbeat_at = now,
            (Timer::Gap, Status::Backup(backup)) if backup.gap_at.is_some() => backup.gap_at = Some(now),
            (Timer::Transfer, _) => match &mut self.transfer {
                Some(transfer) => transfer.retry_at = now,
                None => return false,
            },
            _ => return false,
        }
        true
    }

    /// Sets back what only says how long something has lasted or how often it was tried, and draws on nothing random twice: at
    /// one standing moment, states that differ in nothing else become equal. `seed` is that of the random numbers to come.
    ///
    /// What is due stays due.
    pub fn forget_time(&mut self, seed: u128) {
        let now = self.now.monotonic;
        self.random = Random::new(seed);
        self.ignored.clear();
        self.failed_view_changes = 0;
        match &mut self.status {
            Status::Starting(starting) => starting.retries = 0,
            Status::Primary(primary) => {
                primary.heartbeat_sequence = 0;
                primary.heartbeat_at = now.after(self.options.heartbeat_interval);
                for peer in &mut primary.peers {
                    (peer.retry_at, peer.retries) = (None, 0);
                }
            }
            Status::Backup(backup) => {
                backup.vote_at = Time::ZERO;
                if backup.suspect_at > now {
                    backup.suspect_at = now.after(self.options.suspect_timeout);
                }
            }
            Status::ViewChange(change) => {
                change.retry_at = now.after(self.options.view_change_retry);
                if change.timeout_at > now {
                    change.timeout_at = now.after(self.options.view_change_timeout);
                }
            }
            Status::Recovering(recovering) => {
                recovering.retries = 1;
                recovering.retry_at = now.after(self.options.recovery_retry);
            }
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.retry_at = now.after(self.options.transfer_retry);
        }
    }

    /// Sets back what is of use only to one who votes or whose timers run out: votes, suspicion, hints at later views and
    /// operations. For a search in which neither happens.
    pub fn forget_hints(&mut self) {
        self.votes.clear();
        self.evidence.clear();
        self.heard_view = self.view;
        self.heard_op = self.log.op();
        match &mut self.status {
            Status::Backup(backup) => {
                backup.suspect_at = self.now.monotonic.after(self.options.suspect_timeout);
                backup.gap_at = None;
            }
            Status::Recovering(recovering) => {
                recovering.also_recovering.clear();
                recovering.also_recovering_before.clear();
                recovering.quorum_lost = false;
            }
            _ => {}
        }
    }

    /// How many messages this replica only keeps, until it has enough of them to do anything: answers to what it asks while it
    /// recovers, or as a new primary the DOVIEWCHANGEs of others. Nobody can tell that it has them.
    #[must_use]
    pub fn gathered(&self) -> usize {
        match &self.status {
            Status::Recovering(recovering) => match &recovering.stage {
                RecoveryStage::AskIncarnation { answers, .. } => answers.len(),
                RecoveryStage::Asking { responses, .. } => responses.len(),
                RecoveryStage::Saving | RecoveryStage::Fetching { .. } => 0,
            },
            Status::ViewChange(change) if change.building.is_none() => change.do_view_changes.len().saturating_sub(1),
            _ => 0,
        }
    }

    /// A number that differs for states from which a replica may behave differently, given the same configuration and options.
    ///
    /// Left out are the random numbers to come, statistics, and the state of the service with its client-table, which follow
    /// from the executed part of the log. DOVIEWCHANGEs held count as a set: their order only decides which of several equal
    /// logs is taken.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let mut hasher = Xxh3::new();
        (self.id, self.incarnation, &self.identity, &self.crash_vector, &self.recoveries).hash(&mut hasher);
        (self.view, self.log_view, self.commit, self.executor.executed()).hash(&mut hasher);
        (self.log.base(), self.log.op(), self.log.head_hash()).hash(&mut hasher);
        (&self.transfer, &self.spare, &self.votes).hash(&mut hasher);
        (&self.checkpoints, &self.checkpoint_transfer).hash(&mut hasher);
        (self.heard_view, self.heard_op, &self.evidence, &self.journal).hash(&mut hasher);
        (self.failed_view_changes, self.has_forfeited).hash(&mut hasher);
        match &self.status {
            Status::ViewChange(change) if change.do_view_changes.len() > 1 => {
                let mut sorted = change.clone();
                sorted.do_view_changes.sort_by_key(|message| message.header.from);
                (MEMBERS_MAX, &sorted).hash(&mut hasher);
            }
            status => status.hash(&mut hasher),
        }
        assert!(self.outputs.is_empty(), "a state is told from others when everything it wants done has been taken");
        // All 128 bits: the 64 of `Hasher::finish` would not tell millions of states apart for certain.
        hasher.digest128()
    }
}
