//! 4.1: what happens when an answer does not come in time, or says BUSY.

use super::*;
use crate::message::BusyReason;

/// A client whose probes are too rare to be seen.
fn without_probes(slots: u32) -> Bench {
    let options = ClientOptions { probe: Duration::from_secs(1_000), ..options(slots) };
    Bench::open_with(ClientSetup { options, ..setup(3, slots) })
}

fn busy(slot: Slot, number: u64) -> ClientReply {
    ClientReply::Busy { slot: Some(slot), number: RequestNumber(number), reason: BusyReason::QueueFull }
}

/// 4.1: "If a client doesn't receive a timely response to a request, it re-sends the request to all replicas."
#[test]
fn an_unanswered_request_goes_to_all_replicas_after_waits_that_double() {
    let mut bench = without_probes(1);
    bench.submit("a");
    assert_eq!(bench.asked(), [0]);
    for expected in [200, 400, 800, 1_000, 1_000] {
        let (waited, asked) = bench.until_sent();
        assert_eq!(asked, [0, 1, 2]);
        assert!(waited >= ms(expected) && waited <= ms(expected * 5 / 4 + 1), "{waited:?} for {expected} ms");
    }
}

#[test]
fn retries_of_clients_that_failed_together_spread_out() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let options = ClientOptions { probe: Duration::from_secs(1_000), ..options(1) };
        let mut bench = Bench::open_with(ClientSetup { options, seed, ..setup(3, 1) });
        bench.submit("a");
        bench.sent.clear();
        waits.push(bench.until_sent().0);
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 8, "{waits:?}");
}

#[test]
fn busy_is_retried_at_the_same_replica_under_the_same_number_after_waits_that_double() {
    let mut bench = without_probes(1);
    bench.submit("a");
    bench.sent.clear();
    for expected in [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000] {
        bench.answer(0, 0, busy(0, 1));
        let start = bench.now;
        while bench.sent.is_empty() {
            bench.advance(ms(1));
        }
        let waited = bench.now.since(start);
        assert_eq!(bench.take_sent(), [(0, request(SESSION, 0, 1, "a"))]);
        assert!(waited >= ms(expected) && waited <= ms(expected * 5 / 4 + 1), "{waited:?} for {expected} ms");
    }
}

#[test]
fn silence_after_busy_goes_to_all_replicas() {
    let mut bench = without_probes(1);
    bench.submit("a");
    bench.sent.clear();
    bench.answer(0, 0, busy(0, 1));
    assert_eq!(bench.until_sent().1, [0]);
    let (waited, asked) = bench.until_sent();
    assert_eq!(asked, [0, 1, 2]);
    assert!(waited >= ms(200), "{waited:?}");
}

#[test]
fn busy_for_another_request_changes_nothing() {
    let mut bench = without_probes(2);
    bench.submit("a");
    bench.sent.clear();
    for body in [busy(0, 2), busy(1, 1), busy(77, 1)] {
        bench.answer(0, 0, body);
    }
    assert!(bench.until_sent().0 >= ms(200));
    assert_eq!(bench.client.counters().unasked, 3);
}

#[test]
fn an_answered_request_is_never_sent_again() {
    let mut bench = Bench::open(3, 2);
    bench.submit("a");
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    bench.sent.clear();
    bench.advance(ms(60_000));
    assert_eq!((bench.take_sent(), bench.client.next_deadline()), (vec![], None));
}

#[test]
fn a_tick_before_its_time_does_nothing() {
    let mut bench = Bench::open(3, 2);
    bench.submit("a");
    bench.sent.clear();
    let deadline = bench.client.next_deadline().unwrap();
    bench.client.tick(Time(deadline.0 - 1));
    bench.drain();
    assert_eq!((bench.take_sent(), bench.client.next_deadline()), (vec![], Some(deadline)));
}

#[test]
fn options_of_zero_do_not_make_the_client_spin() {
    let zero = Duration::ZERO;
    let options = ClientOptions { retry: zero, retry_max: zero, busy_retry: zero, probe: zero, ..options(1) };
    let mut bench = Bench::open_with(ClientSetup { options, ..setup(1, 1) });
    bench.submit("a");
    bench.answer(0, 0, busy(0, 1));
    bench.sent.clear();
    bench.advance(ms(100));
    assert!(bench.sent.len() <= 250, "{}", bench.sent.len());
}
