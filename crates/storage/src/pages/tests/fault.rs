//! Errors of the disk at every call.

use super::*;
use crate::io::Fault;

#[test]
fn after_an_error_at_any_call_the_durable_checkpoint_is_there_and_the_next_one_is_saved() {
    let mut finals = 0;
    for fault in [Fault::Error, Fault::NoSpace] {
        for call in 0.. {
            let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(6));
            let (mut pages, _) = open(&disk);
            let failing = disk.calls() + call;
            disk.fail_call(failing, fault);
            let mut saved: Option<CheckpointFiles> = None;
            let mut tried = Vec::new();
            for _ in 0..5 {
                let checkpoint = replica.checkpoint(40);
                tried.push(checkpoint.clone());
                match save(&mut pages, &checkpoint, 3000) {
                    Ok(_) => saved = Some(checkpoint),
                    Err(error) if error.is_final() => {
                        finals += 1;
                        assert!(pages.begin(checkpoint.clone(), journal(&checkpoint)).unwrap_err().is_final());
                        assert!(pages.step(1).unwrap_err().is_final());
                        break;
                    }
                    Err(_) => assert_kept(&disk, &saved, &tried),
                }
            }
            if disk.calls() <= failing {
                break;
            }
            assert_kept(&disk, &saved, &tried);
        }
    }
    assert!(finals > 10, "{finals}");
}

/// The file holds the newest checkpoint that was saved, or a newer one that was tried.
fn assert_kept(disk: &SimulatedDisk, saved: &Option<CheckpointFiles>, tried: &[CheckpointFiles]) {
    let (_, opened) = open(disk);
    assert!(!matches!(opened.verdict, Verdict::Doubt(_)), "{:?}", opened.verdict);
    match (opened.checkpoint, saved) {
        (None, saved) => assert!(saved.is_none(), "what was saved is lost"),
        (Some(loaded), saved) => {
            assert_is_one_of(&loaded, tried.iter());
            assert!(saved.as_ref().is_none_or(|saved| saved.id.op <= loaded.id.op), "what was saved is lost");
        }
    }
}

/// A copy of the superblock of a checkpoint that failed may reach the disk all the same: then its records must still be there.
#[test]
fn a_superblock_that_was_written_by_halves_names_whole_records() {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(7));
    let (mut pages, _) = open(&disk);
    save(&mut pages, &replica.checkpoint(100), 1 << 20).unwrap();
    let failing = replica.checkpoint(100);
    pages.begin(failing.clone(), journal(&failing)).unwrap();
    for _ in ["write", "sync"] {
        pages.step(1 << 20).unwrap();
    }
    disk.fail_call(disk.calls() + 1, Fault::Error);
    assert!(!pages.step(1 << 20).unwrap_err().is_final(), "the second copy could not be written");
    let next = replica.checkpoint(100);
    pages.begin(next.clone(), journal(&next)).unwrap();
    pages.step(1 << 20).unwrap();
    let crashed = disk.fork();
    crashed.cut_power(&mut |bound| bound - 1);
    let (_, opened) = open(&crashed);
    assert_is(&opened.checkpoint.unwrap(), &failing);
    while !matches!(pages.step(1 << 20).unwrap(), Some(Progress::Saved { .. })) {}
    assert_is(&open(&disk).1.checkpoint.unwrap(), &next);
    assert_eq!(open(&disk).0.used_bytes(), pages.used_bytes(), "the records of the failed one are free");
}

#[test]
fn a_full_disk_costs_no_restart_once_it_has_space_again() {
    let (disk, mut replica) = (SimulatedDisk::new(), Replica::new(8));
    let (mut pages, _) = open(&disk);
    let first = replica.checkpoint(300);
    save(&mut pages, &first, 4096).unwrap();
    let length = disk.content(PAGES).unwrap().len() as u64;
    disk.set_space(Some(length));
    for _ in 0..5 {
        let error = save(&mut pages, &replica.checkpoint(200), 4096).unwrap_err();
        assert!(!error.is_final() && error.to_string().contains("full"), "{error}");
        assert_is(&open(&disk).1.checkpoint.unwrap(), &first);
    }
    disk.set_space(Some(length * 3));
    let next = replica.checkpoint(200);
    save(&mut pages, &next, 4096).unwrap();
    assert_is(&open(&disk).1.checkpoint.unwrap(), &next);
}
