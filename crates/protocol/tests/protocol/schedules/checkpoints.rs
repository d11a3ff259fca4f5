//! Checkpoints (5.1), and state transfer over a log that was cut (5.2). Views 0, 1, 2 are led by r0, r1, r2; a checkpoint is taken at
//! every fourth operation, the first of which opened the client's session.

use std::time::Duration;

use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

use crate::common::{Group, ms};
use crate::script::Script;

fn every_fourth() -> ClusterOptions {
    ClusterOptions { checkpoint_ops: 4, page_bytes: 512, ..ClusterOptions::default() }
}

fn serving(size: u64) -> Script {
    Script::durable_with(size, every_fourth(), Durability::Replicated)
}

fn group_with(options: Options) -> (Group, SessionNumber) {
    let mut group = Group::with(3, every_fourth(), options, Durability::Replicated);
    group.run_for(ms(300));
    let session = group.register(0);
    group.run_for(ms(100));
    (group, session)
}

fn base(group: &Group, id: u64) -> u64 {
    group.replica(id).probe().log.base().0
}

fn root(group: &Group, id: u64) -> String {
    group.replica(id).state().root().to_string()
}

fn installed(group: &Group) -> Vec<(NodeId, CheckpointId, bool)> {
    let installed = |(node, event): &(NodeId, Event)| match event {
        Event::CheckpointInstalled { id, is_repair } => Some((*node, *id, *is_repair)),
        _ => None,
    };
    group.events.iter().filter_map(installed).collect()
}

fn alarms(group: &Group) -> Vec<NodeId> {
    let is_alarm = |event: &Event| matches!(event, Event::Diverged { .. });
    group.events.iter().filter(|(_, event)| is_alarm(event)).map(|(node, _)| *node).collect()
}

/// T4. Who gets a checkpoint "moves to the view in which that checkpoint was taken". r1 has started view 1 and offers its checkpoint at
/// 8; r0 has all that was ever acknowledged, up to 11, in the log of view 0. If r2, which has nothing above 8, moved to view 1, its
/// log would win in view 2.
#[test]
fn t4_a_checkpoint_brings_a_state_and_no_view() {
    let mut script = serving(3);
    script.play("r2 is cut off");
    for operation in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"] {
        script.play(&format!("client->r0 REQUEST {operation}\n everything arrives"));
    }
    script.play(
        "
        100 ms      pass
        everything  arrives
        r1          is normal v0 n11 k11 x11
        // r0 has promised its log to view 1, and hears no more of that.
        r0          enters v1
        r1          enters v1
        r0->r1      DOVIEWCHANGE v1 n11
        r1          is normal v1 n11
        everything  is lost
        the network heals
        // r2 hears of view 1, and lacks what is cut off.
        r1          waits 50 ms
        r1->r2      COMMIT v1
        r2->r1      GETSTATE v0 target=v1
        r1->r2      NEWSTATE v1 n11 k11
        ",
    );
    // The checkpoint comes; the log above it does not.
    while !script.group.network.is_empty() {
        let (to, message) = script.group.network.pop_front().expect("not empty");
        if matches!(message.body, Body::GetPages(_) | Body::Pages(_)) {
            script.group.input(to.0, Input::Message(message));
        }
    }
    script.play(
        "
        r2          is normal v0 n8 k8 x8 v'=0
        r2          has executed ABCDEFG
        // View 2 is of r0 and r2: r1 is gone.
        r1          is cut off
        r0          enters v2
        r2          enters v2
        r0->r2      DOVIEWCHANGE v2 n11 k11 v'=0
        r2          is normal v2 n11
        500 ms      pass
        r2          has executed ABCDEFGHIJ
        ",
    );
}

