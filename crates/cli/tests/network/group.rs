//! A group of real replicas, each on a host of its own.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use viewstamped::{ClusterId, ClusterOptions, Durability, Member, NodeId, NodeStatus, Role, fetch_status, format};

use crate::hosts::{Host, Network};
use crate::support::{Scratch, eventually, run, signal, vr};

/// Where every replica serves clients and hears its peers, on its own host.
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// How long a replica may take to say how it is; a stopped one never does.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Timeouts for tests in which the view must not change: what a busy machine does to a replica is no failure of it.
pub const PATIENT: [&str; 4] = ["--suspect-timeout", "1s", "--abdicate-timeout", "1s"];

/// Replicas as processes, and the network between them.
pub struct Group {
    pub network: Network,
    replicas: Vec<Option<Child>>,
    flags: Vec<String>,
    files_max: Option<u32>,
    scratch: Scratch,
}

/// The memory of one replica, in bytes.
#[derive(Debug)]
pub struct Memory {
    /// The most it has taken so far.
    pub resident_max: u64,
    /// The most it may take besides the state of its service, as it says itself.
    pub budget: u64,
    /// What is in its log.
    pub log: u64,
}

impl Group {
    /// Starts a group and waits until it serves. `None` where there is no network to be had.
    pub fn start(name: &str, replicas: usize, flags: &[&str]) -> Option<Self> {
        Self::start_with(name, replicas, flags, ClusterOptions::default(), None)
    }

    /// The same with other options of the whole cluster, and a limit of the files that each process may open.
    pub fn start_with(
        name: &str,
        replicas: usize,
        flags: &[&str],
        options: ClusterOptions,
        files_max: Option<u32>,
    ) -> Option<Self> {
        let network = Network::new(replicas)?;
        let scratch = Scratch::new(&format!("network-{name}"));
        let members: Vec<Member> = (0..replicas)
            .map(|id| Member { id: NodeId(id as u64), role: Role::Active, address: peer_address(id) })
            .collect();
        for id in 0..replicas {
            let (path, members) = (scratch.0.join(format!("replica-{id}")), members.clone());
            format(path, ClusterId(0x7e57), NodeId(id as u64), members, options, Durability::Replicated)
                .expect("formatted");
        }
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let replicas_down = (0..replicas).map(|_| None).collect();
        let mut group = Self { network, replicas: replicas_down, flags, files_max, scratch };
        for id in 0..replicas {
            group.start_replica(id);
        }
        group.wait_until_settled();
        Some(group)
    }

    /// Starts a replica that does not run.
    pub fn start_replica(&mut self, id: usize) {
        let directory = self.scratch.path(&format!("replica-{id}"));
        let address = client_address(id);
        let log = File::options().create(true).append(true).open(self.log(id)).expect("a log file");
        // It ends with this process, however that ends.
        let mut command = vr(&["start", "--exit-with-parent", "--listen-client", &address, &directory]);
        if let Some(files_max) = self.files_max {
            command = limited(&command, files_max);
        }
        command.args(&self.flags).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let child = self.network.inside(Host::Replica(id), || command.spawn().expect("vr starts"));
        self.replicas[id] = Some(child);
    }

    /// Kills a replica's process and waits for its end.
    pub fn kill(&mut self, id: usize) {
        let mut child = self.replicas[id].take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Sends a signal to a replica's process.
    pub fn signal(&self, id: usize, name: &str) {
        signal(name, self.replicas[id].as_ref().expect("it runs").id());
    }

    pub fn len(&self) -> usize {
        self.replicas.len()
    }

    /// Where clients are served.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.len()).map(client_address).collect()
    }

