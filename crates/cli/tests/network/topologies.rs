//! Partial partitions: replicas that reach some others only. Where one replica reaches a quorum, the group serves, and it
//! settles on a view.

use std::time::{Duration, Instant};

use crate::group::{Group, PATIENT};
use crate::hosts::Host;
use crate::load::Load;

/// How long the view must stay what it is: several suspect timeouts.
const STABLE: Duration = Duration::from_secs(4);

/// The backup at one end of the chain hears nothing from the primary at the other.
#[test]
fn chain_of_three_with_the_primary_at_an_end_stays_in_its_view() {
    let Some(group) = Group::start("chain-3", 3, &PATIENT) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    group.network.link_only(&chain(primary, 3));
    load.go_on_for(STABLE);
    assert_eq!(group.primary(), (primary, view), "the view changed");
    group.network.heal();
    assert_eq!(group.wait_until_normal(), view, "the view changed when the link came back");
    load.assert_nothing_lost(&group);
}

/// The hub reaches everybody, so nothing is amiss with it; the others do not reach each other.
#[test]
fn star_around_the_primary_stays_in_its_view() {
    let Some(group) = Group::start("star", 5, &PATIENT) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    group.network.link_only(&star(primary));
    load.go_on_for(STABLE);
    assert_eq!(group.primary(), (primary, view), "the view changed");
    group.network.heal();
    assert_eq!(group.wait_until_normal(), view, "the view changed when the links came back");
    load.assert_nothing_lost(&group);
}

/// The primary at one end of the chain reaches one other replica only; those in the middle reach a quorum.
#[test]
fn chain_of_five_settles_on_a_primary_inside() {
    let Some(group) = Group::start("chain-5", 5, &PATIENT) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    group.network.link_only(&chain(primary, 5));
    let is_inside = |id| (1..4).any(|place| id == (primary + place) % 5);
    settles(&group, load, view, is_inside);
}

/// Everybody, the primary too, reaches the hub and nobody else: only the hub reaches a quorum, and nobody can count a quorum
/// of votes that all came directly.
#[test]
fn quorum_loss_settles_on_the_hub() {
    let Some(group) = Group::start("quorum-loss", 5, &PATIENT) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    let hub = (primary + 2) % 5;
    group.network.link_only(&star(hub));
    settles(&group, load, view, |id| id == hub);
}

/// The hub has missed what was committed before, then the primary is gone, and only the hub reaches a quorum.
#[test]
fn constrained_election_settles_on_a_hub_whose_log_is_old() {
    let Some(group) = Group::start("constrained", 5, &PATIENT) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    let hub = (primary + 2) % 5;
    group.network.isolate(Host::Replica(hub));
    load.go_on_for(Duration::from_millis(300));
    constrain(&group, primary, hub);
    settles(&group, load, view, |id| id == hub);
}

/// In a new topology the group serves again, under one of the replicas that can be primary in it, and stays in that view.
fn settles(group: &Group, load: Load, view: u64, can_be_primary: impl Fn(usize) -> bool) {
    load.wait_for_progress(Instant::now());
    let settled = group.wait_for_view("a replica that can be is primary", |new, now| can_be_primary(new) && now > view);
    load.go_on_for(STABLE);
    assert_eq!(group.primary(), settled, "the view changed again");
    group.network.heal();
    group.wait_until_normal();
    load.assert_nothing_lost(group);
}

/// The links of a star of five.
pub fn star(hub: usize) -> Vec<(usize, usize)> {
    (0..5).filter(|id| *id != hub).map(|id| (hub, id)).collect()
}

/// The links of a chain that begins with this replica.
pub fn chain(first: usize, length: usize) -> Vec<(usize, usize)> {
    (0..length - 1).map(|place| ((first + place) % length, (first + place + 1) % length)).collect()
}

/// Isolates one replica, and links the others to the hub and not to each other.
pub fn constrain(group: &Group, isolated: usize, hub: usize) {
    let (gone, hub) = (Host::Replica(isolated), Host::Replica(hub));
    group.network.shape(|from, to| match (from, to) {
        _ if from == gone || to == gone => false,
        (Host::Replica(_), Host::Replica(_)) => from == hub || to == hub,
        _ => true,
    });
}
