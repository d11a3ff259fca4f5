//! The numbers of the paper, one type each, so that a view is never taken for an op (2.2, 4, figure 2).

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The smallest number of this kind.
            pub const ZERO: Self = Self(0);

            /// The number after this one. Panics on overflow: 2^64 of anything is a broken invariant.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect(concat!(stringify!($name), " overflow")))
            }

            /// The number `count` after this one. Panics on overflow.
            #[must_use]
            pub fn plus(self, count: u64) -> Self {
                Self(self.0.checked_add(count).expect(concat!(stringify!($name), " overflow")))
            }

            /// The number before this one; zero stays zero.
            #[must_use]
            pub fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// How far this number is above `other`; zero when it is not.
            #[must_use]
            pub fn distance_from(self, other: Self) -> u64 {
                self.0.saturating_sub(other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// The paper's view-number: which replica is primary (4).
    ViewNumber, "v"
);
number!(
    /// The paper's op-number: the position of an operation in the log, from 1; 0 is before the first (4.1).
    /// A commit-number is the op-number of the newest committed operation and has this type, too.
    OpNumber, "n"
);
number!(
    /// The paper's epoch-number: which configuration is in force (7).
    EpochNumber, "e"
);
number!(
    /// The paper's request-number s, per session and slot, from 1 (4.1).
    RequestNumber, "s"
);
number!(
    /// A client's session: the op-number of the REGISTER or RESUME that opened it. Not in the paper; see docs/protocol.md.
    SessionNumber, "c"
);
number!(
    /// How often a node has lost its memory: raised by every recovery, first 1. Not in the paper; see docs/protocol.md.
    Incarnation, "i"
);
number!(
    /// A stable name of a replica that never changes its meaning, whatever its address or place in the configuration.
    NodeId, "r"
);
number!(
    /// Nanoseconds of a monotonic clock from an arbitrary start.
    Time, "t"
);
number!(
    /// Nanoseconds of the replicated clock (wall clock since 1970, made monotonic by the primary).
    Timestamp, "ts"
);

/// One of the requests a session may have outstanding at a time, from 0.
pub type Slot = u32;

macro_rules! wide {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }
    };
}

wide!(
    /// The paper's client-id c: chosen at random by every client, so that no two are ever the same (4).
    ClientId
);
wide!(
    /// Names a cluster; carried by every message, so that two clusters never mix.
    ClusterId
);
wide!(
    /// The paper's nonce x: random, never used twice (4.3).
    Nonce
);
wide!(
    /// A random number minted by `format`: tells a formatted directory from a later one of the same node.
    InstanceId
);
wide!(
    /// The hash of a log entry and of everything before it: equal hashes mean equal prefixes.
    ChainHash
);

impl Time {
    /// The moment `duration` after this one; saturates at the end of time.
    #[must_use]
    pub fn after(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// One reading of both clocks of a machine, handed to the core with every input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Drives every timer. Never runs backwards.
    pub monotonic: Time,
    /// Feeds the replicated clock. May jump; only the timestamps of operations notice.
    pub wall: Timestamp,
}

/// An (epoch-number, view-number) pair in its natural order: the epoch counts first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The epoch; views start again at 0 in each (8.3).
    pub epoch: EpochNumber,
    /// The view within the epoch.
    pub view: ViewNumber,
}

/// The paper's viewstamp: the view in which an operation got its op-number, and that number (4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Viewstamp {
    /// The epoch and view of the first assignment. Never rewritten by a later view.
    pub ballot: Ballot,
    /// The op-number assigned.
    pub op: OpNumber,
}
