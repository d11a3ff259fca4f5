//! Checkpoints of real replicas: taken on demand, listed and verified on disk.

mod support;

use std::fs;

use serde_json::Value;
use support::{Group, Scratch, assert_fails, code, eventually, run, signal, stderr, stdout};

fn json(output: &std::process::Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn wait_until_saved(group: &Group, taken: &Value) {
    eventually("every replica has it on its disk", || {
        let (_, status) = group.status();
        status["replicas"].as_array().unwrap().iter().all(|replica| replica["checkpoint_saved"] == taken["op"])
    });
}

#[test]
fn checkpoint_taken_now_is_on_every_disk_with_one_root_and_whole() {
    let scratch = Scratch::new("checkpoint-now");
    let group = Group::start(&scratch, 3, &[]);
    let directory = |id: usize| group.replica_directory(id).display().to_string();
    for number in 0..20 {
        assert_eq!(code(&group.run(&["kv", "put", &format!("k{number}"), "v"])), 0);
    }
    let taken = group.run(&["checkpoint", "now", "-o", "json"]);
    assert_eq!(code(&taken), 0, "{}", stderr(&taken));
    let taken = json(&taken);
    assert!(taken["op"].as_u64().unwrap() > 20, "{taken}");
    wait_until_saved(&group, &taken);
    for id in 0..3 {
        let listed = run(&["checkpoint", "list", &directory(id), "-o", "json"]);
        assert_eq!(code(&listed), 0, "{}", stderr(&listed));
        let newest = &json(&listed)["checkpoints"][0];
        assert_eq!((&newest["op"], &newest["root"]), (&taken["op"], &taken["root"]));
        assert_eq!(newest["service_keys"], 20);
        let verified = run(&["checkpoint", "verify", &directory(id), "-o", "json"]);
        assert_eq!(code(&verified), 0, "{}", stdout(&verified));
        let verified = json(&verified);
        assert_eq!((&verified["root"], verified["damages"].as_array().unwrap().len()), (&taken["root"], 0));
        assert!(verified["pages"].as_u64().unwrap() > 0);
    }
}

#[test]
fn damaged_checkpoint_is_found_and_what_is_no_replica_is_named() {
    let scratch = Scratch::new("checkpoint-damaged");
    let mut group = Group::start(&scratch, 3, &[]);
    let nowhere = run(&["checkpoint", "list", &scratch.path("")]);
    assert_fails(&nowhere, 3, &["cannot read the checkpoints", "no file `pages`", "next:"]);
    assert_eq!(code(&group.run(&["kv", "put", "k", "v"])), 0);
    let directory = group.replica_directory(0).display().to_string();
    assert_fails(&run(&["checkpoint", "verify", &directory]), 3, &["nothing to verify", "vr checkpoint now"]);
    let taken = json(&group.run(&["checkpoint", "now", "-o", "json"]));
    wait_until_saved(&group, &taken);
    signal("-INT", group.dev.pid());
    assert_eq!(group.dev.wait(), 0);

    let pages = group.replica_directory(0).join("pages");
    let whole = run(&["checkpoint", "verify", &directory]);
    assert!(code(&whole) == 0 && stdout(&whole).contains("is whole"), "{}{}", stdout(&whole), stderr(&whole));
    let mut bytes = fs::read(&pages).unwrap();
    // Behind the superblocks, which are among the first 32 units.
    bytes.iter_mut().skip(32 * 512).step_by(512).for_each(|byte| *byte ^= 1);
    fs::write(&pages, bytes).unwrap();
    let damaged = run(&["checkpoint", "verify", &directory]);
    assert_eq!(code(&damaged), 1, "{}{}", stdout(&damaged), stderr(&damaged));
    assert!(stdout(&damaged).contains("is damaged") && stdout(&damaged).contains("at offset"), "{}", stdout(&damaged));
}

#[test]
fn backup_of_a_running_replica_holds_its_checkpoint_and_says_when_it_is_damaged() {
    let scratch = Scratch::new("backup");
    let group = Group::start(&scratch, 3, &[]);
    let directory = group.replica_directory(1).display().to_string();
    let file = scratch.path("group.backup");
    assert_fails(&run(&["backup", "save", &directory, &file]), 3, &["nothing to save", "vr checkpoint now"]);
    assert_eq!(code(&group.run(&["kv", "put", "k", "v"])), 0);
    let taken = json(&group.run(&["checkpoint", "now", "-o", "json"]));
    wait_until_saved(&group, &taken);
    let saved = run(&["backup", "save", &directory, &file]);
    assert_eq!(code(&saved), 0, "{}", stderr(&saved));
    assert_fails(&run(&["backup", "save", &directory, &file]), 3, &["it exists", "next:"]);

    let inspected = json(&run(&["backup", "inspect", &file, "-o", "json"]));
    assert_eq!((&inspected["op"], &inspected["root"]), (&taken["op"], &taken["root"]));
    assert_eq!(inspected["service_keys"], 1);
    let mut bytes = fs::read(&file).unwrap();
    assert_eq!(inspected["bytes"].as_u64(), Some(bytes.len() as u64));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_fails(&run(&["backup", "inspect", &file]), 3, &["cannot read the backup", "damaged"]);
}
