//! Finding the primary: redirects, views, and what is sent again where.

use super::*;
use crate::message::BusyReason;

#[test]
fn a_redirect_is_followed_to_the_endpoint_known_to_be_that_replica() {
    let mut bench = Bench::acquainted(3, 1);
    bench.submit("a");
    assert_eq!(bench.asked(), [0]);
    bench.answer(0, 2, redirect(2));
    assert_eq!(bench.take_sent(), [(2, request(SESSION, 0, 1, "a"))], "the same number");
    bench.answer(2, 2, reply(SESSION, 0, 1, 20));
    bench.submit("b");
    assert_eq!(bench.asked(), [2]);
}

#[test]
fn a_redirect_to_an_unknown_replica_asks_the_unknown_endpoints_round_robin() {
    let mut bench = Bench::open(4, 1);
    bench.submit("a");
    assert_eq!(bench.asked(), [0]);
    bench.answer(0, 1, redirect(3));
    assert_eq!(bench.asked(), [1]);
    bench.answer(1, 1, redirect(3));
    assert_eq!(bench.asked(), [2]);
    bench.answer(2, 1, redirect(3));
    assert_eq!(bench.asked(), [3]);
    bench.answer(3, 1, reply(SESSION, 0, 1, 20));
    bench.submit("b");
    assert_eq!(bench.asked(), [3]);
}

#[test]
fn all_outstanding_requests_follow_one_redirect_and_only_one() {
    let mut bench = Bench::acquainted(3, 3);
    for payload in ["a", "b", "c"] {
        bench.submit(payload);
    }
    assert_eq!(bench.asked(), [0, 0, 0]);
    for _ in 0..3 {
        bench.answer(0, 1, redirect(1));
    }
    assert_eq!(bench.asked(), [1, 1, 1]);
}

#[test]
fn a_redirect_of_an_older_view_is_ignored() {
    let mut bench = Bench::acquainted(3, 1);
    bench.answer(2, 4, redirect(1));
    bench.submit("a");
    assert_eq!(bench.asked(), [1]);
    bench.answer(0, 3, redirect(0));
    bench.answer(2, 3, redirect(0));
    assert_eq!(bench.asked(), [], "view 4 has begun");
}

#[test]
fn replicas_that_redirect_to_each_other_do_not_make_the_client_spin() {
    let mut bench = Bench::acquainted(2, 1);
    bench.submit("a");
    let mut sent = bench.asked();
    for _ in 0..100 {
        for from in sent.split_off(0) {
            bench.answer(from, 1, redirect(1 - from));
        }
        sent = bench.asked();
    }
    assert_eq!(sent, []);
    let (waited, asked) = bench.until_sent();
    assert!(waited >= ms(200), "{waited:?}");
    assert_eq!(asked, [0, 1], "then the retry timer asks all");
}

#[test]
fn views_that_rise_with_every_answer_do_not_make_the_client_spin() {
    let mut bench = Bench::acquainted(2, 50);
    for _ in 0..50 {
        bench.submit("a");
    }
    let (mut view, mut count) = (0, 0);
    let start = bench.now;
    while bench.now.since(start) < ms(100) {
        for from in bench.asked() {
            view += 1;
            count += 1;
            bench.answer(from, view, redirect(1 - from));
        }
        bench.advance(ms(1));
    }
    // Once per request, replica and 10 ms at most.
    assert!(count <= 11 * 50 * 2, "{count} answers in 100 ms");
}

#[test]
fn a_late_reply_of_an_earlier_primary_does_not_move_the_target() {
    let mut bench = Bench::acquainted(3, 2);
    bench.submit("a");
    bench.submit("b");
    bench.answer(1, 1, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.asked(), [0, 0, 1], "what is outstanding follows to the primary of view 1");
    bench.answer(0, 0, reply(SESSION, 1, 1, 19));
    assert_eq!(bench.done.len(), 2, "it is a reply like any other");
    bench.submit("c");
    assert_eq!(bench.asked(), [1]);
}

#[test]
fn after_silence_the_primary_that_answers_is_believed_whatever_its_view() {
    let mut bench = Bench::acquainted(3, 1);
    bench.submit("a");
    bench.answer(1, 900, reply(SESSION, 0, 1, 20));
    bench.submit("b");
    assert_eq!(bench.asked(), [0, 1]);
    bench.advance(ms(300));
    bench.answer(0, 0, reply(SESSION, 0, 2, 21));
    bench.sent.clear();
    bench.submit("c");
    assert_eq!(bench.asked(), [0], "a replica that leaked a view must not hide the primary for ever");
}

