//! The schedules with which a model checker broke the paper's rules, or weaker forms of ours: each loses an acknowledged
//! operation when its repair is taken away (mutants/), and must not with it. docs/deviations.md tells what each is about.
//!
//! Views 0, 1 and 2 are led by r0, r1 and r2. The notation is explained in script/mod.rs.

use crate::script::Script;

/// The network heals; then everyone has executed A.
#[track_caller]
fn assert_survives(script: &mut Script) {
    script.play(
        "
        everything is lost
        the network heals
        20 s pass
        everyone is normal
        everyone has executed A
        ",
    );
}

/// Trace A (4.3, 8.2; C1): the paper argues that a quorum knows of a view change before anyone promises anything; but those
/// who know may crash, and forget. Two crashes, never two replicas down at once.
#[test]
fn trace_a_a_crash_does_not_bring_an_old_promise_back_to_life() {
    let mut script = Script::serving(3);
    script.play(
        "
        // r1 votes for view 1; only r2 hears of it. r1 crashes, and recovers in view 0.
        r2          grows impatient
        r1          times out
        r1->r2      STARTVIEWCHANGE v0 candidate=v1 votes=[r1]
        everything  is lost
        r1          crashes
        r1          recovers
        r1->*       RECOVERY
        *->r1       RECOVERYRESPONSE v0
        r1->r0      GETSTATE v0
        r0->r1      NEWSTATE v0 n1
        r1          is normal v0
        everything  is lost
        // r2 suspects, too, and promises view 1 its log; the promise is late. r2 crashes, and recovers in view 0.
        r2          times out
        r2          is view-change v1
        r2->r1      STARTVIEWCHANGE v1 candidate=v1 votes=[r2] confirmed   late (m1)
        r2->r1      DOVIEWCHANGE v1 n1                                   late (m2)
        everything  is lost
        r2          crashes
        r2          recovers
        r2->*       RECOVERY
        *->r2       RECOVERYRESPONSE v0
        r2->r0      GETSTATE
        r0->r2      NEWSTATE v0 n1
        r2          is normal v0
        everything  is lost
        // r0 commits an operation with r2.
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2 k1   lost
        r0->r2      PREPARE v0 n2 k1
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        // Now the old promise arrives at r1.
        m1          arrives
        m2          arrives
        r1          is normal v0
        ",
    );
    assert_survives(&mut script);
}

/// Trace B (5.2; T1): a replica that hears of a later view cuts its log, as the paper says, and then takes part in another
/// view change before it was filled up again. No crash at all.
#[test]
fn trace_b_hearing_of_a_later_view_forgets_nothing() {
    let mut script = Script::serving(3);
    script.play(
        "
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2 k1
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        // View 1 is started from the logs of r0 and r1.
        r0          enters v1
        r0->r1      DOVIEWCHANGE v1 n2
        r1          is normal v1 n2
        everything  is lost
        // r2 hears of view 1 by a heartbeat; nobody answers its question for the log.
        r1          waits 1 ms
        r1->r2      COMMIT v1
        r2->r1      GETSTATE v0 target=v1   lost
        everything  is lost
        r2          is normal v0 n2     // What r2 has acknowledged is still in its log.
        // r0, still in the view change, and r2 want view 2, which r2 leads.
        r0          times out
        everything  is lost
        r2          times out
        r2->r0      STARTVIEWCHANGE v0 candidate=v2 votes=[r2]
        r0->r2      STARTVIEWCHANGE v2 candidate=v2 votes=[r0] confirmed
        r0->r2      DOVIEWCHANGE v2 n2
        r2          is normal v2 n2
        r2          holds A@v0
        ",
    );
    assert_survives(&mut script);
}

/// Trace C: votes bind nobody, so the helpers of a recovery may be normal although a promise was made. Without crash vectors
/// a single crash loses an operation.
#[test]
fn trace_c_votes_that_bind_nobody_need_crash_vectors() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          grows impatient
        r1          times out
        r1->r2      STARTVIEWCHANGE v0 candidate=v1 votes=[r1]
        r2          times out
        r2->r1      DOVIEWCHANGE v1 n1   late (m)
        everything  is lost
        r1          is normal v0            // Votes bind nobody.
        client->r0  REQUEST A
        everything  is lost
        r2          crashes
        r2          recovers
        r2->*       RECOVERY
        *->r2       RECOVERYRESPONSE v0
        r2->r0      GETSTATE
        r0->r2      NEWSTATE v0 n2
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        m           arrives
        r1          is normal v0
        ",
    );
    assert_survives(&mut script);
}

