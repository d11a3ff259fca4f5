//! Normal operation, sentence by sentence (4.1, 6.2; docs/deviations.md, N).

use crate::common::{CLIENT, CLUSTER, Group, ms, prepare_to, quiet, quiet_with};
use bytes::Bytes;
use viewstamped_protocol::message::{
    Body, BusyReason, ClientReply, ClientRequest, CommitAck, NotServingReason, PrepareOk,
};
use viewstamped_protocol::*;

/// Requests of so many slots reach the primary before it sends anything.
fn submit_together(group: &mut Group, session: SessionNumber, slots: Slot) {
    let replica = group.replicas.get_mut(&NodeId(0)).unwrap();
    for slot in 0..slots {
        let payload = Bytes::from_static(b"x");
        let body = ClientRequest::Operation { session, slot, number: RequestNumber(1), payload };
        let message = FromClient { cluster: CLUSTER, epoch: EpochNumber::ZERO, client: CLIENT, body };
        replica.handle(group.now, Input::Client(message));
    }
    group.input(0, Input::Tick);
}

fn replies(group: &Group) -> Vec<&ClientReply> {
    group.replies.iter().map(|reply| &reply.body).collect()
}

/// 4.1: "Replicas participate in processing of client requests only when their status is normal."
#[test]
fn a_replica_that_is_not_normal_serves_nobody() {
    let (mut group, session) = quiet(3);
    group.enter_view_change(0, 1);
    group.crash(2);
    group.restart(2);
    group.start(1, Some(Identity::formatted(InstanceId(5))));
    for id in 0..3 {
        group.submit(id, session, 1, "a");
    }
    let expected = [NotServingReason::ViewChange, NotServingReason::Starting, NotServingReason::Recovering];
    assert_eq!(replies(&group), expected.map(|reason| ClientReply::NotServing { reason }).iter().collect::<Vec<_>>());
    assert_eq!(group.replies[0].header.view, ViewNumber(0), "N6: a view merely attempted is not shown to clients");
}

/// 4.1 step 3: "Then it sends a <PREPARE v, m, n, k> message to the other replicas".
#[test]
fn a_prepare_names_view_request_op_and_commit_number() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "a");
    assert_eq!(group.transcript(), ["r0->r1 PREPARE v0 n2 k1", "r0->r2 PREPARE v0 n2 k1"]);
}

/// 4.1 steps 4 and 5: "sends a <PREPAREOK v, n, i> message to the primary"; "The primary waits for f PREPAREOK messages from
/// different backups; at this point it considers the operation (and all earlier ones) to be committed."
#[test]
fn an_operation_commits_with_the_acknowledgements_of_f_different_backups() {
    for (size, needed) in [(3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
        let (mut group, session) = quiet(size);
        group.submit(0, session, 1, "a");
        for backup in 1..=needed {
            assert!(group.replies.is_empty(), "{size} replicas, {} acknowledgements", backup - 1);
            group.deliver(0, backup, "PREPARE");
            let acknowledgement = group.take(backup, 0, "PREPAREOK");
            for _ in 0..size {
                group.input(0, Input::Message(acknowledgement.clone()));
            }
        }
        assert_eq!(group.result().as_deref(), Some("a"), "{size} replicas, {needed} acknowledgements");
    }
}

/// C6: r1 began with another first entry than the one r0 has, in a life that was formatted over; its acknowledgement comes late.
/// A number alone said that r1 holds what r0 sent, and an operation that r0 held alone was committed and lost. Acknowledgements
/// now name the chain hash of what is held.
#[test]
fn an_acknowledgement_of_another_log_does_not_count() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "a");
    let header = group.header(1);
    let held = group.replica(0).probe().log.head_hash();
    for (op, head) in [(2, ChainHash(held.0 ^ 1)), (99, held)] {
        let (op, sequence, sent_at, checkpoint) = (OpNumber(op), 1, Time::ZERO, CheckpointId::default());
        let ack = CommitAck { sequence, sent_at, op, head, executed: OpNumber(1), checkpoint };
        for body in [Body::PrepareOk(PrepareOk { op, head, checkpoint }), Body::CommitAck(ack)] {
            group.input(0, Input::Message(Message { header, body }));
        }
    }
    assert_eq!(group.commit(0), 1);
    assert_eq!(group.replica(0).ignored().last(), Some((Ignored::OtherLog, 4)));
}

