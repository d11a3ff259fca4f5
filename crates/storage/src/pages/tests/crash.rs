//! Power cuts and ends of the process at every call of the disk.

use super::*;
use crate::io::Fault;

/// What a run of many checkpoints came to before it failed.
struct Outcome {
    /// The newest checkpoint that was reported durable.
    durable: Option<CheckpointFiles>,
    /// The one that was being saved.
    saving: Option<CheckpointFiles>,
}

const CHECKPOINTS: u64 = 14;

/// Opens the file and saves checkpoints until something fails.
fn run(disk: &SimulatedDisk, replica: &mut Replica) -> Outcome {
    let mut outcome = Outcome { durable: None, saving: None };
    let Ok((mut pages, _)) = PageFile::open(disk, CLUSTER) else { return outcome };
    for _ in 0..CHECKPOINTS {
        let checkpoint = replica.checkpoint(25);
        outcome.saving = Some(checkpoint.clone());
        if save(&mut pages, &checkpoint, 1500).is_err() {
            return outcome;
        }
        outcome.durable = outcome.saving.take();
    }
    outcome
}

/// The file holds the newest durable checkpoint or the one that was being saved; returns which.
fn assert_nothing_is_lost(disk: &SimulatedDisk, outcome: &Outcome) -> Option<CheckpointFiles> {
    let (_, opened) = open(disk);
    let expected = [&outcome.saving, &outcome.durable].map(Option::as_ref);
    match (opened.checkpoint, opened.verdict) {
        (None, Verdict::Empty) => {
            assert!(outcome.durable.is_none(), "a durable checkpoint is lost");
            None
        }
        (Some(loaded), Verdict::Sound) => {
            assert_is_one_of(&loaded, expected.into_iter().flatten());
            expected.into_iter().flatten().find(|expected| expected.id == loaded.id).cloned()
        }
        (_, verdict) => panic!("a crash is no damage: {verdict:?}"),
    }
}

fn calls_of_a_run() -> u64 {
    let disk = SimulatedDisk::new();
    run(&disk, &mut Replica::new(5));
    disk.calls()
}

#[test]
fn a_power_cut_at_any_call_loses_no_durable_checkpoint() {
    let calls = calls_of_a_run();
    assert!(calls > 150, "{calls}");
    for call in 0..calls {
        let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(5));
        disk.fail_call(call, Fault::PowerCut);
        let outcome = run(&disk, &mut replica);
        for seed in 0..4 {
            let (disk, mut numbers) = (disk.fork(), Numbers(call * 8 + seed));
            disk.cut_power(&mut |bound| numbers.below(bound));
            let found = assert_nothing_is_lost(&disk, &outcome);
            // And it goes on from there, through another power cut.
            let mut replica = replica.clone();
            disk.fail_call(disk.calls() + numbers.below(60), Fault::PowerCut);
            let next = run(&disk, &mut replica);
            disk.cut_power(&mut |bound| numbers.below(bound));
            let durable = next.durable.or(found);
            assert_nothing_is_lost(&disk, &Outcome { durable, saving: next.saving });
        }
    }
}

/// The process ends, and the machine goes on: what was not synced is found, and is lost only when the power goes later.
#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_before_anything_is_overwritten() {
    for call in 0..calls_of_a_run() {
        let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(5));
        // The sync or write fails, and drops what was not durable; the process ends because of that.
        disk.fail_call(call, Fault::Error);
        let outcome = run(&disk, &mut replica);
        let Some(found) = assert_nothing_is_lost(&disk, &outcome) else { continue };
        for later in 0..40 {
            let (disk, mut numbers) = (disk.fork(), Numbers(call * 64 + later));
            disk.fail_call(disk.calls() + later, Fault::PowerCut);
            let next = run(&disk, &mut replica.clone());
            disk.cut_power(&mut |bound| numbers.below(bound));
            // The one that was found may never have been durable: then the one before still is.
            let found = Some(found.clone());
            let (_, opened) = open(&disk);
            let Some(loaded) = opened.checkpoint else {
                assert_eq!(opened.verdict, Verdict::Empty);
                assert!(next.durable.is_none() && outcome.durable.is_none(), "a durable checkpoint is lost");
                continue;
            };
            assert_eq!(opened.verdict, Verdict::Sound, "call {call}, {later} later");
            assert_is_one_of(&loaded, [&next.saving, &next.durable, &found, &outcome.durable].into_iter().flatten());
            let newest = next.durable.as_ref().map_or(0, |durable| durable.id.op);
            assert!(loaded.id.op >= newest, "a durable checkpoint is lost");
        }
    }
}
