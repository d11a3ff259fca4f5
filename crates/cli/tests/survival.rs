//! What the whole thing is for: replicas are killed and wiped, and nothing is lost.

mod support;

use std::fs;

use serde_json::Value;
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
    assert_eq!(replica["durability"], "background");
    assert_eq!(replica["journal"]["is_broken"], false);

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

/// Kills all replicas of a group at once, and brings each back as `vr dev` says.
fn kill_all_and_bring_back(group: &mut Group) {
    let pids: Vec<u32> = (0..3).map(|id| group.pid(id)).collect();
    let mut commands = Vec::new();
    for pid in pids {
        signal("-KILL", pid);
        commands.push(group.printed_command());
    }
    for command in &commands {
        group.bring_back(command);
    }
}

#[test]
fn group_that_was_killed_as_a_whole_refuses_to_serve_unless_it_is_synchronous() {
    for durability in ["replicated", "background"] {
        let scratch = Scratch::new(&format!("killed-{durability}"));
        let mut group = Group::start(&scratch, 3, &["--durability", durability]);
        assert_eq!(code(&group.run(&["kv", "put", "k", "v"])), 0);
        kill_all_and_bring_back(&mut group);
        eventually("all replicas are up and say what was lost and what to do", || {
            let (code, status) = group.status();
            let is_told = |replica: &Value| {
                let error = replica["recent_error"].as_str().unwrap_or_default();
                replica["not_serving"] == "quorum-lost" && error.contains(durability) && error.contains("vr recover")
            };
            code == 2 && status["replicas"].as_array().unwrap().iter().all(is_told)
        });
        // Never an empty service: no answer is not the answer "no such key".
        let read = group.run(&["kv", "get", "k", "--request-timeout", "3s"]);
        assert_fails(&read, 2, &["why:", "next:"]);
    }
}

/// A group in which everything is on the disks, and then all replicas were killed and started again.
fn group_that_lost_its_memory(scratch: &Scratch) -> (Group, String) {
    let mut group = Group::start(scratch, 3, &["--durability", "background"]);
    let lines: String = (0..50).map(|number| format!("k{number:03}\tv{number}\n")).collect();
    let imported = group.run_with_input(&["kv", "import"], lines.as_bytes());
    assert_eq!(code(&imported), 0, "{}", stderr(&imported));
    eventually("the journals hold all that was acknowledged", || {
        let (_, status) = group.status();
        status["replicas"].as_array().unwrap().iter().all(|replica| {
            replica["journal"]["durable_op"] == replica["op"] && replica["op"] == status["replicas"][0]["op"]
        })
    });
    kill_all_and_bring_back(&mut group);
    eventually("all replicas say that nobody remembers", || {
        let (_, status) = group.status();
        status["replicas"].as_array().unwrap().iter().all(|replica| replica["not_serving"] == "quorum-lost")
    });
    (group, lines)
}

#[test]
fn group_that_lost_its_memory_goes_on_with_its_disks_when_its_operator_agrees() {
    let scratch = Scratch::new("recover");
    let (group, lines) = group_that_lost_its_memory(&scratch);
    // Nobody at a terminal has agreed, nor is it this cluster.
    let asked = group.run(&["recover"]);
    assert_eq!(code(&asked), 1, "{}", stderr(&asked));
    for expected in ["its log is taken", "certain", "lost", "committed"] {
        assert!(stdout(&asked).contains(expected), "{}", stdout(&asked));
    }
    assert_fails(&group.run(&["recover", "--yes", "--cluster", "1"]), 64, &["not to", "next:"]);
    assert_eq!(group.status().0, 2, "begun without consent");

    let recovered = group.run(&["recover", "--yes"]);
    assert_eq!(code(&recovered), 0, "{}", stderr(&recovered));
    assert!(stdout(&recovered).contains("serves again"), "{}", stdout(&recovered));
    let exported = group.run(&["kv", "export"]);
    assert_eq!(stdout(&exported), lines, "{}", stderr(&exported));
    group.wait_for_status(0);
    let again = group.run(&["recover", "--yes"]);
    assert!(code(&again) == 0 && stdout(&again).contains("nothing to recover"), "{}", stdout(&again));
}

#[test]
fn group_that_lost_its_memory_goes_on_without_a_member_that_is_given_up() {
    let scratch = Scratch::new("recover-without");
    let (mut group, lines) = group_that_lost_its_memory(&scratch);
    group.kill(2);
    assert_fails(&group.run(&["recover", "--yes"]), 2, &["replicas 2", "--without 2"]);
    let recovered = group.run(&["recover", "--yes", "--without", "2"]);
    assert_eq!(code(&recovered), 0, "{}", stderr(&recovered));
    let exported = group.run(&["kv", "export"]);
    assert_eq!(stdout(&exported), lines, "{}", stderr(&exported));
}