/// 4.1 step 4: "(doing state transfer if necessary to get the missing information)".
#[test]
fn a_missing_prepare_is_asked_for() {
    let (mut group, session) = quiet(3);
    group.submit_in(0, session, 0, 1, "a");
    group.hold(|to, _| to == 1);
    group.submit_in(0, session, 1, 1, "b");
    group.settle();
    group.run_for(ms(15));
    assert_eq!(group.op(1), 3, "long before the PREPARE would be sent again");
}

/// 4.1 step 6: "this is the purpose of the commit-number in the PREPARE message"; "if the primary does not receive a new client
/// request in a timely way, it instead informs the backups of the latest commit by sending them a <COMMIT v, k> message".
/// Step 7: the backup "executes the operation ... but does not send the reply to the client".
#[test]
fn backups_execute_what_the_next_prepare_or_an_idle_commit_says_is_committed() {
    let (mut group, session) = quiet(3);
    group.execute(0, session, 1, "a");
    assert_eq!(group.journal(1), "");
    group.execute(0, session, 2, "b");
    assert_eq!(group.journal(1), "a", "by the next PREPARE");
    group.run_for(ms(60));
    assert_eq!(group.journal(1), "ab", "by COMMIT");
    assert!(group.replies.iter().all(|reply| reply.header.from == NodeId(0)));
}

/// C14, N3: a PREPARE of what a backup holds already is acknowledged again, but only when it is the same.
#[test]
fn another_entry_under_a_known_number_is_not_acknowledged() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "a");
    let first = prepare_to(&group, 1);
    let mut other = first.clone();
    if let Body::Prepare(prepare) = &mut other.body {
        let known = &prepare.entries[0];
        prepare.entries =
            vec![log::Entry::new(prepare.previous, known.stamp, known.timestamp.next(), known.request.clone())];
    }
    group.network.clear();
    group.input(1, Input::Message(first.clone()));
    group.input(1, Input::Message(first));
    assert_eq!(group.transcript(), ["r1->r0 PREPAREOK v0 n2", "r1->r0 PREPAREOK v0 n2"]);
    group.network.clear();
    group.input(1, Input::Message(other));
    assert!(group.network.is_empty(), "{:?}", group.transcript());
}

/// 6.2: "When the primary isn't busy it processes requests as soon as they arrive. When it is busy, it batches".
#[test]
fn requests_that_arrive_together_are_prepared_together() {
    let (mut group, session) = quiet(3);
    submit_together(&mut group, session, 5);
    assert_eq!(group.transcript(), ["r0->r1 PREPARE v0 n2..n6 k1", "r0->r2 PREPARE v0 n2..n6 k1"]);
    group.deliver(0, 1, "PREPARE");
    assert_eq!(group.take(1, 0, "PREPAREOK").to_string(), "PREPAREOK v0 n6", "one, for all");
}

/// Results are sent before more of them are made: a thousand large ones that commit at once would not fit memory.
#[test]
fn large_results_of_a_burst_are_made_in_portions() {
    let options = Options { execute_bytes_max: 3, ..Options::default() };
    let (mut group, session) = quiet_with(3, options);
    submit_together(&mut group, session, 6);
    group.deliver(0, 1, "PREPARE");
    group.deliver(1, 0, "PREPAREOK");
    // Each result is one byte longer than the one before it.
    assert_eq!((group.commit(0), replies(&group).len()), (7, 2), "the second one reaches the limit");
    group.input(0, Input::Tick);
    assert_eq!(replies(&group).len(), 3);
    group.run_for(ms(10));
    assert_eq!(replies(&group).len(), 6, "the rest follows");
}

/// What does not fit the pipeline waits; what does not fit the queue is told so. Nothing that was acknowledged is dropped.
#[test]
fn overload_is_answered_busy() {
    let options = Options { pipeline_ops_max: 2, queue_bytes_max: 600, ..Options::default() };
    let (mut group, session) = quiet_with(3, options);
    for slot in 0..6 {
        group.submit_in(0, session, slot, 1, "x");
    }
    assert_eq!(group.op(0), 3, "two are prepared, three wait");
    let busy = ClientReply::Busy { slot: Some(5), number: RequestNumber(1), reason: BusyReason::QueueFull };
    assert_eq!(replies(&group), [&busy]);
    group.settle();
    assert_eq!(group.op(0), 6, "whoever waited is served");
    assert_eq!(group.journal(0), "xxxxx");
}
