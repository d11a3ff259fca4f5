//! Floods: memory stays within the budget that a replica computes from its options, other clients go on being served, and the
//! peers notice nothing (V8, L-STABLE): the view does not change.

use std::time::{Duration, Instant};

use viewstamped::ClusterOptions;

use crate::floods::{Flood, ask_and_never_read, be_idle, begin_a_large_message, say_nothing, write_without_waiting};
use crate::group::{Group, Memory, PATIENT};
use crate::load::Load;
use crate::support::eventually;

/// Small limits, so that a flood that exceeds them shows.
const LIMITS: [&str; 24] = [
    "--log-bytes-max",
    "1GiB",
    "--client-connections-max",
    "2000",
    "--clients-max",
    "2000",
    "--client-queue-bytes-max",
    "2MiB",
    "--client-queues-bytes-max",
    "8MiB",
    "--client-unfinished-bytes-max",
    "8MiB",
    "--client-inbox-bytes-max",
    "1MiB",
    "--peer-inbox-bytes-max",
    "4MiB",
    "--peer-queue-bytes-max",
    "4MiB",
    "--queue-bytes-max",
    "1MiB",
    "--pipeline-bytes-max",
    "1MiB",
    "--execute-bytes-max",
    "1MiB",
];

const CLUSTER: ClusterOptions = ClusterOptions {
    sessions_max: 400,
    slots_max: 64,
    slots_total_max: 25_600,
    reply_bytes_max: 16 << 10,
    small_reply_bytes_max: 256,
    large_replies_bytes_max: 8 << 20,
    operation_bytes_max: 256 << 10,
    result_bytes_max: 1 << 20,
    checkpoint_ops: 65_536,
    checkpoint_bytes: 64 << 20,
    page_bytes: 4_096,
    lease_max_ms: 0,
    recover_automatically: 0,
};

/// What the state of the service may take in these tests: some megabytes of small keys.
const STATE_BYTES: u64 = 16 << 20;

/// What a replica takes that has nothing to do.
const IDLE_BYTES: u64 = 16 << 20;

/// What counts as served: far less than the time after which a client asks all replicas again and again.
const SOON: Duration = Duration::from_millis(500);

/// How long each flood goes on once it is up.
const FLOOD: Duration = Duration::from_secs(2);

#[test]
fn thousand_idle_connections_harm_nobody() {
    // 8 KiB for each.
    let part = 1_200 * (8 << 10);
    unharmed("connections", part, |group, load, primary| {
        let idle = Flood::start(group, primary, 1_000, be_idle);
        let silent = Flood::start(group, primary, 200, say_nothing);
        idle.wait_for_opened(1_000);
        silent.wait_for_opened(200);
        load.go_on_for(FLOOD);
    });
}

/// 20 connections for which 7 MiB would wait each.
#[test]
fn clients_that_never_read_harm_nobody() {
    // `client-queues-bytes-max`, in buffers that may have grown to twice that.
    let part = 2 * (8 << 20);
    unharmed("never-read", part, |group, load, primary| {
        group.put("large", &"x".repeat(120_000));
        let deaf = Flood::start(group, primary, 20, ask_and_never_read("large"));
        deaf.wait_for_ended(20);
        load.go_on_for(FLOOD);
    });
}

/// 500 connections that would take 100 MiB if all of them could.
#[test]
fn large_messages_that_are_never_completed_harm_nobody() {
    // `client-unfinished-bytes-max`.
    let part = 500 * (8 << 10) + (8 << 20);
    unharmed("unfinished", part, |group, load, primary| {
        let begun = Flood::start(group, primary, 500, begin_a_large_message(CLUSTER.operation_bytes_max as usize));
        begun.wait_for_done(100 << 20);
        begun.wait_for_ended(100);
        load.go_on_for(FLOOD);
    });
}

#[test]
fn more_requests_than_the_pipeline_holds_harm_nobody() {
    // Pipeline, queue, inboxes, and what is queued for clients and peers.
    let part = 40 << 20;
    unharmed("requests", part, |group, load, primary| {
        let flood = Flood::start(group, primary, 100, write_without_waiting);
        flood.wait_for_done(20_000);
        load.go_on_for(FLOOD);
    });
}

/// Its connections stay up, but it reads nothing: what waits for it must not grow without end.
#[test]
fn backup_that_reads_nothing_for_long_harms_nobody() {
    // The same, with `peer-queue-bytes-max`.
    let part = 40 << 20;
    unharmed("stopped", part, |group, load, primary| {
        let backup = (primary + 1) % 3;
        group.signal(backup, "-STOP");
        let writer = Flood::start(group, primary, 4, write_without_waiting);
        writer.wait_for_done(50_000);
        load.go_on_for(FLOOD);
        drop(writer);
        group.signal(backup, "-CONT");
    });
}

/// Every connection counts as an open file; peers that come back need some, too.
#[test]
fn flood_of_connections_leaves_files_for_the_peers() {
    let flags = ["--peer-connections-max", "32"];
    let Some(mut group) = Group::start_with("files", 3, &flags, CLUSTER, Some(256)) else { return };
    let (primary, _) = group.primary();
    let backup = (primary + 1) % 3;
    let idle = Flood::start(&group, primary, 500, be_idle);
    idle.wait_for_opened(500);
    group.kill(backup);
    group.start_replica(backup);
    group.wait_for_one("the backup is normal again", backup, |status| status.status == "normal");
}

/// As many requests as the network carries, far more than the group can execute, and then no more.
#[test]
fn others_are_served_as_before_once_an_overload_is_over() {
    let flags = [&LIMITS[..], &PATIENT].concat();
    let Some(group) = Group::start_with("overload", 3, &flags, CLUSTER, None) else { return };
    let load = Load::start(&group);
    let (_, view) = group.primary();
    let flood = Flood::start(&group, group.primary().0, 200, write_without_waiting);
    flood.wait_for_done(40_000);
    load.go_on_for(FLOOD);
    drop(flood);
    let over = Instant::now();
    eventually("95 of 100 writes are acknowledged soon again", || load.acknowledged_within(SOON, over) >= 95);
    assert_eq!(group.wait_until_normal(), view, "the view changed");
    load.assert_nothing_lost(&group);
}

/// Lets a flood come and go. Besides the log and the state it may cost so many bytes of memory.
fn unharmed(name: &str, part: u64, flood: impl Fn(&Group, &Load, usize)) {
    let flags = [&LIMITS[..], &PATIENT].concat();
    let Some(group) = Group::start_with(name, 3, &flags, CLUSTER, None) else { return };
    let load = Load::start(&group);
    let (primary, view) = group.primary();
    flood(&group, &load, primary);
    assert_eq!(group.wait_until_normal(), view, "the view changed");
    for Memory { resident_max, budget, log } in group.memory() {
        let expected = IDLE_BYTES + part + log + log / 4 + STATE_BYTES;
        let most = expected.min(budget + STATE_BYTES);
        assert!(resident_max <= most, "a replica took {} MiB, and may take {} MiB", resident_max >> 20, most >> 20);
    }
    load.assert_nothing_lost(&group);
}
