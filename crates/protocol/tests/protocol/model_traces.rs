//! The schedules with which a model checker broke the paper's rules, or weaker forms of ours: each loses an acknowledged
//! operation when its repair is taken away (mutants/), and must not with it. docs/deviations.md tells what each is about.
//!
//! Views 0, 1 and 2 are led by r0, r1 and r2.

use crate::script::Script;
use viewstamped_protocol::StatusName;

/// No view has started without what was acknowledged, and after the network has healed it is there at every replica.
#[track_caller]
fn assert_survives(mut script: Script, operation: &str) {
    let was_answered = script.is_answered();
    let (committed, hash) = {
        let r0 = script.group.replica(0).probe();
        (r0.commit, r0.log.hash_at(r0.commit).expect("in the log"))
    };
    for replica in script.group.replicas.values().map(|replica| replica.probe()) {
        let started_later = replica.status == StatusName::Normal && replica.view.0 > 0;
        assert!(
            !was_answered || !started_later || replica.log.matches(committed, hash),
            "{} has started without {committed}, which the client was told is done",
            replica.view
        );
    }
    for journal in script.heal() {
        assert!(
            !was_answered || journal == operation,
            "the client was told that {operation} is done; now: {journal:?}"
        );
    }
}

/// Trace A (4.3, 8.2; C1): the paper argues that a quorum knows of a view change before anyone promises anything; but those
/// who know may crash, and forget. Two crashes, never two replicas down at once.
#[test]
fn trace_a_a_crash_does_not_bring_an_old_promise_back_to_life() {
    let mut script = Script::serving(3);
    // r1 votes for view 1; only r2 hears of it. r1 crashes, and recovers in view 0.
    script.grow_impatient(2);
    script.time_out(1);
    script.deliver(1, 2, "STARTVIEWCHANGE");
    script.lose_all();
    script.crash_and_recover(1);
    script.answer_recovery(1, 0);
    script.answer_recovery(1, 2);
    script.finish_recovery(1, &[0, 2]);
    assert_eq!(script.group.replica(1).report().status, StatusName::Normal);
    script.lose_all();
    // r2 suspects, too, and promises view 1 its log; the promise is late. r2 crashes, and recovers in view 0.
    script.time_out(2);
    let confirmed = script.hold(2, 1, "STARTVIEWCHANGE");
    let promise = script.hold(2, 1, "DOVIEWCHANGE");
    script.lose_all();
    script.crash_and_recover(2);
    script.answer_recovery(2, 0);
    script.answer_recovery(2, 1);
    script.finish_recovery(2, &[0, 1]);
    assert_eq!(script.group.replica(2).report().status, StatusName::Normal);
    script.lose_all();
    // r0 commits an operation with r2.
    script.prepare("A");
    script.deliver(0, 2, "PREPARE");
    script.deliver(2, 0, "PREPAREOK");
    assert!(script.is_answered());
    script.lose_all();
    // Now the old promise arrives at r1.
    script.deliver_held(1, &confirmed);
    script.deliver_held(1, &promise);
    assert_survives(script, "A");
}

/// Trace B (5.2; T1): a replica that hears of a later view cuts its log, as the paper says, and then takes part in another
/// view change before it was filled up again. No crash at all.
#[test]
fn trace_b_hearing_of_a_later_view_forgets_nothing() {
    let mut script = Script::serving(3);
    script.prepare("A");
    script.deliver(0, 2, "PREPARE");
    script.deliver(2, 0, "PREPAREOK");
    assert!(script.is_answered());
    script.lose_all();
    // View 1 is started from the logs of r0 and r1.
    script.grow_impatient(1);
    script.time_out(2);
    script.deliver(2, 1, "STARTVIEWCHANGE");
    script.lose_all();
    script.time_out(1);
    script.deliver(1, 0, "STARTVIEWCHANGE");
    script.deliver(0, 1, "DOVIEWCHANGE");
    assert_eq!(script.group.replica(1).report().status, StatusName::Normal);
    script.lose_all();
    // r2 hears of view 1 by a heartbeat; nobody answers its question for the log.
    script.tick(1);
    script.deliver(1, 2, "COMMIT");
    script.lose_all();
    // A new primary refuses a log that lacks what some member knows to be committed; here that would hide the loss.
    assert_eq!(script.group.replica(2).report().op.0, 2, "what r2 has acknowledged is still in its log");
    // r0, still in the view change, and r2 want view 2, which r2 leads.
    script.time_out(0);
    script.drop_from(0, "DOVIEWCHANGE");
    script.lose_all();
    script.time_out(2);
    script.deliver(2, 0, "STARTVIEWCHANGE");
    script.deliver(0, 2, "STARTVIEWCHANGE");
    if script.group.replica(0).report().view.0 == 2 {
        script.deliver(0, 2, "DOVIEWCHANGE");
    }
    assert_eq!(script.group.replica(2).report().view.0, 2);
    script.lose_all();
    assert_survives(script, "A");
}

