//! The lives of a node: each has a number of its own, and what an earlier one promised or was told counts for nothing
//! (4.3; docs/deviations.md, C2, C3, C8, C11, C15).

use crate::script::Script;
use viewstamped_protocol::*;

fn incarnation(script: &Script, node: u64) -> u64 {
    script.group.replica(node).report().incarnation.0
}

/// C3: r4 has no counter, and each of its lives asks three others for the last number. The first two get no further than r3; the
/// third asks those who never heard of them, and serves under a number that r3 takes for an old one. r3 ignores it, and has
/// to say why, or r4 would count for nothing at r3 for ever.
#[test]
fn a_live_replica_that_ends_below_what_a_peer_knows_takes_a_higher_number() {
    let mut script = Script::serving(5);
    script.play(
        "r4 crashes
         r4 recovers wiped
         r4->r0  GETINCARNATION
         r4->r1  GETINCARNATION
         r4->r2  GETINCARNATION
         *->r4   KNOWNINCARNATION              // 1, so this is life 2
         r4->r3  RECOVERY
         everything is lost
         r4 crashes
         r4 recovers wiped
         r4->r0  GETINCARNATION
         r4->r1  GETINCARNATION
         r4->r3  GETINCARNATION
         *->r4   KNOWNINCARNATION              // 2, so this is life 3
         r4->r3  RECOVERY
         everything is lost
         r4 crashes
         r4 recovers wiped
         r4->r0  GETINCARNATION
         r4->r1  GETINCARNATION
         r4->r2  GETINCARNATION
         *->r4   KNOWNINCARNATION              // 1, so this is life 2 again
         r4->r3  RECOVERY              lost
         r4->*   RECOVERY
         *->r4   RECOVERYRESPONSE
         r4->r0  GETSTATE
         r0->r4  NEWSTATE
         r4 is normal v0 n1",
    );
    assert_eq!(incarnation(&script, 4), 2, "the first life with this number promised nothing");
    // r4 finds out as soon as it says anything to r3.
    script.play(
        "everything is lost
         r4 times out
         r4->r3  STARTVIEWCHANGE
         r3->r4  STALEINCARNATION
         r4 is recovering
         everything is lost
         1000 ms pass
         everyone is normal",
    );
    assert_eq!(incarnation(&script, 4), 4);
}

/// C15: r2 promised view 1 its log under number 2. Its directory is lost, and formatted again: the counter starts over. Counted
/// as a promise of the new life, the old one would lose A.
#[test]
fn a_promise_from_before_a_directory_was_formatted_again_is_void() {
    let mut script = Script::serving(3);
    script.play(
        "r2 crashes
         r2 recovers
         everything arrives
         everyone is normal v0
         r2 enters v1
         r2->r1  DOVIEWCHANGE                late (promise)
         everything is lost
         r2 crashes",
    );
    script.group.start(2, Some(Identity::formatted(InstanceId(999))));
    script.play(
        "everything arrives
         r2 is normal v0
         client->r0  REQUEST A
         r0->r2  PREPARE
         r2->r0  PREPAREOK
         r0->client  REPLY v0 A
         everything is lost
         promise arrives",
    );
    assert_eq!(incarnation(&script, 2), 3, "not 2 once more");
    script.play(
        "r1->r2  STALEINCARNATION          // and r1 does not join, nor count it
         r1 is normal v0
         5 s pass
         everyone has executed A",
    );
}

/// 4.3 step 3: "all containing the nonce it sent in its RECOVERY message". Two lives of r2 have the same number, because an old
/// copy of its directory was put back; an answer to the first one tells the second what was true before A.
#[test]
fn an_answer_to_another_nonce_counts_for_nothing_even_under_the_same_incarnation() {
    let mut script = Script::serving(3);
    let copy = script.group.identities[&NodeId(2)].clone();
    script.play(
        "r2 crashes
         r2 recovers
         r2->*   RECOVERY
         r0->r2  RECOVERYRESPONSE          copied (of-r0)
         r1->r2  RECOVERYRESPONSE          copied (of-r1)
         everything arrives
         r2 is normal v0 n1
         client->r0  REQUEST A
         r0->r2  PREPARE
         r2->r0  PREPAREOK
         r0->client  REPLY v0 A
         r2 crashes
         everything is lost",
    );
    script.group.start(2, Some(copy));
    script.play(
        "everything is lost
         of-r0 arrives
         of-r1 arrives
         nothing is in flight              // it asks nobody for a log
         r2 is recovering
         2 s pass
         r2 has executed A",
    );
    assert_eq!(incarnation(&script, 2), 3);
}

