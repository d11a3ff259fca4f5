//! A primary that a quorum hears and that hears a quorum stays primary, whatever happens to the others (V7, L-STABLE); one that
//! does not is replaced, however it fails (V8, L-COMMIT).

use crate::common::{Group, ms};
use viewstamped_protocol::message::{Body, ClientReply, NotServingReason};
use viewstamped_protocol::*;

/// V7. r2 can send but does not hear the primary: it wants view changes for ever and drags nobody along.
#[test]
fn one_replica_that_does_not_hear_the_primary_changes_no_view() {
    for size in [3, 5] {
        let (mut group, session) = Group::serving(size);
        group.isolate(2);
        group.cut.retain(|(_, to)| *to == 2);
        group.run_for(ms(10_000));
        for id in 0..size {
            assert_eq!((group.view(id), group.status(id)), (0, StatusName::Normal), "{size} replicas");
        }
        assert_eq!(group.execute(0, session, 1, "a"), "a");
    }
}

/// r1 lost the primary for a moment and voted; it has long heard it again. Much later r2 loses the primary for a moment: it
/// still knew r1's vote, passed it on with its own, and the healthy primary counted two.
#[test]
fn a_vote_that_has_lapsed_is_not_passed_on() {
    let (mut group, _) = Group::serving(3);
    group.cut_between(0, 1);
    group.run_for(ms(1_000));
    group.heal();
    group.run_for(ms(60_000));
    group.cut.insert((0, 2));
    group.run_for(ms(2_000));
    assert_eq!(group.view(0), 0, "one replica alone suspects the primary");
}

/// V8: a primary that can send but not hear falls silent, idle or busy, so that the others replace it.
///
/// One that kept preparing never noticed: PREPAREs stand for heartbeats, and only a heartbeat looked whether anyone answers.
#[test]
fn a_primary_that_hears_nobody_is_replaced_even_while_requests_keep_coming() {
    for request_every_ms in [u64::MAX, 20] {
        let (mut group, session) = Group::serving(3);
        group.cut.extend([(1, 0), (2, 0)]);
        for elapsed in 0..3_000 {
            if elapsed % request_every_ms == request_every_ms - 1 {
                group.submit_in(0, session, 0, elapsed, "x");
            }
            group.run_for(ms(1));
        }
        assert!(group.view(1) > 0, "a request every {request_every_ms} ms keeps a deaf primary in office");
        assert_eq!(group.status(1), StatusName::Normal);
        group.heal();
        group.run_for(ms(2_000));
        assert!(group.all_normal());
    }
}

/// V8: r0 is cut off from the others, but not from the clients. They filled its queue, heard BUSY and waited for it, for as long as
/// it was cut off: BUSY means to try again at the same replica. So they never heard of the primary of view 1.
#[test]
fn a_primary_that_hears_nobody_sends_its_clients_away() {
    let full_queue = Options { pipeline_ops_max: 1, queue_bytes_max: 1, ..Options::default() };
    let full_log = Options { log_bytes_max: 300, ..Options::default() };
    let no_pre_steps = Options { pre_steps_max: 0, ..Options::default() };
    for options in [full_queue, full_log, no_pre_steps] {
        let (mut group, session) = Group::serving_with(3, options);
        group.isolate(0);
        group.submit_in(0, session, 0, 1, "x");
        group.submit_in(0, session, 1, 1, "draw");
        assert!(
            matches!(group.replies.last().map(|reply| &reply.body), Some(ClientReply::Busy { .. })),
            "it serves still"
        );
        group.run_for(ms(1_000));
        group.submit_in(0, session, 1, 1, "draw");
        let reason = NotServingReason::ViewChange;
        assert_eq!(group.replies.last().map(|reply| &reply.body), Some(&ClientReply::NotServing { reason }));
    }
}

/// V8: everything small arrives, heartbeats and their acknowledgements included, but what is large does not: nothing commits,
/// and nobody suspects a primary that is so well heard.
#[test]
fn a_primary_whose_large_messages_vanish_is_replaced() {
    let (mut group, session) = Group::serving(3);
    group.lose(|_, message| {
        let carries_log = ["PREPARE", "NEWSTATE", "DOVIEWCHANGE", "STARTVIEW"];
        message.header.from == NodeId(0) && carries_log.contains(&message.body.name())
    });
    group.submit(0, session, 1, "large");
    group.run_for(ms(10_000));
    let primary = group.primary();
    assert_ne!(primary, 0, "others can do better");
    assert_eq!(group.execute(primary, session, 2, "y"), "y", "what nobody else has is not part of the new view");
}

