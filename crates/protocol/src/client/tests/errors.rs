//! How requests fail that cannot be answered, and what the caller learns from it.

use super::*;
use crate::client::Unavailable;
use crate::message::BusyReason;

fn timed_out(bench: &mut Bench) -> ClientError {
    let ticket = bench.submit("a");
    bench.advance(bench.client.options.request_timeout);
    bench.done[&ticket].clone().expect_err("no answer")
}

/// Lets `seconds` pass while each of these endpoints says this every 100 ms.
fn say(bench: &mut Bench, seconds: u64, words: &[(usize, NotServingReason)]) {
    for _ in 0..seconds * 10 {
        for (from, reason) in words {
            bench.not_serving(*from, *reason);
        }
        bench.advance(ms(100));
    }
}

#[test]
fn a_request_that_was_sent_has_an_unknown_outcome_and_one_that_was_not_has_none() {
    let mut bench = Bench::open(2, 1);
    let (sent, not_sent) = (bench.submit("a"), bench.submit("b"));
    bench.advance(ms(29_999));
    assert_eq!((bench.result(sent), bench.result(not_sent)), ("pending", "pending"));
    bench.advance(ms(1));
    assert_eq!((bench.result(sent), bench.result(not_sent)), ("outcome unknown", "not sent"));
    let outcome_unknown = |ticket| bench.done[&ticket].clone().unwrap_err().is_outcome_unknown();
    assert_eq!((outcome_unknown(sent), outcome_unknown(not_sent)), (true, false));
}

#[test]
fn without_a_session_a_request_fails_in_time_as_not_sent() {
    let mut bench = Bench::new(setup(2, 1));
    assert_eq!(timed_out(&mut bench), ClientError::NotSent(Unavailable::NoAnswer));
}

#[test]
fn the_waiting_requests_are_bounded_in_bytes() {
    let options = ClientOptions { waiting_bytes_max: 2 * (64 + 3), ..options(1) };
    let mut bench = Bench::open_with(ClientSetup { options, ..setup(1, 1) });
    let tickets = ["run", "one", "two", "far"].map(|payload| bench.submit(payload));
    assert_eq!(bench.done.keys().collect::<Vec<_>>(), [&tickets[3]]);
    assert_eq!(bench.done[&tickets[3]], Err(ClientError::Overloaded { waiting_bytes_max: 134 }));
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    let ticket = bench.submit("new");
    assert_eq!(bench.result(ticket), "pending", "there is room again");
}

#[test]
fn a_group_that_has_lost_its_memory_fails_requests_soon_and_says_what_to_do() {
    use NotServingReason::QuorumLost;
    let mut bench = Bench::open(3, 1);
    let (sent, waiting) = (bench.submit("a"), bench.submit("b"));
    say(&mut bench, 1, &[(0, QuorumLost), (1, QuorumLost), (2, QuorumLost)]);
    assert_eq!(bench.done.len(), 0, "it gets a moment");
    say(&mut bench, 1, &[(0, QuorumLost), (1, QuorumLost), (2, QuorumLost)]);
    assert_eq!(
        (&bench.done[&sent], &bench.done[&waiting]),
        (&Err(ClientError::QuorumLost), &Err(ClientError::QuorumLost))
    );
    let text = ClientError::QuorumLost.to_string();
    assert!(text.contains("lost its memory") && text.contains("vr format") && text.contains("vr status"), "{text}");
    let later = bench.submit("c");
    bench.advance(ms(1_999));
    assert_eq!(bench.result(later), "pending", "every request is tried for a while");
    say(&mut bench, 1, &[(0, QuorumLost), (1, QuorumLost), (2, QuorumLost)]);
    assert_eq!(bench.done[&later], Err(ClientError::QuorumLost));
}

#[test]
fn one_replica_that_does_not_say_so_keeps_hope_alive() {
    use NotServingReason::{QuorumLost, Recovering};
    let mut bench = Bench::open(3, 1);
    let ticket = bench.submit("a");
    say(&mut bench, 5, &[(0, QuorumLost), (1, QuorumLost), (2, Recovering)]);
    say(&mut bench, 5, &[(0, QuorumLost), (1, QuorumLost)]);
    assert_eq!(bench.result(ticket), "pending");
    // At the end the word of those who answer counts.
    say(&mut bench, 20, &[(0, QuorumLost), (1, QuorumLost)]);
    assert_eq!(bench.done[&ticket], Err(ClientError::QuorumLost));
}

#[test]
fn hope_that_comes_back_lets_the_request_go_on() {
    use NotServingReason::{QuorumLost, Recovering};
    let mut bench = Bench::open(2, 1);
    let ticket = bench.submit("a");
    say(&mut bench, 1, &[(0, QuorumLost), (1, QuorumLost)]);
    bench.not_serving(0, Recovering);
    say(&mut bench, 1, &[(0, QuorumLost), (1, QuorumLost)]);
    bench.advance(ms(950));
    assert_eq!(bench.result(ticket), "pending", "the two seconds began anew");
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.result(ticket), "done");
}

