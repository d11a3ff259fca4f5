//! A failing seed is shrunk to the faults that it needs.

use bytes::Bytes;
use viewstamped_protocol::random::Random;
use viewstamped_simulator::history::History;
use viewstamped_simulator::{
    DrawingMap, EXPLANATION_LINES_MAX, MapWorkload, Settings, Violation, Workload, explain, run_workload, shrink,
};

/// The map, and a checker that takes it for a failure when a client never learns what came of a request.
struct Impatient(MapWorkload);

impl Workload for Impatient {
    type Service = DrawingMap;

    fn draw(random: &mut Random) -> Self {
        Self(MapWorkload::draw(random))
    }

    fn service(&self) -> DrawingMap {
        self.0.service()
    }

    fn next_request(&mut self, random: &mut Random) -> Bytes {
        self.0.next_request(random)
    }

    fn check(&self, history: &History, _: &Settings) -> Result<u64, Violation> {
        if history.invocations().iter().all(|invocation| invocation.outcome.is_some()) {
            return Ok(0);
        }
        Err(Violation { checker: "TEST", sentence: "a request was never answered".to_owned() })
    }
}

#[test]
fn a_failure_is_shrunk_to_what_it_needs() {
    let settings = Settings { events_max: 4_000, requests_max: 200, ..Settings::default() };
    let fails = |seed: &u64| run_workload::<Impatient>(*seed, &settings, None).failure.is_some();
    let seed = (0..100).find(|seed| fails(seed)).expect("clients crash in many seeds");
    let shrunk = shrink::<Impatient>(seed, &settings, 400).expect("it fails");
    let failure = shrunk.outcome.failure.as_ref().expect("it still fails");
    assert_eq!(failure.checker, "TEST", "in the same way");
    let explained = explain::<Impatient>(seed, &shrunk.settings);
    let struck = explained.iter().filter(|line| line.contains(" fault ")).count();
    assert!((1..=3).contains(&struck), "one crash of a client is enough, and {struck} faults are left: {explained:#?}");
    assert!(explained.len() <= EXPLANATION_LINES_MAX);
    assert!(shrunk.settings.requests_max < settings.requests_max && shrunk.settings.events_max < settings.events_max);
    assert_eq!(run_workload::<Impatient>(seed, &shrunk.settings, None), shrunk.outcome, "it can be replayed");
}

#[test]
fn a_clean_seed_cannot_be_shrunk() {
    assert_eq!(shrink::<MapWorkload>(1, &Settings { events_max: 2_000, ..Settings::default() }, 10), None);
}
