//! `vr start`: one replica, until it is told to stop.

use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use viewstamped::{Claim, ClusterId, Config, ConfigurationSource, Durability, Node, NodeId, ReplicaTask, StartError};
use viewstamped_map::Map;
use viewstamped_storage::DirectoryError;

use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::logging::LogFlags;
use crate::members::{Members, cluster_id, host_port};
use crate::options::{ReplicaOptions, SharedOptions};
use crate::runtime;
use crate::storage::StorageFlags;
use crate::transport::TransportFlags;

/// Run one replica of the built-in map
#[derive(Args, Debug)]
#[command(after_help = "\
The directory says who the replica is: `vr format` wrote it there. A replica whose directory was lost says who it was
with --cluster, --replica and --members or --peers; it then recovers its state from the others and begins nothing new.

Examples:
  vr start --listen-client 127.0.0.1:2379 /var/lib/vr
  vr start --listen-client 127.0.0.1:2379 --cluster 0x1 --replica 2 --peers 10.0.0.1:2380,10.0.0.2:2380 /var/lib/vr")]
pub(crate) struct Start {
    /// Where clients are served, host:port
    #[arg(long, value_name = "ADDRESS", value_parser = host_port, default_value = "127.0.0.1:2379")]
    listen_client: String,
    /// Where peers are heard, host:port; without it the replica's own address in the list of members
    #[arg(long, value_name = "ADDRESS", value_parser = host_port)]
    listen_peer: Option<String>,
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    claim: ClaimFlags,
    #[command(flatten)]
    options: ReplicaOptions,
    #[command(flatten)]
    transport: TransportFlags,
    #[command(flatten)]
    storage: StorageFlags,
    /// Stop at the end of standard input: when the process that started this one is gone
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    /// The directory of the replica
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Who a replica was whose directory was lost.
#[derive(Args, Debug)]
#[command(next_help_heading = "Who the replica is, when its directory was lost")]
struct ClaimFlags {
    /// The id of the cluster, decimal or 0x and hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = cluster_id)]
    cluster: Option<ClusterId>,
    /// The id of the replica
    #[arg(long, value_name = "ID")]
    replica: Option<u64>,
    /// All members with their peer addresses: 0=host:port,1=host:port,...
    #[arg(long, value_name = "MEMBERS")]
    members: Option<Members>,
    /// Peer addresses of other members, from which the list of members is learned; instead of --members
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = host_port)]
    peers: Vec<String>,
    #[command(flatten)]
    shared: SharedOptions,
    /// The durability mode the cluster was formatted with; with --members only, for --peers know it
    #[arg(long, value_name = "MODE", default_value_t)]
    durability: Durability,
}

impl ClaimFlags {
    fn claim(self) -> Result<Option<Claim>, Failure> {
        let (options, durability) = (self.shared.options(), self.durability);
        let source = match (self.members, self.peers.is_empty()) {
            (Some(members), true) => Some(ConfigurationSource::Members { members: members.0, options, durability }),
            (None, false) => Some(ConfigurationSource::Peers(self.peers)),
            (None, true) => None,
            (Some(_), false) => return Err(unclear("--members and --peers are both given")),
        };
        match (self.cluster, self.replica, source) {
            (None, None, None) => Ok(None),
            (Some(cluster), Some(id), Some(source)) => Ok(Some(Claim { cluster, id: NodeId(id), source })),
            _ => Err(unclear("only some of --cluster, --replica and --members (or --peers) are given")),
        }
    }
}

fn unclear(why: &str) -> Failure {
    let next = "give --cluster, --replica and one of --members and --peers, or none of them for an intact directory";
    Failure::new("it is not clear who the replica is", why, next).with_code(EXIT_USAGE)
}

impl Start {
    /// Gives the replica the main thread, whose memory the system's allocator extends in larger steps than that of any other: a
    /// tenth of the CPU of a busy replica. Another thread watches over it.
    pub(crate) fn run(self) -> Outcome {
        let (hand_over, handed_over) = mpsc::channel();
        let watch = move || runtime()?.block_on(self.supervise(hand_over));
        let watch = thread::Builder::new().name("watch".to_owned()).spawn(watch).map_err(|error| {
            Failure::new("cannot start a thread", error, "raise the limit of threads (ulimit -u) and try again")
        })?;
        if let Ok(task) = handed_over.recv() {
            task();
        }
        watch.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    async fn supervise(self, hand_over: mpsc::Sender<ReplicaTask>) -> Outcome {
        self.log.start()?;
        // Before anything else, so that a signal during the start is not lost.
        let mut stop = Stop::new(self.exit_with_parent)?;
        let mut config = Config::new(&self.directory, self.listen_client);
        config.listen_peer = self.listen_peer;
        config.claim = self.claim.claim()?;
        config.options = self.options.options();
        config.transport = self.transport.options();
        config.storage = self.storage.options();
        raise_limit_of_files();
        let directory = self.directory.display().to_string();
        let to_main_thread = move |task| hand_over.send(task).map_err(|error| io::Error::other(error.to_string()));
        let node = Node::start_by(config, Map, to_main_thread).map_err(|error| not_started(&directory, &error))?;
        tracing::info!("replica of {directory}: clients are served on {}", node.client_address());
        tokio::select! {
            reason = stop.wait() => tracing::info!("{reason}: stopping"),
            result = node.wait() => {
                let next = format!("look at the log above, then start it again: vr start {directory}");
                result.map_err(|error| Failure::new("the replica has stopped", error, next))?;
            }
        }
        node.shutdown().await.map_err(|error| Failure::new("the replica did not stop cleanly", error, ""))?;
        Ok(0)
    }
}

/// As many open files as this process may have: the usual limit of 1,024 is for programs that cannot count further.
fn raise_limit_of_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the replica takes fewer connections, and says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The error says itself what to do, except where a flag of `vr start` helps.
fn not_started(directory: &str, error: &StartError) -> Failure {
    let next = match error {
        StartError::AddressInUse { purpose: "clients", .. } => "vr start --listen-client HOST:PORT ...",
        StartError::AddressInUse { .. } => {
            "if this replica runs already, leave it alone; otherwise vr start --listen-peer HOST:PORT ..."
        }
        StartError::Directory(DirectoryError::Missing { .. }) => {
            "if the directory was lost: vr start --cluster ID --replica I --peers HOST:PORT,... DIR makes it again"
        }
        _ => "",
    };
    Failure::new(format!("cannot start the replica in {directory}"), error, next)
}

/// What ends a running replica from outside.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// Never resolves unless the replica is to end with its parent.
    parent: oneshot::Receiver<()>,
    _keep: Option<oneshot::Sender<()>>,
}

impl Stop {
    fn new(exit_with_parent: bool) -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new("cannot listen for signals", error, ""));
        let (sender, parent) = oneshot::channel();
        let keep = if exit_with_parent {
            thread::spawn(move || {
                read_to_end();
                let _ = sender.send(());
            });
            None
        } else {
            Some(sender)
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            parent,
            _keep: keep,
        })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = &mut self.parent => "the parent process is gone",
        }
    }
}

/// Nothing is ever written to the pipe; its end says that the parent is gone.
fn read_to_end() {
    let mut buffer = [0; 64];
    while matches!(io::stdin().read(&mut buffer), Ok(read) if read > 0) {}
}
