//! What holds for every message and every replica, whatever it is doing (docs/deviations.md, O).

use crate::common::{CLIENT, CLUSTER, Group, ms};
use bytes::Bytes;
use viewstamped_protocol::crash_vector::CrashVector;
use viewstamped_protocol::message::{
    Body, BusyReason, ClientReply, ClientRequest, DoViewChange, Header, NotServingReason, PrimaryState,
    RecoveryResponse, RefusedReason,
};
use viewstamped_protocol::*;

fn replies(group: &Group) -> Vec<ClientReply> {
    group.replies.iter().map(|reply| reply.body.clone()).collect()
}

/// The reason with which the only answer refuses the request.
fn refusal(group: &Group) -> RefusedReason {
    match &replies(group)[..] {
        [ClientReply::Refused { reason, .. }] => reason.clone(),
        other => panic!("no refusal: {other:?}"),
    }
}

/// O1: a PREPARE of another cluster, of one that is no member, and one that names its receiver as its sender: misdirected, each
/// of them, and each reported, once.
#[test]
fn what_belongs_elsewhere_is_ignored_and_reported_once() {
    let (mut group, session) = Group::serving(3);
    group.run_for(ms(100));
    group.submit(0, session, 1, "a");
    let prepare = group.take(0, 1, "PREPARE");
    group.network.clear();
    group.events.clear();
    let of = |header: Header| Message { header, body: prepare.body.clone() };
    let foreign = [
        (Ignored::OtherCluster, of(Header { cluster: ClusterId(8), ..prepare.header })),
        (Ignored::NotAMember, of(Header { from: NodeId(9), ..prepare.header })),
        (Ignored::FromSelf, of(Header { from: NodeId(1), ..prepare.header })),
    ];
    for (reason, message) in foreign {
        let from = message.header.from;
        group.input(1, Input::Message(message.clone()));
        group.input(1, Input::Message(message));
        assert_eq!(group.events.pop(), Some((NodeId(1), Event::ForeignPeer { reason, from })));
    }
    assert_eq!((group.op(1), group.events.len(), group.network.len()), (1, 0, 0));
    group.input(1, Input::Message(prepare));
    assert_eq!(group.op(1), 2, "where it belongs it is taken");
}

/// C1: a crash vector is kept and passed on. One that names nodes that do not exist would grow, at everybody, for ever.
#[test]
fn a_crash_vector_that_names_strangers_is_refused() {
    let (mut group, _) = Group::serving(3);
    group.crash(2);
    group.restart(2);
    let nonce = match group.take(2, 0, "RECOVERY").body {
        Body::Recovery(recovery) => recovery.nonce,
        _ => unreachable!(),
    };
    let crash_vector: CrashVector =
        [(NodeId(1), Incarnation(1)), (NodeId(2), Incarnation(2)), (NodeId(77), Incarnation(1))].into_iter().collect();
    let primary = Some(PrimaryState { op: OpNumber(0), commit: OpNumber(0), head: ChainHash(0), base: OpNumber(0) });
    let promise = DoViewChange {
        log_view: ViewNumber(0),
        op: OpNumber(0),
        commit: OpNumber(0),
        base: OpNumber(0),
        head: ChainHash(0),
        previous: ChainHash(0),
        suffix: Vec::new(),
        crash_vector: crash_vector.clone(),
    };
    let answer = RecoveryResponse { nonce, crash_vector, primary };
    for (to, view, body) in [(2, 1, Body::RecoveryResponse(answer.into())), (0, 3, Body::DoViewChange(promise.into()))]
    {
        let header = Header { view: ViewNumber(view), ..group.header(1) };
        group.input(to, Input::Message(Message { header, body }));
        assert!(group.replica(to).ignored().any(|(reason, _)| reason == Ignored::Malformed), "r{to}");
    }
    assert_eq!((group.view(0), group.status(0)), (0, StatusName::Normal));
}

/// O3: a request makes the service panic wherever it is executed. It would stop the primary, then the next one that takes it
/// over, until nobody is left who has the data. The client is told, at each retry and by each primary, and the group goes on.
#[test]
fn an_operation_that_panics_stops_nobody() {
    let (mut group, session) = Group::serving(3);
    group.execute(0, session, 1, "a");
    group.replies.clear();
    group.events.clear();
    group.submit(0, session, 2, "poison");
    group.settle();
    assert_eq!(refusal(&group), RefusedReason::Panicked);
    assert_eq!(group.execute(0, session, 3, "b"), "apoisonb", "what it changed before it panicked stays");
    group.run_for(ms(100));
    for id in 0..3 {
        assert_eq!((group.status(id), group.journal(id).as_str()), (StatusName::Normal, "apoisonb"), "at r{id} alike");
    }
    let told = group.events.iter().filter(
        |(_, event)| matches!(event, Event::ServicePanicked { op: Some(op), message } if op.0 == 3 && message.contains("has a bug")),
    );
    assert_eq!(told.map(|(id, _)| id.0).collect::<Vec<_>>(), [0, 1, 2], "every operator is told which");
}

