//! Mistakes of the user: each is refused with what happened, why, and what to do; nothing is harmed.

mod support;

use std::fs;
use std::net::TcpListener;

use support::{
    Group, Process, Scratch, assert_fails, code, eventually, free_base_port, is_empty, run, stderr, stdout, vr,
};

const MEMBERS: &str = "0=127.0.0.1:4380,1=127.0.0.1:4390,2=127.0.0.1:4400";

fn format(directory: &str, flags: &[&str]) -> std::process::Output {
    let mut args = vec!["format"];
    let defaults = [("--cluster", "0x7d1"), ("--replica", "0"), ("--members", MEMBERS)];
    for (flag, value) in defaults {
        if !flags.contains(&flag) {
            args.extend([flag, value]);
        }
    }
    run(&[args, flags.to_vec(), vec![directory]].concat())
}

#[test]
fn directory_is_formatted_once_and_never_again() {
    let scratch = Scratch::new("format");
    let directory = scratch.path("r0");
    let first = format(&directory, &[]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(stdout(&first).contains("next:"), "{}", stdout(&first));
    let identity = contents(&directory);
    assert_fails(&format(&directory, &[]), 3, &[&directory, "why:"]);
    assert_eq!(contents(&directory), identity, "the second format changed the directory");
}

fn contents(directory: &str) -> Vec<u8> {
    fs::read(std::path::Path::new(directory).join("identity")).unwrap()
}

#[test]
fn format_refuses_what_makes_no_group() {
    let scratch = Scratch::new("formatbad");
    let directory = scratch.path("r0");
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--durability", "fast"], &["fast", "replicated", "synchronous"]),
        (&["--cluster", "0"], &["cluster id"]),
        (&["--replica", "7"], &["replica 7", "0, 1, 2"]),
        (&["--members", "0=127.0.0.1:1,0=127.0.0.1:2"], &["listed twice"]),
        (&["--members", "0=127.0.0.1:1,1=127.0.0.1:1"], &["listed twice"]),
        (&["--members", "127.0.0.1:1"], &["no member"]),
        (&["--sessions-max", "many"], &["many"]),
    ];
    for (flags, words) in cases {
        assert_fails(&format(&directory, flags), 64, words);
        assert!(is_empty(directory.as_ref()), "{flags:?} left something behind");
    }
    let even = format(&directory, &["--members", "0=127.0.0.1:1,1=127.0.0.1:2"]);
    assert_eq!(code(&even), 0);
    assert!(stderr(&even).contains("note: 2 members"), "{}", stderr(&even));
}

