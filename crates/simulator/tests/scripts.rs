//! Schedules by hand for weak points of the paper that a random search meets rarely. The views 0, 1, 2 have r0, r1, r2 as primary.

use std::time::Duration;

use viewstamped_protocol::{Options, StatusName, ViewNumber};
use viewstamped_simulator::script::Script;
use viewstamped_simulator::{Kind, Restart};

/// What was acknowledged is there at every replica after the network has healed.
#[track_caller]
fn assert_survives(mut script: Script, key: &str) {
    assert!(script.is_answered(), "the client was answered{}", script.report());
    script.run(Duration::from_secs(20));
    let mut place = 0;
    while let Some(value) = (place < 3).then(|| script.value(place, key)) {
        assert_eq!(script.status(place), StatusName::Normal, "r{place} is normal again{}", script.report());
        assert!(value.is_some(), "r{place} has lost {key}{}", script.report());
        place += 1;
    }
}

/// `place` recovers with the answers of all others, and the log of the primary of view 0.
#[track_caller]
fn recover(script: &mut Script, place: usize, restart: Restart) {
    script.crash(place);
    script.start(place, restart);
    script.deliver_all(|one| (one.from == place || one.to == place) && is_of_recovery(Kind::of(&one.message.body)));
    assert_eq!(script.status(place), StatusName::Normal, "r{place} recovers{}", script.report());
    script.lose_all();
}

fn is_of_recovery(kind: Kind) -> bool {
    matches!(kind, Kind::Recovery | Kind::RecoveryResponse | Kind::GetState | Kind::NewState)
        || matches!(kind, Kind::GetIncarnation | Kind::KnownIncarnation | Kind::Bootstrap | Kind::Founded)
}

#[test]
fn an_operation_commits_with_one_acknowledgement_of_three() {
    let mut script = Script::serving(3);
    script.put(0, "x", "1");
    script.deliver(0, 2, Kind::Prepare);
    assert!(!script.is_answered());
    script.deliver(2, 0, Kind::PrepareOk);
    assert!(script.is_answered());
    script.lose_all();
    assert_survives(script, "x");
}

/// 4.1 claims that an idle primary's COMMIT repairs everything; a lost last PREPARE leaves no gap to notice (N3).
#[test]
fn the_only_prepare_may_be_lost() {
    let mut script = Script::serving(3);
    script.put(0, "x", "1");
    script.lose_all();
    script.run(Duration::from_secs(5));
    assert_survives(script, "x");
}

/// 4.2 step 5 without a guard: a second copy of a STARTVIEW would cut off what was acknowledged since the first (V1).
#[test]
fn a_late_startview_cuts_nothing_off() {
    let mut script = Script::serving(3);
    script.suspect(2);
    script.suspect(1);
    script.deliver(1, 2, Kind::StartViewChange);
    script.deliver(2, 1, Kind::DoViewChange);
    while script.status(1) != StatusName::Normal {
        script.deliver(2, 1, Kind::StartViewChange);
    }
    let start = script.hold(1, 2, Kind::StartView);
    script.lose_all();
    script.deliver_held(&start);
    script.lose_all();
    script.put(1, "x", "1");
    script.deliver(1, 2, Kind::Prepare);
    script.deliver(2, 1, Kind::PrepareOk);
    script.deliver_held(&start);
    assert_eq!(script.probe(2).log.op(), script.probe(1).log.op());
    script.crash(1);
    script.start(1, Restart::Surviving);
    script.lose_all();
    assert_survives(script, "x");
}

/// C1: a promise from before a crash arrives after it. With two crashes, never two replicas down at once.
#[test]
fn a_promise_from_before_a_crash_is_void() {
    for restart in [Restart::Surviving, Restart::Wiped] {
        let mut script = Script::serving(3);
        script.suspect(1);
        script.deliver(1, 2, Kind::StartViewChange);
        script.lose_all();
        recover(&mut script, 1, restart);
        script.suspect(2);
        while script.status(2) != StatusName::ViewChange {
            script.lose_all();
            script.suspect(1);
            script.deliver(1, 2, Kind::StartViewChange);
        }
        let promise = script.hold(2, 1, Kind::DoViewChange);
        script.lose_all();
        recover(&mut script, 2, restart);
        script.put(0, "x", "1");
        script.deliver(0, 2, Kind::Prepare);
        script.deliver(2, 0, Kind::PrepareOk);
        script.lose_all();
        script.deliver_held(&promise);
        script.suspect(1);
        script.deliver_held(&promise);
        script.lose_all();
        assert_survives(script, "x");
    }
}

/// 5.2 as printed cuts the log to the commit-number on hearing of a later view (T1). No crash at all.
#[test]
fn hearing_of_a_later_view_cuts_nothing_off() {
    let mut script = Script::serving(3);
    script.put(0, "x", "1");
    script.deliver(0, 2, Kind::Prepare);
    script.deliver(2, 0, Kind::PrepareOk);
    script.lose_all();
    script.suspect(1);
    script.suspect(2);
    script.deliver(2, 1, Kind::StartViewChange);
    script.deliver_all(|one| one.to == 0 && Kind::of(&one.message.body) == Kind::StartViewChange);
    script.deliver_all(|one| one.from == 0 && Kind::of(&one.message.body) == Kind::DoViewChange);
    assert_eq!((script.status(1), script.probe(1).view), (StatusName::Normal, ViewNumber(1)));
    script.lose_all();
    script.fire(1);
    script.deliver(1, 2, Kind::Commit);
    script.lose(|one| one.from == 2);
    assert!(script.value(2, "x").is_some() || script.probe(2).log.op() == script.probe(1).log.op());
    script.lose_all();
    assert_survives(script, "x");
}

/// 5.3: the suffix in a DOVIEWCHANGE is as short as one entry; what lies below is asked for, never assumed (V6).
#[test]
fn a_new_primary_asks_for_what_the_suffix_leaves_out() {
    let mut script = Script::with_options(3, Options { do_view_change_bytes_max: 1, ..Options::default() });
    for value in ["1", "2", "3", "4"] {
        script.put(0, "x", value);
        script.deliver(0, 2, Kind::Prepare);
        script.deliver(2, 0, Kind::PrepareOk);
        assert!(script.is_answered());
        script.lose_all();
    }
    script.suspect(2);
    script.suspect(1);
    script.deliver(1, 2, Kind::StartViewChange);
    script.deliver(2, 1, Kind::DoViewChange);
    if script.status(1) == StatusName::Normal {
        panic!("r1 has one entry of four{}", script.report());
    }
    script.deliver_all(|one| {
        matches!(Kind::of(&one.message.body), Kind::StartViewChange | Kind::GetLog | Kind::LogChunk)
    });
    assert_eq!((script.status(1), script.probe(1).view), (StatusName::Normal, ViewNumber(1)));
    script.lose_all();
    assert_survives(script, "x");
}

/// C6: a directory formatted again is a lost one, not a new one, however many others are down.
#[test]
fn a_reformatted_replica_does_not_begin_a_new_cluster() {
    let mut script = Script::serving(3);
    script.put(0, "x", "1");
    script.deliver(0, 1, Kind::Prepare);
    script.deliver(1, 0, Kind::PrepareOk);
    script.lose_all();
    script.crash(1);
    let fresh = script.reformatted();
    script.start(1, fresh);
    script.deliver_all(|one| one.from != 0 && one.to != 0);
    assert_ne!(script.status(1), StatusName::Normal, "only r2 answered, and it knows nothing of x");
    script.lose_all();
    assert_survives(script, "x");
}
