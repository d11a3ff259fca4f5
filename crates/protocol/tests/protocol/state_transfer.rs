//! State transfer: nothing is given up before its replacement is complete, and nothing shrinks (5.2; docs/deviations.md, T).

use std::cell::Cell;
use std::rc::Rc;

use crate::common::{Group, ms};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

fn quiet(size: u64) -> (Group, SessionNumber) {
    let (mut group, session) = Group::serving(size);
    group.run_for(ms(100));
    group.replies.clear();
    (group, session)
}

/// T1. The paper cuts the log back to the commit-number when it hears of a later view, and then asks for the rest. r1 has
/// acknowledged A, hears of view 2, is not answered, and goes on to view 3: cut back, its log would win with nothing in it.
#[test]
fn what_was_acknowledged_is_kept_until_its_replacement_is_complete() {
    let (mut group, session) = quiet(3);
    // View 0: r0 commits A with r1, and logs B alone.
    group.submit_in(0, session, 0, 1, "A");
    group.deliver(0, 1, "PREPARE");
    group.deliver(1, 0, "PREPAREOK");
    assert_eq!(group.result().as_deref(), Some("A"));
    group.submit_in(0, session, 1, 1, "B");
    group.network.clear();
    // View 2: r2 starts it with [A, B] of r0. r1 missed the STARTVIEW, and hears of the view by its first COMMIT.
    group.enter_view_change(0, 2);
    let promise = group.take(0, 2, "DOVIEWCHANGE");
    group.network.clear();
    group.enter_view_change(0, 3);
    group.input(2, Input::Message(promise));
    assert_eq!((group.view(2), group.status(2)), (2, StatusName::Normal));
    group.network.clear();
    group.input(2, Input::Tick);
    group.deliver(2, 1, "COMMIT");
    let asked = group.take(1, 2, "GETSTATE");
    assert!(matches!(asked.body, Body::GetState(_)), "r1 asks, and is not answered");
    assert_eq!((group.view(1), group.op(1)), (0, 2), "it is still in view 0, with A");
    // View 3: of r0 and r1.
    group.network.clear();
    group.enter_view_change(1, 3);
    group.deliver(1, 0, "DOVIEWCHANGE");
    assert_eq!((group.view(0), group.status(0)), (3, StatusName::Normal));
    group.run_for(ms(5_000));
    for id in 0..3 {
        assert!(group.journal(id).starts_with('A'), "r{id}: {}", group.journal(id));
    }
}

/// T2: "it gets whatever it is missing", and an answer that comes again, late, when the log has grown: the paper would append
/// it once more.
#[test]
fn a_late_copy_of_a_new_state_changes_nothing() {
    let (mut group, session) = quiet(3);
    group.submit_in(0, session, 0, 1, "a");
    group.hold(|to, _| to == 1);
    group.settle();
    group.submit_in(0, session, 1, 1, "b");
    group.deliver(0, 1, "PREPARE");
    assert_eq!(group.op(1), 1, "4.1 step 4: not before it has the earlier ones");
    group.settle();
    group.now.monotonic = group.now.monotonic.after(ms(10));
    group.input(1, Input::Tick);
    group.deliver(1, 0, "GETSTATE");
    let answer = group.take(0, 1, "NEWSTATE");
    group.input(1, Input::Message(answer.clone()));
    assert_eq!(group.op(1), 3);
    group.submit_in(0, session, 2, 1, "c");
    group.deliver(0, 1, "PREPARE");
    group.network.clear();
    for _ in 0..2 {
        group.input(1, Input::Message(answer.clone()));
        assert_eq!(group.op(1), 4);
    }
    group.run_for(ms(500));
    assert_eq!(group.journal(1), "abc");
}

/// T2: a backup that is behind answers one that is ahead: nothing shrinks.
#[test]
fn an_answer_from_a_replica_that_is_behind_takes_nothing_away() {
    let (mut group, session) = quiet(3);
    group.submit_in(0, session, 0, 1, "a");
    group.deliver(0, 1, "PREPARE");
    group.network.clear();
    // r1 cannot hear r0 and asks r2, which has less.
    group.cut.insert((0, 1));
    group.lose(|to, message| to == 2 && message.body.name() == "PREPARE");
    for _ in 0..300 {
        group.run_for(ms(1));
        assert!(group.op(1) >= 2, "acknowledged");
    }
}

