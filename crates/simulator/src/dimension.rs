//! The dimensions of failure: each is drawn by the seed, and each can be set by hand.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::filter::Percent;
use crate::options::Scenario;

macro_rules! dimensions {
    ($($(#[$doc:meta])* $dimension:ident = $name:literal $kind:ident,)+) => {
        /// A way in which things fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Dimension { $($(#[$doc])* $dimension,)+ }

        /// All dimensions.
        pub const DIMENSIONS: &[Dimension] = &[$(Dimension::$dimension,)+];

        impl Dimension {
            /// What it is called.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$dimension => $name,)+ }
            }

            /// Whether it is given as a chance for each message or event; if not, as the mean time between two.
            #[must_use]
            pub fn is_chance(self) -> bool {
                matches!(match self { $(Self::$dimension => Given::$kind,)+ }, Given::Chance)
            }
        }
    };
}

enum Given {
    Chance,
    Interval,
}

dimensions! {
    /// A message is lost.
    Loss = "loss" Chance,
    /// A message arrives twice.
    Duplication = "duplication" Chance,
    /// A message takes very long.
    Slow = "slow" Chance,
    /// A copy of a message arrives minutes later.
    Echo = "echo" Chance,
    /// A copy of a message arrives that belongs to another cluster.
    Foreign = "foreign" Chance,
    /// Some bits of a frame are flipped, or its end is missing.
    Corruption = "corruption" Chance,
    /// A message reaches another replica than it was sent to.
    Misrouting = "misrouting" Chance,
    /// A replica that is down refuses the connection of whoever writes to it.
    Refusal = "refusal" Chance,
    /// A replica crashes.
    Crash = "crash" Interval,
    /// A crashed replica has lost its identity file, too.
    Wipe = "wipe" Chance,
    /// The links between replicas change.
    Partition = "partition" Interval,
    /// A new shape of the links flaps: it comes and goes.
    Flapping = "flapping" Chance,
    /// A replica stops for a while.
    Pause = "pause" Interval,
    /// A client crashes.
    ClientCrash = "client-crash" Interval,
    /// A client loses some replicas.
    ClientCut = "client-cut" Interval,
    /// A wall clock jumps.
    ClockJump = "clock-jump" Interval,
    /// A replica's service is replaced by another, which has nothing but the state.
    ServiceDrop = "service-drop" Interval,
}

/// How much of a dimension there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// None.
    Off,
    /// A chance in 65,536.
    Chance(u32),
    /// The mean time between two.
    Every(Duration),
}

impl Dimension {
    /// Sets this dimension in a scenario, whatever the seed has drawn.
    pub(crate) fn set(self, rate: Rate, scenario: &mut Scenario) {
        let (network, faults) = (&mut scenario.network, &mut scenario.faults);
        let chance = match rate {
            Rate::Chance(chance) => chance,
            Rate::Off | Rate::Every(_) => 0,
        };
        let interval = match rate {
            Rate::Every(interval) => Some(interval),
            Rate::Off | Rate::Chance(_) => None,
        };
        match self {
            Self::Loss => (network.loss, network.lost) = (chance, None),
            Self::Duplication => network.duplication = chance,
            Self::Slow => (network.slow, network.slow_kind) = (chance, None),
            Self::Echo => network.echo = chance,
            Self::Foreign => network.foreign = chance,
            Self::Corruption => network.corruption = chance,
            Self::Misrouting => network.misrouting = chance,
            Self::Refusal => network.refusal = chance,
            Self::Crash => {
                faults.crash = interval;
                if interval.is_none() {
                    faults.early_crashes = 0;
                }
            }
            Self::Wipe => faults.wipe = chance,
            Self::Partition => faults.partition = interval,
            Self::Flapping => faults.flapping = chance,
            Self::Pause => faults.pause = interval,
            Self::ClientCrash => faults.client_crash = interval,
            Self::ClientCut => faults.client_cut = interval,
            Self::ClockJump => faults.clock_jump = interval,
            Self::ServiceDrop => faults.service_drop = interval,
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Chance(chance) => write!(f, "{}%", Percent(*chance)),
            Self::Every(interval) => write!(f, "{}ns", interval.as_nanos()),
        }
    }
}

/// Why a text names no dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDimension(String);

impl fmt::Display for UnknownDimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = DIMENSIONS.iter().map(|dimension| dimension.name()).collect();
        write!(f, "'{}' is no kind of fault: there are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownDimension {}

impl FromStr for Dimension {
    type Err = UnknownDimension;

    fn from_str(text: &str) -> Result<Self, UnknownDimension> {
        let named = DIMENSIONS.iter().find(|dimension| dimension.name() == text);
        named.copied().ok_or_else(|| UnknownDimension(text.to_owned()))
    }
}
