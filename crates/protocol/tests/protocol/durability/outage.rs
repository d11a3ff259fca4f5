//! All members lose their memory at once (docs/deviations.md, C5): the group begins again with the best that the disks hold, when
//! somebody accepts what that may lose.

use std::collections::BTreeSet;

use crate::common::ms;
use crate::script::Script;
use viewstamped_protocol::message::NotServingReason;
use viewstamped_protocol::*;

fn confirm(script: &mut Script) {
    for id in 0..3 {
        script.group.input(id, Input::ForceRecover { without: BTreeSet::new() });
    }
}

fn began_again(script: &Script) -> Vec<(u64, u64)> {
    let began = script.group.events.iter().filter_map(|(node, event)| match event {
        Event::BeganAgain { op, .. } => Some((node.0, op.0)),
        _ => None,
    });
    began.collect()
}

/// A and B are acknowledged; r1's disk has both, r0's only A, r2's neither.
fn power_cut(durability: Durability, cluster_options: ClusterOptions) -> Script {
    let mut script = Script::durable_with(3, cluster_options, durability);
    script.play(
        "
        r2's disk is stuck
        client->r0  REQUEST A
        everything arrives
        r0's disk is stuck
        client->r0  REQUEST B
        everything arrives
        r0 crashes
        r1 crashes
        r2 crashes
        everything is lost
        r0's disk is quick
        r2's disk is quick
        r0 restarts
        r1 restarts
        r2 restarts
        3 s pass
        ",
    );
    script
}

/// Nothing is served before an operator has seen what the disks hold and has accepted the loss of what they do not.
#[test]
fn a_group_that_nobody_remembers_waits_for_its_operator() {
    let mut script = power_cut(Durability::Background, ClusterOptions::default());
    script.play("everyone is recovering");
    let report = |script: &Script, id| script.group.replica(id).report();
    assert_eq!(report(&script, 0).not_serving, Some(NotServingReason::QuorumLost));
    let held: Vec<_> = (0..3).map(|id| report(&script, id).survivor.map(|survivor| survivor.op.0)).collect();
    assert_eq!(held, [Some(2), Some(3), Some(1)]);
    confirm(&mut script);
    script.play(
        "
        5 s pass
        everyone is normal
        everyone has executed AB
        ",
    );
    assert_eq!(began_again(&script), [(1, 3)]);
    let primary = script.group.primary();
    assert_eq!(primary, 1, "the one with the best log leads");
    script.play("client->r1 REQUEST C\n500 ms pass\neveryone has executed ABC");
}

/// What no disk holds is lost, and said to be: the group begins with less than was acknowledged.
#[test]
fn what_no_disk_holds_is_lost_openly() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        r0's disk is stuck
        r1's disk is stuck
        r2's disk is stuck
        client->r0  REQUEST B
        everything arrives
        r0 has executed AB
        r0 crashes
        r1 crashes
        r2 crashes
        everything is lost
        r0's disk is quick
        r1's disk is quick
        r2's disk is quick
        r0 restarts
        r1 restarts
        r2 restarts
        3 s pass
        ",
    );
    confirm(&mut script);
    script.play("5 s pass\neveryone is normal\neveryone has executed A");
    assert_eq!(began_again(&script), [(2, 2)]);
}

/// Those who accept the loss of the last moments beforehand need no operator.
#[test]
fn a_cluster_may_begin_again_by_itself() {
    let options = ClusterOptions { recover_automatically: 1, ..ClusterOptions::default() };
    let mut script = power_cut(Durability::Background, options);
    script.play("3 s pass\neveryone is normal\neveryone has executed AB");
}

/// A disk without a journal says nothing about what there was: that is never taken for an empty cluster without being asked.
#[test]
fn nothing_begins_by_itself_while_a_disk_is_missing() {
    let options = ClusterOptions { recover_automatically: 1, ..ClusterOptions::default() };
    let mut script = Script::durable_with(3, options, Durability::Background);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        r0 crashes
        r1 crashes
        r2 crashes
        ",
    );
    script.group.disk(2).written.clear();
    script.play("r0 restarts\nr1 restarts\nr2 restarts\n10 s pass\neveryone is recovering");
    confirm(&mut script);
    script.play("5 s pass\neveryone is normal\neveryone has executed A");
}

