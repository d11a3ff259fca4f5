//! What a run has exercised: every fault, every kind of message with each fault of the network and in each role of its receiver,
//! every fault of a machine in each role, every change of role. A mark that no seed hits names a part nobody tests.

use std::fmt;

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
    /// Links between replicas were cut.
    Partition = "partition",
    /// A client lost some replicas.
    ClientCut = "client cut off",
    /// A client crashed and was replaced by another.
    ClientAbandoned = "client crash, abandoned",
    /// A client crashed and took its session over.
    ClientResumed = "client crash, resumed",
    /// The links between replicas came and went.
    Flapping = "links flapping",
    /// A client heard that its session is gone.
    Evicted = "session evicted",
    /// A client was told to try later.
    Busy = "busy",
    /// A client was told that the replica does not serve.
    NotServing = "not serving",
    /// A request was refused.
    RefusedRequest = "request refused",
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
    /// A replica took a checkpoint.
    CheckpointTaken = "checkpoint taken",
    /// A replica cut its log.
    LogCut = "log cut",
    /// A replica began to fetch a checkpoint.
    TransferStarted = "checkpoint fetched",
    /// A replica went on with a newer checkpoint than the one it had begun to fetch.
    TransferRetargeted = "newer checkpoint fetched instead",
    /// A replica got a checkpoint although another one crashed meanwhile.
    TransferSurvived = "checkpoint fetched, a source crashed",
    /// A checkpoint was served that is kept for the one who fetches it only.
    PinnedServed = "pinned checkpoint served",
    /// A primary that had been deposed long since lacked what the others have cut off.
    StepDown = "primary needs a checkpoint",
    /// A DOVIEWCHANGE brought all there is of a log that was cut.
    Clipped = "DOVIEWCHANGE with all of a cut log",
    /// The service of a replica was replaced by another, with nothing but the state.
    ServiceDropped = "service dropped",
    /// A replica found that its state is not that of a quorum.
    Diverged = "replica diverged",
    /// Such a replica got the state of a quorum.
    Repaired = "divergent replica repaired",
    /// The primary found that no quorum has equal states.
    RootsDiffer = "no quorum of equal roots",
    /// A part of the history was too hard to search for a linearization.
    Undecided = "linearizability undecided",
}

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident $all:ident { $($variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $kind { $($variant,)+ }

        const $all: &[&str] = &[$($name,)+];
    };
}

names! {
    /// What the network did to a message.
    Treatment TREATMENTS {
        Lost = "lost",
        Duplicated = "duplicated",
        Slow = "slow",
        Echoed = "echoed much later",
        Foreign = "of another cluster",
        Damaged = "damaged",
        Misrouted = "misrouted",
    }
}

names! {
    /// What a machine is doing.
    Role ROLES {
        Down = "down",
        Starting = "starting",
        Primary = "primary",
        Backup = "backup",
        ViewChange = "in a view change",
        Recovering = "recovering",
    }
}

names! {
    /// What happens to a machine.
    Blow BLOWS {
        Crash = "crash",
        Pause = "pause",
        Refusal = "finds a peer gone",
        ClockJump = "wall clock jump",
        Gap = "needs a checkpoint",
        Install = "installs a checkpoint",
    }
}

/// How the names of marks begin that cannot be hit, or that no number of seeds is sure to hit, each with the reason.
const EXEMPT: &[(&str, &str)] = &[
    ("REVIVE", "a group that was down as a whole is begun again from disks only, and here nobody has one"),
    ("GETCONFIGURATION", "only clients and operators ask for the configuration"),
    ("CONFIGURATION", "nobody asks for the configuration"),
    ("linearizability undecided", "a history that is too hard to check is no achievement"),
    ("GETLOG reaches starting", "a late founder and a view change with a long log: one seed in many thousands"),
    ("LOGCHUNK reaches starting", "the same"),
    ("LOGCHUNK reaches down", "the new primary crashes as it fetches: one seed in many thousands"),
    ("replica diverged", "the built-in service is deterministic"),
    ("divergent replica repaired", "the same"),
    ("no quorum of equal roots", "the same"),
    ("crash while down", "what is down cannot crash"),
    ("pause while down", "nor pause"),
    ("installs a checkpoint while down", "who is down does nothing"),
    ("installs a checkpoint while starting", "whoever begins has nothing to fetch"),
    ("installs a checkpoint while primary", "a primary has the state"),
    ("down to primary", "who starts begins or recovers"),
    ("down to backup", "who starts begins or recovers"),
    ("down to in a view change", "who starts begins or recovers"),
    ("starting to in a view change", "who begins is normal first"),
    ("primary to starting", "nobody begins twice"),
    ("backup to starting", "nobody begins twice"),
    ("in a view change to starting", "nobody begins twice"),
    ("recovering to starting", "nobody begins twice"),
    ("recovering to in a view change", "who has recovered is normal first"),
    ("recovering to primary", "a recovery needs the primary of the latest view, which is another"),
    ("primary to recovering", "takes three boots in a row and a peer that heard of all: scripted, not drawn"),
    ("backup to recovering", "the same"),
    ("in a view change to recovering", "the same"),
];

