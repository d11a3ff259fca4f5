//! View changes, message by message (4.2, 5.3; docs/deviations.md, V). Views 0, 1, 2 are led by r0, r1, r2, and so on.

use crate::common::{Group, ms};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// A group with nothing under way, whose members all have executed the REGISTER, op 1.
fn quiet(size: u64, options: Options) -> (Group, SessionNumber) {
    let (mut group, session) = Group::serving_with(size, options);
    group.run_for(ms(100));
    group.replies.clear();
    (group, session)
}

fn all_journals(group: &mut Group) -> Vec<String> {
    group.heal();
    group.run_for(ms(10_000));
    assert!(group.all_normal(), "the group heals");
    let ids: Vec<u64> = group.configuration.ids().map(|id| id.0).collect();
    ids.into_iter().map(|id| group.journal(id)).collect()
}

/// 4.2 step 3: "It then sets its view-number to that in the messages and selects as the new log the one contained in the
/// message with the largest v'; if several messages have the same v' it selects the one among them with the largest n."
#[test]
fn of_equal_log_views_the_longest_log_wins() {
    let (mut group, session) = quiet(3, Options::default());
    group.submit(0, session, 1, "a");
    group.deliver(0, 2, "PREPARE");
    group.network.clear();
    group.enter_view_change(1, 1);
    group.enter_view_change(2, 1);
    group.deliver(2, 1, "DOVIEWCHANGE");
    assert_eq!((group.status(1), group.op(1)), (StatusName::Normal, 2), "what r2 alone had of r0 is in the new log");
}

/// 4.2 step 3, V4: the new primary's own DOVIEWCHANGE counts, and a DOVIEWCHANGE alone makes it join.
#[test]
fn the_new_primary_needs_no_start_view_change_of_its_own() {
    let (mut group, _) = quiet(3, Options::default());
    group.enter_view_change(2, 1);
    let promise = group.take(2, 1, "DOVIEWCHANGE");
    group.network.clear();
    group.input(1, Input::Message(promise));
    assert_eq!((group.view(1), group.status(1)), (1, StatusName::Normal));
}

