//! The promise as a user would try it: a file is imported while replicas are killed and their directories removed, one after
//! the other, and what is exported afterwards is the file.
//!
//! `VR_TEST_INPUT` names another input, of lines `key<TAB>value` with every key once.

mod support;

use std::fs;
use std::io::Write;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use support::{Group, Scratch, code, signal, stderr, stdout};

/// Lines that are written at once; the pause between two such pieces makes the import last as long as the kills.
const PIECE: usize = 200;

fn input() -> Vec<String> {
    match std::env::var("VR_TEST_INPUT") {
        Ok(path) => fs::read_to_string(path).unwrap().lines().map(|line| format!("{line}\n")).collect(),
        Err(_) => {
            (0..30_000).map(|n| format!("usr/share/doc/package-{n:05}/copyright\tsection/package-{n}\n")).collect()
        }
    }
}

/// Writes the lines evenly until all are written; in a hurry once nobody is killed any more.
fn feed(lines: Vec<String>, mut to: ChildStdin, hurry: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let pieces = lines.len().div_ceil(PIECE);
        for (number, piece) in lines.chunks(PIECE).enumerate() {
            // However slow the machine, the import outlasts the kills.
            while number + 1 == pieces && !hurry.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            to.write_all(piece.concat().as_bytes()).expect("the import reads");
            if !hurry.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
        }
    })
}

fn primary(group: &Group) -> usize {
    let status = group.wait_for_status(0);
    usize::try_from(status["replicas"][0]["primary"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_file_is_imported_whole_while_every_replica_is_killed_and_wiped() {
    let scratch = Scratch::new("import");
    let mut group = Group::start(&scratch, 3, &[]);
    let lines = input();
    let mut importing = group.command(&["kv", "import"]);
    importing.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut import = importing.spawn().unwrap();
    let hurry = Arc::new(AtomicBool::new(false));
    let feeder = feed(lines.clone(), import.stdin.take().unwrap(), Arc::clone(&hurry));

    let mut kills_under_load = 0;
    let mut commands = Vec::new();
    for id in [0, 1, 2] {
        group.kill(id);
        kills_under_load += usize::from(!feeder.is_finished());
        commands.push(group.printed_command());
        fs::remove_dir_all(group.replica_directory(id)).unwrap();
        group.bring_back(&commands[id]);
        group.wait_for_status(0);
    }
    hurry.store(true, Ordering::Relaxed);
    feeder.join().unwrap();
    let imported = import.wait_with_output().unwrap();
    assert_eq!(code(&imported), 0, "{}", stderr(&imported));
    assert_eq!(kills_under_load, 3, "the import outlasts the kills");

    let mut expected = lines;
    expected.sort_unstable_by(|left, right| left.split('\t').next().cmp(&right.split('\t').next()));
    let expected = expected.concat();
    // Again after each replica has become primary.
    for _ in 0..3 {
        let id = primary(&group);
        assert!(stdout(&group.run(&["kv", "export"])) == expected, "the export differs from what was imported");
        signal("-KILL", group.pid(id));
        assert!(stdout(&group.run(&["kv", "export"])) == expected, "the export differs after replica {id} was killed");
        group.bring_back(&commands[id]);
    }
}
