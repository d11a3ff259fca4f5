//! Non-deterministic operations, sentence by sentence (4.4; docs/deviations.md, N9). The schedules of N9 are in
//! schedules/predictions.rs.
//!
//! `guess` has a value that the primary predicts, `draw` one to which f + 1 replicas contribute; `r0.1` is r0's first prediction.

use crate::common::{CLIENT, CLUSTER, Group, ms, quiet, quiet_with};
use bytes::Bytes;
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::message::{Body, BusyReason, ClientReply, ClientRequest, PredictOk, RefusedReason};
use viewstamped_protocol::*;

/// A group whose primary has just asked the backups for their part in a draw.
fn drawing(size: u64) -> (Group, SessionNumber) {
    let (mut group, session) = quiet(size);
    group.submit(0, session, 1, "draw");
    (group, session)
}

/// The messages of this kind under way, in the paper's notation.
fn under_way(group: &Group, kind: &str) -> Vec<String> {
    let transcript = group.transcript();
    transcript.into_iter().filter(|line| line.split(' ').nth(1) == Some(kind)).collect()
}

/// The value in the log of each operation above `op`, as this replica holds it.
fn predicted_above(group: &Group, id: u64, op: u64) -> Vec<String> {
    let predicted = |entry: &Entry| match &entry.request {
        Request::Operation { predicted, .. } => Some(String::from_utf8(predicted.to_vec()).unwrap()),
        Request::Register { .. } | Request::Resume { .. } | Request::Checkpoint { .. } => None,
    };
    group.replica(id).probe().log.iter_above(OpNumber(op)).filter_map(predicted).collect()
}

/// The timestamps in the log of this replica.
fn timestamps(group: &Group, id: u64) -> Vec<u64> {
    group.replica(id).probe().log.iter_above(OpNumber(0)).map(|entry| entry.timestamp.0).collect()
}

/// Why the input before was ignored, as often as it happened since the start.
fn ignored(group: &Group, id: u64, wanted: Ignored) -> u64 {
    group.replica(id).ignored().find(|(reason, _)| *reason == wanted).map_or(0, |(_, count)| count)
}

fn answer(group: &mut Group, from: u64) -> Message {
    group.deliver(0, from, "PREDICT");
    group.take(from, 0, "PREDICTOK")
}

/// 4.4: "We can avoid divergence due to non-determinism by having the primary predict the value." "When the operation is
/// executed, the predicted value is used."
#[test]
fn the_primary_predicts_the_value_and_every_replica_executes_it() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "guess");
    assert_eq!(group.transcript(), ["r0->r1 PREPARE v0 n2 k1", "r0->r2 PREPARE v0 n2 k1"], "at once, asking nobody");
    group.run_for(ms(100));
    assert_eq!(group.result().as_deref(), Some("guess(r0.1)"));
    assert!((0..3).all(|id| group.journal(id) == "guess(r0.1)"));
}

/// 4.4: "waits for f responses", from different backups. N9: fewer do not make a value before the deadline.
#[test]
fn it_waits_for_the_answers_of_f_different_backups() {
    for (size, needed) in [(3, 1), (4, 1), (5, 2), (6, 2), (7, 3)] {
        let (mut group, _) = drawing(size);
        for backup in 1..=needed {
            assert_eq!(group.op(0), 1, "{size} replicas, {} answers", backup - 1);
            let answer = answer(&mut group, backup);
            for _ in 0..size {
                group.input(0, Input::Message(answer.clone()));
            }
        }
        assert_eq!(group.op(0), 2, "{size} replicas, {needed} answers");
        group.settle();
        let values: Vec<String> = (0..=needed).map(|id| format!("r{id}.1")).collect();
        assert_eq!(group.result(), Some(format!("draw({})", values.join("+"))));
    }
}

/// 4.4: "and then computes the predicted value as a deterministic function of their responses and its own."
#[test]
fn the_order_of_the_answers_makes_no_difference() {
    for order in [[3, 1], [1, 3]] {
        let (mut group, _) = drawing(5);
        for backup in order {
            let answer = answer(&mut group, backup);
            group.input(0, Input::Message(answer));
        }
        assert_eq!(predicted_above(&group, 0, 1), ["r0.1+r1.1+r3.1"]);
    }
}

