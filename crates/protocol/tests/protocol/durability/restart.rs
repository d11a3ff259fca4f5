//! A boot without RECOVERY: the disk holds all that the replica ever said.

use crate::common::{Group, ms};
use crate::script::Script;
use viewstamped_protocol::*;

/// It has forgotten nothing, so it is no more than a replica that was slow: same life, same view, same log.
#[test]
fn a_replica_whose_journal_is_whole_goes_on_as_one_that_was_slow() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        r1 crashes
        client->r0  REQUEST B
        everything arrives
        r1 restarts
        r1 is normal v0 n2 k1               // the commit mark lags
        r1->r0      PREPAREOK v0 n2
        nothing is in flight                // it asks nobody for anything
        500 ms pass
        r1 is normal v0 n3 k3 x3
        r1 has executed AB
        ",
    );
    assert_eq!(script.group.replica(1).report().incarnation, Incarnation(1));
}

/// L-RESTART: a power cut of all members loses nothing that was acknowledged, and needs nobody.
#[test]
fn after_a_power_cut_of_all_nothing_acknowledged_is_lost() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r0->r2      PREPARE v0 n2   lost
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        r0 crashes
        r1 crashes
        r2 crashes
        everything is lost
        r0 restarts
        r1 restarts
        r2 restarts
        2 s pass
        everyone is normal v1 n2 k2 x2
        everyone has executed A
        client->r1  REQUEST B
        500 ms pass
        everyone has executed AB
        ",
    );
}

/// The mark of a clean shutdown makes the same of the other modes, whatever they wait for while they serve.
#[test]
fn a_group_that_was_shut_down_goes_on_without_recovery_in_every_mode() {
    for durability in Durability::ALL {
        let mut script = Script::durable(3, durability);
        script.play(
            "
            r0's disk is stuck
            r1's disk is stuck
            client->r0  REQUEST A
            everything arrives
            r0 is shut down
            r1 is shut down
            r2 is shut down
            r0 restarts
            r1 restarts
            r2 restarts
            2 s pass
            everyone is normal v1 n2 k2 x2
            everyone has executed A
            ",
        );
        for id in 0..3 {
            assert_eq!(script.group.replica(id).report().incarnation, Incarnation(1), "{durability}");
        }
    }
}

/// What a replica says after its last record would be forgotten.
#[test]
fn a_replica_that_is_shut_down_says_no_more() {
    for durability in Durability::ALL {
        let mut script = Script::durable(3, durability);
        script.play(
            "
            client->r0  REQUEST A
            r0->r2      PREPARE v0 n2   lost
            ",
        );
        script.group.input(1, Input::ShutDown);
        script.play(
            "
            r0->r1      PREPARE v0 n2
            r1 enters v1
            r1 waits 500 ms
            nothing is in flight
            r1 is normal v0 n1
            ",
        );
        assert_eq!(script.group.replica(1).next_deadline(), None, "{durability}");
    }
}

/// One that recovers has nothing to go on from: the mark would turn what its disk holds of an earlier life into this one's.
#[test]
fn a_replica_that_recovers_is_not_marked_as_cleanly_shut_down() {
    let mut script = Script::durable(3, Durability::Background);
    script.play(
        "
        r1 crashes
        r1 restarts
        everything is lost
        r1 is shut down
        r1 restarts
        r1 is recovering
        ",
    );
}

/// C14. A commits by the disks of r1 and r2; r0 crashes before its own has it. Were it to go on as the primary of view 0, it would
/// give A's op-number to B.
#[test]
fn c14_a_primary_that_starts_again_never_goes_on_with_its_view() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r0's disk is stuck
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r0->r2      PREPARE v0 n2
        r1->r0      PREPAREOK v0 n2
        r2->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        r0 crashes
        everything is lost
        r0 restarts
        r0 is view-change v1 n1
        client->r0  REQUEST B
        r0's disk writes
        r0->client  NOTSERVING
        r0's disk is quick
        500 ms pass
        everyone is normal v1 n2 k2 x2
        client->r1  REQUEST B
        500 ms pass
        everyone has executed AB
        ",
    );
}

/// V11: what a DOVIEWCHANGE said still holds after the restart: the view, the log and the commit-number.
#[test]
fn a_view_change_goes_on_after_a_restart() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        client->r0  REQUEST A
        everything arrives
        client->r0  REQUEST B
        r0->r2      PREPARE v0 n3 k2
        everything is lost
        r2 enters v1
        r2->r1      DOVIEWCHANGE v1 n3 k2 v'=0  late (m)
        r2 crashes
        r2 restarts
        r2 is view-change v1 n3 k2 x0 v'=0
        r2->r1      DOVIEWCHANGE v1 n3 k2 v'=0
        m arrives                           // the same once more
        everything arrives
        500 ms pass
        everyone is normal v1 n3 k3
        ",
    );
}

