//! The beginning of a cluster, once, with all its members; and directories that only look new (C6, C15).

use crate::common::{Group, ms};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

fn statuses(group: &Group) -> Vec<StatusName> {
    group.replicas.values().map(|replica| replica.report().status).collect()
}

/// r0 and r2 had begun and served; r2 lost its disk and was formatted again. A BOOTSTRAP that r0 had sent before it began came
/// late, and r1 had not begun: r2 thought that it had met everybody, and began with r1 as if nothing had ever happened. What r0
/// and the old r2 had acknowledged was lost. A BOOTSTRAP now counts only for the instance it names.
#[test]
fn a_late_bootstrap_does_not_make_a_replaced_directory_a_founder() {
    let mut group = Group::formatted(3);
    // The first announcements arrive everywhere; nothing that r0 and r2 say later reaches r1.
    let first: Vec<(NodeId, Message)> = group.network.drain(..).collect();
    for (to, message) in &first {
        group.input(to.0, Input::Message(message.clone()));
    }
    let mut late = Vec::new();
    while let Some((to, message)) = group.network.pop_front() {
        if (message.header.from.0, to.0) == (0, 2) && matches!(message.body, Body::Bootstrap(_)) {
            late.push(message.clone());
        }
        if to.0 != 1 {
            group.input(to.0, Input::Message(message));
        }
    }
    late.extend(first.into_iter().filter(|(to, m)| (m.header.from.0, to.0) == (0, 2)).map(|(_, message)| message));
    assert_eq!(statuses(&group), [StatusName::Normal, StatusName::Starting, StatusName::Normal]);
    assert!(late.len() >= 2, "one names r2's instance, one names nobody's");
    group.cut.extend([(0, 1), (2, 1)]);
    let session = group.register(0);
    assert_eq!(group.execute(0, session, 1, "a"), "a");
    // r2 loses its disk and is formatted again; r0 is cut off.
    group.crash(2);
    group.cut.clear();
    group.cut.extend([(0, 1), (0, 2), (1, 0), (2, 0)]);
    group.start(2, Some(Identity::formatted(InstanceId(999))));
    for message in late {
        group.input(2, Input::Message(message));
    }
    group.run_for(ms(3_000));
    for id in [1, 2] {
        assert_ne!(group.replica(id).report().status, StatusName::Normal, "r2 as it is now never met r0");
    }
    // r0 comes back, and tells them what has happened since.
    group.cut.clear();
    group.run_for(ms(3_000));
    assert!(group.all_normal());
    assert_eq!(group.journal(2), "a");
}

/// A founder that comes up after the others have begun, and was never replaced, is merely late: it has forgotten nothing.
#[test]
fn a_founder_that_comes_up_late_joins_without_recovering() {
    let mut group = Group::formatted(3);
    // r2 is heard, and hears; but what would tell it that it was heard is lost, and it crashes as it was formatted.
    let first: Vec<(NodeId, Message)> = group.network.drain(..).collect();
    for (to, message) in first {
        group.input(to.0, Input::Message(message));
    }
    group.cut.extend([(0, 2), (1, 2)]);
    group.settle();
    assert_eq!(statuses(&group), [StatusName::Normal, StatusName::Normal, StatusName::Starting]);
    group.cut.clear();
    group.crash(2);
    group.identities.remove(&NodeId(2));
    group.start(2, Some(Identity::formatted(InstanceId(102))));
    group.run_for(ms(500));
    assert!(group.all_normal());
    assert_eq!(group.replica(2).report().incarnation, Incarnation(1), "it did not have to recover");
}

/// A directory formatted again for a cluster that has begun must recover, under a new incarnation.
#[test]
fn a_member_formatted_again_recovers() {
    let (mut group, session) = Group::serving(3);
    assert_eq!(group.execute(0, session, 1, "a"), "a");
    group.crash(2);
    group.start(2, Some(Identity::formatted(InstanceId(999))));
    group.run_for(ms(500));
    assert!(group.all_normal());
    assert_eq!(group.replica(2).report().incarnation, Incarnation(2));
    assert_eq!(group.journal(2), "a");
}

