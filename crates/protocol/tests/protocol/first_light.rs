//! The group as a whole on a perfect network: it starts, serves, survives each replica, and forgets nothing.

use crate::common::{CLUSTER, Group, ms};
use viewstamped_protocol::message::{ClientReply, ClientRequest};
use viewstamped_protocol::*;

#[test]
fn a_new_group_serves() {
    for size in [1, 2, 3, 4, 5, 7] {
        let (mut group, session) = Group::serving(size);
        assert_eq!(group.execute(0, session, 1, "a"), "a", "{size} replicas");
        assert_eq!(group.execute(0, session, 2, "b"), "ab");
        group.run_for(ms(100));
        for id in 0..size {
            assert_eq!(group.journal(id), "ab", "backups execute what they hear is committed");
        }
    }
}

#[test]
fn the_group_survives_the_primary_and_takes_it_back() {
    for size in [3, 4, 5] {
        let (mut group, session) = Group::serving(size);
        group.execute(0, session, 1, "a");
        group.crash(0);
        group.run_for(ms(600));
        assert_eq!(group.replica(1).report().view.0, 1, "{size} replicas");
        assert_eq!(group.execute(1, session, 2, "b"), "ab");
        group.restart(0);
        group.run_for(ms(300));
        assert_eq!(group.replica(0).report().status, StatusName::Normal);
        assert_eq!(group.journal(0), "ab");
        assert_eq!(group.replica(0).report().incarnation.0, 2);
    }
}

#[test]
fn every_replica_may_be_wiped_in_turn() {
    let (mut group, session) = Group::serving(3);
    let mut expected = String::new();
    for round in 0..9u64 {
        let primary = group.replicas.values().find(|r| r.report().primary == r.report().id).unwrap().report().id.0;
        expected.push('x');
        assert_eq!(group.execute(primary, session, round + 1, "x"), expected);
        let victim = round % 3;
        group.crash(victim);
        group.run_for(ms(700));
        group.restart_wiped(victim);
        group.run_for(ms(700));
        assert!(group.all_normal(), "round {round}");
        assert_eq!(group.journal(victim), expected);
    }
}

#[test]
fn all_replicas_down_at_once_is_a_refusal_to_serve() {
    let (mut group, session) = Group::serving(3);
    group.execute(0, session, 1, "a");
    for id in 0..3 {
        group.crash(id);
    }
    for id in 0..3 {
        group.restart(id);
    }
    group.run_for(ms(5_000));
    for id in 0..3 {
        let report = group.replica(id).report();
        assert_eq!(report.status, StatusName::Recovering);
        assert_eq!(
            report.not_serving,
            Some(viewstamped_protocol::message::NotServingReason::QuorumLost),
            "it says that nobody remembers"
        );
    }
}

#[test]
fn client_learns_whose_cluster_this_is_and_nothing_of_another_cluster_is_ordered() {
    let (mut group, _) = Group::serving(3);
    let mut register = |cluster| {
        group.replies.clear();
        let body = ClientRequest::Register { slots: 1 };
        let message = FromClient { cluster, epoch: EpochNumber::ZERO, client: ClientId(43), body };
        group.input(0, Input::Client(message));
        group.settle();
        let reply = group.replies.pop().expect("every client is answered");
        (reply.header.cluster, matches!(reply.body, ClientReply::Registered { .. }))
    };
    assert_eq!(register(ClusterId(8)), (CLUSTER, false));
    assert_eq!(register(ClusterId::default()), (CLUSTER, true));
}
