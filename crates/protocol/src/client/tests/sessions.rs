//! Opening, resuming and losing sessions; slots and the matching of answers.

use super::*;
use crate::message::{BusyReason, RefusedReason};
use crate::numbers::Nonce;

#[test]
fn a_session_is_asked_for_at_once_at_all_replicas_until_one_is_open() {
    let mut bench = Bench::new(setup(3, 4));
    assert_eq!(bench.take_sent(), [(0, register(4)), (1, register(4)), (2, register(4))]);
    let (waited, asked) = bench.until_sent();
    assert!(waited >= ms(50) && waited <= ms(70), "{waited:?}");
    assert_eq!(asked, [0, 1, 2]);
    bench.answer(1, 0, ClientReply::Registered { session: SESSION, slots: 4 });
    assert_eq!((bench.opened.clone(), bench.client.session()), (vec![(SESSION, 4)], Some(SESSION)));
    bench.advance(ms(5_000));
    assert_eq!(bench.take_sent(), [], "an idle client is silent");
    assert_eq!(bench.client.next_deadline(), None);
}

#[test]
fn requests_wait_until_the_session_is_open() {
    let mut bench = Bench::new(setup(3, 2));
    bench.sent.clear();
    assert!(!bench.client.has_free_slot());
    for payload in ["a", "b", "c"] {
        bench.submit(payload);
    }
    assert_eq!((bench.client.waiting(), bench.take_sent()), (3, vec![]));
    bench.answer(2, 0, ClientReply::Registered { session: SESSION, slots: 2 });
    let expected = [(2, request(SESSION, 0, 1, "a")), (2, request(SESSION, 1, 1, "b"))];
    assert_eq!(bench.take_sent(), expected, "to the replica that opened the session");
    assert_eq!(bench.client.waiting(), 1);
}

/// K7: one outstanding request per slot, with numbers of its own.
#[test]
fn a_slot_has_one_request_outstanding_and_rising_numbers() {
    let mut bench = Bench::open(1, 2);
    let tickets = ["a", "b", "c"].map(|payload| bench.submit(payload));
    assert_eq!(bench.take_sent(), [(0, request(SESSION, 0, 1, "a")), (0, request(SESSION, 1, 1, "b"))]);
    bench.answer(0, 0, reply(SESSION, 1, 1, 20));
    assert_eq!(bench.take_sent(), [(0, request(SESSION, 1, 2, "c"))]);
    assert_eq!(tickets.map(|ticket| bench.result(ticket)), ["pending", "done", "pending"]);
    bench.answer(0, 0, reply(SESSION, 0, 1, 19));
    bench.answer(0, 0, reply(SESSION, 1, 2, 21));
    assert_eq!(bench.done[&tickets[2]], Ok(Completion { op: OpNumber(21), result: "result of 21".into() }));
    assert!(bench.client.has_free_slot());
}

/// K5: a reply counts only for the client, session, slot and number it names.
#[test]
fn a_reply_to_another_client_session_slot_or_number_is_ignored() {
    let mut bench = Bench::open(1, 2);
    let ticket = bench.submit("a");
    let other_client = ToClient { header: header(0, 0), client: ClientId(2), body: reply(SESSION, 0, 1, 20) };
    bench.deliver(0, other_client);
    for body in [
        reply(SessionNumber(4), 0, 1, 20),
        reply(SESSION, 1, 1, 20),
        reply(SESSION, 9, 1, 20),
        reply(SESSION, 0, 2, 20),
        reply(SESSION, 0, 0, 20),
    ] {
        bench.answer(0, 0, body);
    }
    assert_eq!((bench.result(ticket), bench.client.token()), ("pending", OpNumber::ZERO));
    assert_eq!((bench.client.counters().other_client, bench.client.counters().unasked), (1, 5));
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.result(ticket), "done");
}

#[test]
fn a_timed_out_request_never_gives_its_number_away() {
    let mut bench = Bench::open(1, 1);
    let first = bench.submit("a");
    bench.advance(ms(30_000));
    assert_eq!(bench.result(first), "outcome unknown");
    bench.sent.clear();
    let second = bench.submit("b");
    assert_eq!(bench.take_sent(), [(0, request(SESSION, 0, 2, "b"))]);
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.result(second), "pending", "the late reply belongs to the request that timed out");
    bench.answer(0, 0, reply(SESSION, 0, 2, 21));
    assert_eq!(bench.result(second), "done");
}

