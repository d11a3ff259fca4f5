//! Services that are not what replication needs: that do something else at each replica, or keep a part of their state to themselves.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use viewstamped_protocol::random::Random;
use viewstamped_protocol::{Operation, Service};
use viewstamped_simulator::history::History;
use viewstamped_simulator::{
    Coverage, DIMENSIONS, Dimension, DrawingMap, MapWorkload, Rate, Settings, Violation, Workload, run_workload,
};
use viewstamped_state::State;

/// From this op-number on the next call goes wrong.
const WRONG: u64 = 20;

/// Which copy of the service belongs to the second replica of a new group: each gets one, and one to begin again with.
const SECOND: u64 = 3;

/// The map, but a copy may once write its own number: as if an answer depended on an address in memory.
#[derive(Debug)]
struct Stray {
    number: u64,
    copies: Rc<Cell<u64>>,
    /// Only this copy does; all when there is none.
    only: Option<u64>,
    has_strayed: bool,
}

impl Stray {
    fn new(only: Option<u64>) -> Self {
        Self { number: 0, copies: Rc::new(Cell::new(0)), only, has_strayed: false }
    }
}

impl Clone for Stray {
    fn clone(&self) -> Self {
        self.copies.set(self.copies.get() + 1);
        Self { number: self.copies.get(), copies: self.copies.clone(), only: self.only, has_strayed: false }
    }
}

impl Service for Stray {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let may_stray = self.only.is_none_or(|only| only == self.number) && !self.has_strayed;
        if may_stray && operation.op.0 >= WRONG {
            self.has_strayed = true;
            state.insert(Bytes::from_static(b"stray"), self.number.to_be_bytes().to_vec());
        }
        DrawingMap.execute(state, operation)
    }
}

/// The requests for the map, to a service that strays.
struct Straying<const ONLY: u64>(MapWorkload);

impl<const ONLY: u64> Workload for Straying<ONLY> {
    type Service = Stray;

    fn draw(random: &mut Random) -> Self {
        Self(MapWorkload::draw(random))
    }

    fn service(&self) -> Stray {
        Stray::new((ONLY > 0).then_some(ONLY))
    }

    fn is_deterministic(&self) -> bool {
        false
    }

    fn next_request(&mut self, random: &mut Random) -> Bytes {
        self.0.next_request(random)
    }

    fn check(&self, _history: &History, _settings: &Settings) -> Result<u64, Violation> {
        Ok(0)
    }
}

fn small() -> Settings {
    Settings { events_max: 6_000, requests_max: 400, ..Settings::default() }
}

/// Nothing breaks but what is named.
fn calm_but(rates: &[(Dimension, Rate)]) -> Settings {
    let off = DIMENSIONS.iter().map(|dimension| (*dimension, Rate::Off));
    Settings { rates: off.chain(rates.iter().copied()).collect(), ..small() }
}

fn count(coverage: &Coverage, mark: &str) -> u64 {
    coverage.iter().find(|(name, _)| name == mark).expect("a mark").1
}

#[test]
fn one_replica_that_strays_is_found_at_the_next_checkpoint_and_repaired() {
    for seed in 0..10 {
        let settings = Settings { replicas: Some(3), ..calm_but(&[]) };
        let outcome = run_workload::<Straying<SECOND>>(seed, &settings, None);
        assert_eq!(outcome.failure, None, "seed {seed}");
        if outcome.committed < 100 {
            continue;
        }
        let [diverged, repaired, differ] =
            ["replica diverged", "divergent replica repaired", "no quorum of equal roots"]
                .map(|mark| count(&outcome.coverage, mark));
        assert_eq!((diverged, repaired, differ), (1, 1, 0), "seed {seed}, {} committed", outcome.committed);
    }
}

#[test]
fn replicas_that_all_stray_alarm_and_go_on() {
    for seed in 0..10 {
        let outcome = run_workload::<Straying<0>>(seed, &calm_but(&[]), None);
        assert_eq!(outcome.failure, None, "seed {seed}");
        assert!(outcome.committed < 100 || count(&outcome.coverage, "no quorum of equal roots") > 0, "seed {seed}");
    }
}

/// Whoever strays may also crash, lead, be cut off, or be asked for its state.
#[test]
fn groups_with_a_stray_serve_through_all_faults() {
    let mut coverage = Coverage::default();
    for seed in 0..24 {
        let outcome = run_workload::<Straying<SECOND>>(seed, &small(), None);
        assert_eq!(outcome.failure, None, "seed {seed}");
        coverage.merge(&outcome.coverage);
    }
    assert!(count(&coverage, "divergent replica repaired") > 4);
}

/// The map, and every third operation leaves a trace in the state. Which is the third is counted: in the state, or in a field.
#[derive(Clone, Debug, Default)]
struct Counting<const IS_HIDDEN: bool> {
    hidden: u64,
}

const COUNT: &[u8] = b"count";

impl<const IS_HIDDEN: bool> Service for Counting<IS_HIDDEN> {
    fn execute(&mut self, state: &mut State, operation: Operation<'_>) -> Bytes {
        let kept = state.get(COUNT).map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("8 bytes")));
        let count = if IS_HIDDEN { self.hidden } else { kept } + 1;
        self.hidden = count;
        if !IS_HIDDEN {
            state.insert(Bytes::from_static(COUNT), count.to_be_bytes().to_vec());
        } else if count.is_multiple_of(3) {
            state.insert(Bytes::from_static(COUNT), operation.op.0.to_be_bytes().to_vec());
        }
        DrawingMap.execute(state, operation)
    }
}

struct CountingWorkload<const IS_HIDDEN: bool>(MapWorkload);

impl<const IS_HIDDEN: bool> Workload for CountingWorkload<IS_HIDDEN> {
    type Service = Counting<IS_HIDDEN>;

    fn draw(random: &mut Random) -> Self {
        Self(MapWorkload::draw(random))
    }

    fn service(&self) -> Self::Service {
        Counting::default()
    }

    fn next_request(&mut self, random: &mut Random) -> Bytes {
        self.0.next_request(random)
    }

    fn check(&self, _history: &History, _settings: &Settings) -> Result<u64, Violation> {
        Ok(0)
    }
}

#[test]
fn what_a_service_hides_outside_its_state_is_found_when_it_is_dropped() {
    let settings = calm_but(&[(Dimension::ServiceDrop, Rate::Every(std::time::Duration::from_millis(500)))]);
    let hiding = (0..10).map(|seed| run_workload::<CountingWorkload<true>>(seed, &settings, None));
    let found: Vec<_> = hiding.filter_map(|outcome| outcome.failure).collect();
    assert!(found.len() >= 8, "{found:?}");
    assert!(found.iter().all(|failure| ["I-STATE", "I-CKPT"].contains(&&*failure.checker)), "{found:?}");
    for seed in 0..10 {
        let honest = run_workload::<CountingWorkload<false>>(seed, &settings, None);
        assert_eq!(honest.failure, None, "seed {seed}");
        assert!(honest.committed < 100 || count(&honest.coverage, "service dropped") > 0, "seed {seed}");
    }
}