/// Trace D: crash vectors must be compared among RECOVERYRESPONSEs, too. Five replicas, two crashes that overlap.
#[test]
fn trace_d_answers_from_before_a_helpers_crash_do_not_complete_a_recovery() {
    let mut script = Script::serving(5);
    script.play(
        "
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1   late (promise)
        // r1 answers r2's RECOVERY, then crashes itself, and recovers with the help of those who have not heard of r2's.
        r2          crashes
        r2          recovers
        r2->r1      RECOVERY
        r2->r0      RECOVERY                   late (x0)
        r2->r3      RECOVERY                   late (x3)
        r1->r2      RECOVERYRESPONSE v0        late (early)
        everything  is lost
        r1          crashes
        r1          recovers
        r1->r2      RECOVERY                   lost
        r1->*       RECOVERY
        *->r1       RECOVERYRESPONSE v0
        r1->r0      GETSTATE
        r0->r1      NEWSTATE v0 n1
        r1          is normal v0
        everything  is lost
        // r1 goes to view 1; it holds r2's old promise.
        r1          enters v1
        promise     arrives
        r1          is view-change v1
        // Only now do r0 and r3 answer r2, who would finish with r1's answer of before its crash.
        client->r0  REQUEST A
        r0->r3      PREPARE v0 n2 k1
        r3->r0      PREPAREOK v0 n2
        everything  is lost
        x0          arrives
        x3          arrives
        early       arrives
        r3->r2      RECOVERYRESPONSE v0
        r0->r2      RECOVERYRESPONSE v0
        r2          is recovering           // Else it would acknowledge A, and the client would be told.
        nothing     is in flight
        // So view 1 may start without A, of which only r0 and r3 hold a copy.
        r4          enters v1
        r4->r1      DOVIEWCHANGE v1 n1
        r1          is normal v1 n1
        everything  is lost
        the network heals
        20 s pass
        everyone    is normal
        everyone    has executed nothing
        ",
    );
}

/// Trace E: a recovered replica must know what its helpers knew of other crashes before it acts. Two crashes, one at a time.
#[test]
fn trace_e_a_recovered_replica_knows_the_incarnations_its_helpers_knew() {
    let mut script = Script::serving(3);
    script.play(
        "
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1   late (promise)
        r2          crashes
        r2          recovers
        r2->*       RECOVERY
        *->r2       RECOVERYRESPONSE v0
        r2->r0      GETSTATE
        r0->r2      NEWSTATE v0 n1
        r2          is normal v0
        everything  is lost
        r1          crashes
        r1          recovers
        r1->*       RECOVERY
        *->r1       RECOVERYRESPONSE v0
        r1->r0      GETSTATE
        r0->r1      NEWSTATE v0 n1
        r1          is normal v0
        everything  is lost
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2 k1
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        r1          enters v1
        promise     arrives
        r1          is view-change v1 n1
        ",
    );
    assert_survives(&mut script);
}

/// Trace F: the new primary may never have heard of a crash that voids a promise; only another member's vector tells. Five
/// replicas, one crash.
#[test]
fn trace_f_the_promises_of_a_quorum_are_compared_with_each_other() {
    let mut script = Script::serving(5);
    script.play(
        "
        r2          enters v1
        r2->r1      DOVIEWCHANGE v1 n1   late (promise)
        r1          enters v1
        client->r0  REQUEST A
        r0->r4      PREPARE v0 n2 k1
        r4->r0      PREPAREOK v0 n2
        everything  is lost
        r2          crashes
        r2          recovers
        r2->r1      RECOVERY             lost
        r2->*       RECOVERY
        *->r2       RECOVERYRESPONSE v0
        r2->r0      GETSTATE
        r0->r2      NEWSTATE v0 n2
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything  is lost
        r3          enters v1
        r3->r1      DOVIEWCHANGE v1 n1
        promise     arrives
        r1          is view-change v1 n1
        ",
    );
    assert_survives(&mut script);
}