/// T3: by the time r2 asks for the log of view 0, everybody is in view 1. The paper's replicas would not answer.
#[test]
fn whoever_asks_for_an_old_view_is_told_of_the_new_one() {
    let (mut group, session) = quiet(3);
    group.submit_in(0, session, 0, 1, "a");
    group.hold(|to, _| to == 2);
    group.settle();
    group.submit_in(0, session, 1, 1, "b");
    group.deliver(0, 2, "PREPARE");
    group.now.monotonic = group.now.monotonic.after(ms(10));
    group.input(2, Input::Tick);
    let question = group.take(2, 0, "GETSTATE");
    group.network.clear();
    for id in [0, 1] {
        group.enter_view_change(id, 1);
    }
    group.deliver(0, 1, "DOVIEWCHANGE");
    group.deliver(1, 0, "STARTVIEW");
    group.network.clear();
    group.input(0, Input::Message(question));
    group.settle();
    assert_eq!((group.view(2), group.status(2), group.op(2)), (1, StatusName::Normal, group.op(1)));
}

/// 5.2 in pieces: a lagging replica fetches a log that does not fit one message, while more is added to it.
#[test]
fn a_long_log_is_fetched_in_pieces_while_it_grows() {
    let options = Options { transfer_bytes_max: 500, pipeline_ops_max: 8, ..Options::default() };
    let (mut group, session) = Group::serving_with(3, options);
    group.isolate(2);
    let mut expected = String::new();
    for number in 1..=100 {
        expected.push('x');
        assert_eq!(group.execute(0, session, number, "x"), expected);
    }
    group.heal();
    group.latency = ms(1);
    for number in 101..=120 {
        expected.push('x');
        group.submit(0, session, number, "x");
        group.run_for(ms(5));
    }
    group.run_for(ms(1_000));
    assert_eq!(group.journal(2), expected);
    assert_eq!(group.view(0), 0, "and the view stays");
}

/// A copy of a NEWSTATE, or an answer slower than the retry, started another chain of questions, each as long as the log: on a
/// slow network every retry added one.
#[test]
fn a_slow_network_multiplies_no_questions() {
    let options = Options { transfer_bytes_max: 500, ..Options::default() };
    let (mut group, session) = Group::serving_with(3, options);
    group.isolate(2);
    for number in 1..=60 {
        group.execute(0, session, number, "x");
    }
    group.crash(2);
    group.heal();
    group.latency = ms(130);
    let questions = Rc::new(Cell::new(0));
    let count = Rc::clone(&questions);
    group.lose(move |_, message| {
        count.set(count.get() + u32::from(message.body.name() == "GETSTATE"));
        false
    });
    group.restart(2);
    group.run_for(ms(30_000));
    assert_eq!(group.journal(2).len(), 60);
    assert!(questions.get() < 200, "{} questions for 60 operations", questions.get());
}

/// V10: seven replicas, two of them recovering, two far behind, and four needed: every view ended before the two had fetched the
/// log, and in the next one they began anew. Found by the simulator. What was fetched for one view is kept for the next.
#[test]
fn what_was_fetched_for_a_view_that_failed_is_not_fetched_again() {
    let options =
        Options { transfer_bytes_max: 1, start_view_bytes_max: 1, do_view_change_bytes_max: 1, ..Options::default() };
    let mut group = Group::with_options(3, options);
    group.run_for(ms(300));
    let session = group.register(0);
    group.run_for(ms(100));
    group.cut.extend([(0, 2), (1, 2), (2, 0), (2, 1)]);
    for number in 1..=30 {
        group.execute(0, session, number, "x");
    }
    // r0 dies; r1 leads view 1 and r2 fetches its log, one entry at a time, until nothing of it arrives any more.
    group.crash(0);
    group.cut.clear();
    let (pieces, asked_from) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (counted, seen) = (Rc::clone(&pieces), Rc::clone(&asked_from));
    group.lose(move |to, message| match &message.body {
        Body::NewState(_) if to == 2 => {
            counted.set(counted.get() + 1);
            counted.get() > 10
        }
        Body::GetLog(ask) if message.header.from == NodeId(2) && seen.get() == 0 => {
            seen.set(ask.first.0);
            false
        }
        _ => false,
    });
    group.run_for(ms(10_000));
    // In view 2 r2 leads, and asks for what it still lacks.
    assert!(asked_from.get() > 10, "it has 10 entries already, and asks from {}", asked_from.get());
    assert_eq!(group.journal(2), "x".repeat(30));
}
