//! State transfer: nothing is given up before its replacement is complete, and nothing shrinks (5.2; docs/deviations.md, T).

use std::cell::Cell;
use std::rc::Rc;

use crate::common::{Group, ms};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

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
