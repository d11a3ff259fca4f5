//! 4.3, recovery.

use crate::common::{Group, ms};
use crate::script::Script;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// "When a node comes back up after a crash it sets its status to recovering and carries out the recovery protocol." Step 1: "The
/// recovering replica, i, sends a <RECOVERY i, x> message to all other replicas, where x is a nonce."
#[test]
fn a_node_that_comes_back_is_recovering_and_asks_all_others() {
    let (mut group, _) = Group::serving(5);
    group.crash(4);
    group.network.clear();
    group.restart(4);
    assert_eq!(group.status(4), StatusName::Recovering);
    let asked: Vec<_> = group.network.iter().map(|(to, message)| (to.0, message.body.clone())).collect();
    let Body::Recovery(question) = asked[0].1 else { panic!("no RECOVERY: {:?}", group.transcript()) };
    assert_eq!(asked, (0..4).map(|to| (to, Body::Recovery(question))).collect::<Vec<_>>());
    group.crash(4);
    group.network.clear();
    group.restart(4);
    let Body::Recovery(other) = group.take(4, 0, "RECOVERY").body else { unreachable!() };
    assert_ne!(other.nonce, question.nonce, "each recovery has a nonce of its own");
}

/// "it cannot participate in request processing and view changes until it has a state at least as recent as when it failed": r2
/// acknowledged A, and nobody else but the primary has it. It acknowledges nothing, and promises nothing, before it has A again.
#[test]
fn a_recovering_replica_participates_only_when_it_has_what_it_had_when_it_failed() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         r0->r2  PREPARE v0 n2
         r2->r0  PREPAREOK v0 n2
         r0->client  REPLY v0 A
         everything is lost
         r2 crashes
         r2 recovers
         r2->*   RECOVERY
         r1->r2  RECOVERYRESPONSE
         client->r0  REQUEST B
         r0->r2  PREPARE v0 n3
         r2 is recovering v0 n0
         r1 enters v1
         r1 waits 100 ms
         r1->r2  STARTVIEWCHANGE v1
         r2 is recovering v0 n0
         r0->r2  RECOVERYRESPONSE v0
         r2->r0  GETSTATE
         r0->r2  NEWSTATE
         r2 is normal v0
         r2->r0  PREPAREOK v0
         r2 holds A@v0 B@v0",
    );
}

/// "To carry out the recovery protocol, the node needs to know the configuration. It can learn this by [...] fetching the
/// configuration from one of them": from any, whatever it is doing itself.
#[test]
fn any_replica_tells_the_configuration_whatever_its_status() {
    let (mut group, _) = Group::serving(3);
    group.enter_view_change(1, 4);
    group.crash(2);
    group.restart(2);
    group.network.clear();
    let asker = group.header(0);
    for id in [1, 2] {
        group.input(id, Input::Message(Message { header: asker, body: Body::GetConfiguration }));
        let Body::ConfigurationInfo(info) = group.take(id, 0, "CONFIGURATION").body else { unreachable!() };
        assert_eq!((info.configuration, info.options), (group.configuration.clone(), group.cluster_options));
    }
}