/// The mode that writes nothing has nothing to begin with.
#[test]
fn the_mode_without_a_journal_never_begins_again() {
    let mut script = power_cut(Durability::Replicated, ClusterOptions::default());
    confirm(&mut script);
    script.play("10 s pass\neveryone is recovering");
}

/// One that is merely late may have the only copy of what a quorum committed.
#[test]
fn nothing_begins_while_a_member_is_missing() {
    let mut script = power_cut(Durability::Background, ClusterOptions::default());
    script.play("r1 crashes");
    confirm(&mut script);
    script.play("10 s pass\nr0 is recovering\nr2 is recovering\nr1 restarts");
    confirm(&mut script);
    script.play("5 s pass\neveryone is normal\neveryone has executed AB");
}

/// Unless the operator gives it up: what it alone has is then lost, too.
#[test]
fn the_operator_may_give_up_a_member() {
    let mut script = power_cut(Durability::Background, ClusterOptions::default());
    script.play("r1 crashes");
    for id in [0, 2] {
        script.group.input(id, Input::ForceRecover { without: BTreeSet::from([NodeId(1)]) });
    }
    script.play("10 s pass\nr0 is normal\nr2 is normal\nr0 has executed A\nr2 has executed A");
    assert_eq!(began_again(&script), [(0, 2)]);
}

/// While a quorum remembers there is nothing to force, whatever an operator says.
#[test]
fn nothing_is_forced_while_a_quorum_remembers() {
    let mut script = Script::durable(3, Durability::Background);
    script.play("client->r0 REQUEST A\neverything arrives\nr2 crashes\nr2 restarts");
    confirm(&mut script);
    script.play("3 s pass\neveryone is normal v0 n2\neveryone has executed A");
    assert_eq!(began_again(&script), []);
}

/// Answers from before the outage arrive while the group begins again: they complete no recovery, neither of one that has pledged
/// itself nor of the one that is to lead. It would be normal in a view that nobody else is in, and all the others wait for it.
#[test]
fn an_answer_from_before_the_outage_completes_no_recovery() {
    // Of equal logs r2's is taken: r1 pledges itself, r2 is to lead.
    for (late, other) in [("r1", "r2"), ("r2", "r1")] {
        let mut script = Script::durable(3, Durability::Background);
        script.play("client->r0 REQUEST A\neverything arrives\n2 s pass");
        let schedule = "
            LATE crashes
            LATE restarts
            LATE->r0      RECOVERY v0
            LATE->OTHER   RECOVERY v0
            r0->LATE      RECOVERYRESPONSE v0  late (a)
            OTHER->LATE   RECOVERYRESPONSE v0  late (b)
            r0 crashes
            OTHER crashes
            everything is lost
            r0 restarts
            OTHER restarts
            2 s pass
            ";
        script.play(&schedule.replace("LATE", late).replace("OTHER", other));
        confirm(&mut script);
        script.group.lose(|_, message| message.body.name() == "REVIVEOK");
        script.play("5 s pass\neveryone is recovering\na arrives\nb arrives\n10 ms pass\neveryone is recovering");
        script.play("the network heals\n5 s pass\neveryone is normal\neveryone has executed A");
        assert_eq!(began_again(&script), [(2, 2)]);
    }
}

/// The best one crashes when it has begun, before anybody has joined it: the group begins once more, in a later view.
#[test]
fn the_best_one_may_crash_at_any_moment() {
    for crash_after in (0..3_000).step_by(37) {
        let options = ClusterOptions { recover_automatically: 1, ..ClusterOptions::default() };
        let mut script = Script::durable_with(3, options, Durability::Background);
        script.play("client->r0 REQUEST A\neverything arrives\n2 s pass\nr0 crashes\nr1 crashes\nr2 crashes");
        script.play("everything is lost\nr0 restarts\nr1 restarts\nr2 restarts");
        script.group.latency = ms(7);
        script.group.run_for(ms(crash_after));
        script.play("r2 crashes\n50 ms pass\nr2 restarts\n20 s pass");
        let normal = (0..3).filter(|id| script.group.status(*id) == StatusName::Normal).count();
        assert_eq!(normal, 3, "r2 crashes after {crash_after} ms: {:?}", script.group.events);
        script.play("everyone has executed A");
    }
}
