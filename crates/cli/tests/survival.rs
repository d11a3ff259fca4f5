//! What the whole thing is for: replicas are killed and wiped, and nothing is lost.

mod support;

use std::fs;

use support::{Group, Scratch, assert_fails, code, eventually, is_running, run, signal, stderr, stdout};

#[test]
fn any_replica_can_be_killed_and_wiped_and_comes_back_with_everything() {
    let scratch = Scratch::new("wipe");
    let mut group = Group::start(&scratch, 3, &[]);
    let mut expected = String::new();
    for id in 0..3 {
        let (key, value) = (format!("key-{id}"), format!("value-{id}"));
        assert_eq!(code(&group.run(&["kv", "put", &key, &value])), 0);
        expected.push_str(&format!("{key}\t{value}\n"));

        group.kill(id);
        let command = group.printed_command();
        fs::remove_dir_all(group.replica_directory(id)).unwrap();
        // The others serve meanwhile.
        let read = group.run(&["kv", "get", &key]);
        assert_eq!(stdout(&read).trim_end(), value, "{}", stderr(&read));

        group.bring_back(&command);
        group.wait_for_status(0);
    }
    // Every process has been replaced: what is there now came through recovery.
    let exported = group.run(&["kv", "export"]);
    assert_eq!(stdout(&exported), expected, "{}", stderr(&exported));
}

#[test]
fn every_replica_becomes_primary_in_turn_with_the_same_data() {
    let scratch = Scratch::new("primary");
    let group = Group::start(&scratch, 3, &["--respawn"]);
    let lines: String = (0..200).map(|number| format!("k{number:03}\tv{number}\n")).collect();
    let imported = group.run_with_input(&["kv", "import"], lines.as_bytes());
    assert_eq!(code(&imported), 0, "{}", stderr(&imported));
    for _ in 0..3 {
        let status = group.wait_for_status(0);
        let primary = usize::try_from(status["replicas"][0]["primary"].as_u64().unwrap()).unwrap();
        signal("-KILL", group.pid(primary));
        let exported = group.run(&["kv", "export"]);
        assert_eq!(stdout(&exported), lines, "{}", stderr(&exported));
    }
}

#[test]
fn exit_code_of_status_tells_healthy_degraded_and_no_quorum_apart() {
    let scratch = Scratch::new("status");
    let mut group = Group::start(&scratch, 3, &[]);
    let status = group.wait_for_status(0);
    assert_eq!(status["verdict"], "healthy");
    let replica = &status["replicas"][1];
    for field in
        ["id", "pid", "role", "status", "view", "primary", "op", "commit", "executed", "epoch", "lag", "incarnation"]
    {
        assert!(!replica[field].is_null(), "{field} is missing: {replica}");
    }
    assert_eq!(replica["durability"], "replicated");

    group.kill(2);
    let status = group.wait_for_status(1);
    assert_eq!(status["replicas"][2]["reachable"], false);
    group.kill(1);
    group.wait_for_status(2);
    let table = stdout(&group.run(&["status"]));
    assert!(table.contains("unreachable") && table.contains("no quorum"), "{table}");

    let read = group.run(&["kv", "get", "k", "--request-timeout", "500ms"]);
    assert_fails(&read, 2, &["why:", "next: vr status"]);
}

#[test]
fn group_that_was_down_as_a_whole_refuses_to_serve() {
    let scratch = Scratch::new("alldown");
    let mut group = Group::start(&scratch, 3, &[]);
    assert_eq!(code(&group.run(&["kv", "put", "k", "v"])), 0);
    let pids: Vec<u32> = (0..3).map(|id| group.pid(id)).collect();
    let mut commands = Vec::new();
    for pid in pids {
        signal("-KILL", pid);
        commands.push(group.printed_command());
    }
    for command in &commands {
        group.bring_back(command);
    }
    eventually("all replicas are up and say that they do not serve", || {
        let (code, status) = group.status();
        code == 2 && status["replicas"].as_array().unwrap().iter().all(|replica| replica["status"] == "recovering")
    });
    // Never an empty service: no answer is not the answer "no such key".
    let read = group.run(&["kv", "get", "k", "--request-timeout", "3s"]);
    assert_fails(&read, 2, &["why:", "next:"]);
}

#[test]
fn dev_refuses_to_start_a_group_again_that_was_stopped_as_a_whole() {
    let scratch = Scratch::new("again");
    let group = Group::start(&scratch, 3, &[]);
    let data = group.data.display().to_string();
    let pids: Vec<u32> = (0..3).map(|id| group.pid(id)).collect();
    assert_eq!(group.dev.stop(), 0);
    assert!(!pids.into_iter().any(is_running), "a replica outlived vr dev");
    let port = support::free_base_port(3).to_string();
    let again = run(&["dev", "--data", &data, "--base-port", &port]);
    assert_fails(&again, 3, &["cannot start the group", "memory", "next:"]);
}

#[test]
fn replicas_end_when_vr_dev_is_killed() {
    let scratch = Scratch::new("orphans");
    let group = Group::start(&scratch, 3, &[]);
    let pids: Vec<u32> = (0..3).map(|id| group.pid(id)).collect();
    signal("-KILL", group.dev.pid());
    eventually("the replicas end", || !pids.iter().any(|pid| is_running(*pid)));
}
