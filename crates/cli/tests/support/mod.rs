//! Real processes for black-box tests: `vr` commands, a group under `vr dev`, and conditions with deadlines.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before the test fails. Everything takes far less; a loaded machine may need more.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// `vr` with these arguments and none of the caller's settings.
pub fn vr(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vr"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VR_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs `vr` to its end.
pub fn run(args: &[&str]) -> Output {
    vr(args).output().expect("vr runs")
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command failed with this exit code and that its error says all of these.
pub fn assert_fails(output: &Output, expected: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(code(output), expected, "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is missing in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not after {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A directory of its own for one test, removed at its end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vr-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first of the ports that `replicas` replicas use, all free, below those the system hands out by itself.
pub fn free_base_port(replicas: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() * 613;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = u16::try_from(10_000 + (start + step * 80) % 20_000).expect("below 30,000");
        let mut ports = (0..replicas).flat_map(|id| [base + 10 * id, base + 10 * id + 1]);
        if ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}

/// A running process that is killed at the end of the test.
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// Starts a process and collects what it writes.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process starts");
        let (sender, lines) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        for stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`, and returns it. Lines before it are passed over.
    pub fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with \"{text}\"; there were:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Asks the process to stop and waits for its end.
    pub fn stop(mut self) -> i32 {
        signal("-TERM", self.pid());
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> i32 {
        let mut ended = None;
        eventually("the process ends", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.and_then(|status| status.code()).unwrap_or(-1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name to a process of ours.
pub fn signal(name: &str, pid: u32) {
    assert_ne!(pid, 0, "0 is a whole process group");
    let done = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(done.success(), "kill {name} {pid}");
}

pub fn is_running(pid: u32) -> bool {
    // A zombie has ended: only its parent has not asked yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A group under `vr dev`, ready to serve.
pub struct Group {
    pub dev: Process,
    pub endpoints: String,
    pub data: PathBuf,
    pub base_port: u16,
    /// Replicas started by hand, as a user would.
    by_hand: Vec<Process>,
}

impl Group {
    /// Starts `vr dev` with a directory of the test.
    pub fn start(scratch: &Scratch, replicas: u16, flags: &[&str]) -> Self {
        Self::start_in(scratch.0.join("group"), free_base_port(replicas), replicas, flags)
    }

    /// Starts `vr dev` with a directory that may have been used before, on the same ports then.
    fn start_in(data: PathBuf, base: u16, replicas: u16, flags: &[&str]) -> Self {
        let (count, port) = (replicas.to_string(), base.to_string());
        let path = data.display().to_string();
        let args = [&["dev", "--replicas", &count, "--base-port", &port, "--data", &path], flags].concat();
        let mut dev = Process::spawn(vr(&args));
        dev.line_with("Ctrl-C stops all");
        let endpoints: Vec<String> = (0..replicas).map(|id| format!("127.0.0.1:{}", base + 10 * id)).collect();
        Self { dev, endpoints: endpoints.join(","), data, base_port: base, by_hand: Vec::new() }
    }

    /// Stops `vr dev` of three replicas by this signal, and starts it again.
    pub fn stop_and_start_again(self, name: &str) -> Self {
        let Self { mut dev, data, base_port, .. } = self;
        signal(name, dev.pid());
        assert_eq!(dev.wait(), 0);
        Self::start_in(data, base_port, 3, &[])
    }

    /// A client command with the endpoints of the group.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = vr(args);
        command.env("VR_ENDPOINTS", &self.endpoints);
        command
    }

    /// Runs a client command.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("vr runs")
    }

    /// Runs a client command with this standard input.
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("vr runs");
        child.stdin.take().expect("piped").write_all(input).expect("vr reads");
        child.wait_with_output().expect("vr ends")
    }

    /// The status as JSON, with the exit code.
    pub fn status(&self) -> (i32, Value) {
        let output = self.run(&["status", "-o", "json"]);
        let text = stdout(&output);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{}", stderr(&output)));
        (code(&output), value)
    }

    /// Waits until `vr status` ends with this exit code.
    pub fn wait_for_status(&self, expected: i32) -> Value {
        let mut latest = Value::Null;
        eventually(&format!("vr status ends with {expected}"), || {
            let (code, value) = self.status();
            latest = value;
            code == expected
        });
        latest
    }

    /// The pid of a replica, as it says itself.
    pub fn pid(&self, id: usize) -> u32 {
        let (_, status) = self.status();
        let pid = status["replicas"][id]["pid"].as_u64().unwrap_or_else(|| panic!("replica {id} is up: {status}"));
        u32::try_from(pid).expect("a pid")
    }

    pub fn replica_directory(&self, id: usize) -> PathBuf {
        self.data.join(format!("replica-{id}"))
    }

    /// Kills a replica and waits until its process is gone.
    pub fn kill(&mut self, id: usize) {
        let pid = self.pid(id);
        signal("-KILL", pid);
        eventually("the killed replica is gone", || !is_running(pid));
    }

    /// Starts a replica with the command that `vr dev` printed for it.
    pub fn bring_back(&mut self, command: &str) {
        // exec: so that the process we hold is the replica and not the shell.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).stdin(Stdio::null());
        self.by_hand.push(Process::spawn(shell));
    }

    /// Waits for the command that brings the replica back that was killed last.
    pub fn printed_command(&mut self) -> String {
        let line = self.dev.line_with("bring it back: ");
        line.split_once("bring it back: ").expect("just found").1.to_owned()
    }
}

/// Whether a directory holds no file at all.
pub fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none())
}