/// 4.2 step 5: "They send a PREPAREOK message to the primary if there are any non-committed operations in the log".
/// N4: what was acknowledged in an earlier view is acknowledged again, and counts only then.
#[test]
fn an_inherited_operation_commits_when_it_is_acknowledged_in_the_new_view() {
    let (mut group, session) = quiet(3, Options::default());
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

/// V1: the paper replaces the log by every STARTVIEW. A copy of one that comes late would take away what was acknowledged since.
#[test]
fn a_second_copy_of_a_start_view_takes_nothing_away() {
    let (mut group, session) = quiet(3, Options::default());
    group.enter_view_change(2, 1);
    group.deliver(2, 1, "DOVIEWCHANGE");
    let copy = group.take(1, 2, "STARTVIEW");
    group.input(2, Input::Message(copy.clone()));
    group.network.clear();
    group.submit(1, session, 1, "a");
    group.deliver(1, 2, "PREPARE");
    group.deliver(2, 1, "PREPAREOK");
    assert_eq!(group.result().as_deref(), Some("a"));
    group.input(2, Input::Message(copy));
    assert_eq!(group.op(2), 2);
    group.crash(1);
    group.network.clear();
    group.run_for(ms(2_000));
    assert_eq!((group.journal(0), group.journal(2)), ("a".into(), "a".into()));
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

/// V5: entries carry the view that gave them their number, and it is tempting to let the latest such view win. r4 alone logs B
/// in view 4; A of view 0 commits in view 5. B's stamp is later, A's log is.
#[test]
fn the_log_of_the_latest_view_wins_not_the_latest_entry() {
    let (mut group, session) = quiet(5, Options::default());
    group.submit(0, session, 1, "A");
    group.deliver(0, 1, "PREPARE");
    group.network.clear();
    for id in [2, 3, 4] {
        group.enter_view_change(id, 4);
    }
    group.deliver(2, 4, "DOVIEWCHANGE");
    group.deliver(3, 4, "DOVIEWCHANGE");
    group.submit(4, session, 1, "B");
    assert_eq!((group.status(4), group.op(4)), (StatusName::Normal, 2));
    group.network.clear();
    for id in [0, 1, 2] {
        group.enter_view_change(id, 5);
    }
    group.deliver(1, 0, "DOVIEWCHANGE");
    group.deliver(2, 0, "DOVIEWCHANGE");
    for id in [1, 2] {
        group.deliver(0, id, "STARTVIEW");
        group.deliver(id, 0, "PREPAREOK");
    }
    assert_eq!(group.result().as_deref(), Some("A"), "the client is told");
    group.crash(0);
    group.network.clear();
    for id in [1, 2, 4] {
        group.enter_view_change(id, 9);
    }
    group.deliver(1, 4, "DOVIEWCHANGE");
    group.deliver(2, 4, "DOVIEWCHANGE");
    assert_eq!((group.view(4), group.status(4)), (9, StatusName::Normal));
    group.restart(0);
    assert_eq!(all_journals(&mut group), ["A"; 5]);
}

/// V6 (5.3): a DOVIEWCHANGE with the topmost entry only. r1, the new primary, has the same op-number of another entry below it,
/// and must not keep that: "it can ask for more".
#[test]
fn a_suffix_is_not_put_on_top_of_another_log() {
    let options = Options { do_view_change_bytes_max: 0, ..Options::default() };
    let (mut group, session) = quiet(3, options);
    // View 1: r1 logs B, and nobody hears of it.
    group.enter_view_change(0, 1);
    group.deliver(0, 1, "DOVIEWCHANGE");
    group.submit(1, session, 1, "B");
    assert_eq!(group.op(1), 2);
    group.network.clear();
    // View 2: r2 logs C and D; r0 has them, too.
    group.enter_view_change(0, 2);
    group.deliver(0, 2, "DOVIEWCHANGE");
    group.deliver(2, 0, "STARTVIEW");
    group.network.clear();
    group.submit_in(2, session, 1, 1, "C");
    group.submit_in(2, session, 2, 1, "D");
    group.deliver(2, 0, "PREPARE");
    group.deliver(2, 0, "PREPARE");
    group.deliver(0, 2, "PREPAREOK");
    group.deliver(0, 2, "PREPAREOK");
    assert_eq!(group.commit(2), 3);
    group.crash(2);
    group.network.clear();
    // View 4: of r0's log, r1 gets D only.
    group.enter_view_change(0, 4);
    group.deliver(0, 1, "DOVIEWCHANGE");
    assert_eq!(group.status(1), StatusName::ViewChange, "the log is not complete");
    group.deliver(1, 0, "GETLOG");
    group.deliver(0, 1, "LOGCHUNK");
    assert_eq!(group.status(1), StatusName::Normal);
    group.restart(2);
    assert_eq!(all_journals(&mut group), ["CD"; 3]);
}

/// V11, V12 (8.1): "it is crucial that replicas stop accepting PREPARE messages from earlier views once they start the view
/// change protocol".
#[test]
fn the_log_is_frozen_once_it_was_promised() {
    let (mut group, session) = quiet(3, Options::default());
    group.submit(0, session, 1, "a");
    let prepare = group.take(0, 2, "PREPARE");
    group.network.clear();
    group.enter_view_change(2, 1);
    group.network.clear();
    group.input(2, Input::Message(prepare));
    assert_eq!((group.op(2), group.commit(2)), (1, 1));
    let told: Vec<_> = group.network.iter().map(|(to, message)| (to.0, message.body.name())).collect();
    assert_eq!(told, [(0, "STARTVIEWCHANGE")], "no PREPAREOK; and r0 is told to join, not that the view has started");
}

/// V13: the new primary has the REGISTER and the operation, but does not know yet that they are committed. It must not judge a
/// retry by a client-table that lacks them.
#[test]
fn a_new_primary_judges_no_request_before_it_has_executed_what_it_inherited() {
    let mut group = Group::formatted(3);
    group.run_for(ms(300));
    let session = group.register(0);
    group.submit(0, session, 1, "a");
    group.deliver(0, 1, "PREPARE");
    group.deliver(1, 0, "PREPAREOK");
    assert_eq!(group.result().as_deref(), Some("a"));
    assert_eq!(group.commit(1), 1, "r1 has not heard");
    group.crash(0);
    group.network.clear();
    group.replies.clear();
    group.enter_view_change(2, 1);
    group.deliver(2, 1, "DOVIEWCHANGE");
    group.submit(1, session, 1, "a");
    assert!(group.replies.is_empty(), "{:?}", group.replies);
    group.settle();
    assert_eq!(group.result().as_deref(), Some("a"), "answered from the table, executed once");
    assert_eq!(group.journal(1), "a");
}

/// N1: r3 alone heard that b is committed, and executed it; the new view's primary does not know. Its STARTVIEW names a smaller
/// commit-number, and r3 must not go back and execute b again.
#[test]
fn a_smaller_commit_number_in_a_start_view_undoes_nothing() {
    let (mut group, session) = quiet(5, Options::default());
    group.submit(0, session, 1, "b");
    for id in [1, 2, 3] {
        group.deliver(0, id, "PREPARE");
        group.deliver(id, 0, "PREPAREOK");
    }
    group.network.clear();
    group.lose(|to, _| to != 3);
    group.run_for(ms(60));
    assert_eq!((group.journal(3), group.commit(1)), ("b".into(), 1));
    group.crash(0);
    group.heal();
    group.network.clear();
    for id in [1, 2, 4] {
        group.enter_view_change(id, 1);
    }
    group.deliver(2, 1, "DOVIEWCHANGE");
    group.deliver(4, 1, "DOVIEWCHANGE");
    group.deliver(1, 3, "STARTVIEW");
    assert_eq!((group.view(3), group.commit(3), group.journal(3)), (1, 2, "b".into()));
    group.restart(0);
    assert_eq!(all_journals(&mut group), ["b"; 5]);
}

/// What the old view prepared beyond the new log is gone: a replica that heard of it is not behind for ever.
#[test]
fn nothing_of_a_lost_tail_is_missed() {
    let (mut group, session) = quiet(3, Options::default());
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
    let (mut group, session) = quiet(3, options);
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
    let (mut group, session) = quiet(size, options);
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