/// Nothing begins before all members have met: a quorum of empty directories may be the rest of a group that has served.
#[test]
fn a_new_cluster_waits_for_all_its_members() {
    let mut group = Group::formatted(3);
    group.crash(2);
    group.network.retain(|(_, message)| message.header.from.0 != 2);
    group.run_for(ms(3_000));
    assert_eq!(statuses(&group), [StatusName::Starting, StatusName::Starting]);
    group.start(2, Some(Identity::formatted(InstanceId(102))));
    group.run_for(ms(2_000));
    assert!(group.all_normal());
}

/// r0 and r1 had begun and served. r2 had not: it had heard of r1 and met r0, but nobody told it that r1 had heard of it. r1 lost
/// its disk and was formatted again, and r0 was cut off. r2 and the new r1 met, and r2 had then met everybody, each of them at
/// some time: it began, and r1 believed it. The cluster began a second time, and what r0 had acknowledged was lost.
#[test]
fn to_have_met_everybody_at_some_time_begins_nothing() {
    let mut group = Group::formatted(3);
    group.lose(|to, message| match &message.body {
        Body::Bootstrap(m) => {
            (message.header.from.0, to) == (1, 2) && m.heard.iter().any(|founder| founder.node.0 == 2)
        }
        Body::Founded(_) => to == 2,
        _ => false,
    });
    group.settle();
    assert_eq!(statuses(&group), [StatusName::Normal, StatusName::Normal, StatusName::Starting]);
    let session = group.register(0);
    assert_eq!(group.execute(0, session, 1, "a"), "a");
    group.crash(1);
    group.heal();
    group.isolate(0);
    group.start(1, Some(Identity::formatted(InstanceId(999))));
    group.run_for(ms(3_000));
    assert_eq!(statuses(&group)[1..], [StatusName::Starting, StatusName::Starting], "r0 remembers, and they do not");
    group.heal();
    group.run_for(ms(3_000));
    assert!(group.all_normal());
    for id in 0..3 {
        assert_eq!(group.journal(id), "a");
    }
}

/// C15: a crash while the cluster begins must not keep it from beginning.
#[test]
fn each_member_may_crash_at_any_message_of_the_beginning() {
    for victim in 0..3 {
        for messages in 0..40 {
            let mut group = Group::formatted(3);
            for _ in 0..messages {
                let Some((to, message)) = group.network.pop_front() else { break };
                group.input(to.0, Input::Message(message));
            }
            group.crash(victim);
            let identity = group.identities.get(&NodeId(victim)).cloned();
            group.start(victim, identity.or_else(|| Some(Identity::formatted(InstanceId(u128::from(victim) + 100)))));
            group.run_for(ms(4_000));
            assert!(group.all_normal(), "r{victim} crashes after {messages} messages");
        }
    }
}

/// A member may be formatted again before the cluster begins. Announcements of its first life come before those of its second,
/// or after: nobody can tell which of two instances is the older one, so the one that is still heard of has to count.
#[test]
fn a_member_formatted_again_before_the_beginning_takes_part() {
    for first_life_is_heard_first in [true, false] {
        let mut group = Group::formatted(3);
        let announced = group.hold(|_, message| message.header.from == NodeId(2));
        if first_life_is_heard_first {
            group.network.extend(announced.clone());
        }
        group.crash(2);
        group.run_for(ms(200));
        group.cut.extend([(0, 2), (1, 2)]);
        group.start(2, Some(Identity::formatted(InstanceId(777))));
        group.network.extend(announced);
        group.settle();
        group.heal();
        group.run_for(ms(3_000));
        assert!(group.all_normal(), "heard first: {first_life_is_heard_first}");
        assert_eq!(group.replica(2).report().incarnation, Incarnation(1));
    }
}