#[test]
fn a_redirect_by_a_backup_does_not_override_the_primary_of_the_same_view() {
    let mut bench = Bench::acquainted(3, 1);
    bench.submit("a");
    bench.answer(1, 0, redirect(2));
    assert_eq!(bench.asked(), [0]);
}

#[test]
fn a_replica_that_redirects_to_itself_contradicts_itself() {
    let mut bench = Bench::acquainted(3, 1);
    bench.submit("a");
    assert_eq!(bench.asked(), [0]);
    bench.answer(1, 4, redirect(1));
    assert_eq!(bench.asked(), []);
}

#[test]
fn endpoints_known_to_be_another_replica_are_not_asked_for_an_unknown_primary() {
    let mut bench = Bench::open(4, 1);
    bench.answer(1, 0, redirect(0));
    bench.submit("a");
    assert_eq!(bench.asked(), [0]);
    bench.answer(0, 1, redirect(3));
    assert_eq!(bench.asked(), [2]);
}

#[test]
fn everything_outstanding_moves_to_the_primary_of_a_new_view_as_soon_as_it_answers_once() {
    let mut bench = Bench::acquainted(3, 64);
    for _ in 0..64 {
        bench.submit("a");
    }
    // The primary is dead; all were sent to all, and the backups still believe in it.
    bench.advance(ms(260));
    bench.answer(1, 0, redirect(0));
    bench.sent.clear();
    let (waited, asked) = bench.until_sent();
    assert!(waited <= ms(70), "a new primary is looked for much sooner than requests are retried: {waited:?}");
    assert_eq!(asked, [0, 1, 2], "by one request");
    bench.answer(1, 1, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.asked(), [1; 63]);
    bench.advance(ms(190));
    assert_eq!(bench.asked(), [], "and the search is over");
}

#[test]
fn probes_become_rarer_in_a_long_outage() {
    let mut bench = Bench::new(setup(3, 1));
    bench.sent.clear();
    bench.advance(ms(1_000));
    let first = bench.take_sent().len();
    bench.advance(ms(60_000));
    bench.sent.clear();
    bench.advance(ms(10_000));
    let later = bench.take_sent().len();
    assert!(first >= 3 * 8 && (3 * 8..=3 * 11).contains(&later), "{first} in the first second, {later} in ten");
}

#[test]
fn an_unreachable_primary_is_looked_for_at_once() {
    let mut bench = Bench::acquainted(3, 2);
    bench.submit("a");
    bench.submit("b");
    bench.sent.clear();
    bench.client.on_unreachable(bench.now, Endpoint(1));
    bench.drain();
    assert_eq!(bench.asked(), [], "only the target matters");
    bench.client.on_unreachable(bench.now, Endpoint(0));
    bench.client.on_unreachable(bench.now, Endpoint(0));
    bench.drain();
    assert_eq!(bench.take_sent(), [0, 1, 2].map(|to| (to, request(SESSION, 0, 1, "a"))));
    // It is back, and still the primary.
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.take_sent(), [(0, request(SESSION, 1, 1, "b"))], "what was lost with the connection");
}

#[test]
fn a_view_change_starts_the_search_for_the_new_primary() {
    let mut bench = Bench::acquainted(3, 1);
    bench.submit("a");
    bench.sent.clear();
    bench.not_serving(0, NotServingReason::ViewChange);
    assert_eq!(bench.asked(), [], "no answer to it at once");
    let (waited, asked) = bench.until_sent();
    assert!(waited <= ms(70), "{waited:?}");
    assert_eq!(asked, [0, 1, 2]);
}

#[test]
fn busy_from_the_primary_of_a_new_view_moves_the_others_but_not_the_busy_one() {
    let mut bench = Bench::acquainted(2, 2);
    bench.submit("a");
    bench.submit("b");
    bench.advance(ms(260));
    bench.sent.clear();
    let busy = ClientReply::Busy { slot: Some(0), number: RequestNumber(1), reason: BusyReason::QueueFull };
    bench.answer(1, 1, busy);
    assert_eq!(bench.take_sent(), [(1, request(SESSION, 1, 1, "b"))]);
}
