//! 5.2, state transfer. Ours changes nothing before the answer is complete (T1), and cuts nothing (T2).

use viewstamped_protocol::message::Body;
use viewstamped_protocol::{ClusterOptions, Durability, Input, OpNumber};

use crate::script::Script;

/// "In the former case it only needs to learn about requests after its op-number": n' "is its op-number".
#[test]
fn one_that_misses_requests_of_its_view_asks_for_those_above_its_op_number() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         client->r0  REQUEST C
         r0->r1  PREPARE v0 n2
         r0->r1  PREPARE v0 n3             lost
         r0->r1  PREPARE v0 n4
         r1->r0  PREPAREOK                 lost
         r0->r2  PREPARE                   lost
         r1 waits 10 ms
         r1->r0  GETSTATE v0 target=v0 n'=2
         r0->r1  NEWSTATE v0 n4 k1 after=n2 l=[n3@v0..n4@v0]
         r1 holds A@v0 B@v0 C@v0",
    );
}

/// "In the latter it needs to learn about requests after the latest committed request in its log, since requests after that might
/// have been reordered". It "removes all entries after this from its log": ours keeps them until the others are there (T1).
#[test]
fn one_that_hears_of_a_later_view_asks_for_what_is_above_its_commit_number() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE v0 n2
         everything is lost
         r0 enters v1
         r1 enters v1
         r0->r1  DOVIEWCHANGE
         r1->r0  STARTVIEW
         everything is lost
         r1 waits 50 ms
         r1->r2  COMMIT v1 n2
         r2->r1  GETSTATE v0 target=v1 n'=1 head=n2
         r2 is normal v0 n2 k1 x1 v'=0
         r2 holds A@v0
         r1->r2  NEWSTATE v1 n2
         r2 is normal v1 n2",
    );
}

/// "To get the state the replica sends a <GETSTATE v, n', i> message to one of the other replicas".
#[test]
fn one_replica_at_a_time_is_asked_for_the_state() {
    let mut script = Script::serving(5);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         r0->r1  PREPARE v0 n3
         everything is lost
         r1 waits 10 ms",
    );
    let questions = |script: &Script| script.in_flight().iter().filter(|line| line.contains("GETSTATE")).count();
    assert_eq!(questions(&script), 1);
    script.play(
        "r1->r0  GETSTATE                  lost
         r1 waits 100 ms
         r1->r2  GETSTATE",
    );
    assert_eq!(questions(&script), 0, "another one, and again only one");
}

/// "A replica responds to a GETSTATE message only if its status is normal and it is currently in view v." One in a later view says
/// which (T3); one in an earlier view, or in a view change, is silent.
#[test]
fn only_a_normal_replica_in_the_same_view_answers() {
    let ask = |target: &str| {
        let mut script = Script::serving(3);
        script.play(
            "client->r0  REQUEST A
             client->r0  REQUEST B
             r0->r1  PREPARE v0 n3
             everything is lost
             r1 waits 10 ms
             r1->r0  GETSTATE v0           late (question)
             everything is lost",
        );
        script.play(target);
        script.play("question arrives");
        script.in_flight()
    };
    assert_eq!(ask("").len(), 1, "normal in view 0");
    assert_eq!(ask("r0 enters v1\n everything is lost"), [""; 0], "in a view change");
    let started = "r0 enters v3\n r2 enters v3\n r2->r0 DOVIEWCHANGE\n everything is lost\n r0 is normal v3";
    assert_eq!(ask(started), ["r0->r1  VIEWHINT v3"], "normal in view 3");
}

/// "it sends a <NEWSTATE v, l, n, k> message, where v is its view-number, l is its log after n', n is its op-number, and k is its
/// commit-number."; "it appends the log in the message to its log and updates its state using the other information".
#[test]
fn the_answer_brings_the_log_the_op_number_and_the_commit_number() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         client->r0  REQUEST B
         r0->r2  PREPARE v0 n2
         r2->r0  PREPAREOK v0 n2
         r0->r1  PREPARE v0 n2             lost
         r0->r1  PREPARE v0 n3
         r1 waits 10 ms
         r1->r0  GETSTATE v0 target=v0 n'=1
         r0->r1  NEWSTATE v0 n3 k2 after=n1 l=[n2@v0..n3@v0]
         r1 is normal v0 n3 k2 x2
         r1 holds A@v0 B@v0
         r1 has executed A
         r1->r0  PREPAREOK v0 n3",
    );
}

/// "Because of garbage collecting the log, it's possible for there to be a gap": not before there are checkpoints. Until then a replica
/// answers from the very first operation on, and the asker needs no application state.
#[test]
fn the_whole_log_can_be_fetched_from_anybody() {
    let mut script = Script::serving(3);
    script.play(
        "r2 is cut off
         client->r0  REQUEST A
         everything arrives
         client->r0  REQUEST B
         everything arrives
         the network heals
         r2 crashes
         r2 recovers
         r2->*   RECOVERY
         *->r2   RECOVERYRESPONSE
         r2->r0  GETSTATE v0 target=v0 n'=0
         r0->r2  NEWSTATE v0 n3 k3 after=n0 l=[n1@v0..n3@v0]
         r2 is normal v0 n3
         r2 has executed AB",
    );
}

/// "Should a gap occur, the slow replica first brings itself almost up to date using application state (like a recovering node would do)
/// to get to a recent checkpoint, and then completes the job by obtaining the log forward from the point." It does not move "to the
/// view in which that checkpoint was taken" (T4).
#[test]
fn a_gap_is_closed_with_a_checkpoint_and_the_log_from_there() {
    let cluster_options = ClusterOptions { checkpoint_ops: 4, ..ClusterOptions::default() };
    let mut script = Script::durable_with(3, cluster_options, Durability::Replicated);
    script.play("r2 is cut off");
    for operation in ["A", "B", "C", "D", "E", "F", "G", "H"] {
        script.play(&format!("client->r0 REQUEST {operation}\n everything arrives"));
    }
    script.play(
        "100 ms pass
         everything arrives
         r1 is normal v0 n9 k9 x9
         the network heals
         r0 waits 50 ms
         r0->r2  COMMIT v0 n9 k9
         r2 waits 10 ms
         r2->r0  GETSTATE v0 target=v0 n'=1
         r0->r2  NEWSTATE v0 n9 k9
         r2->r1  GETPAGES",
    );
    while !matches!(script.group.replica(2).report().executed, OpNumber(8)) {
        let place = script
            .group
            .network
            .iter()
            .position(|(_, message)| matches!(message.body, Body::GetPages(_) | Body::Pages(_)));
        let (to, message) = script.group.network.remove(place.expect("pages are on their way")).expect("found");
        script.group.input(to.0, Input::Message(message));
    }
    script.play(
        "r2 is normal v0 n8 k8 x8 v'=0
         r2 has executed ABCDEFG
         r2->r0  GETSTATE v0 target=v0 n'=8
         r0->r2  NEWSTATE v0 n9 k9 after=n8 l=[n9@v0]
         r2 is normal v0 n9 k9 x9",
    );
}