/// Counts by two names.
#[derive(Clone, PartialEq, Eq)]
struct Grid<const ROWS: usize, const COLUMNS: usize>([[u64; COLUMNS]; ROWS]);

impl<const ROWS: usize, const COLUMNS: usize> Grid<ROWS, COLUMNS> {
    const EMPTY: Self = Self([[0; COLUMNS]; ROWS]);

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.as_flattened_mut().iter_mut().zip(other.0.as_flattened()) {
            *mine += theirs;
        }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        let row = |(row, counts): (usize, &'_ [u64; COLUMNS])| {
            counts.iter().enumerate().map(|(column, count)| (row, column, *count)).collect::<Vec<_>>()
        };
        self.0.iter().enumerate().flat_map(row)
    }
}

/// How often each mark was hit.
#[derive(Clone, PartialEq, Eq)]
pub struct Coverage {
    marks: Grid<1, { MARK_NAMES.len() }>,
    treated: Grid<{ TREATMENTS.len() }, { KINDS.len() }>,
    received: Grid<{ ROLES.len() }, { KINDS.len() }>,
    blows: Grid<{ BLOWS.len() }, { ROLES.len() }>,
    changes: Grid<{ ROLES.len() }, { ROLES.len() }>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            marks: Grid::EMPTY,
            treated: Grid::EMPTY,
            received: Grid::EMPTY,
            blows: Grid::EMPTY,
            changes: Grid::EMPTY,
        }
    }
}

impl fmt::Debug for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().filter(|(_, count)| *count > 0)).finish()
    }
}

impl Coverage {
    /// Counts a mark.
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.marks.0[0][mark as usize] += 1;
    }

    /// How often a mark was hit.
    pub(crate) fn count(&self, mark: Mark) -> u64 {
        self.marks.0[0][mark as usize]
    }

    /// Counts what the network did to a message.
    pub(crate) fn treated(&mut self, treatment: Treatment, kind: Kind) {
        self.treated.0[treatment as usize][kind.place()] += 1;
    }

    /// Counts a message that reached a machine.
    pub(crate) fn received(&mut self, role: Role, kind: Kind) {
        self.received.0[role as usize][kind.place()] += 1;
    }

    /// Counts what happened to a machine.
    pub(crate) fn struck(&mut self, blow: Blow, role: Role) {
        self.blows.0[blow as usize][role as usize] += 1;
    }

    /// Counts a change of role.
    pub(crate) fn changed(&mut self, from: Role, to: Role) {
        self.changes.0[from as usize][to as usize] += 1;
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        self.marks.merge(&other.marks);
        self.treated.merge(&other.treated);
        self.received.merge(&other.received);
        self.blows.merge(&other.blows);
        self.changes.merge(&other.changes);
    }

    /// All marks with their counts: what happened, to what, and in which role.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let kind = |place: usize| KINDS[place].name();
        let marks = self.marks.iter().map(|(_, mark, count)| (MARK_NAMES[mark].to_owned(), count));
        let treated = self
            .treated
            .iter()
            .map(move |(row, column, count)| (format!("{} {}", kind(column), TREATMENTS[row]), count));
        let received = self
            .received
            .iter()
            .map(move |(row, column, count)| (format!("{} reaches {}", kind(column), ROLES[row]), count));
        let blows =
            self.blows.iter().map(|(row, column, count)| (format!("{} while {}", BLOWS[row], ROLES[column]), count));
        let changes =
            self.changes.iter().map(|(row, column, count)| (format!("{} to {}", ROLES[row], ROLES[column]), count));
        marks.chain(treated).chain(received).chain(blows).chain(changes)
    }

    /// The marks that were never hit although enough seeds hit them.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let is_exempt = |name: &str| EXEMPT.iter().any(|(exempt, _)| name.starts_with(exempt));
        let stays = |name: &str| name.split_once(" to ").is_some_and(|(from, to)| from == to);
        let missed = self.iter().filter(|(name, count)| *count == 0 && !is_exempt(name) && !stays(name));
        missed.map(|(name, _)| name).collect()
    }
}