    /// What each replica says about itself, asked from where nothing is cut. `None`: it says nothing.
    pub fn statuses(&self) -> Vec<Option<NodeStatus>> {
        let endpoints = self.endpoints();
        self.network.inside(Host::Observer, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
            runtime.block_on(async {
                let asked: Vec<_> = endpoints
                    .into_iter()
                    .map(|endpoint| tokio::spawn(async move { fetch_status(&endpoint, STATUS_TIMEOUT).await.ok() }))
                    .collect();
                let mut statuses = Vec::new();
                for status in asked {
                    statuses.push(status.await.expect("asking does not panic"));
                }
                statuses
            })
        })
    }

    /// Waits until one replica is primary and all that answer are normal in its view; returns it and the view.
    pub fn wait_for_view(&self, what: &str, is_wanted: impl Fn(usize, u64) -> bool) -> (usize, u64) {
        let mut found = None;
        eventually(what, || {
            found = primary_of(&self.statuses()).filter(|(primary, view)| is_wanted(*primary, *view));
            found.is_some()
        });
        found.expect("just found")
    }

    /// The primary, and the view it was elected in.
    pub fn primary(&self) -> (usize, u64) {
        self.wait_for_view("there is a primary", |_, _| true)
    }

    /// Waits until one replica says of itself what is wanted. The others may be too busy to answer.
    pub fn wait_for_one(&self, what: &str, id: usize, is_wanted: impl Fn(&NodeStatus) -> bool) {
        eventually(what, || self.statuses()[id].as_ref().is_some_and(&is_wanted));
    }

    /// Waits until all replicas are normal in one view, and returns it.
    pub fn wait_until_normal(&self) -> u64 {
        let mut view = None;
        eventually("all replicas are normal in one view", || {
            view = common(&self.statuses(), |status| (status.status == "normal").then_some(status.view));
            view.is_some()
        });
        view.expect("just found")
    }

    /// Waits until all replicas are normal in one view and have executed the same.
    pub fn wait_until_settled(&self) {
        eventually("all replicas are normal in one view, and none is behind", || {
            let state =
                |status: &NodeStatus| (status.status == "normal").then_some((status.view, status.op, status.executed));
            common(&self.statuses(), state).is_some()
        });
    }

    /// What memory each replica takes; all must answer.
    pub fn memory(&self) -> Vec<Memory> {
        let taken = self.replicas.iter().flatten().map(|child| resident_max_bytes(child.id()));
        let statuses = self.statuses().into_iter().map(|status| status.expect("it answers"));
        let memory = |(resident_max, status): (u64, NodeStatus)| Memory {
            resident_max,
            budget: status.memory_max_bytes,
            log: status.log_bytes,
        };
        taken.zip(statuses).map(memory).collect()
    }

    /// Gives a key a value.
    pub fn put(&self, key: &str, value: &str) {
        let endpoints = self.endpoints().join(",");
        let output = self.network.inside(Host::Observer, || run(&["kv", "put", key, value, "--endpoints", &endpoints]));
        assert!(output.status.success(), "{}", crate::support::stderr(&output));
    }

    /// All pairs in the map, as `vr kv export` prints them.
    pub fn export(&self) -> String {
        let endpoints = self.endpoints().join(",");
        let output = self.network.inside(Host::Observer, || run(&["kv", "export", "--endpoints", &endpoints]));
        assert!(output.status.success(), "{}", crate::support::stderr(&output));
        crate::support::stdout(&output)
    }

    fn log(&self, id: usize) -> std::path::PathBuf {
        self.scratch.0.join(format!("log-{id}"))
    }

    /// For who looks at a failure.
    fn print_logs(&self) {
        for id in 0..self.len() {
            let text = fs::read_to_string(self.log(id)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            println!("replica {id}:\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in self.replicas.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

/// What is the same for all replicas.
fn common<T: PartialEq>(statuses: &[Option<NodeStatus>], what: impl Fn(&NodeStatus) -> Option<T>) -> Option<T> {
    let mut all = statuses.iter().map(|status| status.as_ref().and_then(&what));
    let first = all.next().flatten()?;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// The primary with the highest view among those who say that they are one, with the view.
///
/// A replica that is cut off may still take itself for the primary of an earlier view.
fn primary_of(statuses: &[Option<NodeStatus>]) -> Option<(usize, u64)> {
    let up = statuses.iter().enumerate().filter_map(|(id, status)| Some((id, status.as_ref()?)));
    up.filter(|(_, status)| status.role == "primary")
        .map(|(id, status)| (id, status.view))
        .max_by_key(|(_, view)| *view)
}

/// The same command in a process that may open so many files.
fn limited(command: &Command, files_max: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files_max} && exec \"$0\" \"$@\"")]).arg(command.get_program());
    limited.args(command.get_args());
    for name in command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
        limited.env_remove(name);
    }
    limited
}

/// The largest resident memory that a process ever had.
fn resident_max_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kib << 10
}

pub fn client_address(id: usize) -> String {
    format!("{}:{CLIENT_PORT}", Host::Replica(id).address())
}

fn peer_address(id: usize) -> String {
    format!("{}:{PEER_PORT}", Host::Replica(id).address())
}
