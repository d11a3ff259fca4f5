//! How a cluster begins: once, with all its members, and never again (C6, C15; docs/deviations.md).

mod common;

use common::{Group, ms};
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

fn formatted_again(instance: u128) -> Option<Identity> {
    Some(Identity::formatted(InstanceId(instance)))
}

/// C6: not a quorum but all members have to be there.
#[test]
fn a_cluster_does_not_begin_before_all_members_have_met() {
    let mut group = Group::formatted(3);
    group.crash(2);
    group.network.clear();
    group.run_for(ms(5_000));
    assert_eq!((group.status(0), group.status(1)), (StatusName::Starting, StatusName::Starting));
    group.start(2, formatted_again(102));
    group.run_for(ms(1_500));
    assert!(group.all_normal());
}

/// C6, C15: r2 hears that r0 is new, never of r1, and is cut off. The cluster began with r0 and r1, who had heard of all three,
/// and committed. r1 lost its disk and was formatted once more, r0 was cut off, and r2 came back: now r1 and r2 had heard of
/// three new members, and began the cluster a second time, without what was committed. One replica lost its memory, no more.
#[test]
fn a_member_formatted_twice_does_not_begin_the_cluster_twice() {
    let mut group = Group::formatted(3);
    group.hold(|to, message| to == 2 && message.header.from == NodeId(1));
    let to_r2 = group.hold(|to, _| to == 2);
    for (to, message) in to_r2 {
        group.input(to.0, Input::Message(message));
    }
    group.cut.extend([(0, 2), (1, 2)]);
    group.run_for(ms(500));
    assert_eq!(group.status(0), StatusName::Starting, "r2 cannot say that it has heard of r1");
    group.crash(1);
    group.cut.clear();
    group.isolate(0);
    group.start(1, formatted_again(777));
    group.run_for(ms(3_000));
    let begun = group.replicas.values().filter(|replica| replica.report().status == StatusName::Normal).count();
    assert_eq!(begun, 0, "r1 and r2 know nothing of each other's past");
    group.heal();
    group.run_for(ms(5_000));
    assert!(group.all_normal(), "with all three it can begin");
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
            group.start(victim, identity.or_else(|| formatted_again(u128::from(victim) + 100)));
            group.run_for(ms(4_000));
            assert!(group.all_normal(), "r{victim} crashes after {messages} messages");
        }
    }
}

/// A member that was met, but comes up again only when the cluster has moved on, has promised nothing and forgotten nothing.
#[test]
fn a_founder_that_never_took_part_is_merely_late() {
    let mut group = Group::formatted(3);
    // r2 is not told that all have heard of all.
    while let Some((to, message)) = group.network.pop_front() {
        let is_last_word = match &message.body {
            Body::Bootstrap(m) => m.heard.len() == 3,
            _ => true,
        };
        if to.0 != 2 || !is_last_word {
            group.input(to.0, Input::Message(message));
        }
    }
    assert_eq!((group.status(0), group.status(2)), (StatusName::Normal, StatusName::Starting));
    group.crash(2);
    let session = group.register(0);
    group.execute(0, session, 1, "a");
    group.start(2, formatted_again(102));
    group.run_for(ms(500));
    assert_eq!((group.status(2), group.journal(2).as_str()), (StatusName::Normal, "a"));
    assert_eq!(group.replica(2).report().incarnation, Incarnation(1));
}

/// C15: a formatted directory whose instance the founders do not name replaces one that was lost: it recovers, under an
/// incarnation that was never used.
#[test]
fn a_member_formatted_again_later_recovers() {
    let (mut group, session) = Group::serving(3);
    group.execute(0, session, 1, "a");
    group.crash(2);
    group.start(2, formatted_again(777));
    group.run_for(ms(1_000));
    assert_eq!((group.status(2), group.journal(2).as_str()), (StatusName::Normal, "a"));
    assert_eq!(group.replica(2).report().incarnation, Incarnation(2));
}

/// A member may be formatted again before the cluster begins; an old announcement of its first life is not believed again.
#[test]
fn a_member_formatted_again_before_the_beginning_takes_part() {
    let mut group = Group::formatted(3);
    let announced = group.hold(|_, message| message.header.from == NodeId(2));
    group.network.extend(announced.clone());
    group.crash(2);
    group.run_for(ms(200));
    group.start(2, formatted_again(777));
    group.network.extend(announced);
    group.run_for(ms(3_000));
    assert!(group.all_normal());
    assert_eq!(group.replica(2).report().incarnation, Incarnation(1));
}
