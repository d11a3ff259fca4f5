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
