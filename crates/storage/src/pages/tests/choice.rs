//! Which superblock counts, and what damage to superblocks means.

use super::*;
use crate::io::Fault;

const SUPERBLOCKS: [usize; 4] = [0, 8 * 512, 16 * 512, 24 * 512];

/// Saves so many checkpoints.
fn saved(count: u64) -> (SimulatedDisk, Vec<CheckpointFiles>) {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(20));
    let (mut pages, _) = open(&disk);
    let checkpoints: Vec<CheckpointFiles> = (0..count).map(|_| replica.checkpoint(20)).collect();
    for checkpoint in &checkpoints {
        save(&mut pages, checkpoint, 1 << 20).unwrap();
    }
    (disk, checkpoints)
}

fn damage(disk: &SimulatedDisk, copies: &[usize]) {
    for copy in copies {
        disk.flip_bit(PAGES, (SUPERBLOCKS[*copy] as u64 + 60) * 8);
    }
}

#[test]
fn one_damaged_copy_of_a_superblock_is_no_doubt() {
    for copy in 0..4 {
        for count in [1, 2, 5] {
            let (disk, checkpoints) = saved(count);
            damage(&disk, &[copy]);
            let (_, opened) = open(&disk);
            assert_eq!(opened.verdict, Verdict::Sound);
            assert_is(&opened.checkpoint.unwrap(), checkpoints.last().unwrap());
        }
    }
}

#[test]
fn two_damaged_copies_are_doubt_and_the_other_checkpoint_is_found() {
    // Checkpoint 5 is in the odd superblocks, checkpoint 4 in the even ones.
    let (disk, checkpoints) = saved(5);
    for (copies, found) in [([0, 1], 4), ([2, 3], 3)] {
        let disk = disk.fork();
        damage(&disk, &copies);
        let (_, opened) = open(&disk);
        assert!(matches!(opened.verdict, Verdict::Doubt(Damage::Superblock { .. })));
        assert_is(&opened.checkpoint.unwrap(), &checkpoints[found]);
    }
}

#[test]
fn zeros_are_damage_once_the_file_was_made() {
    let (disk, _) = saved(1);
    let mut bytes = disk.content(PAGES).unwrap();
    bytes[SUPERBLOCKS[2]..][..512].fill(0);
    bytes[SUPERBLOCKS[3]..][..512].fill(0);
    disk.replace(PAGES, bytes);
    let (_, opened) = open(&disk);
    assert!(opened.checkpoint.is_none() && matches!(opened.verdict, Verdict::Doubt(_)), "checkpoint 1 is lost");
}

/// After doubt the file is used again: the next checkpoint counts, without doubt, whatever was hidden in the damaged superblock.
#[test]
fn after_doubt_the_next_checkpoint_replaces_what_was_lost() {
    for copies in [&[0, 1][..], &[2, 3], &[0, 1, 2, 3]] {
        for count in 1..6 {
            let (disk, _) = saved(count);
            damage(&disk, copies);
            let (mut pages, opened) = open(&disk);
            assert!(matches!(opened.verdict, Verdict::Doubt(_)));
            let mut replica = Replica::new(21);
            for _ in 0..3 {
                let next = replica.checkpoint(50);
                save(&mut pages, &next, 1 << 20).unwrap();
                let (_, opened) = open(&disk);
                assert_eq!(opened.verdict, Verdict::Sound);
                assert_is(&opened.checkpoint.unwrap(), &next);
            }
        }
    }
}

#[test]
fn damage_to_a_page_of_the_newest_checkpoint_is_doubt_and_the_one_before_is_found() {
    let (disk, checkpoints) = saved(4);
    let bytes = disk.content(PAGES).unwrap();
    // The header of a checkpoint is a record of its own.
    let header = &checkpoints[3].header;
    let at = bytes.windows(header.len()).position(|window| window == &header[..]).unwrap();
    disk.flip_bit(PAGES, at as u64 * 8);
    let (mut pages, opened) = open(&disk);
    assert!(matches!(opened.verdict, Verdict::Doubt(Damage::Record { fault: RecordFault::Checksum, .. })));
    assert_is(&opened.checkpoint.unwrap(), &checkpoints[2]);
    let next = Replica::new(22).checkpoint(50);
    save(&mut pages, &next, 1 << 20).unwrap();
    let (_, opened) = open(&disk);
    assert_eq!(opened.verdict, Verdict::Sound);
    assert_is(&opened.checkpoint.unwrap(), &next);
}

#[test]
fn a_file_of_a_later_release_is_refused() {
    let (disk, _) = saved(2);
    let mut bytes = disk.content(PAGES).unwrap();
    bytes[8] = 2;
    bytes[12..16].fill(0);
    let checksum = crc32c::crc32c(&bytes[..512]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    disk.replace(PAGES, bytes);
    let error = PageFile::open(&disk, CLUSTER).unwrap_err();
    assert!(matches!(error, OpenError::Newer { version: 2 }), "{error}");
}

/// What could not be read for once may be read again: then the checkpoint that was saved in the meantime must count all the same.
#[test]
fn a_superblock_that_could_not_be_read_for_once_never_counts_again() {
    let (disk, checkpoints) = saved(5);
    // The file is opened and measured, then its superblocks are read, the newest ones last.
    for copy in [2, 3] {
        disk.fail_call(disk.calls() + 2 + copy, Fault::Error);
    }
    let (mut pages, opened) = open(&disk);
    assert!(matches!(opened.verdict, Verdict::Doubt(Damage::Superblock { .. })));
    assert_is(&opened.checkpoint.unwrap(), &checkpoints[3]);
    let next = Replica::new(23).checkpoint(30);
    pages.begin(next.clone(), journal(&next)).unwrap();
    for _ in ["settle", "write", "sync"] {
        pages.step(1 << 20).unwrap();
    }
    // The first copy of the new superblock survives the power cut, the second does not.
    disk.fail_call(disk.calls() + 1, Fault::PowerCut);
    pages.step(1 << 20).unwrap_err();
    let mut surviving = [0, 1, 0].into_iter();
    disk.cut_power(&mut |_| surviving.next().expect("nothing else is unsynced"));
    let (_, opened) = open(&disk);
    assert_is(&opened.checkpoint.unwrap(), &next);
    assert_eq!(opened.verdict, Verdict::Sound);
}
