//! A deterministic simulator for Viewstamped Replication: a whole group of real replicas, its network and its clients in one
//! thread, from one seed, watched by omniscient checkers after every step.
//!
//! ```
//! use viewstamped_simulator::{Settings, run};
//!
//! let outcome = run(7, &Settings { events_max: 2_000, ..Settings::default() });
//! assert_eq!(outcome.failure, None);
//! assert_eq!(outcome.trace_hash, run(7, &Settings { events_max: 2_000, ..Settings::default() }).trace_hash);
//! ```
//!
//! A service of one's own is tested by writing a [`Workload`] for it and calling [`run_workload`]. A schedule by hand, message by
//! message, is a [`script::Script`].

mod checkers;
mod checkpoints;
mod clients;
mod cluster;
mod coverage;
mod delivery;
mod dimension;
mod drawing;
mod faults;
mod filter;
pub mod history;
pub mod linearizability;
mod liveness;
mod machine;
mod message_kind;
mod network;
mod observed;
mod options;
mod random;
mod requests;
mod schedule;
pub mod script;
pub mod search;
mod shrink;
mod simulation;
mod topology;
mod trace;
pub mod trial;
mod workload;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use viewstamped_protocol::Time;
use viewstamped_protocol::service::panic_message;

pub use checkers::Violation;
pub use cluster::Restart;
pub use coverage::Coverage;
pub use dimension::{DIMENSIONS, Dimension, Rate, UnknownDimension};
pub use drawing::DrawingMap;
pub use filter::{Filter, UnknownFilter, percent};
pub use message_kind::{KINDS, Kind};
pub use options::{Faults, NetworkFaults, Scenario, Settings};
pub use shrink::{EXPLANATION_LINES_MAX, Shrunk, explain, shrink};
pub use topology::{Topology, UnknownTopology};
pub use trace::Sink;
pub use workload::{MapWorkload, Workload};

use simulation::Simulation;
use trace::Moment;

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The same for the same seed and settings, on every machine and in every build.
    pub trace_hash: u64,
    /// Delivered messages, timers and actions of clients.
    pub events: u64,
    /// The simulated time, in nanoseconds.
    pub simulated: Time,
    /// Operations committed.
    pub committed: u64,
    /// The latest view in which anything was committed: how often the primary was replaced.
    pub view_changes: u64,
    /// Crashes.
    pub crashes: u64,
    /// Faults of machines, links and clients, those spared included: they are numbered from 0.
    pub faults: u64,
    /// Crashed replicas that became normal again.
    pub recoveries: u64,
    /// What was exercised.
    pub coverage: Coverage,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
}

/// A violated invariant, a missed bound, or a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The invariant.
    pub checker: String,
    /// What is wrong; for a missed bound followed by what everybody was doing, a line each.
    pub sentence: String,
    /// After how many events.
    pub event: u64,
    /// When, in simulated time.
    pub time: Time,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at event {} ({}): {}", self.checker, self.event, Moment(self.time), self.sentence)
    }
}

/// Runs one seed on the built-in map service.
#[must_use]
pub fn run(seed: u64, settings: &Settings) -> Outcome {
    run_workload::<MapWorkload>(seed, settings, None)
}

/// Runs one seed on the built-in map service and prints its trace, line by line.
#[must_use]
pub fn run_traced(seed: u64, settings: &Settings, sink: Sink<'_>) -> Outcome {
    run_workload::<MapWorkload>(seed, settings, Some(sink))
}

/// Runs one seed on any service. A panic of a replica or of the service is a failure like any other.
#[must_use]
pub fn run_workload<W: Workload>(seed: u64, settings: &Settings, sink: Option<Sink<'_>>) -> Outcome {
    let mut simulation = None;
    let result = catch_unwind(AssertUnwindSafe(|| -> Result<(), Violation> {
        let simulation = simulation.insert(Simulation::<W>::new(seed, settings.clone(), sink)?);
        simulation.run_safety()?;
        simulation.run_liveness()?;
        simulation.check_history()
    }));
    let violation = match result {
        Ok(Ok(())) => None,
        Ok(Err(Violation { checker, sentence })) => Some((checker.to_owned(), sentence)),
        Err(panic) => Some(("I-NOPANIC".to_owned(), panic_message(panic.as_ref()))),
    };
    report(seed, simulation.as_ref(), violation)
}

fn report<W: Workload>(
    seed: u64,
    simulation: Option<&Simulation<'_, W>>,
    violation: Option<(String, String)>,
) -> Outcome {
    let (event, time) = simulation.map_or((0, Time::ZERO), |simulation| (simulation.events, simulation.now));
    let failure = violation.map(|(checker, sentence)| Failure { checker, sentence, event, time });
    let ghost = simulation.map(|simulation| simulation.cluster.checkers().ghost());
    Outcome {
        seed,
        trace_hash: simulation.map_or(0, |simulation| simulation.trace.hash()),
        events: event,
        simulated: time,
        committed: ghost.map_or(0, |ghost| ghost.head().0),
        view_changes: ghost.map_or(0, |ghost| ghost.view().0),
        crashes: simulation.map_or(0, |simulation| simulation.crashes),
        faults: simulation.map_or(0, |simulation| simulation.faults),
        recoveries: simulation.map_or(0, |simulation| simulation.cluster.recoveries()),
        coverage: simulation.map_or_else(Coverage::default, |simulation| simulation.coverage.clone()),
        failure,
    }
}