/// V14: whose address refuses connections has no process; the backups need not wait for a timeout to learn it.
#[test]
fn a_primary_whose_process_is_gone_is_replaced_at_once() {
    for size in [3, 5] {
        let (mut group, _) = Group::serving(size);
        group.crash(0);
        for id in 1..size {
            group.input(id, Input::PeerUnreachable(NodeId(0)));
        }
        group.run_for(ms(20));
        assert_eq!((group.primary(), group.view(1)), (1, 1), "{size} replicas: sooner than any timeout");
    }
}

/// V14: r0 and r1 are gone. Views whose primary is known to be gone are skipped, or each would cost a timeout.
#[test]
fn two_dead_primaries_in_a_row_cost_no_timeout() {
    let (mut group, _) = Group::serving(5);
    group.crash(0);
    group.crash(1);
    for gone in [1, 0] {
        for id in 2..5 {
            group.input(id, Input::PeerUnreachable(NodeId(gone)));
        }
    }
    group.run_for(ms(20));
    assert_eq!((group.primary(), group.view(2)), (2, 2));
}

/// V14: the new primary dies during the view change: so much is known before its time is over.
#[test]
fn a_new_primary_that_dies_in_the_view_change_is_replaced_at_once() {
    let (mut group, _) = Group::serving(5);
    group.crash(0);
    group.lose(|to, message| to == 1 && message.body.name() == "DOVIEWCHANGE");
    for id in 1..5 {
        group.input(id, Input::PeerUnreachable(NodeId(0)));
    }
    group.run_for(ms(5));
    assert!((1..5).all(|id| (group.view(id), group.status(id)) == (1, StatusName::ViewChange)));
    group.crash(1);
    for id in 2..5 {
        group.input(id, Input::PeerUnreachable(NodeId(1)));
    }
    group.run_for(ms(20));
    assert_eq!((group.primary(), group.view(2)), (2, 2));
}

/// V14: a replica that recovers says so by asking; the votes skip the view that it would lead.
#[test]
fn a_recovering_replica_is_not_elected() {
    let (mut group, _) = Group::serving(5);
    group.crash(1);
    group.restart(1);
    let asked = group.hold(|_, message| message.body.name() == "RECOVERY");
    for (to, message) in asked {
        group.input(to.0, Input::Message(message));
    }
    group.network.clear();
    group.isolate(1);
    group.crash(0);
    for id in 2..5 {
        group.input(id, Input::PeerUnreachable(NodeId(0)));
    }
    group.run_for(ms(20));
    assert_eq!((group.primary(), group.view(2)), (2, 2));
}

/// V14: evidence may be wrong, as when one path alone refuses. It is one vote, and does not last.
#[test]
fn one_replica_that_cannot_connect_deposes_nobody() {
    let (mut group, session) = Group::serving(3);
    for _ in 0..100 {
        group.input(2, Input::PeerUnreachable(NodeId(0)));
        group.run_for(ms(20));
    }
    assert_eq!((group.view(0), group.view(2), group.status(2)), (0, 0, StatusName::Normal));
    assert_eq!(group.execute(0, session, 1, "a"), "a");
}

/// C10: RECOVERY proves that its sender has crashed, once. A copy that arrives after the sender has recovered and become
/// primary proves nothing: it deposed a healthy primary.
#[test]
fn a_late_copy_of_a_recovery_deposes_nobody() {
    let (mut group, _) = Group::serving(3);
    group.crash(0);
    group.restart(0);
    let copies = group.hold(|_, message| matches!(message.body, Body::Recovery(_)));
    assert_eq!(copies.len(), 2);
    group.network.extend(copies.clone());
    group.run_for(ms(1_000));
    assert!(group.all_normal() && group.view(0) == 1, "replaced, and back");
    for id in [1, 2] {
        group.crash(id);
        group.run_for(ms(1_000));
        group.restart(id);
        group.run_for(ms(1_000));
    }
    assert_eq!(group.primary(), 0, "the views have gone round");
    let view = group.view(0);
    group.network.extend(copies);
    group.run_for(ms(1_000));
    for id in 0..3 {
        assert_eq!(group.view(id), view, "nothing has crashed since");
    }
}

/// C10: nobody can recover from the primary of the latest view when that is the one that recovers: its RECOVERY is reason
/// enough to replace it at once.
#[test]
fn a_recovering_primary_is_replaced_without_waiting_for_the_timeout() {
    for size in [3, 5] {
        let (mut group, _) = Group::serving(size);
        group.crash(0);
        group.restart(0);
        group.run_for(ms(50));
        assert_eq!(group.primary(), 1, "{size} replicas: sooner than any timeout");
        group.run_for(ms(150));
        assert!(group.all_normal(), "asked again, the new primary answers");
    }
}
