//! Clients: each request is executed once, and answered to whoever asked (4.1, 4.5; docs/deviations.md, K, N5).

use crate::common::{CLIENT, CLUSTER, Group, ms};
use bytes::Bytes;
use viewstamped_protocol::message::{ClientReply, ClientRequest, RefusedReason};
use viewstamped_protocol::*;

fn ask(group: &mut Group, client: u128, body: ClientRequest) -> Option<ClientReply> {
    group.replies.clear();
    let message = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: ClientId(client), body };
    let primary = group.primary();
    group.input(primary, Input::Client(message));
    group.settle();
    group.replies.pop().filter(|reply| reply.client == ClientId(client)).map(|reply| reply.body)
}

fn operation(session: SessionNumber, slot: Slot, number: u64, payload: &'static str) -> ClientRequest {
    let payload = Bytes::from_static(payload.as_bytes());
    ClientRequest::Operation { session, slot, number: RequestNumber(number), payload }
}

fn register(group: &mut Group, client: u128) -> SessionNumber {
    match ask(group, client, ClientRequest::Register { slots: 4 }) {
        Some(ClientReply::Registered { session, .. }) => session,
        other => panic!("no session: {other:?}"),
    }
}

fn me() -> u128 {
    CLIENT.0
}

/// 4.1 step 2: "it will re-send the response if the request is the most recent one from this client and it has already been
/// executed". K5: the answer names client, session, slot and number.
#[test]
fn a_request_that_was_executed_is_answered_again_with_the_same_answer() {
    let (mut group, session) = Group::serving(3);
    let first = ask(&mut group, me(), operation(session, 2, 7, "a"));
    let expected = ClientReply::Reply {
        session,
        slot: 2,
        number: RequestNumber(7),
        op: OpNumber(2),
        result: Bytes::from_static(b"a"),
    };
    assert_eq!(first.as_ref(), Some(&expected));
    assert_eq!(ask(&mut group, me(), operation(session, 2, 7, "a")), first);
    group.crash(0);
    group.run_for(ms(1_000));
    assert_eq!(ask(&mut group, me(), operation(session, 2, 7, "a")), first, "also by the next primary");
    assert_eq!((group.journal(1), group.op(1)), ("a".into(), 2));
}

/// 4.1 step 2: "If the request-number s isn't bigger than the information in the table it drops the request". K4: ours say why.
#[test]
fn an_older_request_and_another_operation_under_the_same_number_are_refused() {
    let (mut group, session) = Group::serving(3);
    ask(&mut group, me(), operation(session, 0, 5, "a"));
    for (number, payload, reason) in
        [(4, "b", RefusedReason::StaleRequest), (5, "b", RefusedReason::DifferentOperation)]
    {
        let refused = ClientReply::Refused { session, slot: 0, number: RequestNumber(number), reason };
        assert_eq!(ask(&mut group, me(), operation(session, 0, number, payload)), Some(refused));
    }
    assert_eq!(group.journal(0), "a");
}

/// K6: a retry of what is being prepared is not prepared twice, nor answered before it is executed; its PREPARE is sent again
/// by itself.
#[test]
fn a_retry_of_a_request_in_flight_waits_for_the_first() {
    let (mut group, session) = Group::serving(3);
    group.replies.clear();
    group.submit(0, session, 1, "a");
    group.network.clear();
    for _ in 0..3 {
        group.submit(0, session, 1, "a");
    }
    assert_eq!((group.op(0), group.replies.len()), (2, 0));
    group.run_for(ms(100));
    assert_eq!(group.result().as_deref(), Some("a"));
    assert_eq!(group.journal(0), "a");
}

/// 4.5: "the client must fetch its latest request-number"; "it adds 2 to this number to be sure it has a unique request-number".
/// K1: a client crashes, and what its first life sent last is late: it must not take the number of something new.
#[test]
fn a_late_request_of_a_clients_earlier_life_is_dead() {
    let (mut group, old) = Group::serving(3);
    ask(&mut group, me(), operation(old, 0, 3, "a"));
    let resume = |nonce| ClientRequest::Resume { session: old, nonce: Nonce(nonce) };
    let Some(ClientReply::Resumed { session, numbers, .. }) = ask(&mut group, me(), resume(1)) else {
        panic!("not resumed: {:?}", group.replies)
    };
    assert_eq!(numbers[0], RequestNumber(3));
    let dead = ClientReply::NoSession { session: old };
    assert_eq!(ask(&mut group, me(), operation(old, 0, 5, "late")), Some(dead.clone()));
    assert!(matches!(ask(&mut group, me(), operation(session, 0, 5, "b")), Some(ClientReply::Reply { .. })));
    assert_eq!(ask(&mut group, me(), resume(2)), Some(dead), "nor can a late RESUME of another life take over");
    assert!(matches!(ask(&mut group, me(), resume(1)), Some(ClientReply::Resumed { .. })), "but a retry is answered");
    assert_eq!(group.journal(0), "ab");
}

