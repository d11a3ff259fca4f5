//! Whole runs: clean, reproducible, and busy enough to mean something.

use viewstamped_simulator::{Coverage, Settings, run, run_traced};

fn small() -> Settings {
    Settings { events_max: 6_000, requests_max: 400, ..Settings::default() }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 5, 14] {
        let (first, second) = (run(seed, &small()), run(seed, &small()));
        assert_eq!(first, second);
        let mut lines = 0;
        let traced = run_traced(seed, &small(), &mut |_| lines += 1);
        assert_eq!(traced.trace_hash, first.trace_hash, "reading along changes nothing");
        assert!(lines > 1_000, "{lines} lines");
    }
}

#[test]
fn different_seeds_give_different_traces() {
    assert_ne!(run(1, &small()).trace_hash, run(2, &small()).trace_hash);
}

#[test]
fn seeds_of_every_group_size_are_clean_and_busy() {
    for replicas in [3, 4, 5, 7] {
        let settings = Settings { replicas: Some(replicas), ..small() };
        let (mut committed, mut crashes, mut view_changes) = (0, 0, 0);
        for seed in 0..24 {
            let outcome = run(seed, &settings);
            assert_eq!(outcome.failure, None, "seed {seed} with {replicas} replicas");
            committed += outcome.committed;
            crashes += outcome.crashes;
            view_changes += outcome.view_changes;
        }
        assert!(committed > 2_000 && crashes > 10 && view_changes > 5, "{committed} {crashes} {view_changes}");
    }
}

/// Also with what makes a replica slower or busier and does no harm (mutants/harmless): that must not be taken for a fault.
#[test]
fn seeds_are_clean() {
    for seed in 1_000..1_060 {
        assert_eq!(run(seed, &small()).failure, None, "seed {seed}");
    }
}

#[test]
fn a_few_seeds_hit_most_marks() {
    let mut coverage = Coverage::default();
    for seed in 100..160 {
        let outcome = run(seed, &small());
        assert_eq!(outcome.failure, None, "seed {seed}");
        coverage.merge(&outcome.coverage);
    }
    let (missed, marks) = (coverage.missed(), coverage.iter().count());
    assert!(missed.len() <= marks / 3, "{} of {marks} not hit: {missed:?}", missed.len());
    for crucial in
        ["DOVIEWCHANGE reaches in a view change", "restart wiped", "backup to primary", "crash while recovering"]
    {
        assert!(!missed.iter().any(|name| name == crucial), "not hit: {missed:?}");
    }
}
