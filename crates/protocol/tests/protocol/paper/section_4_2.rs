//! 4.2, view changes. With f = 1 unless a test says otherwise; view 1 is led by r1.

use crate::common::Group;
use crate::script::Script;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// "Normally the primary is sending PREPARE messages, but if it is idle (due to no requests) it sends COMMIT messages instead."
#[test]
fn an_idle_primary_sends_commit_messages_instead() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->*   PREPARE                   lost
         r0 waits 49 ms
         nothing is in flight              // the PREPARE was sign of life enough
         r0 waits 1 ms
         r0->r1  COMMIT v0
         r0->r2  COMMIT v0
         r0->*   PREPARE                   lost // sent again, for nobody has acknowledged it
         r0 waits 50 ms
         r0->r1  COMMIT v0
         r0->r2  COMMIT v0",
    );
}

/// "If a timeout expires without a communication from the primary, the replicas carry out a view change to switch to a new
/// primary." Any message of the primary puts it off.
#[test]
fn silence_of_the_primary_for_a_timeout_and_no_less_starts_a_view_change() {
    let wants_a_view_change = |script: &Script| script.in_flight().iter().any(|line| line.contains("STARTVIEWCHANGE"));
    for kind in ["COMMIT", "PREPARE"] {
        let mut script = Script::serving(3);
        script.play("r1 waits 340 ms");
        if kind == "PREPARE" {
            script.play("client->r0 REQUEST A");
        } else {
            script.play("r0 waits 50 ms");
        }
        script.play(&format!("r0->r1 {kind}\n everything is lost\n r1 waits 340 ms"));
        assert!(!wants_a_view_change(&script), "{kind} was heard");
        script.play("r1 waits 100 ms");
        assert!(wants_a_view_change(&script), "nothing was heard since");
    }
}

/// "every operation that has been executed by means of an up-call to the service code at one of the replicas must survive into the
/// new view in the same order selected for it at the time it was executed. This up-call is performed at the old primary first".
#[test]
fn what_the_old_primary_alone_executed_survives_in_the_same_order() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         r0->r2  PREPARE v0 n2
         r0->r2  PREPARE v0 n3
         r2->r0  PREPAREOK v0 n2           lost
         r2->r0  PREPAREOK v0 n3
         r0 has executed AB
         r1 has executed nothing
         r2 has executed nothing
         everything is lost
         r0 crashes
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE v1 n3 k1
         r1->r2  STARTVIEW v1 n3
         r2->r1  PREPAREOK v1 n3
         r1 has executed AB
         r1->client  REPLY v1 A
         r1->client  REPLY v1 AB",
    );
}

/// "the view change protocol obtains information from the logs of at least f + 1 replicas"; step 3: "When the new primary receives
/// f + 1 DOVIEWCHANGE messages from different replicas (including itself)". K - f, in groups of an even size (N7).
#[test]
fn a_view_starts_from_the_logs_of_a_quorum_of_different_replicas() {
    for (size, quorum) in [(3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
        let (mut group, _) = Group::serving(size);
        group.run_for(std::time::Duration::from_millis(100));
        group.enter_view_change(1, 1);
        for (place, id) in (2..size).chain([0]).take(quorum - 1).enumerate() {
            group.enter_view_change(id, 1);
            let promise = group.take(id, 1, "DOVIEWCHANGE");
            assert_eq!(group.status(1), StatusName::ViewChange, "{size} replicas, {} promises", place + 1);
            group.input(1, Input::Message(promise.clone()));
            group.input(1, Input::Message(promise));
        }
        assert_eq!((group.status(1), group.view(1)), (StatusName::Normal, 1), "{size} replicas");
    }
}

/// "operation 25 might have been preparing when the view change happened, but none of the replicas that knew about it participated
/// in the view change protocol [...]. In this case, the new primary might assign this number to a different operation." "the one
/// assigned a number in the later view prevails."
#[test]
fn a_number_that_nobody_knows_of_is_assigned_again_and_the_later_view_prevails() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A             // nobody hears of it
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE v1 n1
         r1->r2  STARTVIEW v1 n1
         everything is lost
         client->r1  REQUEST B
         r1->r2  PREPARE v1 n2
         r2->r1  PREPAREOK v1 n2
         r1->client  REPLY v1 B
         everything is lost
         r0 holds A@v0
         1 s pass
         everyone is normal v1 n2 k2
         r0 holds B@v1
         everyone has executed B",
    );
}

/// "Operations that had not committed might also survive [...]: it is beneficial to have as many operations survive as possible."
#[test]
fn an_operation_that_had_not_committed_survives_if_a_participant_has_it() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A
         r0->r3  PREPARE v0 n2             // two of five: not committed
         everything is lost
         r0 crashes
         r1 enters v1
         r2 enters v1
         r3 enters v1
         r2->r1  DOVIEWCHANGE v1 n1
         r3->r1  DOVIEWCHANGE v1 n2
         r1 is normal v1 n2
         r1 holds A@v0",
    );
}

