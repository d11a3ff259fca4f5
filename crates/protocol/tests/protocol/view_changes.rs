//! View changes, message by message (4.2, 5.3; docs/deviations.md, V). Views 0, 1, 2 are led by r0, r1, r2, and so on.

use crate::common::{Group, ms, quiet, quiet_with};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// 4.2 step 5: "They send a PREPAREOK message to the primary if there are any non-committed operations in the log".
/// N4: what was acknowledged in an earlier view is acknowledged again, and counts only then.
#[test]
fn an_inherited_operation_commits_when_it_is_acknowledged_in_the_new_view() {
    let (mut group, session) = quiet(3);
    group.submit(0, session, 1, "a");
    group.deliver(0, 1, "PREPARE");
    group.deliver(0, 2, "PREPARE");
    let old = group.take(2, 0, "PREPAREOK");
    group.network.clear();
    for id in 0..3 {
        group.enter_view_change(id, 1);
    }
    group.deliver(2, 1, "DOVIEWCHANGE");
    assert_eq!((group.op(1), group.commit(1)), (2, 1));
    group.input(1, Input::Message(old));
    assert_eq!(group.commit(1), 1, "an acknowledgement of view 0");
    group.deliver(1, 2, "STARTVIEW");
    group.deliver(2, 1, "PREPAREOK");
    assert_eq!(group.commit(1), 2);
    assert_eq!(group.result().as_deref(), Some("a"), "4.2 step 4: executes what had not been, and answers the client");
}

/// V3: whatever is lost of a view change is sent again, with the same view.
#[test]
fn every_message_of_a_view_change_may_be_lost_at_first() {
    for kind in ["STARTVIEWCHANGE", "DOVIEWCHANGE", "STARTVIEW"] {
        let (mut group, session) = Group::serving(3);
        group.crash(0);
        let mut lost = 0;
        group.lose(move |_, message| {
            let is_lost = message.body.name() == kind && lost < 3;
            lost += u32::from(is_lost);
            is_lost
        });
        group.run_for(ms(1_000));
        assert_eq!((group.view(1), group.view(2)), (1, 1), "{kind}: the first view that can start");
        assert_eq!(group.execute(1, session, 1, "a"), "a");
    }
}

/// What the old view prepared beyond the new log is gone: a replica that heard of it is not behind for ever.
#[test]
fn nothing_of_a_lost_tail_is_missed() {
    let (mut group, session) = quiet(3);
    for slot in 0..5 {
        group.submit_in(0, session, slot, 1, "x");
    }
    let last =
        group.hold(|to, message| to == 2 && matches!(&message.body, Body::Prepare(m) if m.entries[0].op().0 == 6));
    group.network.clear();
    group.network.extend(last);
    group.crash(0);
    group.settle();
    assert_eq!(group.replica(2).report().lag, 5);
    group.run_for(ms(1_000));
    assert_eq!((group.primary(), group.op(1), group.replica(2).report().lag), (1, 1, 0));
}

/// V10: the new primary lacks much of the log, and fetching it takes far longer than a view change may. As long as it arrives,
/// the new primary does not give up, and the other one alone cannot.
#[test]
fn a_new_primary_is_not_given_up_while_its_log_arrives() {
    let options = Options { transfer_bytes_max: 0, do_view_change_bytes_max: 0, ..Options::default() };
    let (mut group, session) = quiet_with(3, options);
    group.isolate(1);
    for number in 1..=50 {
        group.execute(0, session, number, "x");
    }
    group.crash(0);
    group.heal();
    group.latency = ms(20);
    group.run_for(ms(2_000));
    assert_eq!((group.view(1), group.status(1)), (1, StatusName::ViewChange), "50 questions of 40 ms each");
    group.run_for(ms(2_000));
    assert_eq!((group.view(1), group.status(1), group.view(2)), (1, StatusName::Normal, 1));
    assert_eq!(group.journal(1), "x".repeat(50));
}

/// A group without r0, its primary until now, in which r1 is next and lacks 50 operations; each answer takes 40 ms and brings one.
fn with_a_lagging_new_primary(size: u64, forfeit_ops: u64) -> Group {
    let options = Options { transfer_bytes_max: 0, do_view_change_bytes_max: 0, forfeit_ops, ..Options::default() };
    let (mut group, session) = quiet_with(size, options);
    group.isolate(1);
    for number in 1..=50 {
        group.execute(0, session, number, "x");
    }
    group.run_for(ms(100));
    group.crash(0);
    group.heal();
    group.latency = ms(20);
    group
}

/// V10: the others could change the view without r1 as well. They wait for it while it says that it gets on with the log.
#[test]
fn the_backups_wait_for_a_new_primary_that_tells_them_of_its_progress() {
    let mut group = with_a_lagging_new_primary(5, u64::MAX);
    group.run_for(ms(4_000));
    for id in 1..5 {
        assert_eq!((group.view(id), group.status(id)), (1, StatusName::Normal), "r{id}");
    }
    assert_eq!(group.journal(1), "x".repeat(50));
}

/// V10: progress is what counts, not being alive. r1 says again and again that it is as far as it was.
#[test]
fn a_new_primary_that_gets_no_further_is_given_up() {
    let mut group = with_a_lagging_new_primary(5, u64::MAX);
    group.lose(|_, message| matches!(message.body, Body::LogChunk(_)));
    group.run_for(ms(2_000));
    assert_eq!(group.primary(), 2);
}

/// V10: r1 lacks too much and r2, next in line, has it: r1 gives way at once, and nobody waits for its transfer.
#[test]
fn a_new_primary_that_lags_far_gives_way_to_a_better_one() {
    let mut group = with_a_lagging_new_primary(3, 40);
    while group.status(1) == StatusName::Normal {
        group.run_for(ms(1));
    }
    group.run_for(ms(100));
    assert_eq!((group.view(2), group.status(2)), (2, StatusName::Normal), "sooner than any timeout");
}

/// V10: nobody hears r2, to whom r1 has given way. When it is r1's turn again it insists, or the two would go on for ever.
#[test]
fn a_new_primary_gives_way_once() {
    let mut group = with_a_lagging_new_primary(3, 40);
    let leads = ["STARTVIEW", "COMMIT", "PREPARE", "NEWSTATE"];
    group.lose(move |_, message| message.header.from == NodeId(2) && leads.contains(&message.body.name()));
    group.run_for(ms(15_000));
    assert_eq!((group.primary(), group.view(1)), (1, 4));
    assert_eq!(group.journal(1), "x".repeat(50));
}
