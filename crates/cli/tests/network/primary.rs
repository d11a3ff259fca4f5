//! What happens to the primary, and what clients and the other replicas make of it.

use std::time::{Duration, Instant};

use crate::group::Group;
use crate::hosts::Host;
use crate::load::Load;
use crate::reader::Reader;

#[test]
fn killed_primary_is_replaced_and_comes_back() {
    let Some(mut group) = Group::start("killed", 3, &[]) else { return };
    let load = Load::start(&group);
    let (old, view) = group.primary();
    group.kill(old);
    load.wait_for_progress(Instant::now());
    group.wait_for_view("there is another primary", |primary, now| primary != old && now > view);
    group.start_replica(old);
    group.wait_until_normal();
    load.assert_nothing_lost(&group);
}

/// V14: its host refuses connections, so its backups know that it is gone.
#[test]
fn killed_primary_is_replaced_long_before_it_would_be_suspected() {
    let timeout = Duration::from_secs(25);
    let Some(mut group) = Group::start("gone", 3, &["--suspect-timeout", "25s"]) else { return };
    let load = Load::start(&group);
    let (old, _) = group.primary();
    let killed = Instant::now();
    group.kill(old);
    let replaced = load.wait_for_progress(Instant::now());
    assert!(replaced.duration_since(killed) < timeout / 2, "not before the timeout");
    group.start_replica(old);
    group.wait_until_normal();
    load.assert_nothing_lost(&group);
}

/// It wakes up as the primary it was, with requests in its sockets that came while it slept.
#[test]
fn stopped_primary_is_replaced_and_serves_nothing_stale_when_it_goes_on() {
    let Some(group) = Group::start("stopped", 3, &[]) else { return };
    let load = Load::start(&group);
    let (old, view) = group.primary();
    let reader = Reader::open(&group, old);
    group.signal(old, "-STOP");
    load.wait_for_progress(Instant::now());
    reader.begin_to_read();
    // It does not say how it is, so asking takes its time: the read has reached its host.
    group.wait_for_view("there is another primary", |primary, now| primary != old && now > view);
    group.signal(old, "-CONT");
    reader.assert_not_stale();
    group.wait_until_normal();
    load.assert_nothing_lost(&group);
}

#[test]
fn isolated_primary_is_replaced() {
    replaced("isolated", |group, old| group.network.isolate(Host::Replica(old)));
}

#[test]
fn primary_that_cannot_send_is_replaced() {
    replaced("mute", |group, old| group.network.make_mute(Host::Replica(old)));
}

/// Its heartbeats go out for as long as TCP sends without being acknowledged; it has to notice itself that it is deaf.
#[test]
fn primary_that_cannot_receive_is_replaced() {
    replaced("deaf", |group, old| group.network.make_deaf(Host::Replica(old)));
}

fn replaced(name: &str, cut_off: impl Fn(&Group, usize)) {
    let Some(group) = Group::start(name, 3, &[]) else { return };
    let load = Load::start(&group);
    let (old, view) = group.primary();
    cut_off(&group, old);
    load.wait_for_progress(Instant::now());
    group.wait_for_view("there is another primary", |primary, now| primary != old && now > view);
    group.network.heal();
    group.wait_until_normal();
    load.assert_nothing_lost(&group);
}

/// Clients that reach both sides are served by the one that has a quorum; the other one answers nobody from what it knew.
#[test]
fn primary_that_only_clients_reach_serves_nothing_stale() {
    let Some(group) = Group::start("alone", 3, &[]) else { return };
    let load = Load::start(&group);
    let (old, view) = group.primary();
    let reader = Reader::open(&group, old);
    let alone = Host::Replica(old);
    let is_replica = |host| matches!(host, Host::Replica(_));
    group.network.shape(|from, to| !(is_replica(from) && is_replica(to) && (from == alone || to == alone)));
    load.wait_for_progress(Instant::now());
    group.wait_for_view("there is another primary", |primary, now| primary != old && now > view);
    reader.begin_to_read();
    reader.assert_not_stale();
    group.network.heal();
    group.wait_until_normal();
    load.assert_nothing_lost(&group);
}