/// K1, in flight: the RESUME overtakes nothing. What was ordered before it is executed; what is ordered after it is not.
#[test]
fn a_resume_draws_the_line_where_it_is_ordered() {
    let (mut group, session) = Group::serving(3);
    group.replies.clear();
    group.submit_in(0, session, 0, 1, "a");
    group.request(0, ClientRequest::Resume { session, nonce: Nonce(1) });
    group.submit_in(0, session, 1, 1, "b");
    group.settle();
    assert_eq!(group.op(0), 4, "all three are ordered");
    assert_eq!(group.journal(0), "a");
    assert!(group.replies.iter().any(|reply| reply.body == ClientReply::NoSession { session }));
}

/// A retry of REGISTER opens no second session, before or after it is executed.
#[test]
fn a_client_has_one_session() {
    let mut group = Group::formatted(3);
    group.run_for(ms(300));
    for _ in 0..3 {
        group.request(0, ClientRequest::Register { slots: 4 });
    }
    assert_eq!(group.op(0), 1);
    group.settle();
    let session = register(&mut group, me());
    assert_eq!((session, group.op(0)), (SessionNumber(1), 1));
}

/// K2: a session that was evicted is told so. A retry of its last request is not taken for a new one.
#[test]
fn an_evicted_client_executes_nothing_twice() {
    let mut group = Group::formatted_with(3, ClusterOptions { sessions_max: 2, ..ClusterOptions::default() });
    group.run_for(ms(300));
    let first = register(&mut group, 1);
    ask(&mut group, 1, operation(first, 0, 1, "a"));
    for client in [2, 3] {
        register(&mut group, client);
    }
    let gone = Some(ClientReply::NoSession { session: first });
    assert_eq!(ask(&mut group, 1, operation(first, 0, 1, "a")), gone);
    let again = register(&mut group, 1);
    assert!(again > first);
    assert_eq!(ask(&mut group, 1, operation(first, 0, 2, "late")), gone, "the old session stays dead");
    group.run_for(ms(100));
    let journals: Vec<String> = (0..3).map(|id| group.journal(id)).collect();
    assert_eq!(journals, ["a", "a", "a"]);
    let sessions: Vec<u64> = (0..3).map(|id| group.replica(id).report().sessions).collect();
    assert_eq!(sessions, [2, 2, 2]);
}

/// A primary that was deposed without noticing knows neither the sessions that were opened since nor their fate: it says
/// nothing, rather than that there is no such session.
#[test]
fn a_deposed_primary_declares_no_session_dead() {
    let (mut group, _) = Group::serving(3);
    group.isolate(0);
    group.run_for(ms(1_000));
    let newer = register(&mut group, 9);
    assert_eq!(group.status(0), StatusName::Normal, "it does not know");
    group.replies.clear();
    let body = operation(newer, 0, 1, "x");
    let message = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: ClientId(9), body };
    group.input(0, Input::Client(message));
    assert!(group.replies.is_empty(), "{:?}", group.replies);
}

/// 4.5: a session takes up what its slots have executed, also at a replica that learned of it by recovery.
#[test]
fn sessions_survive_the_recovery_of_every_replica() {
    let (mut group, session) = Group::serving(3);
    let first = ask(&mut group, me(), operation(session, 3, 1, "a"));
    for id in [0, 1, 2, 0] {
        group.crash(id);
        group.run_for(ms(1_500));
        group.restart_wiped(id);
        group.run_for(ms(1_500));
        assert_eq!(ask(&mut group, me(), operation(session, 3, 1, "a")), first, "after r{id} lost its memory");
    }
    assert_eq!(group.journal(0), "a");
}

/// K1: a client crashes twice. Its first life's last request is late; its second life asked for the latest number, as the paper
/// says, and added 2, and so has its third: the late one must not take the number of something new.
#[test]
fn two_crashes_of_a_client_do_not_mix_up_its_requests() {
    let (mut group, first) = Group::serving(3);
    ask(&mut group, me(), operation(first, 0, 5, "a"));
    let mut session = first;
    for (life, late) in [(1, "P"), (2, "Q")] {
        // The life before sends its next request, which does not arrive yet, and crashes.
        let of_earlier_life = operation(session, 0, 7, late);
        let body = ClientRequest::Resume { session, nonce: Nonce(life) };
        let Some(ClientReply::Resumed { session: next, numbers, .. }) = ask(&mut group, me(), body) else {
            panic!("not resumed: {:?}", group.replies)
        };
        assert_eq!(numbers[0], RequestNumber(5), "so the next one is 7 again");
        assert_eq!(ask(&mut group, me(), of_earlier_life), Some(ClientReply::NoSession { session }));
        session = next;
    }
    let Some(ClientReply::Reply { result, .. }) = ask(&mut group, me(), operation(session, 0, 7, "R")) else {
        panic!("no reply: {:?}", group.replies)
    };
    assert_eq!(result, "aR", "the answer is that to R");
}

