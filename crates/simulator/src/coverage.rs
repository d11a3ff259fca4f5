//! What a run has exercised: every fault kind, every kind of message. A mark that no seed hits names a part nobody tests.

use crate::message_kind::{KINDS, Kind};

macro_rules! marks {
    ($($(#[$doc:meta])* $mark:ident = $name:literal,)+) => {
        /// Something worth having happened at least once in many seeds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mark { $($(#[$doc])* $mark,)+ }

        /// The names of all marks, in order.
        const MARK_NAMES: &[&str] = &[$($name,)+];
    };
}

marks! {
    /// A replica crashed with nothing to do.
    CrashIdle = "crash",
    /// A replica crashed after some of its outputs; the rest was lost.
    CrashBetweenOutputs = "crash between outputs",
    /// A replica crashed right after it sent a message of a chosen kind.
    CrashAfterSend = "crash after a chosen message",
    /// A replica crashed as it joined a view change, and its messages outlived it.
    CrashPromised = "crash after a promise",
    /// A crash lost an identity that was being written.
    IdentityLost = "crash lost an unsaved identity",
    /// A crash hit while an identity was being written, which became durable all the same.
    IdentityKept = "crash kept an unconfirmed identity",
    /// A replica of a group that had not begun crashed.
    CrashStarting = "crash before the group began",
    /// A replica restarted with its identity file.
    RestartSurviving = "restart with identity",
    /// A replica restarted without one.
    RestartWiped = "restart wiped",
    /// A replica restarted with a fresh one, as if newly formatted.
    RestartReformatted = "restart reformatted",
    /// A replica stopped for a while and then got everything at once.
    Pause = "pause",
    /// Links between replicas were cut.
    Partition = "partition",
    /// A client lost some replicas.
    ClientCut = "client cut off",
    /// A client crashed and was replaced by another.
    ClientAbandoned = "client crash, abandoned",
    /// A client crashed and took its session over.
    ClientResumed = "client crash, resumed",
    /// A wall clock jumped.
    ClockJump = "wall clock jump",
    /// The network lost a message.
    Lost = "message lost",
    /// The network delivered a message twice.
    Duplicated = "message duplicated",
    /// A message took longer than a second.
    Slow = "message slow",
    /// A message of another cluster arrived.
    Foreign = "message from another cluster",
    /// A copy of a message was sent on a way of more than a second.
    Echo = "message echoed much later",
    /// A frame was damaged.
    Corrupted = "frame damaged",
    /// A message went to somebody else.
    Misrouted = "message misrouted",
    /// A replica found another gone.
    Refused = "connection refused",
    /// The links between replicas came and went.
    Flapping = "links flapping",
    /// A client heard that its session is gone.
    Evicted = "session evicted",
    /// A client was told to try later.
    Busy = "busy",
    /// A client was sent to another replica.
    Redirected = "redirect",
    /// A request ended without a known outcome.
    OutcomeUnknown = "outcome unknown",
    /// Several inputs were handled in one turn.
    Turn = "turn of several inputs",
    /// The liveness phase ran with some replicas cut off for good.
    Core = "liveness of a core",
    /// Clients had to be served while one replica was linked with a quorum, and others as it happened.
    Hub = "liveness around a hub",
    /// Clients had to be served while all links went through one replica.
    Star = "liveness of a star",
    /// A part of the history was too hard to search for a linearization.
    Undecided = "linearizability undecided",
}

/// How often each mark was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    marks: Vec<u64>,
    delivered: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { marks: vec![0; MARK_NAMES.len()], delivered: vec![0; KINDS.len()] }
    }
}

impl Coverage {
    /// Counts a mark.
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    /// Counts a message that a replica received.
    pub(crate) fn delivered(&mut self, kind: Kind) {
        self.delivered[kind.place()] += 1;
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.marks.iter_mut().zip(&other.marks) {
            *mine += theirs;
        }
        for (mine, theirs) in self.delivered.iter_mut().zip(&other.delivered) {
            *mine += theirs;
        }
    }

    /// All marks with their counts: faults and events by description, delivered messages by name.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let marks = MARK_NAMES.iter().zip(&self.marks).map(|(name, count)| ((*name).to_owned(), *count));
        let kinds = KINDS.iter().zip(&self.delivered).map(|(kind, count)| (format!("{kind:?} delivered"), *count));
        marks.chain(kinds)
    }
}
