//! `vr bench` on groups of its own: few operations, to see that everything is started, measured, shown and removed.

mod support;

use std::fs;
use std::process::Output;

use serde_json::Value;
use support::{Scratch, assert_fails, code, is_empty, stderr, stdout, vr};

/// Runs `vr bench` with a directory of the test for whatever is temporary.
fn bench(scratch: &Scratch, line: &str) -> Output {
    let temporary = scratch.0.join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let args: Vec<&str> = ["bench"].into_iter().chain(line.split_whitespace()).collect();
    let output = vr(&args).env("TMPDIR", &temporary).output().expect("vr runs");
    assert!(is_empty(&temporary), "vr bench {line} leaves something behind");
    output
}

fn measured(scratch: &Scratch, line: &str) -> Value {
    let output = bench(scratch, &format!("{line} --warmup 0s --no-syscalls -o json"));
    assert_eq!(code(&output), 0, "vr bench {line}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn group_of_its_own_is_started_loaded_drawn_and_removed() {
    let scratch = Scratch::new("bench-own");
    let plot = scratch.path("plot.svg");
    let report = measured(&scratch, &format!("put --replicas 3 --clients 4 --seconds 1 --plot {plot}"));
    assert_eq!((&report["replicas"], &report["errors"]), (&Value::from(3), &Value::from(0)));
    assert_eq!(report["servers"]["processes"], 3);
    assert!(report["servers"]["context_switches_per_operation"].as_f64().unwrap() > 0.0);
    assert!(report["timeline"].as_array().unwrap().len() >= 10, "{report}");
    let svg = fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("operations per second") && svg.contains("vr p99"), "{svg}");
}

#[test]
fn reads_and_writes_are_mixed_in_an_open_loop() {
    let scratch = Scratch::new("bench-open");
    let report = measured(&scratch, "mixed --reads 50 --replicas 1 --rate 1000 --count 200 --keyspace 50");
    assert_eq!((&report["operations"], &report["errors"]), (&Value::from(200), &Value::from(0)));
    assert_eq!((&report["rate"], &report["reads_percent"]), (&Value::from(1_000), &Value::from(50)));
    let lateness = report["lateness_us"]["p50"].as_f64().unwrap();
    assert!(lateness > 0.0 && lateness <= report["latency_us"]["max"].as_f64().unwrap(), "{report}");
}

/// The other build is this one: what it measures must come back whole.
#[test]
fn builds_are_compared_in_alternation() {
    let scratch = Scratch::new("bench-compare");
    let other = env!("CARGO_BIN_EXE_vr");
    let line = format!("put --compare vr={other} --replicas 1 --clients 1,2 --rounds 2 --count 20");
    let document = measured(&scratch, &line);
    let runs: Vec<(&str, u64)> = document["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| (run["system"].as_str().unwrap(), run["clients"].as_u64().unwrap()))
        .collect();
    let expected = [(other, 1), ("vr", 1), (other, 1), ("vr", 1), (other, 2), ("vr", 2), (other, 2), ("vr", 2)];
    assert_eq!(runs, expected);
    for summary in document["summaries"].as_array().unwrap() {
        assert!(summary["ratio"]["throughput"].as_f64().unwrap() > 0.0, "{summary}");
    }
}

#[test]
fn outage_is_measured_when_the_primary_is_killed_or_stopped() {
    let scratch = Scratch::new("bench-failover");
    // A backup suspects a primary that stands still after 350 ms; of one that is gone it may learn at once.
    for (by, least_ms) in [("kill", 0.0), ("stop", 100.0)] {
        let output = bench(&scratch, &format!("failover --kills 1 --by {by} -o json"));
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let outages: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(outages["gaps_ms"].as_array().unwrap().len(), 1);
        assert!(outages["median_ms"].as_f64().unwrap() > least_ms, "{outages}");
    }
}

#[test]
fn missing_rival_is_named_with_what_to_install() {
    let scratch = Scratch::new("bench-missing");
    let mut command = vr(&["bench", "put", "--compare", "etcd", "--etcd-data", &scratch.path("etcd")]);
    let output = command.env("PATH", "/nowhere").output().unwrap();
    assert_fails(&output, 3, &["cannot run etcd", "apt-get install etcd-server etcd-client"]);
    assert!(is_empty(&scratch.0.join("etcd")));
    let output = bench(&scratch, "put --compare unreplicated --benches /nowhere");
    assert_fails(
        &output,
        3,
        &["unreplicated", "cargo build --release --manifest-path /nowhere/unreplicated/Cargo.toml"],
    );
    let output = bench(&scratch, "put --compare vr=/nowhere/vr");
    assert_fails(&output, 3, &["cannot run /nowhere/vr", "--compare vr="]);
}