/// Whoever knows no session of the cluster's could fill its log with RESUMEs, each ordered before it was refused.
#[test]
fn a_resume_of_a_session_that_is_gone_takes_no_room_in_the_log() {
    let (mut group, session) = Group::serving(3);
    let resume = |nonce| ClientRequest::Resume { session, nonce: Nonce(nonce) };
    let gone = Some(ClientReply::NoSession { session });
    assert_eq!(ask(&mut group, 99, resume(1)), gone, "nobody has this client-id");
    assert!(matches!(ask(&mut group, me(), resume(1)), Some(ClientReply::Resumed { .. })));
    let op = group.op(0);
    assert_eq!(ask(&mut group, me(), resume(2)), gone);
    assert!(matches!(ask(&mut group, me(), resume(1)), Some(ClientReply::Resumed { .. })), "a retry is answered");
    assert_eq!(group.op(0), op);
}

/// A RESUME is refused only by one that knows: not while another one of the client is in flight, nor by a primary that was deposed
/// without noticing, for a session that may have been opened since.
#[test]
fn a_resume_is_refused_only_by_who_knows() {
    let (mut group, session) = Group::serving(3);
    group.replies.clear();
    for nonce in [1, 2] {
        group.request(0, ClientRequest::Resume { session, nonce: Nonce(nonce) });
    }
    assert!(group.replies.is_empty() && group.op(0) == 2, "the first is ordered, the second waits for its fate");
    group.settle();
    group.isolate(0);
    group.run_for(ms(1_000));
    let newer = register(&mut group, 9);
    group.replies.clear();
    let body = ClientRequest::Resume { session: newer, nonce: Nonce(3) };
    group.input(0, Input::Client(FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: ClientId(9), body }));
    assert!(group.replies.is_empty(), "{:?}", group.replies);
}

/// K2: the session is evicted by an operation ordered before the request, and executed after the request was ordered. It has no
/// effect at any replica, and the client is told.
#[test]
fn a_session_evicted_between_ordering_and_execution_executes_nothing() {
    let mut group = Group::formatted_with(3, ClusterOptions { sessions_max: 2, ..ClusterOptions::default() });
    group.run_for(ms(300));
    let first = register(&mut group, 1);
    let second = register(&mut group, 2);
    group.replies.clear();
    let inputs = [
        (3, ClientRequest::Register { slots: 1 }),
        (1, operation(first, 0, 1, "a")),
        (2, operation(second, 0, 1, "b")),
    ];
    for (client, body) in inputs {
        let message = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: ClientId(client), body };
        group.input(0, Input::Client(message));
    }
    assert_eq!((group.op(0), group.commit(0)), (5, 2), "all of them are ordered, and none is executed");
    group.settle();
    group.run_for(ms(100));
    assert!(group.replies.iter().any(|reply| reply.body == ClientReply::NoSession { session: first }));
    for id in 0..3 {
        assert_eq!(group.journal(id), "b", "r{id}");
    }
}

/// K3: a result too large to be kept is sent once. A retry is told that it is lost, by every primary alike, and the operation is not
/// executed again.
#[test]
fn a_retry_is_told_that_its_result_was_too_large_to_keep() {
    let mut group = Group::formatted_with(3, ClusterOptions { reply_bytes_max: 4, ..ClusterOptions::default() });
    group.run_for(ms(300));
    let session = register(&mut group, me());
    let large = operation(session, 0, 1, "12345");
    assert!(matches!(ask(&mut group, me(), large.clone()), Some(ClientReply::Reply { .. })));
    let lost = ClientReply::Refused { session, slot: 0, number: RequestNumber(1), reason: RefusedReason::ReplyLost };
    assert_eq!(ask(&mut group, me(), large.clone()), Some(lost.clone()));
    group.crash(0);
    group.run_for(ms(1_000));
    assert_eq!(ask(&mut group, me(), large), Some(lost));
    assert_eq!(group.journal(1), "12345");
}

/// K7: the paper's one outstanding request, for each slot: numbers of one say nothing of another, and rise in each.
#[test]
fn each_slot_has_one_request_outstanding_and_numbers_of_its_own() {
    let (mut group, session) = Group::serving(3);
    group.replies.clear();
    group.submit_in(0, session, 0, 9, "a");
    group.submit_in(0, session, 1, 1, "b");
    assert_eq!(group.op(0), 3, "both are outstanding");
    group.submit_in(0, session, 1, 1, "b");
    assert_eq!(group.op(0), 3, "and each of them once");
    group.settle();
    assert!(matches!(ask(&mut group, me(), operation(session, 1, 2, "c")), Some(ClientReply::Reply { .. })));
    let refused = ask(&mut group, me(), operation(session, 0, 8, "d"));
    assert!(matches!(refused, Some(ClientReply::Refused { slot: 0, reason: RefusedReason::StaleRequest, .. })));
    assert_eq!(group.journal(0), "abc");
}