/// T5. A checkpoint of the application alone: r2 fetches it with all that was executed and nothing of who asked. As the primary it would
/// execute a request again whose answer was lost, or not know its session.
#[test]
fn t5_a_request_whose_answer_was_lost_is_not_executed_again_after_a_transfer() {
    let mut script = serving(3);
    script.play("r2 is cut off");
    for operation in ["A", "B", "C", "D", "E", "F", "G"] {
        script.play(&format!("client->r0 REQUEST {operation}\n everything arrives"));
    }
    script.play(
        "
        100 ms      pass
        client->r0  REQUEST H
        r0->r1      PREPARE v0 n9
        everything  is lost
        the network heals
        3 s         pass
        everything  is lost
        everyone    is normal
        everyone    has executed ABCDEFGH
        ",
    );
    assert!(installed(&script.group).iter().any(|(node, ..)| node.0 == 2), "r2 got its state from others");
    script.play(
        "
        r0          enters v2
        r2          enters v2
        r0->r2      DOVIEWCHANGE v2
        r2->r1      STARTVIEW v2
        r1->r2      PREPAREOK v2
        everything  is lost
        client->r2  REQUEST G
        r2->client  REPLY v2 ABCDEFG
        r2          has executed ABCDEFGH
        nothing     is in flight to r1
        ",
    );
}

/// A checkpoint holds what was executed, and so committed: not what else is in the log of whoever takes it. r0 has logged n5 when it
/// takes the checkpoint at 4, r1 has not.
#[test]
fn t5_a_checkpoint_holds_nothing_that_is_not_committed() {
    let mut script = serving(3);
    script.play(
        "
        r2          is cut off
        client->r0  REQUEST A
        client->r0  REQUEST B
        client->r0  REQUEST C
        client->r0  REQUEST D
        r0->r1      PREPARE v0 n2
        r0->r1      PREPARE v0 n3
        r0->r1      PREPARE v0 n4
        r1->r0      PREPAREOK v0 n4
        r0          is normal v0 n5 k4 x4
        r0->r1      PREPARE v0 n5       lost
        everything  is lost
        r0          waits 50 ms
        r0->r1      COMMIT v0 n5 k4
        r1          is normal v0 n4 k4 x4
        ",
    );
    let newest = |id: u64| {
        script.group.events.iter().rev().find_map(|(node, event)| match event {
            Event::CheckpointTaken { id: checkpoint } if node.0 == id => Some(*checkpoint),
            _ => None,
        })
    };
    assert_eq!(newest(0).map(|id| id.op), Some(OpNumber(4)));
    assert_eq!(newest(0), newest(1));
}

/// What came of a transfer of some pages, one at a time, during which the sources take checkpoint after checkpoint.
struct Chase {
    group: Group,
    /// Questions of r2.
    asked: u64,
    /// Those that were answered with NEWROOT.
    refused: u64,
}

/// r2 fetches a checkpoint; while each of the first pages is under way, the others execute as much as makes two more.
fn chase(checkpoint_pin: Duration) -> Chase {
    // Operations before, how often the sources move on, and how many pages come in between.
    const LINES: u64 = 40;
    const MOVES: u64 = 8;
    const PAGES: u64 = 5;
    let options = Options {
        transfer_bytes_max: 600,
        checkpoint_pin,
        pages_window: 1,
        pages_sources_max: 1,
        suspect_timeout: ms(20_000),
        abdicate_timeout: ms(20_000),
        ..Script::options()
    };
    let (mut group, session) = group_with(options);
    group.isolate(2);
    let line = "this line and others like it make a value that fills pages, so that they come one by one. ";
    (1..=LINES).for_each(|number| drop(group.execute(0, session, number, line)));
    group.heal();
    let mut chase = Chase { group, asked: 0, refused: 0 };
    let mut pages = 0;
    while installed(&chase.group).is_empty() {
        chase.group.now.monotonic = chase.group.now.monotonic.after(ms(5));
        (0..3).for_each(|id| chase.group.input(id, Input::Tick));
        for (to, message) in chase.group.hold(|to, message| to == 2 || message.header.from == NodeId(2)) {
            chase.asked += u64::from(matches!(message.body, Body::GetPages(_)));
            chase.refused += u64::from(matches!(message.body, Body::NewRoot(_)));
            pages += u64::from(matches!(message.body, Body::Pages(_)));
            // Each time some pages of the service have come, but not all.
            if matches!(message.body, Body::Pages(_)) && pages.is_multiple_of(PAGES) && pages < PAGES * MOVES {
                let first = LINES + 1 + 8 * (pages / PAGES - 1);
                (first..first + 8).for_each(|number| drop(chase.group.execute(0, session, number, "x")));
            }
            chase.group.input(to.0, Input::Message(message));
        }
        assert!(chase.asked < 500, "a transfer ends");
    }
    chase
}