#[test]
fn start_refuses_directories_it_cannot_trust() {
    let scratch = Scratch::new("startbad");
    let empty = scratch.path("empty");
    assert_fails(&run(&["start", &empty]), 3, &["does not exist", "vr format", "vr start --cluster"]);
    fs::create_dir(&empty).unwrap();
    assert_fails(&run(&["start", &empty]), 3, &["is empty", "vr format", "vr start --cluster"]);
    assert_fails(&run(&["start", "--cluster", "1", &empty]), 64, &["--replica", "next:"]);

    let file = scratch.path("file");
    fs::write(&file, "not a directory").unwrap();
    assert_fails(&run(&["start", &file]), 3, &["why:"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");

    let foreign = scratch.path("foreign");
    assert_eq!(code(&format(&foreign, &[])), 0);
    let peers = ["--replica", "0", "--peers", "127.0.0.1:4390"];
    let args = [&["start", "--cluster", "0x999"], &peers[..], &[&foreign]].concat();
    assert_fails(&run(&args), 3, &["cluster"]);

    fs::write(scratch.0.join("foreign/identity"), "rubbish").unwrap();
    assert_fails(&run(&["start", &foreign]), 3, &["damaged", "vr start --cluster"]);

    let strange = scratch.path("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(scratch.0.join("strange/photo.jpg"), "somebody's").unwrap();
    assert_fails(&format(&strange, &[]), 3, &["photo.jpg"]);
    assert_fails(&run(&["start", &strange]), 3, &["photo.jpg"]);
}

#[test]
fn port_in_use_and_a_second_process_for_one_replica_are_refused() {
    let scratch = Scratch::new("inuse");
    let group = Group::start(&scratch, 3, &[]);
    let directory = group.replica_directory(1).display().to_string();
    let free = format!("127.0.0.1:{}", free_base_port(1));

    // The directory is in use.
    assert_fails(&run(&["start", "--listen-client", &free, &directory]), 3, &[&directory]);

    // The same replica once more, in another directory: its peer port is taken.
    let endpoint = group.endpoints.split(',').next().unwrap();
    let (members, cluster) = identity(&group);
    let other = scratch.path("other");
    let claim = ["--cluster", &cluster, "--replica", "1", "--members", &members, &other];
    assert_fails(&run(&[&["start", "--listen-client", &free], &claim[..]].concat()), 3, &["in use"]);
    assert_fails(&run(&[&["start", "--listen-client", endpoint], &claim[..]].concat()), 3, &[endpoint, "in use"]);

    let base = endpoint.rsplit_once(':').unwrap().1;
    assert_fails(&run(&["dev", "--base-port", base]), 3, &[&format!("port {base}"), "--base-port"]);
    group.wait_for_status(0);
}

#[test]
fn two_processes_that_are_one_replica_are_named_and_harm_nothing() {
    let scratch = Scratch::new("twins");
    let group = Group::start(&scratch, 3, &[]);
    assert_eq!(code(&group.run(&["kv", "put", "k", "v"])), 0);
    let (members, cluster) = identity(&group);
    let base = free_base_port(1);
    let (client, peer) = (format!("127.0.0.1:{base}"), format!("127.0.0.1:{}", base + 1));
    let directory = scratch.path("twin");
    let who = ["--cluster", &cluster, "--replica", "1", "--members", &members, &directory];
    let flags = ["start", "--listen-client", &client, "--listen-peer", &peer];
    let mut twin = Process::spawn(vr(&[&flags[..], &who[..]].concat()));
    twin.line_with("two replicas run with one id");

    let all = format!("{},{client}", group.endpoints);
    eventually("vr status names both", || {
        let status = run(&["status", "--endpoints", &all]);
        code(&status) == 1 && stdout(&status).contains("several processes say that they are replica 1")
    });
    assert_eq!(stdout(&group.run(&["kv", "get", "k"])), "v\n");
    drop(twin);
    let status = group.wait_for_status(0);
    assert_eq!(status["replicas"][1]["incarnation"], 1, "the one that was there first never had to recover");
}

/// The members and the cluster id of a group, as its replicas say.
fn identity(group: &Group) -> (String, String) {
    let (_, status) = group.status();
    let replica = &status["replicas"][0];
    let member = |member: &serde_json::Value| format!("{}={}", member["id"], member["address"].as_str().unwrap());
    let members: Vec<String> = replica["members"].as_array().unwrap().iter().map(member).collect();
    let cluster = replica["cluster"].as_str().unwrap().trim_start_matches("0x");
    (members.join(","), format!("0x{cluster}"))
}

#[test]
fn dev_refuses_ports_that_do_not_exist() {
    assert_fails(&run(&["dev", "--base-port", "65530"]), 64, &["ports", "--base-port"]);
    assert_fails(&run(&["dev", "--replicas", "0"]), 64, &["0"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut dev = Process::spawn(vr(&["dev", "--replicas", "1", "--base-port", &port]));
    dev.line_with(&format!("cannot use port {port}"));
    assert_eq!(dev.wait(), 3);
}

#[test]
fn settings_come_from_flag_then_environment_then_file() {
    let scratch = Scratch::new("settings");
    let file = scratch.path("vr.toml");
    fs::write(&file, "[status]\nendpoints = [\"127.0.0.1:3\"]\noutput = \"json\"\n").unwrap();
    let asked = |environment: Option<&str>, flag: &[&str]| {
        let mut command = vr(&[&["status", "--config", &file], flag].concat());
        if let Some(value) = environment {
            command.env("VR_ENDPOINTS", value);
        }
        let output = command.output().unwrap();
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        let status: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        status["replicas"][0]["endpoint"].as_str().unwrap().to_owned()
    };
    assert_eq!(asked(None, &[]), "127.0.0.1:3");
    assert_eq!(asked(Some("127.0.0.1:2"), &[]), "127.0.0.1:2");
    assert_eq!(asked(Some("127.0.0.1:2"), &["--endpoints", "127.0.0.1:1"]), "127.0.0.1:1");

    fs::write(&file, "endpoint = \"127.0.0.1:3\"\n").unwrap();
    assert_fails(&run(&["status", "--config", &file]), 64, &["\"endpoint\" is no flag", "next:"]);
    assert_fails(&run(&["status", "--config", &scratch.path("none")]), 64, &["none", "next:"]);
}
