//! What waits for the disk in the `synchronous` mode, and what does not in the others.

use crate::common::{Group, ms};
use crate::script::Script;
use viewstamped_protocol::message::Body;
use viewstamped_protocol::*;

/// An acknowledgement promises that the operation survives, so it is on the disk first.
#[test]
fn a_backup_acknowledges_no_more_than_is_durable() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r1's disk is stuck
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r0->r2      PREPARE v0 n2   lost
        nothing is in flight                // r1 does not acknowledge A
        client->r0  REQUEST B
        r0->r1      PREPARE v0 n3
        r0->r2      PREPARE v0 n3   lost
        r0 waits 60 ms                      // a heartbeat: its answer names what is durable, too
        r0->r1      COMMIT v0
        r1->r0      COMMITACK v0 n1
        everything to r1 is lost
        everything to r2 is lost
        r1's disk writes 1
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        r1's disk writes 1
        r1->r0      PREPAREOK v0 n3
        r0->client  REPLY v0 AB
        ",
    );
}

/// The primary is one of the quorum, and no better than the others: it may crash as they may.
#[test]
fn the_primary_counts_itself_only_as_far_as_its_own_disk() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r0's disk is stuck
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r0->r2      PREPARE v0 n2   late (m)
        r1->r0      PREPAREOK v0 n2
        nothing is in flight
        r0 is normal v0 n2 k1
        r0's disk writes
        r0->client  REPLY v0 A
        r0 is normal v0 n2 k2
        ",
    );
}

/// A quorum is a quorum: a slow disk of the primary delays nobody.
#[test]
fn a_quorum_of_backups_commits_without_the_primarys_disk() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r0's disk is stuck
        client->r0  REQUEST A
        everything arrives
        r0 is normal v0 n2 k2
        r0 has executed A
        client->r0  REQUEST B
        everything arrives
        r0 has executed AB
        ",
    );
}

#[test]
fn a_group_of_one_commits_when_its_disk_has_written() {
    let mut script = Script::durable(1, Durability::Synchronous);
    script.play(
        "
        r0's disk is stuck
        client->r0  REQUEST A
        nothing is in flight
        r0 is normal v0 n2 k1
        r0's disk writes
        r0->client  REPLY v0 A
        ",
    );
}

/// 8.2: the promise to acknowledge nothing in an earlier view is what keeps a committed operation in the next one.
#[test]
fn a_promise_is_durable_before_it_is_sent_and_nothing_overtakes_it() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r2's disk is stuck
        r2 enters v1
        nothing is in flight                // neither DOVIEWCHANGE nor the news of the view change
        client->r0  REQUEST A
        r0->r2      PREPARE v0 n2           // of an older view: r2 would tell r0 so
        everything is lost
        r2 waits 200 ms
        nothing is in flight
        r2's disk writes
        r2->r1      DOVIEWCHANGE v1
        ",
    );
}

/// V7: a vote is no promise. It changes nothing at the voter, and so there is nothing to be made durable first.
#[test]
fn a_vote_waits_for_no_disk() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r2's disk is stuck
        r2 times out
        r2->r0      STARTVIEWCHANGE v0 candidate=v1 votes=[r2]
        r2->r1      STARTVIEWCHANGE v0 candidate=v1 votes=[r2]
        ",
    );
    assert!(script.group.disk(2).waiting.is_empty(), "a vote is not journaled");
}

/// The view begins when its log is durable at its primary, and for a backup when it is durable there; until then a backup
/// acknowledges what both logs have in common.
#[test]
fn a_view_starts_when_its_log_is_durable() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r0->r2      PREPARE v0 n2   lost
        everything is lost
        r1's disk is stuck
        r2's disk is stuck
        r2 enters v1
        r2's disk writes
        r1 enters v1
        r2->r1      DOVIEWCHANGE v1
        r2->*       STARTVIEWCHANGE v1  lost
        r1 is normal v1 n2
        nothing is in flight
        r1's disk writes 1                  // its promise, which is no news any more
        nothing is in flight
        r1's disk writes 1                  // A is in this view's log
        r1->*       STARTVIEWCHANGE v1  lost
        r1->r0      STARTVIEW v1  lost
        r1->r2      STARTVIEW v1
        r2 is normal v1 n2
        nothing is in flight
        r1 is normal v1 n2 k1
        r2's disk writes
        r2->r1      PREPAREOK v1 n1         // said before A was durable
        r2->r1      PREPAREOK v1 n2
        r1 is normal v1 n2 k2
        ",
    );
}