#[test]
fn fewer_slots_than_asked_for_are_respected_and_more_are_not_used() {
    for (granted, used) in [(1, 1), (4, 4), (u32::MAX, 4)] {
        let mut bench = Bench::new(setup(1, 4));
        bench.sent.clear();
        bench.answer(0, 0, ClientReply::Registered { session: SESSION, slots: granted });
        for _ in 0..9 {
            bench.submit("a");
        }
        assert_eq!((bench.opened[0].1, bench.sent.len()), (used, used as usize));
    }
}

#[test]
fn a_session_without_slots_is_malformed() {
    let mut bench = Bench::new(setup(1, 4));
    bench.answer(0, 0, ClientReply::Registered { session: SESSION, slots: 0 });
    assert_eq!((bench.client.session(), bench.client.counters().malformed), (None, 1));
}

#[test]
fn a_busy_primary_is_asked_for_a_session_later_and_later() {
    let mut bench = Bench::new(setup(3, 4));
    bench.sent.clear();
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.answer(0, 0, busy(None, 0));
        let (waited, asked) = bench.until_sent();
        assert_eq!(asked, [0, 1, 2]);
        waits.push(waited);
    }
    assert!(waits[0] <= ms(14) && waits[7] >= ms(1_000) && waits[7] <= ms(1_251), "{waits:?}");
}

fn busy(slot: Option<Slot>, number: u64) -> ClientReply {
    ClientReply::Busy { slot, number: RequestNumber(number), reason: BusyReason::QueueFull }
}

fn resuming() -> (Bench, Nonce) {
    let mut bench = Bench::new(ClientSetup { resume: Some(SESSION), ..setup(2, 3) });
    let sent = bench.take_sent();
    let ClientRequest::Resume { session: SESSION, nonce } = sent[0].1 else { panic!("{sent:?}") };
    (bench, nonce)
}

fn resumed(nonce: Nonce, numbers: &[u64]) -> ClientReply {
    let numbers = numbers.iter().map(|number| RequestNumber(*number)).collect();
    ClientReply::Resumed { old: SESSION, nonce, session: SessionNumber(9), numbers }
}

#[test]
fn resume_is_retried_with_the_same_nonce() {
    let (mut bench, nonce) = resuming();
    bench.advance(ms(500));
    let retries = bench.take_sent();
    assert!(retries.len() >= 8);
    assert!(retries.iter().all(|(_, request)| *request == ClientRequest::Resume { session: SESSION, nonce }));
    let other = Bench::new(ClientSetup { resume: Some(SESSION), seed: 1, ..setup(2, 3) });
    assert_ne!(other.sent[0].1.body, retries[0].1, "another start of the client has another nonce");
}

/// 4.5: "It fetches its latest number from the replicas and adds 2 to this value".
#[test]
fn a_resumed_slot_goes_on_two_above_its_latest_number_in_the_new_session() {
    let (mut bench, nonce) = resuming();
    for payload in ["a", "b", "c", "d"] {
        bench.submit(payload);
    }
    bench.answer(0, 0, resumed(Nonce(nonce.0 ^ 1), &[100, 100, 100]));
    assert_eq!(bench.take_sent(), [], "the answer to another RESUME");
    bench.answer(0, 0, resumed(nonce, &[0, 6, 2, 99]));
    let new = SessionNumber(9);
    let expected = [(0, request(new, 0, 2, "a")), (0, request(new, 1, 8, "b")), (0, request(new, 2, 4, "c"))];
    assert_eq!(bench.take_sent(), expected);
    assert_eq!((bench.client.id(), bench.opened), (CLIENT, vec![(new, 3)]));
}

#[test]
fn numbers_that_cannot_be_true_are_ignored() {
    let (mut bench, nonce) = resuming();
    bench.answer(0, 0, resumed(nonce, &[1, u64::MAX, 1]));
    bench.answer(0, 0, resumed(nonce, &[]));
    assert_eq!((bench.client.session(), bench.client.counters().malformed), (None, 2));
}

