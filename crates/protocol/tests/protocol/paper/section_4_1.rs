//! 4.1, normal operation.

use crate::common::{CLIENT, Group, ms};
use crate::script::Script;
use viewstamped_protocol::message::{Body, ClientReply};
use viewstamped_protocol::*;

/// "Every message sent from one replica to another contains the sender's current view-number."
#[test]
fn every_message_contains_the_senders_current_view_number() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r1  PREPARE v0
         r1->r0  PREPAREOK v0
         r0 waits 50 ms
         r0->r1  COMMIT v0
         r1->r0  COMMITACK v0
         everything is lost
         r1 grows impatient
         r2 times out
         r2->r1  STARTVIEWCHANGE v0        // a vote for view 1, cast in view 0
         everything is lost
         r1 times out
         r1->r2  STARTVIEWCHANGE v1        // there were two votes
         r2->r1  DOVIEWCHANGE v1
         r1->r2  STARTVIEW v1
         r2->r1  PREPAREOK v1
         everything is lost
         r1 waits 50 ms
         r1->r0  COMMIT v1                 // to one that is still in view 0
         r0->r1  GETSTATE v0
         r1->r0  NEWSTATE v1
         r0->r1  PREPAREOK v1
         r0 crashes
         r0 recovers
         r0->r1  RECOVERY v0               // it knows no view
         r0->r2  RECOVERY v0
         r1->r0  RECOVERYRESPONSE v1
         r2->r0  RECOVERYRESPONSE v1",
    );
}

/// "Replicas only process normal protocol messages containing a view-number that matches the view-number they know. If the sender
/// is behind, the receiver drops the message." Ours drops it, and tells the sender of the view (V2).
#[test]
fn a_message_of_an_earlier_view_is_dropped() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE v0 n2             late (prepare)
         r0 waits 50 ms
         r0->r2  COMMIT v0 n2 k1           late (commit)
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE
         r1->r2  STARTVIEW
         r2->r1  PREPAREOK
         r2 is normal v1 n1 k1
         everything is lost
         prepare arrives
         r2->r0  VIEWHINT v1               lost
         commit arrives
         r2->r0  VIEWHINT v1               lost
         nothing is in flight
         r2 is normal v1 n1 k1",
    );
}

/// "If the sender is ahead, the replica performs a state transfer: it requests information it is missing from the other replicas
/// and uses this information to bring itself up to date before processing the message."
#[test]
fn a_message_of_a_later_view_is_processed_after_a_state_transfer() {
    let mut script = Script::serving(3);
    script.play(
        "r0 enters v1
         r1 enters v1
         r0->r1  DOVIEWCHANGE
         r1->r0  STARTVIEW
         r0->r1  PREPAREOK
         everything is lost
         client->r1  REQUEST A
         r1->r2  PREPARE v1 n2 k1
         r2 is normal v0 n1
         r2->r1  GETSTATE v0 target=v1
         r1->r2  NEWSTATE v1 n2
         r2 is normal v1 n2
         r2->r1  PREPAREOK v1 n2",
    );
}

/// Step 3: "The primary advances op-number, adds the request to the end of the log".
#[test]
fn the_primary_adds_the_request_under_the_next_op_number() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0 is normal v0 n2
         r0 holds A@v0
         client->r0  REQUEST B
         r0 is normal v0 n3
         r0 holds A@v0 B@v0",
    );
}

/// Step 3: it "updates the information for this client in the client-table to contain the new request number, s". Ours notes it
/// beside the table, which only execution changes (N5): the duplicate is not ordered, and the table still says nothing.
#[test]
fn a_request_that_is_being_prepared_is_known_and_not_ordered_again() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         everything is lost
         client->r0  REQUEST A
         nothing is in flight
         r0 is normal v0 n2",
    );
}

/// Step 4: "Then it increments its op-number, adds the request to the end of its log [...] and sends a <PREPAREOK v, n, i> message
/// to the primary to indicate that this operation and all earlier ones have prepared locally."
#[test]
fn a_backup_adds_the_request_and_says_how_far_its_log_reaches() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r1  PREPARE v0 n2
         r1 is normal v0 n2
         r1 holds A@v0
         r1->r0  PREPAREOK v0 n2
         client->r0  REQUEST B
         r0->r1  PREPARE v0 n3
         r1 holds A@v0 B@v0
         r1->r0  PREPAREOK v0 n3",
    );
}

/// Step 5: "at this point it considers the operation (and all earlier ones) to be committed."
#[test]
fn an_acknowledgement_commits_all_earlier_operations() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         r0->r1  PREPARE v0 n2
         r0->r1  PREPARE v0 n3
         r1->r0  PREPAREOK v0 n2           lost
         r0 is normal v0 n3 k1
         r1->r0  PREPAREOK v0 n3
         r0 is normal v0 n3 k3",
    );
}