/// Step 1: "A replica i that notices the need for a view change advances its view-number, sets its status to view-change, and sends
/// a <STARTVIEWCHANGE v, i> message to the all other replicas". Ours votes, and does all that once a quorum has voted (V7).
#[test]
fn a_replica_that_knows_of_a_quorum_of_votes_enters_the_view_change_and_tells_all() {
    let mut script = Script::serving(3);
    script.play(
        "r2 grows impatient
         r1 times out
         r1 is normal v0
         r1->*   STARTVIEWCHANGE v0 candidate=v1 votes=[r1]
         r2 is normal v0
         everything is lost
         r2 times out
         r2 is view-change v1
         r2->r0  STARTVIEWCHANGE v1 candidate=v1 votes=[r2] confirmed
         r2->r1  STARTVIEWCHANGE v1 candidate=v1 votes=[r2] confirmed
         r0 is view-change v1
         r1 is view-change v1",
    );
}

/// Step 2: "it sends a <DOVIEWCHANGE v, l, v', n, k, i> message to the node that will be the primary in the new view. Here v is its
/// view-number, l is its log, v' is the view number of the latest view in which its status was normal, n is the op-number, and k is
/// the commit-number."
#[test]
fn a_do_view_change_describes_the_log_to_the_new_primary() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE v0 n2 k1
         everything is lost
         r0 enters v1
         r2 enters v1
         r0->r1  DOVIEWCHANGE v1 n2 k1 v'=0
         everything is lost
         r2 enters v3",
    );
    assert_eq!(script.in_flight().len(), 1, "one, and to nobody else: {:?}", script.in_flight());
    script.play("r2->r0  DOVIEWCHANGE v3 n2 k1 v'=0 l=[n1@v0..n2@v0]");
}

/// Step 2: "When replica i receives STARTVIEWCHANGE messages for its view-number from f other replicas": f others and itself, K - f in
/// groups of an even size (N7).
#[test]
fn votes_of_f_others_and_its_own_make_a_replica_promise_its_log() {
    for (size, others) in [(3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
        let mut script = Script::serving(size);
        let last = size - 1;
        script.play(&format!("r{last} times out\n everything is lost"));
        for voter in 1..=others {
            script.play(&format!("r{last} is normal v0\n r{voter} times out\n r{voter}->r{last} STARTVIEWCHANGE"));
            script.play("everything is lost\n");
            if voter < others {
                script.play(&format!("r{last} waits 100 ms\n everything is lost"));
            }
        }
        script.play(&format!("r{last} is view-change v1"));
    }
}

/// Step 3: the new primary "sets its view-number to that in the messages [...]. It sets its op-number to that of the topmost entry
/// in the new log, sets its commit-number to the largest such number it received in the DOVIEWCHANGE messages, changes its status
/// to normal, and informs the other replicas [...] by sending <STARTVIEW v, l, n, k> messages".
#[test]
fn the_new_primary_takes_over_the_largest_commit_number_and_tells_all_of_the_new_log() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         r0->r2  PREPARE v0 n2
         r0->r3  PREPARE v0 n2
         r0->r3  PREPARE v0 n3
         r2->r0  PREPAREOK v0 n2
         r3->r0  PREPAREOK v0 n2
         r0 waits 50 ms
         r0->r2  COMMIT v0 n3 k2
         r2 is normal v0 n2 k2
         everything is lost
         r1 enters v1
         r2 enters v1
         r3 enters v1
         r2->r1  DOVIEWCHANGE v1 n2 k2
         r3->r1  DOVIEWCHANGE v1 n3 k1
         r1 is normal v1 n3 k2
         r1->r0  STARTVIEW v1 n3 k2 l=[n2@v0..n3@v0]
         r1->r2  STARTVIEW v1 n3 k2 l=[n2@v0..n3@v0]
         r1->r3  STARTVIEW v1 n3 k2 l=[n2@v0..n3@v0]
         r1->r4  STARTVIEW v1 n3 k2 l=[n2@v0..n3@v0]",
    );
}

/// Step 4: "The new primary starts accepting client requests. It also executes (in order) any committed operations that it hadn't
/// executed previously, updates its client table, and sends the replies to the clients."
#[test]
fn the_new_primary_executes_what_is_committed_answers_the_clients_and_accepts_requests() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         r0->r2  PREPARE v0 n2
         r0->r2  PREPARE v0 n3
         r2->r0  PREPAREOK v0 n3
         r0 waits 50 ms
         r0->r2  COMMIT v0 n3 k3
         everything is lost
         r0 crashes
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE v1 n3 k3
         r1 is normal v1 n3 k3 x3
         r1 has executed AB
         r1->client  REPLY v1 A
         r1->client  REPLY v1 AB
         client->r1  REQUEST B             // the table is up to date
         r1->client  REPLY v1 AB
         client->r1  REQUEST C
         r1 is normal v1 n4",
    );
}