/// C1 over a restart: r2 answered the RECOVERY of r1. If it forgot the crash, its DOVIEWCHANGE would not make void the one that
/// r1 sent before.
#[test]
fn a_crash_heard_of_is_remembered_over_a_restart() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r1 enters v2                        // a promise that is late
        r1->r2      DOVIEWCHANGE v2 n1 k1 v'=0  late (m)
        r1 crashes
        r1 recovers wiped
        500 ms pass
        r1 is normal v0
        r2 crashes
        r2 restarts
        500 ms pass
        client->r0  REQUEST A
        r0->r1      PREPARE v0 n2
        r0->r2      PREPARE v0 n2   lost
        r1->r0      PREPAREOK v0 n2
        r0->client  REPLY v0 A
        everything is lost
        r2 enters v2
        m arrives                           // with its own it has two, and neither has A
        r2 is view-change v2 n1
        500 ms pass
        everyone is normal v2 n2 k2
        everyone has executed A
        ",
    );
}

/// R9. A granter of a lease that starts again has forgotten its grant. It takes part in no view change until the longest lease is
/// over, counted from its start.
#[test]
fn r9_a_boot_without_recovery_promises_no_view_change_for_the_longest_lease() {
    let cluster_options = ClusterOptions { lease_max_ms: 2_000, ..ClusterOptions::default() };
    let mut script = Script::durable_with(3, cluster_options, Durability::Synchronous);
    script.play(
        "
        r2 crashes
        r2 restarts
        r1 crashes
        r1 restarts
        r0 is cut off
        1500 ms pass                        // they suspect r0, and want view 1
        r1 is view-change
        r2 is view-change
        5 s pass
        r1 is normal
        r2 is normal
        ",
    );
}

/// The same for a primary of a new view that hears enough others.
#[test]
fn r9_a_boot_without_recovery_starts_no_view_for_the_longest_lease() {
    let cluster_options = ClusterOptions { lease_max_ms: 2_000, ..ClusterOptions::default() };
    let mut script = Script::durable_with(5, cluster_options, Durability::Synchronous);
    script.play(
        "
        r1 crashes
        r1 restarts
        everything arrives
        r1 enters v1
        r2 enters v1
        r3 enters v1
        r4 enters v1
        r2->r1      DOVIEWCHANGE v1
        r3->r1      DOVIEWCHANGE v1
        r4->r1      DOVIEWCHANGE v1
        r1 waits 1500 ms
        r1 is view-change v1                // with the promises of a quorum of others
        r1 waits 1 s
        r1 is normal v1
        ",
    );
}

/// A whole journal of another life is no promise of this one.
#[test]
fn a_journal_of_another_incarnation_restarts_nobody() {
    let mut script = Script::durable(3, Durability::Synchronous);
    script.play(
        "
        r2 crashes
        r2 restarts in doubt                // its next life, which gets no further
        everything is lost
        r2 crashes
        r2 restarts
        r2 is recovering
        everything arrives
        500 ms pass
        r2 is normal v0 n1
        ",
    );
    assert_eq!(script.group.replica(2).report().incarnation, Incarnation(3));
    script.play("r2 crashes\nr2 restarts\nr2 is normal v0 n1");
    assert_eq!(script.group.replica(2).report().incarnation, Incarnation(3), "its own journal is there again");
}

/// L-RESTART from the first moment: whichever of the first writes was the last one before a power cut.
#[test]
fn a_power_cut_while_a_cluster_is_founded_is_survived() {
    for crash_after_ms in 0..12 {
        let mut group = Group::with(3, ClusterOptions::default(), Script::options(), Durability::Synchronous);
        for id in 0..3 {
            // Each disk is as slow as it likes.
            group.disk(id).is_stuck = true;
        }
        for moment in 0..crash_after_ms {
            group.run_for(ms(1));
            group.write_records(moment % 3, 1);
        }
        for id in 0..3 {
            group.crash(id);
            group.disk(id).is_stuck = false;
        }
        group.network.clear();
        for id in 0..3 {
            group.restart(id);
        }
        group.run_for(ms(3_000));
        assert!(group.all_normal(), "cut after {crash_after_ms} ms");
    }
}

fn checkpoints_every(ops: u32) -> ClusterOptions {
    ClusterOptions { checkpoint_ops: ops, ..ClusterOptions::default() }
}

fn execute_all(script: &mut Script, names: &[&str]) {
    for name in names {
        script.play(&format!("client->r0 REQUEST {name}\neverything arrives"));
    }
}

