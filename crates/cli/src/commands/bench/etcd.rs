//! etcd on this machine: as many nodes as ours has replicas, with their default options.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use viewstamped_load::{Plan, Report};

use super::own::free_ports;
use super::run::not_built;
use crate::failure::Failure;
use crate::formatting;

/// A running group of etcd nodes; killed, and its data removed, when this is dropped.
pub(super) struct Etcd {
    directory: PathBuf,
    endpoints: Vec<String>,
    nodes: Vec<Child>,
}

/// How long a new group may take to elect a leader. Two seconds are usual.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// A file system in memory on every Linux.
const MEMORY: &str = "/dev/shm";

impl Etcd {
    /// Starts a new group, its data in the directory given or else in memory, and waits until it serves.
    ///
    /// # Errors
    /// When etcd is not installed or does not start.
    pub(super) async fn start(nodes: u16, data: Option<&Path>) -> Result<Self, Failure> {
        let ports = free_ports(nodes)?;
        let endpoints: Vec<String> = ports.iter().map(|(client, _)| format!("127.0.0.1:{client}")).collect();
        let peers: Vec<String> =
            ports.iter().enumerate().map(|(id, (_, peer))| format!("n{id}=http://127.0.0.1:{peer}")).collect();
        let mut etcd = Self { directory: directory(data)?, endpoints, nodes: Vec::new() };
        for (id, (client, peer)) in ports.iter().enumerate() {
            let node = etcd.spawn(id, *client, *peer, &peers.join(","))?;
            etcd.nodes.push(node);
        }
        etcd.wait_until_ready().await?;
        Ok(etcd)
    }

    fn spawn(&self, id: usize, client: u16, peer: u16, cluster: &str) -> Result<Child, Failure> {
        let log = File::create(self.directory.join(format!("n{id}.log")))
            .map_err(|error| unusable(&self.directory, &error))?;
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("n{id}"), "--logger", "zap", "--log-level", "warn"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", cluster, "--initial-cluster-state", "new", "--data-dir"])
            .arg(self.directory.join(format!("n{id}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        command.spawn().map_err(|error| not_installed("etcd", &error))
    }

    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let mut command = Command::new("etcdctl");
            command.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoints.join(","), "endpoint", "health"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            let ended = command.status().await.map_err(|error| not_installed("etcdctl", &error))?;
            if ended.success() {
                return Ok(());
            }
            let has_ended = self.nodes.iter_mut().any(|node| matches!(node.try_wait(), Ok(Some(_))));
            if has_ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.directory.join("n0.log")).unwrap_or_default();
                let why = log.lines().last().unwrap_or("its log is empty").to_owned();
                return Err(Failure::new("etcd does not serve", why, "start etcd by hand to see why"));
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }

    /// What a commit waits for.
    pub(super) fn durability(&self) -> String {
        format!("fsync in {}", self.directory.display())
    }

    /// Loads it as planned, by the program under benches/ that speaks its gRPC API.
    ///
    /// # Errors
    /// When that program is not built or fails.
    pub(super) async fn load(&self, plan: &Plan, benches: &Path) -> Result<Report, Failure> {
        let program = benches.join("etcd-load/target/release/etcd-load");
        let pids: Vec<String> = self.nodes.iter().filter_map(Child::id).map(|pid| pid.to_string()).collect();
        let plan = serde_json::to_string(plan).expect("a plan has string keys");
        let mut command = Command::new(&program);
        command.args(["--endpoints", &self.endpoints.join(","), "--pids", &pids.join(","), "--plan", &plan]);
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| not_built(&program, &error))?;
        let failed = |why: String| Failure::new("etcd was not measured", why, "");
        if !output.status.success() {
            return Err(failed(format!("{} ended with {}", program.display(), output.status)));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
    }
}

/// How long nodes that are killed may take to be gone. The kernel needs some milliseconds.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);
const GONE_INTERVAL: Duration = Duration::from_millis(5);

impl Drop for Etcd {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // It may have ended by itself; then there is nothing to kill.
            let _ = node.start_kill();
        }
        // What they use is free for the next run, and nothing is written any more, only when they are gone.
        let deadline = Instant::now() + GONE_TIMEOUT;
        while self.nodes.iter_mut().any(|node| matches!(node.try_wait(), Ok(None))) && Instant::now() < deadline {
            std::thread::sleep(GONE_INTERVAL);
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn directory(data: Option<&Path>) -> Result<PathBuf, Failure> {
    let memory = Path::new(MEMORY);
    let temporary = std::env::temp_dir();
    let parent = data.unwrap_or(if memory.is_dir() { memory } else { &temporary });
    #[expect(clippy::cast_possible_truncation, reason = "enough to tell it from others")]
    let path = parent.join(format!("vr-bench-etcd-{}-{:08x}", std::process::id(), formatting::random()? as u32));
    std::fs::create_dir_all(&path).map_err(|error| unusable(&path, &error))?;
    Ok(path)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot use the directory {}", path.display());
    Failure::new(what, error, "name one that can be written: --etcd-data DIR")
}

fn not_installed(program: &str, error: &std::io::Error) -> Failure {
    let next = "install it: apt-get install etcd-server etcd-client (Debian), or put etcd and etcdctl on the PATH";
    Failure::new(format!("cannot run {program}, with which ours is to be compared"), error, next)
}
