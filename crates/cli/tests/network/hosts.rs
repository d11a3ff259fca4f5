//! A network of the test's own: hosts are network namespaces, joined by a switch that drops what goes from any one of them to
//! any other as the test wants it.
//!
//! What is dropped is one set of address pairs in the switch, replaced by one transaction: a change of topology takes effect
//! at one moment, in each direction by itself. ARP passes, so that what is tested is the cut and not the memory of neighbours.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Where a replica runs.
    Replica(usize),
    /// Where the load comes from.
    Client,
    /// From where the test looks: never cut off from anyone.
    Observer,
}

impl Host {
    /// Its address. Networks know nothing of each other, so all use the same ones.
    pub fn address(self) -> String {
        match self {
            Self::Replica(id) => format!("10.77.0.{}", 1 + id),
            Self::Client => "10.77.0.101".to_owned(),
            Self::Observer => "10.77.0.102".to_owned(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Replica(id) => format!("replica{id}"),
            Self::Client => "client".to_owned(),
            Self::Observer => "observer".to_owned(),
        }
    }
}

/// Namespaces of this name belong to these tests; the process that made them follows.
const PREFIX: &str = "vrtest";

/// Hosts and the switch between them. All of it is gone when this is dropped.
pub struct Network {
    prefix: String,
    hosts: Vec<Host>,
}

impl Network {
    /// A network for so many replicas, everybody linked to everybody. `None` where there cannot be one: then the test says that
    /// it is skipped, which is a failure where `VR_TESTS_REQUIRE_NAMESPACES` is set.
    pub fn new(replicas: usize) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_abandoned();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let hosts = (0..replicas).map(Host::Replica).chain([Host::Client, Host::Observer]).collect();
        let network = Self { prefix: format!("{PREFIX}-{}-{number}", std::process::id()), hosts };
        match network.build() {
            Ok(()) => Some(network),
            Err(reason) => {
                let required = std::env::var_os("VR_TESTS_REQUIRE_NAMESPACES").is_some();
                assert!(!required, "namespaces are required, but cannot be had: {reason}");
                let test = thread::current().name().unwrap_or("test").to_owned();
                // Past the capture of the test's output: a test that tested nothing says so.
                let _ = writeln!(io::stderr(), "{test}: skipped, because {reason}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        for name in self.hosts.iter().map(|host| self.namespace(*host)).chain([self.switch()]) {
            run(Command::new("ip").args(["netns", "add", &name]), "")?;
        }
        let mut commands = "link add switch type bridge\nlink set switch up\n".to_owned();
        for host in &self.hosts {
            let (port, namespace) = (host.name(), self.namespace(*host));
            commands += &format!("link add {port} type veth peer name eth0 netns {namespace}\n");
            commands += &format!("link set {port} master switch up\n");
        }
        run(Command::new("ip").args(["-n", &self.switch(), "-batch", "-"]), &commands)?;
        for host in &self.hosts {
            let address = host.address();
            let commands = format!("link set lo up\nlink set eth0 up\naddress add {address}/24 dev eth0\n");
            run(Command::new("ip").args(["-n", &self.namespace(*host), "-batch", "-"]), &commands)?;
        }
        self.nft(
            "table bridge cuts {
                 set cut { type ipv4_addr . ipv4_addr; }
                 chain forward {
                     type filter hook forward priority 0;
                     ip saddr . ip daddr @cut drop
                 }
             }",
        )
    }

    /// From now on a packet passes only when `is_linked(from, to)`, each direction by itself. The observer is linked to all.
    pub fn shape(&self, is_linked: impl Fn(Host, Host) -> bool) {
        let everyone = || self.hosts.iter().copied().filter(|host| *host != Host::Observer);
        let pairs = everyone().flat_map(|from| everyone().map(move |to| (from, to)));
        let cut: Vec<String> = pairs
            .filter(|(from, to)| from != to && !is_linked(*from, *to))
            .map(|(from, to)| format!("{} . {}", from.address(), to.address()))
            .collect();
        let mut rules = "flush set bridge cuts cut\n".to_owned();
        if !cut.is_empty() {
            rules += &format!("add element bridge cuts cut {{ {} }}\n", cut.join(", "));
        }
        self.nft(&rules).expect("the switch takes new rules");
    }

    /// Everybody is linked to everybody again.
    pub fn heal(&self) {
        self.shape(|_, _| true);
    }

    /// Neither sends to anyone nor receives.
    pub fn isolate(&self, host: Host) {
        self.shape(|from, to| from != host && to != host);
    }

    /// Receives, but what it sends is lost.
    pub fn make_mute(&self, host: Host) {
        self.shape(|from, _| from != host);
    }

    /// Sends, but nothing reaches it.
    pub fn make_deaf(&self, host: Host) {
        self.shape(|_, to| to != host);
    }

    /// Replicas are linked as listed and not otherwise, in both directions; clients reach them all.
    pub fn link_only(&self, links: &[(usize, usize)]) {
        self.shape(|from, to| match (from, to) {
            (Host::Replica(one), Host::Replica(other)) => {
                links.contains(&(one, other)) || links.contains(&(other, one))
            }
            _ => true,
        });
    }

    /// Runs `work` on a thread inside a host: its sockets are that host's, and so are those of the processes it starts.
    pub fn inside<T: Send>(&self, host: Host, work: impl FnOnce() -> T + Send) -> T {
        let path = namespace_file(&self.namespace(host));
        let result = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&path);
                    work()
                })
                .join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The same on a thread that goes on by itself.
    pub fn spawn_inside<T: Send + 'static>(
        &self,
        host: Host,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let path = namespace_file(&self.namespace(host));
        thread::spawn(move || {
            enter(&path);
            work()
        })
    }

    fn nft(&self, rules: &str) -> Result<(), String> {
        run(Command::new("ip").args(["netns", "exec", &self.switch(), "nft", "-f", "-"]), rules)
    }

    fn namespace(&self, host: Host) -> String {
        format!("{}-{}", self.prefix, host.name())
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.hosts.iter().map(|host| self.namespace(*host)).chain([self.switch()]) {
            remove(&name);
        }
    }
}

fn namespace_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Moves this thread into a namespace, for good.
fn enter(path: &Path) {
    let file = File::open(path).expect("the namespace exists");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("a thread may enter a namespace");
}

/// Removes what test processes left behind that were killed.
fn remove_abandoned() {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1)) else { continue };
        if !Path::new("/proc").join(owner).exists() {
            remove(&name);
        }
    }
}

fn remove(name: &str) {
    // It may be gone: another test process removes what is abandoned, too.
    let _ = Command::new("ip").args(["netns", "delete", name]).output();
}

/// Runs a command to its end with this input.
fn run(command: &mut Command, input: &str) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| format!("`{name}` cannot be run: {error}; install iproute2 and nftables");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    // One that ends without reading says why itself.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let Output { status, stderr, .. } = child.wait_with_output().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    Err(format!("`{name} {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&stderr).trim()))
}