/// 4.4: "The predicted value is stored in the log along with the client request and propagated to the other replicas."
#[test]
fn the_value_travels_with_the_request() {
    let (mut group, _) = drawing(3);
    let first = answer(&mut group, 2);
    group.input(0, Input::Message(first));
    let Body::Prepare(prepare) = group.take(0, 1, "PREPARE").body else { unreachable!("by its name") };
    assert!(matches!(&prepare.entries[0].request, Request::Operation { predicted, .. } if predicted == "r0.1+r2.1"));
    group.settle();
    group.run_for(ms(100));
    assert!((0..3).all(|id| group.journal(id) == "draw(r0.1+r2.1)"));
}

/// f is 0 in a group of one or two: there is nobody to wait for.
#[test]
fn without_a_threshold_nobody_is_asked() {
    for size in [1, 2] {
        let (mut group, session) = quiet(size);
        group.submit(0, session, 1, "draw");
        assert_eq!(under_way(&group, "PREDICT"), [""; 0]);
        group.run_for(ms(10));
        assert_eq!(group.result().as_deref(), Some("draw(r0.1)"), "{size} replicas");
    }
}

/// A primary that hears nobody has fallen silent (V8); it asks nobody, either, or it would be taken for a primary that works.
#[test]
fn a_silent_primary_asks_nobody() {
    let (mut group, session) = quiet(3);
    for backup in [1, 2] {
        group.cut.insert((backup, 0));
    }
    group.run_for(group.options.abdicate_timeout + ms(20));
    group.network.clear();
    group.submit(0, session, 1, "draw");
    assert_eq!((group.status(0), under_way(&group, "PREDICT")), (StatusName::Normal, Vec::new()));
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = asked.clone();
    group.lose(move |_, message| {
        count.set(count.get() + u32::from(message.body.name() == "PREDICT"));
        message.body.name() == "STARTVIEWCHANGE"
    });
    group.run_for(group.options.predict_timeout);
    assert_eq!(asked.get(), 0);
}

/// N9: answers are told apart by request: client, session, slot and number.
#[test]
fn an_answer_for_another_request_does_not_count() {
    let (mut group, _) = drawing(3);
    let Message { header, body: Body::PredictOk(right) } = answer(&mut group, 1) else { unreachable!("by its name") };
    let mut wrong = [right.request; 4];
    wrong[0].client = ClientId(CLIENT.0 + 1);
    wrong[1].session = right.request.session.next();
    wrong[2].slot += 1;
    wrong[3].number = right.request.number.next();
    for (count, request) in (1..).zip(wrong) {
        let body = Body::PredictOk(Box::new(PredictOk { request, ..*right.clone() }));
        group.input(0, Input::Message(Message { header, body }));
        assert_eq!((group.op(0), ignored(&group, 0, Ignored::Unasked)), (1, count));
    }
    group.input(0, Input::Message(Message { header, body: Body::PredictOk(right) }));
    assert_eq!(group.op(0), 2);
}

/// N9: the replicated clock is the primary's wall clock, and never runs backwards: not when that clock is set back, and not when
/// the next primary's is behind. What the services see is strictly increasing, and the same everywhere.
#[test]
fn the_replicated_clock_never_runs_backwards() {
    let (mut group, session) = quiet(3);
    group.now.wall = Timestamp(1_000_000_000_000);
    group.execute(0, session, 1, "a");
    let shown = group.now.wall.0;
    group.now.wall = Timestamp(7);
    group.execute(0, session, 2, "b");
    group.now.wall = Timestamp(shown + 500);
    group.execute(0, session, 3, "c");
    group.crash(0);
    group.now.wall = Timestamp(9);
    group.run_for(ms(2_000));
    group.execute(1, session, 4, "d");
    group.run_for(ms(100));
    let above = |time: u64| time.checked_sub(shown);
    let expected = [Some(0), Some(1), Some(500), Some(501)];
    for id in [1, 2] {
        assert_eq!(timestamps(&group, id)[1..].iter().copied().map(above).collect::<Vec<_>>(), expected);
    }
}

