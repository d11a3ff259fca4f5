//! `vr kv` and `vr bench` against a real group.

mod support;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Group, Scratch, assert_fails, code, stderr, stdout};

#[test]
fn pairs_are_put_read_listed_deleted_imported_and_exported() {
    let scratch = Scratch::new("pairs");
    let group = Group::start(&scratch, 3, &[]);
    put_get_delete(&group);
    import_export(&group, &scratch);
    escaped(&group);
    malformed_lines(&group);
    closed_pipe(&group);
    bench(&group);
}

fn put_get_delete(group: &Group) {
    assert_fails(&group.run(&["kv", "get", "greeting"]), 1, &["no such key"]);
    assert_eq!(code(&group.run(&["kv", "put", "greeting", "hello"])), 0);
    assert_eq!(stdout(&group.run(&["kv", "get", "greeting"])), "hello\n");
    let json: Value = serde_json::from_str(&stdout(&group.run(&["kv", "get", "greeting", "-o", "json"]))).unwrap();
    assert_eq!((&json["key"], &json["value"]), (&Value::from("greeting"), &Value::from("hello")));
    assert_eq!(code(&group.run(&["kv", "delete", "greeting"])), 0);
    assert_eq!(code(&group.run(&["kv", "delete", "greeting"])), 1);
    assert_fails(&group.run(&["kv", "put", "", "x"]), 3, &["key is empty", "next:"]);
}

fn import_export(group: &Group, scratch: &Scratch) {
    // More than one page, with bytes that other tools would touch; the second line of a key wins.
    let mut lines: Vec<String> =
        (0..3_000).map(|number| format!("usr/share/{number:05}\\x2d\tadmin/package-{number},\"x\" \\ é\n")).collect();
    let (input, output) = (scratch.path("in.tsv"), scratch.path("out.tsv"));
    fs::write(&input, format!("usr/share/00000\\x2d\tearlier\n{}", lines.concat())).unwrap();
    let imported = group.run(&["kv", "import", &input, "--outstanding", "64"]);
    assert_eq!(code(&imported), 0, "{}", stderr(&imported));
    assert!(stderr(&imported).contains("3,001 pairs put"), "{}", stderr(&imported));
    assert_eq!(code(&group.run(&["kv", "export", &output])), 0);
    lines.sort();
    assert!(fs::read_to_string(&output).unwrap() == lines.concat(), "the export differs from the import");
    let listed = stdout(&group.run(&["kv", "list", "usr/share/0001", "--limit", "3"]));
    assert_eq!(listed.lines().count(), 3);
    assert!(listed.starts_with("usr/share/00010"), "{listed}");
}

fn escaped(group: &Group) {
    let line = "odd\\tkey\\n\tvalue\\\\\\r\n";
    assert_eq!(code(&group.run_with_input(&["kv", "import", "--escaped"], line.as_bytes())), 0);
    assert_eq!(stdout(&group.run(&["kv", "get", "odd\tkey\n"])), "value\\\r\n");
    assert_eq!(stdout(&group.run(&["kv", "export", "--escaped", "--prefix", "odd"])), line);
    assert_fails(&group.run(&["kv", "export", "--prefix", "odd"]), 3, &["odd\\tkey\\n", "--escaped"]);
    assert_eq!(code(&group.run(&["kv", "delete", "odd\tkey\n"])), 0);
}

fn malformed_lines(group: &Group) {
    let failed = group.run_with_input(&["kv", "import"], b"before\t1\nno tab here\nafter\t1\n");
    assert_fails(&failed, 3, &["line 2", "no tab", "next:"]);
    assert_eq!(stdout(&group.run(&["kv", "get", "before"])), "1\n");
    assert_eq!(code(&group.run(&["kv", "get", "after"])), 1);
    assert_fails(&group.run(&["kv", "import", "/nowhere/at-all"]), 3, &["/nowhere/at-all", "next:"]);
}

fn closed_pipe(group: &Group) {
    let mut export = group.command(&["kv", "export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let head = Command::new("head").args(["-n", "1"]).stdin(export.stdout.take().unwrap()).output().unwrap();
    assert_eq!(stdout(&head).lines().count(), 1);
    let export = export.wait_with_output().unwrap();
    assert_eq!((code(&export), stderr(&export)), (0, String::new()));
}

fn bench(group: &Group) {
    let args = ["bench", "put", "--clients", "8", "--pipeline", "4", "--count", "2000", "--warmup", "0s", "-o", "json"];
    let output = group.run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["operations"], &report["errors"]), (&Value::from(2_000), &Value::from(0)));
    assert_eq!((&report["clients"], &report["replicas"]), (&Value::from(8), &Value::from(3)));
    assert!(report["throughput"].as_u64().unwrap() > 0);
    let latency = &report["latency_us"];
    assert!(latency["p50"].as_f64().unwrap() <= latency["p99_9"].as_f64().unwrap());
    assert_eq!(report["servers"]["processes"], 3);
    let table = stdout(&group.run(&["bench", "put", "--count", "100", "--warmup", "0s"]));
    assert!(table.contains("throughput") && table.contains("p99.9") && table.contains("longest gap"), "{table}");
}