/// Step 5: "after it has executed all earlier operations (those assigned smaller op-numbers), the primary executes the operation
/// by making an up-call to the service code, and increments its commit-number."
#[test]
fn the_primary_executes_in_the_order_of_op_numbers() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         client->r0  REQUEST C
         r0->r1  PREPARE v0 n2
         r0->r1  PREPARE v0 n3
         r0->r1  PREPARE v0 n4
         r0 has executed nothing
         r1->r0  PREPAREOK v0 n2           lost
         r1->r0  PREPAREOK v0 n3
         r0 is normal v0 n4 k3 x3
         r0 has executed AB
         r1->r0  PREPAREOK v0 n4
         r0 is normal v0 n4 k4 x4
         r0 has executed ABC",
    );
}

/// Step 5: "Then it sends a <REPLY v, s, x> message to the client; here v is the view-number, s is the number the client provided
/// in the request, and x is the result of the up-call."
#[test]
fn the_reply_names_view_request_number_and_result() {
    let (mut group, session) = Group::serving(3);
    group.replies.clear();
    group.submit_in(0, session, 3, 5, "a");
    group.settle();
    let [reply] = &group.replies[..] else { panic!("one reply: {:?}", group.replies) };
    let result = bytes::Bytes::from_static(b"a");
    let expected = ClientReply::Reply { session, slot: 3, number: RequestNumber(5), op: OpNumber(2), result };
    assert_eq!((reply.client, reply.header.view, &reply.body), (CLIENT, ViewNumber(0), &expected));
}

/// Step 7: "When a backup learns of a commit, it waits until it has the request in its log (which may require state transfer) and
/// until it has executed all earlier operations."
#[test]
fn a_backup_that_learns_of_a_commit_waits_until_it_has_the_request() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE v0 n2
         r2->r0  PREPAREOK v0 n2
         client->r0  REQUEST B
         r0->r2  PREPARE v0 n3 k2
         r2->r0  PREPAREOK v0 n3
         r0->r1  PREPARE v0 n2             lost
         r0->r1  PREPARE v0 n3             lost
         r0 waits 50 ms
         r0->r1  COMMIT v0 n3 k3
         r1 is normal v0 n1 k1
         r1 waits 10 ms
         r1->r0  GETSTATE v0 target=v0
         r0->r1  NEWSTATE v0 n3
         r1 is normal v0 n3 k3 x3
         r1 has executed AB",
    );
}

/// Step 7: the backup "updates the client's entry in the client-table": as primary it answers what it executed as a backup.
#[test]
fn a_backup_knows_what_each_client_was_answered() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r1  PREPARE
         r1->r0  PREPAREOK
         r0->client  REPLY v0 A
         r0 waits 50 ms
         r0->r1  COMMIT
         r1 has executed A
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE
         r1->r2  STARTVIEW                 lost
         client->r1  REQUEST A
         r1->client  REPLY v1 A
         r1 is normal v1 n2",
    );
}

/// "The protocol does not require any writing to disk." Nothing is saved while operations are executed and views change.
#[test]
fn operations_and_view_changes_write_nothing_to_disk() {
    let (mut group, session) = Group::serving(3);
    let before = group.identities.clone();
    group.identities.clear();
    for number in 1..=5 {
        group.execute(0, session, number, "x");
    }
    group.isolate(0);
    group.run_for(ms(1_000));
    let primary = group.primary();
    group.execute(primary, session, 6, "x");
    group.heal();
    group.run_for(ms(1_000));
    assert!(group.all_normal() && group.view(0) > 0);
    assert_eq!(
        (before.len(), group.identities.len()),
        (3, 0),
        "identities were saved when the group began, and not since"
    );
}

/// "backups execute operations as soon as they can": "when a replica takes over as primary it is able to respond to new client
/// requests with low delay."
#[test]
fn a_backup_that_takes_over_has_executed_all_it_knows_to_be_committed() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r1  PREPARE v0 n2
         r1->r0  PREPAREOK v0 n2
         client->r0  REQUEST B
         r0->r1  PREPARE v0 n3 k2
         r1 is normal v0 n3 k2 x2          // by the very message that tells it
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE
         r1->r2  STARTVIEW v1 n3
         r2->r1  PREPAREOK v1 n3
         r1->client  REPLY v1 AB           // and one exchange later it has executed the rest
         client->r1  REQUEST C
         r1->r2  PREPARE v1 n4",
    );
}

/// "Backups process PREPARE messages in op-number order": one that comes again is processed once.
#[test]
fn a_prepare_that_comes_twice_is_added_once() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r1  PREPARE v0 n2             twice
         r1 is normal v0 n2
         r1 holds A@v0",
    );
    let acknowledgements = script.group.network.iter().filter(|(_, m)| matches!(m.body, Body::PrepareOk(_)));
    assert_eq!(acknowledgements.count(), 2, "the first may be lost, so it is acknowledged again");
}