/// T6. The source takes other checkpoints while each page is under way. Pages of two checkpoints make a state that never was: r2 begins
/// again with the root of the newer one, keeps what is the same there, and ends with a state that others had.
#[test]
fn t6_pages_of_two_checkpoints_are_never_mixed() {
    let Chase { mut group, asked, refused } = chase(ms(1));
    assert!(refused > 3 && asked > refused, "the sources moved on {refused} times of {asked}");
    group.run_for(ms(1_000));
    assert_eq!((root(&group, 2), group.journal(2)), (root(&group, 0), group.journal(0)));
}

/// T6. It would never end if it had to begin again at each checkpoint: what is being fetched is kept for those who fetch it.
#[test]
fn t6_a_checkpoint_is_kept_for_whoever_is_fetching_it() {
    let Chase { group, refused, asked } = chase(ms(10_000));
    assert_eq!(refused, 0, "of {asked}");
    assert_eq!(installed(&group)[0].1.op, OpNumber(40), "the one that was named first");
}

/// T7. A primary that cuts its log "immediately" after a checkpoint can no longer bring those up to date who have not come so far: they
/// need application state for a few operations.
#[test]
fn t7_nothing_is_cut_before_a_quorum_has_the_newer_checkpoint() {
    let mut script = serving(3);
    for operation in ["A", "B", "C", "D", "E", "F"] {
        script.play(&format!("client->r0 REQUEST {operation}\n everything arrives"));
    }
    script.play(
        "
        100 ms      pass
        // r1 acknowledges n8, and does not hear that it is committed; r2 gets nothing.
        client->r0  REQUEST G
        r0->r1      PREPARE v0 n8
        r1->r0      PREPAREOK v0 n8
        r0          is normal v0 n8 k8 x8
        everything  is lost
        ",
    );
    assert_eq!(script.group.replica(0).probe().kept, [OpNumber(4), OpNumber(8)]);
    assert_eq!(base(&script.group, 0), 0, "nobody else has the checkpoint at 8");
    script.play("100 ms pass");
    assert_eq!(base(&script.group, 0), 4, "two checkpoints of log stay, and no more");
    script.play("everyone has executed ABCDEFG");
    assert_eq!(installed(&script.group), [], "and nobody needed more than the log");
}

/// r1 executes one operation at a time, and takes the checkpoint that all others have while its log is promised to a new view (V11):
/// the log is cut when the view has started, not at the next checkpoint.
#[test]
fn what_could_be_cut_during_a_view_change_is_cut_when_it_ends() {
    let (mut group, session) = group_with(Options { execute_ops_max: 1, ..Script::options() });
    for number in 1..=3 {
        group.execute(0, session, number, "x");
        group.run_for(ms(100));
    }
    // r1 has the log up to 8, and hears last that all of it is committed, and that a quorum has the checkpoint at 8.
    (4..=7).for_each(|number| group.submit(0, session, number, "x"));
    (0..4).for_each(|_| group.deliver(0, 1, "PREPARE"));
    group.lose(|to, _| to == 1);
    group.run_for(ms(150));
    assert_eq!((group.op(1), group.commit(1), group.commit(2), base(&group, 2)), (8, 4, 8, 4));
    group.heal();
    while group.commit(1) == 4 {
        group.now.monotonic = group.now.monotonic.after(ms(1));
        group.input(0, Input::Tick);
        if let Some((_, commit)) = group.hold(|to, _| to == 1).pop() {
            group.input(1, Input::Message(commit));
        }
    }
    assert!(group.replica(1).report().executed < OpNumber(8), "one at a time");
    group.enter_view_change(1, 2);
    (0..8).for_each(|_| group.input(1, Input::Tick));
    assert_eq!(group.replica(1).probe().kept, [OpNumber(4), OpNumber(8)]);
    assert_eq!((group.status(1), base(&group, 1)), (StatusName::ViewChange, 0), "what is promised stays");
    group.enter_view_change(2, 2);
    group.settle();
    assert_eq!((group.status(1), group.view(1), base(&group, 1)), (StatusName::Normal, 2, 4));
}