/// N9: requests of other clients pass a pre-step that takes long, and so do those that open sessions.
#[test]
fn a_pre_step_holds_up_no_other_client() {
    let (mut group, session) = drawing(3);
    group.hold(|_, message| message.body.name() == "PREDICT");
    group.submit_in(0, session, 1, 1, "a");
    let other = |body| FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: ClientId(43), body };
    group.input(0, Input::Client(other(ClientRequest::Register { slots: 1 })));
    group.settle();
    let (slot, number, payload) = (0, RequestNumber(1), Bytes::from_static(b"b"));
    let session = SessionNumber(group.op(0));
    group.input(0, Input::Client(other(ClientRequest::Operation { session, slot, number, payload })));
    group.settle();
    assert_eq!(group.journal(0), "ab");
    group.run_for(group.options.predict_timeout);
    assert_eq!(group.journal(0), "abdraw(r0.1+r1.1)", "asked again");
}

/// N9: a client that goes on to its next request no longer waits for the last one, which is given up: it may not be ordered behind
/// a later one of its slot.
#[test]
fn a_pre_step_never_reorders_the_requests_of_a_slot() {
    for next in ["next", "draw next"] {
        let (mut group, session) = drawing(3);
        let late = answer(&mut group, 1);
        group.submit(0, session, 2, next);
        group.input(0, Input::Message(late.clone()));
        group.settle();
        group.input(0, Input::Message(late));
        group.submit(0, session, 1, "draw");
        group.run_for(group.options.predict_timeout * 2);
        assert!(group.journal(0).starts_with(next), "{}", group.journal(0));
        assert_eq!((group.op(0), predicted_above(&group, 0, 1).len()), (2, 1), "the earlier request is not ordered");
        let stale = |reply: &ToClient| {
            matches!(
                reply.body,
                ClientReply::Refused { reason: RefusedReason::StaleRequest, number: RequestNumber(1), .. }
            )
        };
        assert!(group.replies.iter().any(stale));
    }
}

/// A session that ended while its request was being predicted has nothing ordered any more.
#[test]
fn a_session_that_ends_meanwhile_has_nothing_ordered() {
    let (mut group, session) = drawing(3);
    let late = answer(&mut group, 1);
    group.hold(|_, message| message.body.name() == "PREDICT");
    group.request(0, ClientRequest::Resume { session, nonce: Nonce(1) });
    group.settle();
    group.replies.clear();
    group.input(0, Input::Message(late));
    assert_eq!(group.op(0), 2);
    assert!(matches!(group.replies[..], [ToClient { body: ClientReply::NoSession { .. }, .. }]), "{:?}", group.replies);
}

/// O5: the pre-steps under way are bounded in number and in bytes; beyond that the answer is BUSY, and room is made by time.
#[test]
fn pre_steps_beyond_the_limits_are_answered_busy() {
    let few = Options { pre_steps_max: 2, ..Options::default() };
    let small = Options { pre_steps_bytes_max: 500, ..Options::default() };
    for options in [few, small] {
        let (mut group, session) = quiet_with(3, options);
        for slot in 0..3 {
            group.submit_in(0, session, slot, 1, "draw");
        }
        let busy = ClientReply::Busy { slot: Some(2), number: RequestNumber(1), reason: BusyReason::QueueFull };
        assert_eq!(group.replies.iter().map(|reply| &reply.body).collect::<Vec<_>>(), [&busy]);
        group.submit_in(0, session, 3, 1, "a");
        group.settle();
        assert_eq!(group.journal(0), "adraw(r0.1+r1.1)draw(r0.2+r1.2)", "other requests have room");
        group.submit_in(0, session, 2, 1, "draw");
        group.settle();
        assert!(group.journal(0).ends_with("draw(r0.4+r1.3)"), "{}", group.journal(0));
    }
}

/// O5: answers count, too. One for which there is no room is not kept, and the deadline comes.
#[test]
fn an_answer_for_which_there_is_no_room_is_not_kept() {
    let options = Options { pre_steps_bytes_max: 200, ..Options::default() };
    let (mut group, session) = quiet_with(3, options);
    group.submit(0, session, 1, "draw");
    group.settle();
    assert_eq!((group.op(0), ignored(&group, 0, Ignored::NoRoom)), (1, 2));
    group.run_for(group.options.predict_timeout + ms(1));
    assert_eq!(group.result().as_deref(), Some("draw(r0.1...)"));
}