/// 5.1: the journal is as long as what happened since the checkpoint, however long a replica has lived.
#[test]
fn a_checkpoint_that_is_saved_shortens_the_journal() {
    for durability in [Durability::Background, Durability::Synchronous] {
        let mut script = Script::durable_with(3, checkpoints_every(4), durability);
        execute_all(&mut script, &["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"]);
        for id in 0..3 {
            let disk = script.group.disk(id);
            assert_eq!(disk.checkpoint.as_ref().map(|checkpoint| checkpoint.id.op), Some(OpNumber(8)), "{durability}");
            assert!(matches!(&disk.written[0], Record::Rebase(rebase) if rebase.base == OpNumber(8)), "{durability}");
            assert!(disk.written.len() <= 6, "{:?}", disk.written);
        }
    }
}

/// It starts with the state of the checkpoint and executes what follows, in every mode after a clean shutdown.
#[test]
fn a_restart_begins_at_the_checkpoint() {
    for durability in Durability::ALL {
        let mut script = Script::durable_with(3, checkpoints_every(4), durability);
        execute_all(&mut script, &["A", "B", "C", "D", "E"]);
        script.play(
            "
            r0 is shut down
            r1 is shut down
            r2 is shut down
            r0 restarts
            r1 restarts
            r2 restarts
            2 s pass
            everyone is normal v1 n6 k6 x6
            everyone has executed ABCDE
            client->r1  REQUEST F
            500 ms pass
            everyone has executed ABCDEF
            ",
        );
        assert_eq!(script.group.replica(1).report().log_base, OpNumber(4), "{durability}");
        assert_eq!(script.group.replica(1).report().incarnation, Incarnation(1), "{durability}");
    }
}

/// A crash while a checkpoint is on its way to the disk: the one before it, and the journal from there, are still whole.
#[test]
fn a_power_cut_before_a_checkpoint_is_saved_loses_nothing() {
    for written in 0..12 {
        let mut script = Script::durable_with(3, checkpoints_every(4), Durability::Synchronous);
        execute_all(&mut script, &["A", "B", "C", "D"]);
        script.play("r0's disk is stuck");
        execute_all(&mut script, &["E", "F", "G", "H", "I"]);
        script.group.write_records(0, written);
        script.play(
            "
            r0 crashes
            r1 crashes
            r2 crashes
            r0's disk is quick
            r0 restarts
            r1 restarts
            r2 restarts
            2 s pass
            everyone is normal v1 n10 k10 x10
            everyone has executed ABCDEFGHI
            ",
        );
    }
}

/// A log that was cut in memory is still in the journal as far as the disk is behind; none of it is forgotten before it is there.
#[test]
fn the_log_is_not_cut_above_what_the_disk_has_of_it() {
    let mut script = Script::durable_with(3, checkpoints_every(4), Durability::Synchronous);
    execute_all(&mut script, &["A", "B"]);
    script.play("r0's disk is stuck");
    execute_all(&mut script, &["C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M"]);
    script.play("100 ms pass");
    let base = |script: &Script, id| script.group.replica(id).report().log_base;
    assert_eq!((base(&script, 0), base(&script, 1)), (OpNumber(0), OpNumber(8)));
    script.play("r0's disk writes\n100 ms pass");
    execute_all(&mut script, &["N", "O", "P"]);
    script.play("r0's disk writes\n100 ms pass");
    assert!(base(&script, 0) >= OpNumber(8));
}

/// A checkpoint that was fetched replaces a log that no journal leads up to. Until it is on the disk, nothing may rest on it.
#[test]
fn nothing_rests_on_a_checkpoint_that_was_fetched_before_it_is_durable() {
    let mut script = Script::durable_with(3, checkpoints_every(4), Durability::Synchronous);
    script.play("r2 crashes");
    execute_all(&mut script, &["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M"]);
    script.play(
        "
        100 ms pass
        r2 restarts
        r2's disk is stuck
        1 s pass
        r2 is normal v0 n12                 // it does not even ask for what follows
        ",
    );
    assert_eq!(script.group.replica(0).report().quorum_checkpoint.held, OpNumber(12));
    let acknowledges = |script: &Script| {
        let speaks = |(_, message): &(NodeId, Message)| message.header.from == NodeId(2);
        script.group.network.iter().any(speaks)
    };
    script.play("everything arrives\nr0 waits 60 ms\nr0->r2 COMMIT v0\nr0->r1 COMMIT v0 lost");
    assert!(!acknowledges(&script), "{:?}", script.in_flight());
    script.play("r2's disk writes");
    assert!(acknowledges(&script));
    script.play("everything arrives\nr2 crashes\nr2's disk is quick\nr2 restarts\n500 ms pass\nr2 is normal v0 n14");
    assert_eq!(script.group.replica(2).report().incarnation, Incarnation(1));
}