/// O3: the answer to a retry is the same, also from another primary, and nothing panics again.
#[test]
fn a_retry_of_an_operation_that_panicked_does_not_panic_again() {
    let (mut group, session) = Group::serving(3);
    group.submit(0, session, 1, "poison");
    group.settle();
    group.crash(0);
    group.run_for(ms(1_000));
    group.replies.clear();
    group.submit(1, session, 1, "poison");
    group.settle();
    assert_eq!((refusal(&group), group.op(1)), (RefusedReason::Panicked, 2));
}

/// O3: before it is ordered, too: the next primary it is sent to would panic next.
#[test]
fn a_request_that_makes_the_service_panic_before_it_is_ordered_is_refused() {
    for payload in ["unreadable", "unpredictable"] {
        let (mut group, session) = Group::serving(3);
        group.replies.clear();
        group.submit(0, session, 1, payload);
        assert!(matches!(refusal(&group), RefusedReason::Invalid(reason) if reason.contains("panicked")), "{payload}");
        assert_eq!(group.op(0), 1);
        assert!(matches!(group.events.last(), Some((NodeId(0), Event::ServicePanicked { op: None, .. }))));
        assert_eq!(group.execute(0, session, 2, "a"), "a");
    }
}

/// A group whose log holds a few operations and no more; the client has session 1, and its requests up to 3 are executed.
fn with_a_full_log() -> (Group, SessionNumber) {
    let (mut group, session) = Group::serving_with(3, Options { log_bytes_max: 600, ..Options::default() });
    let mut number = 0;
    while group.replica(0).report().log_bytes < 600 {
        number += 1;
        group.execute(0, session, number, "x");
    }
    assert_eq!(number, 3);
    group.replies.clear();
    (group, session)
}

/// O5: nothing is ordered beyond the log's limit, and the client knows that nothing happened: it may try again.
#[test]
fn a_full_log_orders_nothing_and_says_so() {
    let (mut group, session) = with_a_full_log();
    let op = group.op(0);
    group.submit(0, session, 4, "y");
    group.request(0, ClientRequest::Resume { session, nonce: Nonce(1) });
    let message = |client| FromClient {
        cluster: CLUSTER,
        epoch: EpochNumber::ZERO,
        client: ClientId(client),
        body: ClientRequest::Register { slots: 1 },
    };
    group.input(0, Input::Client(message(99)));
    let busy = |slot, number| ClientReply::Busy { slot, number: RequestNumber(number), reason: BusyReason::LogFull };
    assert_eq!(replies(&group), [busy(Some(0), 4), busy(None, 0), busy(None, 0)]);
    group.settle();
    assert_eq!((group.op(0), group.journal(0).as_str()), (op, "xxx"));
}

/// O5: a full log is no reason to change the view, nor to forget what was executed. A retry was answered BUSY, for ever: its
/// client never learnt that the operation had been done.
#[test]
fn a_full_log_still_answers_for_what_was_executed() {
    let (mut group, session) = with_a_full_log();
    group.run_for(ms(5_000));
    assert_eq!(group.execute(0, session, 3, "x"), "xxx");
    group.replies.clear();
    group.request(0, ClientRequest::Register { slots: 8 });
    assert!(matches!(replies(&group)[..], [ClientReply::Registered { .. }]));
    assert!((0..3).all(|id| (group.view(id), group.status(id)) == (0, StatusName::Normal)));
    group.crash(0);
    group.run_for(ms(1_000));
    assert_eq!(group.execute(1, session, 3, "x"), "xxx", "also by a primary that takes a full log over");
}

/// V8, O5: a primary that hears no quorum promises nobody that it will have room later: its clients would wait for it for ever, and
/// never hear that there is another.
#[test]
fn a_full_log_at_a_deposed_primary_sends_its_clients_away() {
    let (mut group, session) = with_a_full_log();
    group.isolate(0);
    group.run_for(ms(1_000));
    group.replies.clear();
    group.submit(0, session, 4, "y");
    assert_eq!(replies(&group), [ClientReply::NotServing { reason: NotServingReason::ViewChange }]);
}

/// O5: the queue of requests that wait for the pipeline is bounded in bytes, by what they hold; none of what it took is lost.
#[test]
fn a_flood_of_requests_takes_no_more_memory_than_the_queue_may() {
    let options = Options { pipeline_ops_max: 1, queue_bytes_max: 4_000, ..Options::default() };
    let (mut group, session) = Group::serving_with(3, options);
    group.replies.clear();
    for number in 1..=1_000 {
        let payload = Bytes::from(vec![b'x'; 900]);
        let client = ClientId(CLIENT.0 + u128::from(number % 2));
        let body = ClientRequest::Operation { session, slot: 0, number: RequestNumber(number), payload };
        group.input(0, Input::Client(FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client, body }));
    }
    let busy = replies(&group).iter().filter(|reply| matches!(reply, ClientReply::Busy { .. })).count();
    assert!((995..=997).contains(&busy), "one is prepared, and a handful wait: {busy} of 1000 were turned away");
}