/// Step 5: "When other replicas receive the STARTVIEW message, they replace their log with the one in the message, set their
/// op-number to that of the latest entry in the log, set their view-number to the view number in the message, change their status
/// to normal". "Then they execute all operations known to be committed that they haven't executed previously".
#[test]
fn a_start_view_brings_log_op_number_view_and_what_is_committed() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A             // r0 alone has A
         everything is lost
         r1 enters v1
         r2 enters v1
         r3 enters v1
         r2->r1  DOVIEWCHANGE
         r3->r1  DOVIEWCHANGE
         r1->r2  STARTVIEW v1
         r1->r3  STARTVIEW v1
         everything is lost
         client->r1  REQUEST B
         r1->r2  PREPARE v1 n2
         r1->r3  PREPARE v1 n2
         r2->r1  PREPAREOK v1 n2
         r3->r1  PREPAREOK v1 n2
         client->r1  REQUEST C
         r1->r2  PREPARE v1 n3 k2
         r1 is normal v1 n3 k2
         everything is lost
         r0 enters v2
         r2 enters v2
         r4 enters v2
         r0->r2  DOVIEWCHANGE v2 n2 k1 v'=0
         r4->r2  DOVIEWCHANGE v2 n1 k1 v'=0
         r0 is view-change v2 n2 k1
         r2->r0  STARTVIEW v2 n3 k2
         r0 is normal v2 n3 k2 x2 v'=2
         r0 holds B@v1 C@v1                // A is gone
         r0 has executed B",
    );
}

/// Step 5: "If there are non-committed operations in the log, they send a <PREPAREOK v, n, i> message to the primary; here n is the
/// op-number." Ours do in any case: it tells the primary what they hold.
#[test]
fn whoever_installs_a_view_acknowledges_its_whole_log() {
    for request in ["", "client->r0 REQUEST A"] {
        let mut script = Script::serving(3);
        script.play(request);
        let top = if request.is_empty() { "n1" } else { "n2" };
        script.play(&format!(
            "everything is lost
             r0 enters v1
             r1 enters v1
             r0->r1  DOVIEWCHANGE v1 {top}
             r1->r2  STARTVIEW v1 {top}
             r2->r1  PREPAREOK v1 {top}"
        ));
    }
}

/// Step 5: they "update the information in their client-table": what was only being prepared, and did not survive, is forgotten
/// (N5), and what did is known to the next primary.
#[test]
fn with_a_new_log_a_replica_knows_other_requests_in_flight() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A             // r0 alone knows of it
         everything is lost
         r1 enters v1
         r2 enters v1
         r2->r1  DOVIEWCHANGE v1 n1
         r1->r0  STARTVIEW v1 n1
         everything is lost
         client->r1  REQUEST B
         r1->r0  PREPARE v1 n2
         everything is lost
         r0 enters v3                      // r0 leads again
         r2 enters v3
         r2->r0  DOVIEWCHANGE v3 n1
         r0 is normal v3 n2
         r0->r2  STARTVIEW v3 n2
         client->r0  REQUEST B             // in the log: known
         r0 is normal v3 n2
         r2->r0  PREPAREOK v3 n2
         r0->client  REPLY v3 B
         client->r0  REQUEST A             // not in the log any more: new
         r0 is normal v3 n3",
    );
}

/// "A view change may not succeed, e.g., because the new primary fails. In this case the replicas will start a further view change,
/// with yet another primary."
#[test]
fn a_view_change_that_does_not_succeed_is_followed_by_another_with_another_primary() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE
         r0->r3  PREPARE
         r2->r0  PREPAREOK
         r3->r0  PREPAREOK
         r0->client  REPLY v0 A
         everything is lost
         r0 crashes
         r1 crashes
         3 s pass
         r2 is normal v2 n2
         r3 is normal v2 n2
         r4 is normal v2 n2",
    );
    let names = script.group.events.iter().filter_map(|(id, event)| match event {
        Event::StatusChanged { status: StatusName::ViewChange, view } if id.0 == 3 => Some(view.0),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), [1, 2], "view 1 was tried, and not started");
}

/// "In this protocol we solve the problem of more than one request being assigned the same op-number by taking the log for the next
/// view from latest previous active view and ignoring logs from earlier view": not even a longer one is looked at.
#[test]
fn a_longer_log_of_an_earlier_view_is_ignored() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         client->r0  REQUEST C             // r0 alone has three
         everything is lost
         r1 enters v1
         r2 enters v1
         r3 enters v1
         r2->r1  DOVIEWCHANGE v1 n1
         r3->r1  DOVIEWCHANGE v1 n1
         r1->r2  STARTVIEW v1 n1
         everything is lost
         client->r1  REQUEST D
         r1->r2  PREPARE v1 n2
         everything is lost
         r0 enters v2
         r2 enters v2
         r4 enters v2
         r0->r2  DOVIEWCHANGE v2 n4 k1 v'=0
         r4->r2  DOVIEWCHANGE v2 n1 k1 v'=0
         r2 is normal v2 n2
         r2 holds D@v1",
    );
    let is_told = |(_, message): &&(NodeId, Message)| matches!(message.body, Body::StartView(_));
    assert_eq!(script.group.network.iter().filter(is_told).count(), 4);
}
