//! A backup that is in trouble troubles nobody else (L-STABLE): no outage, no view change.

use std::time::{Duration, Instant};

use crate::group::{Group, PATIENT};
use crate::hosts::Host;
use crate::load::Load;

/// How long the trouble lasts: several suspect timeouts.
const TROUBLE: Duration = Duration::from_secs(4);

/// How long nothing may be acknowledged. A view change takes longer; what a busy machine costs does not.
const GAP_MAX: Duration = Duration::from_millis(900);

#[test]
fn deaf_backup_troubles_nobody() {
    untroubled("deaf-backup", |group, load, backup| {
        group.network.make_deaf(Host::Replica(backup));
        load.go_on_for(TROUBLE);
    });
}

#[test]
fn mute_backup_troubles_nobody() {
    untroubled("mute-backup", |group, load, backup| {
        group.network.make_mute(Host::Replica(backup));
        load.go_on_for(TROUBLE);
    });
}

/// It comes back with a vote for another view each time.
#[test]
fn backup_that_comes_and_goes_troubles_nobody() {
    untroubled("flapping-backup", |group, load, backup| {
        let begun = Instant::now();
        while begun.elapsed() < TROUBLE {
            group.network.isolate(Host::Replica(backup));
            load.go_on_for(Duration::from_millis(500));
            group.network.heal();
            load.go_on_for(Duration::from_millis(500));
        }
    });
}

#[test]
fn stopped_backup_troubles_nobody() {
    untroubled("stopped-backup", |group, load, backup| {
        group.signal(backup, "-STOP");
        load.go_on_for(TROUBLE);
        group.signal(backup, "-CONT");
    });
}

/// The primary stays what it is in the view it was elected in, through the trouble and what follows it.
fn untroubled(name: &str, trouble: impl Fn(&Group, &Load, usize)) {
    let Some(group) = Group::start(name, 3, &PATIENT) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    let begun = Instant::now();
    trouble(&group, &load, (primary + 1) % 3);
    group.network.heal();
    assert_eq!(group.wait_until_normal(), view, "the view changed");
    let gap = load.longest_gap(begun);
    assert!(gap < GAP_MAX, "nothing was acknowledged for {gap:?}");
    load.assert_nothing_lost(&group);
}