/// Trace C: votes bind nobody, so the helpers of a recovery may be normal although a promise was made. Without crash vectors
/// a single crash loses an operation.
#[test]
fn trace_c_votes_that_bind_nobody_need_crash_vectors() {
    let mut script = Script::serving(3);
    script.enter_view_change(2, &[1]);
    let promise = script.hold(2, 1, "DOVIEWCHANGE");
    script.lose_all();
    script.prepare("A");
    script.lose_all();
    script.crash_and_recover(2);
    script.answer_recovery(2, 0);
    script.answer_recovery(2, 1);
    script.finish_recovery(2, &[0, 1]);
    script.deliver(2, 0, "PREPAREOK");
    assert!(script.is_answered());
    script.lose_all();
    script.deliver_held(1, &promise);
    assert_survives(script, "A");
}

/// Trace D: crash vectors must be compared among RECOVERYRESPONSEs, too. Five replicas, two crashes that overlap.
#[test]
fn trace_d_answers_from_before_a_helpers_crash_do_not_complete_a_recovery() {
    let mut script = Script::serving(5);
    script.enter_view_change(2, &[1, 4]);
    let promise = script.hold(2, 1, "DOVIEWCHANGE");
    script.lose_all();
    // r1 answers r2's RECOVERY, then crashes itself, and recovers with the help of those who have not heard of r2's.
    script.crash_and_recover(2);
    script.answer_recovery(2, 1);
    let of_r2 = [script.hold(2, 0, "RECOVERY"), script.hold(2, 3, "RECOVERY")];
    let early_answer = script.hold(1, 2, "RECOVERYRESPONSE");
    script.lose_all();
    script.crash_and_recover(1);
    for helper in [0, 3, 4] {
        script.answer_recovery(1, helper);
    }
    script.finish_recovery(1, &[0, 3, 4]);
    assert_eq!(script.group.replica(1).report().status, StatusName::Normal);
    script.lose_all();
    // r1 and r4 go to view 1; r1 holds r2's old promise.
    script.enter_view_change(1, &[3, 4]);
    script.lose_all();
    script.deliver_held(1, &promise);
    // Only now do r0 and r3 answer r2, who finishes with r1's answer of before its crash.
    script.prepare("A");
    script.deliver(0, 3, "PREPARE");
    script.deliver(3, 0, "PREPAREOK");
    script.lose_all();
    script.deliver_held(0, &of_r2[0]);
    script.deliver_held(3, &of_r2[1]);
    script.deliver_held(2, &early_answer);
    script.finish_recovery(2, &[3, 0]);
    if script.group.replica(2).report().status == StatusName::Normal {
        script.deliver(2, 0, "PREPAREOK");
    }
    script.lose_all();
    script.enter_view_change(4, &[3, 0]);
    script.deliver(4, 1, "DOVIEWCHANGE");
    assert_survives(script, "A");
}

/// Trace E: a recovered replica must know what its helpers knew of other crashes before it acts. Two crashes, one at a time.
#[test]
fn trace_e_a_recovered_replica_knows_the_incarnations_its_helpers_knew() {
    let mut script = Script::serving(3);
    script.enter_view_change(2, &[1]);
    let promise = script.hold(2, 1, "DOVIEWCHANGE");
    script.lose_all();
    for (node, helpers) in [(2, [0, 1]), (1, [0, 2])] {
        script.crash_and_recover(node);
        for helper in helpers {
            script.answer_recovery(node, helper);
        }
        script.finish_recovery(node, &helpers);
        assert_eq!(script.group.replica(node).report().status, StatusName::Normal);
        script.lose_all();
    }
    script.prepare("A");
    script.deliver(0, 2, "PREPARE");
    script.deliver(2, 0, "PREPAREOK");
    assert!(script.is_answered());
    script.lose_all();
    script.enter_view_change(1, &[2]);
    script.deliver_held(1, &promise);
    assert_survives(script, "A");
}

/// Trace F: the new primary may never have heard of a crash that voids a promise; only another member's vector tells. Five
/// replicas, one crash.
#[test]
fn trace_f_the_promises_of_a_quorum_are_compared_with_each_other() {
    let mut script = Script::serving(5);
    script.enter_view_change(2, &[3, 4]);
    let promise = script.hold(2, 1, "DOVIEWCHANGE");
    script.lose_all();
    script.enter_view_change(1, &[3, 4]);
    script.lose_all();
    script.prepare("A");
    script.deliver(0, 4, "PREPARE");
    script.deliver(4, 0, "PREPAREOK");
    script.lose_all();
    script.crash_and_recover(2);
    for helper in [0, 3, 4] {
        script.answer_recovery(2, helper);
    }
    script.finish_recovery(2, &[0, 3, 4]);
    script.deliver(2, 0, "PREPAREOK");
    assert!(script.is_answered());
    script.lose_all();
    script.enter_view_change(3, &[4, 0]);
    script.deliver(3, 1, "DOVIEWCHANGE");
    script.deliver_held(1, &promise);
    assert_survives(script, "A");
}