/// T9. The service of r1 does something else than the others. Its root at the next checkpoint gives it away: it alarms, fetches the
/// state of the quorum, and executes the log above that again.
#[test]
fn t9_a_replica_whose_service_went_another_way_is_repaired() {
    let (mut group, session) = group_with(Script::options());
    for (number, payload) in (1..).zip(["a", "b", "stray 1", "c", "d", "e", "f", "g"]) {
        group.execute(0, session, number, payload);
        group.run_for(ms(100));
    }
    assert_eq!(alarms(&group), [NodeId(1)]);
    let repairs: Vec<_> =
        installed(&group).into_iter().map(|(node, id, is_repair)| (node.0, id.op.0, is_repair)).collect();
    assert_eq!(repairs, [(1, 4, true)], "at the first checkpoint after it");
    assert_eq!(group.journal(1), group.journal(0));
    assert_eq!(root(&group, 1), root(&group, 0));
    assert_eq!(group.view(1), 0, "and the group went on");
}

/// T9, at the primary: it leads no longer. The others choose another view, and it is repaired as their backup.
#[test]
fn t9_a_primary_whose_service_went_another_way_gives_way() {
    let (mut group, session) = group_with(Script::options());
    for (number, payload) in (1..).zip(["a", "stray 0", "b"]) {
        group.execute(0, session, number, payload);
        group.run_for(ms(100));
    }
    assert_eq!(alarms(&group), [NodeId(0)]);
    group.run_for(ms(3_000));
    assert_ne!(group.primary(), 0);
    let primary = group.primary();
    for (number, payload) in (4..).zip(["c", "d", "e"]) {
        group.execute(primary, session, number, payload);
        group.run_for(ms(100));
    }
    assert_eq!((root(&group, 0), group.journal(0)), (root(&group, primary), group.journal(primary)));
}

/// T9 without a quorum of equal roots: nobody can tell who is right. The group says so, and goes on.
#[test]
fn t9_without_a_quorum_of_equal_roots_the_group_alarms_and_goes_on() {
    let (mut group, session) = group_with(Script::options());
    for (number, payload) in (1..).zip(["a", "stray 0", "stray 1", "b", "c"]) {
        group.execute(0, session, number, payload);
        group.run_for(ms(100));
    }
    let differ: Vec<_> = group.events.iter().filter(|(_, event)| matches!(event, Event::RootsDiffer { .. })).collect();
    assert!(matches!(differ[..], [(NodeId(0), Event::RootsDiffer { op: OpNumber(4) })]), "{differ:?}");
    assert_eq!((alarms(&group), installed(&group)), (vec![], vec![]));
    assert_eq!(group.view(0), 0);
}

/// T9. Roots of different checkpoints differ, and mean nothing: who lags behind the quorum, or is ahead of it, is not divergent.
#[test]
fn t9_only_roots_of_the_same_checkpoint_are_compared() {
    let (mut group, session) = group_with(Script::options());
    for number in 1..=20 {
        // Each of the backups is behind in turn.
        group.heal();
        if number % 3 > 0 {
            group.isolate(number % 3);
        }
        group.submit(0, session, number, "x");
        group.run_for(ms(60));
    }
    group.heal();
    group.run_for(ms(500));
    assert_eq!(alarms(&group), []);
    assert!(group.commit(1) == 21 && base(&group, 1) > 8, "and checkpoints were taken");
}
