//! Experiments with time: a group under a steady load on a quick network, where nothing breaks but what the experiment breaks,
//! and one question: how long until the group commits again?
//!
//! ```
//! use std::time::Duration;
//! use viewstamped_simulator::trial::Trial;
//! use viewstamped_simulator::Topology;
//!
//! let mut trial = Trial::serving(3, 7);
//! trial.links(&Topology::Isolated(0));
//! let outage = trial.watch(Duration::from_secs(5)).longest_outage;
//! assert!(outage > Duration::from_millis(300) && outage < Duration::from_secs(1));
//! ```
//!
//! All checkers watch; a violated invariant panics and names the seed.

use std::time::Duration;

use viewstamped_protocol::random::Random;
use viewstamped_protocol::{InstanceId, OpNumber, Options, StatusName, Time, ViewNumber};

use crate::checkers::Checked;
use crate::cluster::Restart;
use crate::coverage::Mark;
use crate::options::{Scenario, Settings};
use crate::simulation::Simulation;
use crate::topology::Topology;
use crate::workload::MapWorkload;

/// How long a new group gets until it serves.
const BEGINNING: Duration = Duration::from_secs(2);

/// How long the load runs before the experiment begins: some hundred operations.
const WARM_UP: Duration = Duration::from_secs(1);

/// A group under load.
pub struct Trial {
    simulation: Simulation<'static, MapWorkload>,
    seed: u64,
}

/// What was seen over some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The longest time in which nothing was committed.
    pub longest_outage: Duration,
    /// How long before the end the group came to the view it is in now; the whole time if it was in it all along.
    pub stable_for: Duration,
    /// The view at the end: the latest in which anything was committed.
    pub view: ViewNumber,
    /// Operations committed.
    pub committed: u64,
}

impl Trial {
    /// A group of default options that serves two clients.
    #[must_use]
    pub fn serving(replicas: usize, seed: u64) -> Self {
        Self::in_scenario(Scenario::calm(replicas, 2), seed)
    }

    /// The same with these options at every replica.
    #[must_use]
    pub fn with_options(replicas: usize, options: Options, seed: u64) -> Self {
        Self::in_scenario(Scenario { options: vec![options; replicas], ..Scenario::calm(replicas, 2) }, seed)
    }

    fn in_scenario(scenario: Scenario, seed: u64) -> Self {
        let settings = Settings { requests_max: u64::MAX, ..Settings::default() };
        let random = Random::new(u128::from(seed) << 64 | 0x0074_7269_616c);
        let simulation = Simulation::begun(random, scenario, settings, None);
        let mut trial = Self { simulation: simulation.expect("a new group breaks no invariant"), seed };
        trial.simulation.is_healed = true;
        trial.run(BEGINNING);
        let clients = trial.simulation.clients.len();
        assert!((0..clients).all(|client| trial.simulation.clients[client].answered > 0), "seed {seed} does not serve");
        trial.run(WARM_UP);
        trial
    }

    /// Gives the links between replicas this shape.
    pub fn links(&mut self, topology: &Topology) {
        self.simulation.network.shape(topology);
    }

    /// Takes a replica's memory. It stays down.
    pub fn crash(&mut self, place: usize) {
        self.simulation.stop(place, Mark::CrashIdle);
    }

    /// Starts a replica that is down, with nothing but its identity, or without even that.
    pub fn start(&mut self, place: usize, restart: Restart) {
        let result = self.simulation.start(place, restart);
        self.judge(result);
    }

    /// A fresh directory, as if the operator had formatted it again.
    pub fn reformatted(&mut self) -> Restart {
        Restart::Reformatted(InstanceId(self.simulation.dice.faults.next_u128()))
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.simulation.now.after(time);
        while self.step(until) {}
        self.simulation.now = until;
    }

    /// Lets time pass and measures the service meanwhile.
    pub fn watch(&mut self, time: Duration) -> Watched {
        let (begin, first) = (self.simulation.now, self.committed());
        let until = begin.after(time);
        let (mut committed, mut at) = (first, begin);
        let (mut views, mut views_at) = (self.views(), begin);
        let mut longest = Duration::ZERO;
        while self.step(until) {
            let now = self.simulation.now;
            if self.committed() > committed {
                longest = longest.max(now.since(at));
                (committed, at) = (self.committed(), now);
            }
            if self.views() != views {
                (views, views_at) = (self.views(), now);
            }
        }
        self.simulation.now = until;
        Watched {
            longest_outage: longest.max(until.since(at)),
            stable_for: until.since(views_at),
            view: self.simulation.cluster.checkers().ghost().view(),
            committed: committed.0 - first.0,
        }
    }

    /// The view and the status of every replica that is up, and so whether anything changes.
    fn views(&self) -> Vec<Option<(StatusName, ViewNumber)>> {
        let checkers = self.simulation.cluster.checkers();
        let places = 0..self.simulation.machines.len();
        places.map(|place| checkers.seen(place).map(|seen| (seen.status, seen.view))).collect()
    }

    /// The latest op-number committed.
    #[must_use]
    pub fn committed(&self) -> OpNumber {
        self.simulation.cluster.checkers().ghost().head()
    }

    /// The place of the normal primary of the latest view.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        self.simulation.cluster.primary()
    }

    /// Whether a replica has executed everything committed so far.
    #[must_use]
    pub fn is_level(&self, place: usize) -> bool {
        self.simulation
            .cluster
            .checkers()
            .seen(place)
            .is_some_and(|seen| seen.status == StatusName::Normal && seen.executed == self.committed())
    }

    /// What everybody is doing, a line each.
    #[must_use]
    pub fn report(&self) -> String {
        format!("seed {}{}", self.seed, self.simulation.states())
    }

    /// No further requests: those made already are still answered.
    pub fn quiesce(&mut self) {
        self.simulation.requests_max = 0;
    }

    /// Checks that all answers so far are linearizable.
    pub fn check_history(&mut self) {
        let result = self.simulation.check_history();
        self.judge(result);
    }

    fn step(&mut self, until: Time) -> bool {
        match self.simulation.step(until) {
            Ok(is_more) => is_more,
            Err(violation) => panic!("{violation}\n{}", self.report()),
        }
    }

    fn judge(&self, result: Checked) {
        if let Err(violation) = result {
            panic!("{violation}\n{}", self.report());
        }
    }
}