#[test]
fn group_that_recovers_automatically_goes_on_with_its_disks_by_itself() {
    let scratch = Scratch::new("recover-automatically");
    let mut group = Group::start(&scratch, 3, &["--recover-automatically"]);
    assert_eq!(code(&group.run(&["kv", "put", "k", "v"])), 0);
    eventually("the journals hold it", || {
        let (_, status) = group.status();
        let replicas = status["replicas"].as_array().unwrap();
        replicas.iter().all(|replica| replica["journal"]["durable_op"] == replicas[0]["op"])
    });
    kill_all_and_bring_back(&mut group);
    let read = group.run(&["kv", "get", "k", "--request-timeout", "30s"]);
    assert_eq!(stdout(&read).trim_end(), "v", "{}", stderr(&read));
}

#[test]
fn what_was_acknowledged_by_a_synchronous_group_is_there_after_all_were_killed() {
    let scratch = Scratch::new("synchronous");
    let mut group = Group::start(&scratch, 3, &["--durability", "synchronous"]);
    let mut expected = String::new();
    // Twice: what a restarted replica writes is as durable as what it wrote before.
    for round in 0..2 {
        for number in 0..20 {
            let (key, value) = (format!("k{round}-{number:02}"), format!("v{number}"));
            let put = group.run(&["kv", "put", &key, &value]);
            assert_eq!(code(&put), 0, "{}", stderr(&put));
            expected.push_str(&format!("{key}\t{value}\n"));
        }
        if round == 0 {
            kill_all_and_bring_back(&mut group);
        }
    }
    let status = group.wait_for_status(0);
    // Nobody had to recover.
    assert!(status["replicas"].as_array().unwrap().iter().all(|replica| replica["incarnation"] == 1), "{status}");
    let exported = group.run(&["kv", "export"]);
    assert_eq!(stdout(&exported), expected, "{}", stderr(&exported));
}

#[test]
fn group_that_was_stopped_in_order_is_there_again_with_everything_in_every_mode() {
    for durability in ["replicated", "background", "synchronous"] {
        let scratch = Scratch::new(&format!("again-{durability}"));
        let group = Group::start(&scratch, 3, &["--durability", durability]);
        let lines: String = (0..200).map(|number| format!("k{number:03}\tv{number}\n")).collect();
        let imported = group.run_with_input(&["kv", "import"], lines.as_bytes());
        assert_eq!(code(&imported), 0, "{}", stderr(&imported));
        let pids: Vec<u32> = (0..3).map(|id| group.pid(id)).collect();
        // Ctrl-C.
        let again = group.stop_and_start_again("-INT");
        assert!(!pids.into_iter().any(is_running), "a replica outlived vr dev");
        let status = again.wait_for_status(0);
        for replica in status["replicas"].as_array().unwrap() {
            assert_eq!((&replica["durability"], &replica["incarnation"]), (&durability.into(), &1.into()), "{status}");
        }
        let exported = again.run(&["kv", "export"]);
        assert_eq!(stdout(&exported), lines, "{}", stderr(&exported));
    }
}

#[test]
fn dev_refuses_a_group_of_another_mode_and_one_whose_memory_is_gone() {
    let scratch = Scratch::new("refused");
    let mut group = Group::start(&scratch, 3, &[]);
    let (data, port) = (group.data.display().to_string(), group.base_port.to_string());
    (0..3).for_each(|id| group.kill(id));
    assert_eq!(group.dev.stop(), 0);
    let again = run(&["dev", "--data", &data, "--base-port", &port]);
    assert_fails(&again, 3, &["cannot start the group", "memory", "background", "next:", "recover --endpoints"]);
    // The commands that it advised named cluster 0, which no directory is of.
    assert!(!String::from_utf8_lossy(&again.stderr).contains("--cluster 0x0 "), "{again:?}");
    let other = run(&["dev", "--data", &data, "--base-port", &port, "--durability", "synchronous"]);
    assert_fails(&other, 3, &["another", "durability", "`background`", "next:"]);
}

#[test]
fn replicas_end_when_vr_dev_is_killed() {
    let scratch = Scratch::new("orphans");
    let group = Group::start(&scratch, 3, &[]);
    let pids: Vec<u32> = (0..3).map(|id| group.pid(id)).collect();
    signal("-KILL", group.dev.pid());
    eventually("the replicas end", || !pids.iter().any(|pid| is_running(*pid)));
}