/// C8: whatever a replica did before it crashed it has forgotten, and it computes anew what of it still holds: it acknowledges
/// the log it has now, in the view it is in now, and suspects nobody that its earlier life suspected.
#[test]
fn a_recovered_replica_assumes_nothing_of_its_earlier_life() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE v0 n2
         r2->r0  PREPAREOK v0 n2           lost
         r2 times out
         r2->*   STARTVIEWCHANGE v0 candidate=v1 votes=[r2]  lost
         r2 crashes
         r2 recovers
         r2->*   RECOVERY
         *->r2   RECOVERYRESPONSE
         r2->r0  GETSTATE
         r0->r2  NEWSTATE
         r2 is normal v0 n2 k1
         r2->r0  PREPAREOK v0 n2
         r0->client  REPLY v0 A
         r2 waits 300 ms",
    );
    let votes = script.in_flight().into_iter().filter(|line| line.contains("STARTVIEWCHANGE"));
    assert_eq!(votes.count(), 0, "it waits as long as anybody before it suspects the primary");
}

/// C8: a replica that must recover once more, because its number was taken, begins from nothing: what it has executed as well.
#[test]
fn a_replica_that_has_to_recover_once_more_forgets_everything() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         everything arrives
         100 ms pass
         r2 has executed A",
    );
    let header = script.group.header(1);
    let stale = message::StaleIncarnation { node: NodeId(2), known: Incarnation(7), nonce: Nonce(0) };
    script.group.input(2, Input::Message(Message { header, body: message::Body::StaleIncarnation(stale) }));
    script.play(
        "r2 is recovering v0 n0 k0 x0
         r2 has executed nothing
         1000 ms pass
         r2 has executed A",
    );
    assert_eq!(incarnation(&script, 2), 8);
}

/// C11: mail from the sender's earlier life, in a late copy or on a connection that outlived it, is not taken for the present one's.
#[test]
fn mail_from_an_earlier_life_of_its_sender_is_ignored() {
    let mut script = Script::serving(3);
    script.play(
        "r2 times out
         r2->r1  STARTVIEWCHANGE           late (vote)
         everything is lost
         r2 crashes
         r2 recovers
         everything arrives
         everyone is normal v0
         vote arrives
         r1->r2  STALEINCARNATION          // it is answered, for the sender's sake, but neither kept nor passed on
         nothing is in flight",
    );
    let ignored = script.group.replica(1).ignored().find(|(reason, _)| *reason == Ignored::StaleIncarnation);
    assert_eq!(ignored, Some((Ignored::StaleIncarnation, 1)));
}

/// C11: mail for the receiver's earlier life. r0 led view 0 and lost its memory; acknowledgements meant for that life reach it
/// when it leads again, and has other operations under the same numbers: only r0 and r3 hold B, and three must.
#[test]
fn mail_for_an_earlier_life_of_its_receiver_is_ignored() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A
         r0->r1  PREPARE v0 n2
         r1->r0  PREPAREOK v0 n2           late (old)
         everything is lost
         r0 crashes
         r1 crashes
         r2 enters v2
         r3 enters v2
         r4 enters v2
         r3->r2  DOVIEWCHANGE
         r4->r2  DOVIEWCHANGE
         r2->*   STARTVIEW
         everything is lost
         r0 recovers
         everything arrives
         r0 is normal v2 n1
         r0 enters v5
         r3 enters v5
         r4 enters v5
         r3->r0  DOVIEWCHANGE
         r4->r0  DOVIEWCHANGE
         r0->r3  STARTVIEW
         r3->r0  PREPAREOK v5 n1
         everything is lost
         client->r0  REQUEST B
         r0->r3  PREPARE v5 n2
         r3->r0  PREPAREOK v5 n2
         old arrives
         r0 is normal v5 n2 k1",
    );
}