/// A replica that answers RECOVERY without remembering it would later take what the crash made void for a promise (C1).
#[test]
fn a_crash_heard_of_is_durable_before_it_is_answered() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r2 crashes
        r2 restarts in doubt
        r1's disk is stuck
        r2->r1      RECOVERY
        nothing is in flight to r2
        r1's disk writes
        r1->r2      RECOVERYRESPONSE v0
        ",
    );
}

/// Whatever waits for a disk that is stuck is repeated by its own timers, for ever; only so much of it is kept.
#[test]
fn what_waits_for_a_promise_is_bounded() {
    let options = Options { held_messages_max: 5, ..Script::options() };
    let mut group = Group::with(3, ClusterOptions::default(), options, Durability::Synchronous);
    group.run_for(ms(300));
    group.disk(2).is_stuck = true;
    group.isolate(0);
    group.network.clear();
    group.enter_view_change(2, 1);
    group.run_for(ms(5_000));
    group.network.clear();
    group.write_records(2, 1);
    let sent = group.network.iter().filter(|(_, message)| message.header.from == NodeId(2));
    assert!(sent.count() <= 2 * 5, "each to two others: {:?}", group.transcript());
}

/// `background` writes the same, and waits for none of it; `replicated` writes nothing.
#[test]
fn the_other_modes_wait_for_nothing() {
    for durability in [Durability::Background, Durability::Replicated] {
        let mut script = Script::durable(3, durability);
        script.play(
            "
            r0's disk is stuck
            r1's disk is stuck
            r2's disk is stuck
            client->r0  REQUEST A
            r0->r1      PREPARE v0 n2
            r1->r0      PREPAREOK v0 n2
            r0->client  REPLY v0 A
            everything is lost
            r2 enters v1
            r2->r1      DOVIEWCHANGE v1
            r1 enters v1
            everything arrives
            r1 is normal v1 n2 k2
            ",
        );
        let waiting: Vec<_> = (0..3).map(|id| script.group.disk(id).waiting.len()).collect();
        match durability {
            Durability::Replicated => assert_eq!(waiting, [0, 0, 0], "nothing is journaled"),
            _ => assert!(waiting.iter().all(|count| *count > 0), "{waiting:?}"),
        }
    }
}

/// A journal that cannot be written is an alarm, and stops nobody who does not wait for it.
#[test]
fn a_broken_journal_stops_only_who_waits_for_it() {
    for (durability, is_served) in [(Durability::Background, true), (Durability::Synchronous, false)] {
        let mut script = Script::durable(3, durability);
        script.group.disk(1).is_stuck = true;
        script.group.input(1, Input::JournalBroken);
        script.play(
            "
            client->r0  REQUEST A
            r0->r1      PREPARE v0 n2
            r0->r2      PREPARE v0 n2   lost
            ",
        );
        let acknowledges = |(_, message): &(NodeId, Message)| matches!(message.body, Body::PrepareOk(_));
        assert_eq!(script.group.network.iter().any(acknowledges), is_served, "{durability}");
        let alarm = (NodeId(1), Event::JournalBroken { op: OpNumber(1) });
        assert!(script.group.events.contains(&alarm), "{:?}", script.group.events);
        assert!(script.group.disk(1).waiting.is_empty(), "nothing is added to a journal that has ended");
        script.play("r1 enters v1");
        let promises = |(_, message): &(NodeId, Message)| {
            message.header.from == NodeId(1) && matches!(message.body, Body::StartViewChange(_) | Body::DoViewChange(_))
        };
        assert!(is_served || !script.group.network.iter().any(promises), "{:?}", script.in_flight());
    }
}