/// Step 3: "The recovering replica waits to receive at least f + 1 RECOVERYRESPONSE messages from different replicas": K - f in
/// groups of an even size (N7), and one that answers twice counts once.
#[test]
fn recovery_needs_answers_of_a_quorum_of_different_replicas() {
    for (size, quorum) in [(3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
        let (mut group, _) = Group::serving(size);
        group.run_for(ms(100));
        let last = size - 1;
        group.crash(last);
        group.restart(last);
        for (place, id) in (0..last).take(quorum).enumerate() {
            let is_asking = group.network.iter().any(|(_, message)| matches!(message.body, Body::GetState(_)));
            assert!(!is_asking, "{size} replicas, {place} answers: it wants no log yet");
            group.deliver(last, id, "RECOVERY");
            let answer = group.take(id, last, "RECOVERYRESPONSE");
            group.input(last, Input::Message(answer.clone()));
            group.input(last, Input::Message(answer));
        }
        group.settle();
        assert_eq!(group.status(last), StatusName::Normal, "{size} replicas");
    }
}

/// Step 3: "Then it updates its state using the information from the primary, changes its status to normal": log, op-number,
/// commit-number and view, and it executes what is committed.
#[test]
fn a_recovered_replica_has_the_state_of_the_primary() {
    let mut script = Script::serving(3);
    script.play(
        "client->r0  REQUEST A
         everything arrives
         client->r0  REQUEST B
         r2 crashes
         r2 recovers
         r2->*   RECOVERY
         *->r2   RECOVERYRESPONSE v0
         r2->r0  GETSTATE
         r0->r2  NEWSTATE v0 n3 k2
         r2 is normal v0 n3 k2 x2
         r2 holds A@v0 B@v0
         r2 has executed A",
    );
}

/// "If the group is doing a view change at the time of recovery, and the recovering replica, i, would be the primary of the new view,
/// that view change cannot complete, since i will not respond to the DOVIEWCHANGE messages. This will cause the group to do a
/// further view change, and i will be able to recover once this view change occurs."
#[test]
fn a_view_that_a_recovering_replica_would_lead_is_passed_over() {
    let mut script = Script::serving(5);
    script.play(
        "r1 crashes
         r0 enters v1
         r2 enters v1
         r3 enters v1
         r4 enters v1
         r1 recovers
         r2->r1  DOVIEWCHANGE v1
         r3->r1  DOVIEWCHANGE v1
         r4->r1  DOVIEWCHANGE v1
         r1->r2  RECOVERY
         r1->r3  RECOVERY
         r1 is recovering
         r1 waits 50 ms
         everything is lost
         3 s pass
         everyone is normal v2",
    );
}

/// "It can produce the nonce by reading its clock; this will produce a unique nonce assuming clocks always advance." Ours does not
/// depend on clocks (C2): a clock that stands still, or is set back, gives other nonces all the same.
#[test]
fn nonces_do_not_depend_on_clocks() {
    let (mut group, _) = Group::serving(3);
    let mut nonces = std::collections::BTreeSet::new();
    for wall in [5_000, 5_000, 1] {
        group.now.wall = Timestamp(wall);
        group.crash(2);
        group.network.clear();
        group.restart(2);
        let Body::Recovery(question) = group.take(2, 0, "RECOVERY").body else { unreachable!() };
        nonces.insert(question.nonce);
    }
    assert_eq!(nonces.len(), 3);
}

/// "Alternatively, it could maintain a counter on disk and advance this counter on each recovery." Ours does that, too: the
/// incarnation, durable before the first message that carries it (C3).
#[test]
fn the_counter_is_on_disk_before_recovery_is_sent() {
    let (mut group, _) = Group::serving(3);
    group.crash(2);
    let identity = group.identities[&NodeId(2)].clone();
    let setup = Setup {
        cluster: group.header(0).cluster,
        id: NodeId(2),
        configuration: group.configuration.clone(),
        cluster_options: group.cluster_options,
        options: group.options,
        identity: Some(identity.clone()),
        durability: Durability::Replicated,
        surviving: None,
        seed: 99,
    };
    let mut replica = Replica::new(setup, crate::common::Journal::new(2), group.now);
    let outputs: Vec<_> = std::iter::from_fn(|| replica.poll_output()).collect();
    let saved = outputs.iter().find_map(|output| match output {
        Output::SaveIdentity(identity) => Some(identity.incarnation),
        _ => None,
    });
    assert_eq!(saved, Some(identity.incarnation.next()));
    let is_message = |output: &Output| matches!(output, Output::Send { .. });
    assert!(!outputs.iter().any(is_message), "{outputs:?}");
    replica.handle(group.now, Input::IdentitySaved);
    assert!(replica.poll_output().as_ref().is_some_and(is_message));
}