/// A request whose value is known waits for room in the pipeline like any other, and goes before those that came after it.
#[test]
fn a_full_pipeline_lets_a_predicted_request_wait() {
    let (mut group, session) = quiet_with(3, Options { pipeline_ops_max: 1, ..Options::default() });
    group.submit(0, session, 1, "draw");
    let answer = answer(&mut group, 1);
    group.submit_in(0, session, 1, 1, "a");
    group.submit_in(0, session, 2, 1, "b");
    group.input(0, Input::Message(answer));
    assert_eq!(group.op(0), 2, "the pipeline is full");
    group.submit(0, session, 1, "draw");
    group.settle();
    assert_eq!(group.journal(0), "adraw(r0.1+r1.1)b");
}

/// A log that has become full meanwhile is told to the client, as for any request.
#[test]
fn a_full_log_has_no_room_for_a_predicted_request() {
    let options = Options { log_bytes_max: 450, ..Options::default() };
    let (mut group, session) = quiet_with(3, options);
    group.submit(0, session, 1, "draw");
    let answer = answer(&mut group, 1);
    group.submit_in(0, session, 1, 1, "a");
    group.submit_in(0, session, 2, 1, "b");
    group.input(0, Input::Message(answer));
    let full = |slot| ClientReply::Busy { slot: Some(slot), number: RequestNumber(1), reason: BusyReason::LogFull };
    assert_eq!(group.replies.iter().map(|reply| &reply.body).collect::<Vec<_>>(), [&full(0)]);
}

/// The service's own mistakes: a value that fits no frame is not ordered, and so is none that its combination makes too long.
#[test]
fn a_value_that_is_too_long_is_refused() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "guess too long");
    group.submit_in(0, session, 1, 1, "draw too long");
    group.submit_in(0, session, 2, 1, "draw half too long");
    group.settle();
    let invalid = |reply: &ToClient| match &reply.body {
        ClientReply::Refused { reason: RefusedReason::Invalid(reason), .. } => reason.clone(),
        _ => format!("{reply:?}"),
    };
    let expected =
        [16385, 16385, 20001].map(|bytes| format!("the service predicts a value of {bytes} bytes, of at most 16384"));
    assert_eq!(group.replies.iter().map(invalid).collect::<Vec<_>>(), expected);
    assert_eq!(group.op(0), 1);
}

/// A backup asks the service whether an operation is one before it lets it predict: the primary's bytes may be anything. What it
/// cannot predict, by a mistake of the service, it does not answer.
#[test]
fn a_backup_answers_when_its_service_predicts_something() {
    let (mut group, session) = quiet(3);
    let request = message::RequestId { client: CLIENT, session, slot: 0, number: RequestNumber(1) };
    for (payload, expected) in [("bad", 0), ("draw too long", 0), ("unpredictable", 0), ("draw", 1)] {
        let body = Body::Predict(Box::new(message::Predict { request, payload: payload.into() }));
        group.input(1, Input::Message(Message { header: group.header(0), body }));
        assert_eq!(under_way(&group, "PREDICTOK").len(), expected, "{payload}");
    }
    assert_eq!((ignored(&group, 1, Ignored::Malformed), ignored(&group, 1, Ignored::NotPredicted)), (1, 2));
    let panicked =
        |(id, event): &&(NodeId, Event)| id.0 == 1 && matches!(event, Event::ServicePanicked { op: None, .. });
    assert_eq!(group.events.iter().filter(panicked).count(), 1);
}

/// 4.4 asks "the backups", of its view: nobody else answers, and only the primary asks.
#[test]
fn only_a_backup_answers_and_only_the_primary_asks() {
    let (mut group, _) = drawing(3);
    let predict = group.take(0, 1, "PREDICT");
    group.enter_view_change(1, 1);
    group.input(1, Input::Message(predict.clone()));
    group.crash(2);
    group.restart(2);
    group.input(2, Input::Message(predict.clone()));
    let mut impostor = predict;
    impostor.header = group.header(2);
    group.input(0, Input::Message(impostor));
    assert_eq!(under_way(&group, "PREDICTOK"), [""; 0]);
    assert_eq!((ignored(&group, 1, Ignored::OlderView), ignored(&group, 2, Ignored::WrongStatus)), (1, 1));
    assert_eq!(ignored(&group, 0, Ignored::NotPrimary), 1);
}
