//! A search of all states that a group can get into, within bounds, by breadth first (docs/search.md).

mod action;
mod breadth;
mod judge;
mod letters;
mod paths;
mod presets;
mod sample;
mod steps;
mod table;
mod transcript;
mod world;

use viewstamped_protocol::Message;
use viewstamped_protocol::message::Body;

pub use breadth::search;
pub use presets::{PRESETS, Preset, preset};

use crate::checkers::Violation;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The size of the group.
    pub replicas: usize,
    /// How many operations clients ask for in all.
    pub operations: u32,
    /// The highest view that anybody goes to.
    pub view_max: u64,
    /// How often replicas lose their memory in all.
    pub crashes: u32,
    /// How often one replica does.
    pub crashes_each: u32,
    /// How many may be without memory at once.
    pub down_max: usize,
    /// How often clients ask again, at any primary.
    pub retries: u32,
    /// Whether primaries send COMMIT.
    pub heartbeats: bool,
    /// Whether view changes need votes. Without, any replica joins any view change at any time, which includes all that
    /// votes allow.
    pub votes: bool,
    /// Whether messages are delivered one by one even where a replica only keeps them until the rest arrives, and kept even
    /// when a later one brings more of the same.
    pub every_order: bool,
    /// Whether a crash takes the identity, too.
    pub wiped: bool,
    /// The most states kept of one level; without it all are, and the search is exhaustive.
    pub width: Option<usize>,
    /// Chooses the states kept.
    pub seed: u64,
    /// The most states.
    pub states_max: u64,
    /// The most levels: steps from the beginning.
    pub levels_max: u32,
}

impl Bounds {
    /// States are numbered with 32 bits.
    pub const STATES_MAX: u64 = u32::MAX as u64;

    /// One operation, views 0 and 1, one crash, exhaustively.
    pub const DEFAULT: Self = Self {
        replicas: 3,
        operations: 1,
        view_max: 1,
        crashes: 1,
        crashes_each: 2,
        down_max: 1,
        retries: 0,
        heartbeats: false,
        votes: false,
        every_order: false,
        wiped: false,
        width: None,
        seed: 0,
        states_max: 100_000_000,
        levels_max: 1_000,
    };

    /// Whether timers run out, so that what only they use matters.
    fn has_timers(&self) -> bool {
        self.votes
    }

    /// Whether messages of this kind are under way at all.
    fn delivers(&self, message: &Message) -> bool {
        match &message.body {
            Body::StartViewChange(m) => self.votes && m.candidate.0 <= self.view_max,
            Body::GetIncarnation(_) | Body::KnownIncarnation(_) => self.wiped,
            Body::CommitAck(_)
            | Body::StartViewPending(_)
            | Body::ViewHint
            | Body::StaleIncarnation(_)
            | Body::AlsoRecovering(_)
            | Body::Revive(_)
            | Body::ReviveOk(_)
            | Body::Bootstrap(_)
            | Body::Founded(_) => false,
            _ => true,
        }
    }
}

/// How much of a search has been done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Levels that are complete: all states that many steps away from the beginning.
    pub levels: u32,
    /// Different states.
    pub states: u64,
    /// States of the level that begins, where one does.
    pub frontier: u64,
    /// Steps tried.
    pub transitions: u64,
    /// Different states of single replicas.
    pub locals: usize,
    /// Different steps of single replicas: how often the real code ran.
    pub steps: usize,
    /// Different messages.
    pub messages: usize,
    /// The bytes that the states take.
    pub bytes: usize,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are no more states within the bounds.
    Exhausted,
    /// The levels that were sampled led to no more states.
    Sampled,
    /// A bound of the search itself was reached: states, levels, or time.
    Bounded,
    /// An invariant does not hold.
    Violated(Counterexample),
}

/// A way to a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What is wrong.
    pub violation: Violation,
    /// How it came to it, a line each.
    pub transcript: Vec<String>,
}

/// What came of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How it ended.
    pub verdict: Verdict,
    /// How much was done.
    pub progress: Progress,
}