#[test]
fn an_old_word_does_not_count() {
    use NotServingReason::QuorumLost;
    let mut bench = Bench::open(2, 1);
    bench.not_serving(0, QuorumLost);
    bench.not_serving(1, QuorumLost);
    bench.advance(ms(10_000));
    let ticket = bench.submit("a");
    bench.advance(ms(5_000));
    assert_eq!(bench.result(ticket), "pending");
}

#[test]
fn a_timeout_says_what_the_replicas_were_doing() {
    use NotServingReason::{Recovering, Starting, ViewChange};
    let cases: [(&[(usize, NotServingReason)], Unavailable); 5] = [
        (&[], Unavailable::NoAnswer),
        (&[(0, Starting), (2, Starting)], Unavailable::Starting),
        (&[(0, Recovering), (1, Recovering)], Unavailable::Recovering),
        (&[(0, Starting), (1, Recovering)], Unavailable::Recovering),
        (&[(0, Recovering), (1, ViewChange), (2, Starting)], Unavailable::ViewChange),
    ];
    for (words, expected) in cases {
        let mut bench = Bench::new(setup(3, 1));
        let ticket = bench.submit("a");
        say(&mut bench, 30, words);
        assert_eq!(bench.done[&ticket], Err(ClientError::NotSent(expected)), "{words:?}");
    }
}

#[test]
fn a_timeout_says_that_the_primary_is_overloaded_unlisted_or_silent() {
    let mut bench = Bench::open(1, 1);
    let ticket = bench.submit("a");
    for _ in 0..300 {
        bench.advance(ms(100));
        let (slot, number) = (Some(0), RequestNumber(1));
        bench.answer(0, 0, ClientReply::Busy { slot, number, reason: BusyReason::LogFull });
    }
    assert_eq!(bench.done[&ticket], Err(ClientError::OutcomeUnknown(Unavailable::LogFull)));

    for (primary, expected) in [(4, Unavailable::PrimaryUnlisted(NodeId(14))), (1, Unavailable::NoPrimary)] {
        let mut bench = Bench::acquainted(2, 1);
        let ticket = bench.submit("a");
        for _ in 0..300 {
            bench.answer(0, 1, redirect(primary));
            bench.advance(ms(100));
        }
        assert_eq!(bench.done[&ticket], Err(ClientError::OutcomeUnknown(expected)));
    }
}

fn foreign(bench: &mut Bench, from: usize, cluster: u128) {
    let header = Header { cluster: ClusterId(cluster), ..header(from, 0) };
    let body = ClientReply::Registered { session: SessionNumber(77), slots: 1 };
    bench.deliver(from, ToClient { header, client: CLIENT, body });
}

#[test]
fn an_answer_of_another_cluster_is_ignored_and_counted() {
    let mut bench = Bench::new(setup(2, 1));
    foreign(&mut bench, 0, 8);
    assert_eq!((bench.client.session(), bench.client.counters().other_cluster), (None, 1));
    let ticket = bench.submit("a");
    bench.answer(1, 0, ClientReply::Registered { session: SESSION, slots: 1 });
    bench.answer(1, 0, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.result(ticket), "done");
}

#[test]
fn when_only_another_cluster_answers_requests_fail_soon_and_name_both() {
    let mut bench = Bench::new(setup(2, 1));
    let ticket = bench.submit("a");
    for _ in 0..25 {
        foreign(&mut bench, 0, 8);
        foreign(&mut bench, 1, 8);
        bench.advance(ms(100));
    }
    let error = ClientError::OtherCluster { expected: CLUSTER, found: ClusterId(8) };
    assert_eq!(bench.done[&ticket], Err(error.clone()));
    assert!(!error.is_outcome_unknown());
}

#[test]
fn a_client_that_names_no_cluster_takes_that_of_the_first_answer() {
    let mut client = Client::new(ClientSetup { cluster: None, ..setup(1, 1) }, Time(0));
    let cluster_said = |client: &mut Client| {
        let mut said = None;
        while let Some(output) = client.poll_output() {
            if let ClientOutput::Send { message, .. } = output {
                said = Some(message.cluster);
            }
        }
        said
    };
    assert_eq!(cluster_said(&mut client), Some(ClusterId(0)));
    let body = ClientReply::Registered { session: SESSION, slots: 1 };
    client.handle(Time(1), Endpoint(0), ToClient { header: header(0, 0), client: CLIENT, body });
    client.submit(Time(2), Bytes::new());
    assert_eq!(cluster_said(&mut client), Some(CLUSTER));
    let other = Header { cluster: ClusterId(8), ..header(0, 0) };
    client.handle(Time(3), Endpoint(0), ToClient { header: other, client: CLIENT, body: reply(SESSION, 0, 1, 20) });
    assert_eq!((client.token(), client.counters().other_cluster), (OpNumber::ZERO, 1));
}
