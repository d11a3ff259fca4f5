//! The search of all states (docs/search.md) within the committed bounds: clean, and each of them is large enough to see what it
//! is there for, which the patches in mutants/ show by taking a repair away.

use viewstamped_simulator::search::{Bounds, Found, PRESETS, Verdict, preset, search};

/// Searches a preset; it must find at least so many states, or it has not searched what it is there for.
#[track_caller]
fn assert_clean(name: &str, states_min: u64) {
    let found = search(&preset(name).expect("a preset").bounds, &mut |_| true);
    if let Verdict::Violated(counterexample) = &found.verdict {
        panic!("{}\n  {}", counterexample.violation, counterexample.transcript.join("\n  "));
    }
    assert!(found.progress.states >= states_min, "{name} has only {} states", found.progress.states);
}

#[test]
fn search_around_trace_a_is_clean() {
    assert_clean("trace-a", 20_000);
}

#[test]
fn search_around_trace_b_is_clean() {
    assert_clean("trace-b", 30_000);
}

#[test]
fn search_around_trace_c_is_clean() {
    assert_clean("trace-c", 150);
}

#[test]
fn search_around_trace_d_is_clean() {
    assert_clean("trace-d", 50_000);
}

#[test]
fn search_around_trace_e_is_clean() {
    assert_clean("trace-e", 1_500);
}

#[test]
fn search_around_trace_f_is_clean() {
    assert_clean("trace-f", 10_000);
}

#[test]
fn every_preset_has_a_name_of_its_own() {
    for each in &PRESETS {
        assert_eq!(preset(each.name), Some(each));
    }
}

fn found(bounds: Bounds) -> Found {
    search(&bounds, &mut |_| true)
}

#[test]
fn the_same_bounds_give_the_same_search() {
    let bounds = Bounds { width: Some(200), ..Bounds::DEFAULT };
    assert_eq!(found(bounds), found(bounds));
    assert_ne!(found(bounds).progress, found(Bounds { seed: 1, ..bounds }).progress);
}

#[test]
fn a_sampled_search_says_so() {
    assert_eq!(found(Bounds { width: Some(100), ..Bounds::DEFAULT }).verdict, Verdict::Sampled);
    assert_eq!(found(Bounds { width: Some(100_000), ..Bounds::DEFAULT }).verdict, Verdict::Exhausted);
}

#[test]
fn a_search_ends_where_it_is_told_to() {
    assert_eq!(found(Bounds { levels_max: 3, ..Bounds::DEFAULT }).verdict, Verdict::Bounded);
    assert_eq!(found(Bounds { states_max: 100, ..Bounds::DEFAULT }).verdict, Verdict::Bounded);
    assert_eq!(search(&Bounds::DEFAULT, &mut |progress| progress.levels < 5).verdict, Verdict::Bounded);
}