#[test]
fn a_session_that_cannot_be_resumed_is_replaced_by_one_under_a_fresh_id() {
    let (mut bench, _) = resuming();
    bench.answer(0, 0, ClientReply::NoSession { session: SESSION });
    assert_eq!(bench.take_sent(), [(0, register(3)), (1, register(3))]);
    assert_ne!(bench.client.id(), CLIENT);
}

/// K2: an evicted session is never registered again under the same id, so that nothing sent in it can be executed twice.
#[test]
fn a_lost_session_fails_what_was_sent_and_submits_what_was_not_in_a_new_one() {
    let mut bench = Bench::open(2, 2);
    let tickets = ["a", "b", "c"].map(|payload| bench.submit(payload));
    bench.sent.clear();
    bench.answer(0, 0, ClientReply::NoSession { session: SESSION });
    assert_eq!(tickets.map(|ticket| bench.result(ticket)), ["session lost", "session lost", "pending"]);
    assert_eq!(bench.take_sent(), [(0, register(2)), (1, register(2))]);
    assert_ne!(bench.client.id(), CLIENT);
    let late = ToClient { header: header(0, 0), client: CLIENT, body: reply(SESSION, 0, 1, 20) };
    bench.deliver(0, late);
    bench.answer(0, 0, ClientReply::Registered { session: SessionNumber(30), slots: 2 });
    assert_eq!(bench.take_sent(), [(0, request(SessionNumber(30), 0, 1, "c"))]);
    assert_eq!(bench.client.counters().sessions_lost, 1);
}

#[test]
fn the_loss_of_another_session_is_ignored() {
    let mut bench = Bench::open(2, 2);
    let ticket = bench.submit("a");
    bench.answer(0, 0, ClientReply::NoSession { session: SessionNumber(4) });
    assert_eq!((bench.result(ticket), bench.client.id()), ("pending", CLIENT));
}

#[test]
fn a_second_answer_to_register_does_not_change_the_session() {
    let mut bench = Bench::open(2, 2);
    bench.answer(0, 0, ClientReply::Registered { session: SessionNumber(8), slots: 1 });
    assert_eq!((bench.client.session(), bench.opened.len()), (Some(SESSION), 1));
}

#[test]
fn refusals_become_typed_errors_and_free_the_slot() {
    let refusals = [
        (RefusedReason::StaleRequest, ClientError::StaleRequest),
        (RefusedReason::DifferentOperation, ClientError::DifferentOperation),
        (RefusedReason::NoSuchSlot, ClientError::NoSuchSlot),
        (RefusedReason::ReplyLost, ClientError::ReplyLost),
        (RefusedReason::Panicked, ClientError::Panicked),
        (RefusedReason::TooLarge(9), ClientError::TooLarge { max: 9 }),
        (RefusedReason::Invalid("no key".into()), ClientError::Invalid { reason: "no key".into() }),
    ];
    let mut bench = Bench::open(1, 1);
    for (number, (reason, error)) in (1..).zip(refusals) {
        let ticket = bench.submit("a");
        let refused = |number| ClientReply::Refused {
            session: SESSION,
            slot: 0,
            number: RequestNumber(number),
            reason: reason.clone(),
        };
        bench.answer(0, 0, refused(number - 1));
        assert_eq!(bench.result(ticket), "pending", "the refusal of another request");
        bench.answer(0, 0, refused(number));
        assert_eq!(bench.done[&ticket], Err(error));
    }
}

/// 6.3.2: the client keeps the largest op-number of its replies.
#[test]
fn the_token_is_the_largest_op_number_seen_here_or_handed_over() {
    let mut bench = Bench::open(1, 2);
    bench.submit("a");
    bench.submit("b");
    bench.answer(0, 0, reply(SESSION, 1, 1, 21));
    bench.answer(0, 0, reply(SESSION, 0, 1, 20));
    assert_eq!(bench.client.token(), OpNumber(21));
    bench.client.advance_token(OpNumber(40));
    bench.client.advance_token(OpNumber(30));
    assert_eq!(bench.client.token(), OpNumber(40));
}
