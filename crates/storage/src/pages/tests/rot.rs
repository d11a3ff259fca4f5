//! Flipped bits and cut files.

use super::*;
use crate::io::Fault;

/// A file after many checkpoints, and the last two.
fn saved() -> (SimulatedDisk, Vec<CheckpointFiles>) {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(8));
    let (mut pages, _) = open(&disk);
    let checkpoints: Vec<CheckpointFiles> = (0..7).map(|_| replica.checkpoint(40)).collect();
    for checkpoint in &checkpoints {
        save(&mut pages, checkpoint, 1 << 20).unwrap();
    }
    (disk, checkpoints)
}

/// Opens a damaged file: the newest checkpoint is found, or something is said. Returns whether something is said.
fn is_detected(disk: &SimulatedDisk, checkpoints: &[CheckpointFiles]) -> bool {
    let (_, opened) = open(disk);
    let newest = checkpoints.last().unwrap();
    match (&opened.checkpoint, &opened.verdict) {
        (Some(loaded), Verdict::Sound) => {
            assert_is(loaded, newest);
            false
        }
        (checkpoint, Verdict::Doubt(damage)) => {
            assert!(!damage.to_string().is_empty());
            let _ = checkpoint.as_ref().map(|loaded| assert_is_one_of(loaded, checkpoints.iter()));
            true
        }
        (None, Verdict::Empty) => true,
        (_, verdict) => panic!("a verdict that says something else than what was found: {verdict:?}"),
    }
}

#[test]
fn a_flipped_bit_is_detected_or_harmless() {
    let (disk, checkpoints) = saved();
    let bits = disk.content(PAGES).unwrap().len() as u64 * 8;
    let mut numbers = Numbers(9);
    let mut detected = 0;
    for _ in 0..10_000 {
        let bit = numbers.below(bits);
        disk.flip_bit(PAGES, bit);
        detected += u32::from(is_detected(&disk, &checkpoints));
        disk.flip_bit(PAGES, bit);
    }
    assert!(detected > 2_000, "{detected}");
    assert!(!is_detected(&disk, &checkpoints));
}

/// A write that is reported as done and never reaches the disk, or hits another place of the file, is seen when that is read.
#[test]
fn a_lost_or_misdirected_write_is_detected_or_harmless() {
    let run = |failing: Option<(u64, Fault)>| {
        let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(9));
        if let Some((call, fault)) = failing {
            disk.fail_call(call, fault);
        }
        let (mut pages, _) = open(&disk);
        let mut checkpoints = Vec::new();
        for _ in 0..8 {
            checkpoints.push(replica.checkpoint(30));
            save(&mut pages, &checkpoints[checkpoints.len() - 1], 4000).unwrap();
        }
        let written = disk.calls();
        disk.cut_power(&mut |bound| bound - 1);
        (disk, checkpoints, written)
    };
    let mut detected = 0;
    for call in 0..run(None).2 {
        for by in [None, Some(-512), Some(512), Some(8192), Some(-8192)] {
            let fault = by.map_or(Fault::LostWrite, |by| Fault::MisdirectedWrite { by });
            let (disk, checkpoints, _) = run(Some((call, fault)));
            detected += u32::from(is_detected(&disk, &checkpoints));
        }
    }
    assert!(detected > 20, "{detected}");
}

#[test]
fn a_cut_file_is_detected() {
    let (disk, checkpoints) = saved();
    let content = disk.content(PAGES).unwrap();
    let mut numbers = Numbers(10);
    for _ in 0..1_000 {
        let length = numbers.below(content.len() as u64) as usize;
        disk.replace(PAGES, content[..length].to_vec());
        assert!(is_detected(&disk, &checkpoints), "{length} bytes of {}", content.len());
    }
}
