//! `vr dev`: a whole group on this machine, every replica a process of its own, so that any can be killed.

use std::path::PathBuf;
use std::process::ExitStatus;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use viewstamped::Durability;

use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::group::{self, Directory, Group, Replica, how_it_ended, program_as_typed};
use crate::output;
use crate::table::Table;

/// Run a whole group on this machine, one process per replica
#[derive(Args, Debug)]
#[command(after_help = "\
Replica i, from 0, serves clients on port P+10i and peers on P+10i+1, on 127.0.0.1 only. Any one of three may be killed
and its directory removed at any moment: nothing is lost. With --data everything is on disk after Ctrl-C, and the same
command goes on with it. What is left when all replicas are killed at once is a matter of --durability: with `synchronous`
everything that was acknowledged. Without --data the directory is a temporary one and is removed at the end.

Examples:
  vr dev
  vr dev --replicas 5 --base-port 4000 --respawn
  vr dev --data /tmp/group
  vr dev --data /tmp/group --durability synchronous")]
pub(crate) struct Dev {
    /// How many replicas
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=31))]
    replicas: u16,
    /// Where directories and logs are kept, instead of a temporary directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port on which replica 0 serves clients
    #[arg(long, value_name = "PORT", default_value_t = 2379, value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// What a commit waits for: replicated, background or synchronous (`vr format --help` says what each means); background for
    /// a new group
    #[arg(long, value_name = "MODE")]
    durability: Option<Durability>,
    /// When all replicas were killed at once, begin again without asking with the best that their disks hold, which may lack
    /// what was acknowledged in the last moments; `vr recover` asks first. For a new group
    #[arg(long)]
    recover_automatically: bool,
    /// Start a replica again when it ends
    #[arg(long)]
    respawn: bool,
}

impl Dev {
    pub(crate) async fn run(self, config: Option<PathBuf>) -> Outcome {
        // Before anything is started, so that a signal stops all of it.
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let ports = ports(self.base_port, self.replicas)?;
        group::check_free(&ports)?;
        let directory = Directory::open(self.data.clone())?;
        let group = Group::prepare(&directory, &ports, self.durability, self.recover_automatically)?;
        if self.replicas.is_multiple_of(2) {
            output::remark(format_args!(
                "note: {} replicas survive no more failures than {}",
                self.replicas,
                self.replicas - 1
            ));
        }
        let mut replicas = Replica::spawn_all(&group, self.respawn, config.as_deref())?;
        let result = tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            result = self.serve(&directory, &group, &mut replicas) => result,
        };
        output::remark("stopping all replicas");
        replicas.iter_mut().for_each(Replica::tell_to_stop);
        for replica in &mut replicas {
            replica.stop().await;
        }
        if let Some(path) = directory.kept() {
            output::remark(format_args!(
                "everything is kept in {0}; go on with it: vr dev --data {0}, and the other flags as they were",
                path.display()
            ));
        }
        result.map(|()| 0)
    }

    /// Starts up, tells the user, and watches the replicas; ends by a failure only.
    async fn serve(&self, directory: &Directory, group: &Group, replicas: &mut [Replica]) -> Result<(), Failure> {
        group::wait_until_ready(group, replicas).await?;
        introduce(directory, group, replicas)?;
        loop {
            let (id, ended) = next_end(replicas).await;
            tell_end(&replicas[id], &ended);
            if self.respawn {
                replicas[id].plan_respawn();
            }
        }
    }
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::new("cannot listen for signals", error, "")
}

/// The client and peer port of each replica.
fn ports(base: u16, replicas: u16) -> Result<Vec<(u16, u16)>, Failure> {
    let pair = |id: u16| {
        let client = id.checked_mul(10).and_then(|offset| base.checked_add(offset))?;
        Some((client, client.checked_add(1)?))
    };
    (0..replicas).map(pair).collect::<Option<_>>().ok_or_else(|| {
        let why = format!("{replicas} replicas from port {base} need ports above 65535");
        Failure::new("there are not enough ports", why, "choose a lower --base-port").with_code(EXIT_USAGE)
    })
}

fn introduce(directory: &Directory, group: &Group, replicas: &[Replica]) -> Result<(), Failure> {
    let vr = program_as_typed();
    let endpoints = group.endpoints().join(",");
    let flag = if replicas.len() == 3 && endpoints.starts_with("127.0.0.1:2379,") {
        String::new()
    } else {
        format!(" --endpoints {endpoints}")
    };
    output::line(format_args!(
        "ready: {} replicas of cluster 0x{:x} in {}",
        replicas.len(),
        group.cluster().0,
        directory.path().display()
    ))?;
    let mut table = Table::new(["replica", "pid", "clients", "peers", "log"]);
    for replica in replicas {
        table.row(replica.cells());
    }
    for line in table.lines() {
        output::line(format_args!("  {line}"))?;
    }
    let victim = &replicas[0];
    output::line(format_args!(
        "\nnext, in another terminal:\n  \
         {vr} kv put{flag} greeting hello\n  \
         {vr} kv get{flag} greeting\n  \
         {vr} status{flag}\n  \
         kill -9 {pid}        # then look at the status, and get again\n\n\
         bring replica {id} back, its directory intact, empty or gone:\n  {command}\n\n\
         {durability}\nCtrl-C stops all replicas.",
        pid = victim.pid(),
        id = victim.id(),
        command = victim.command_as_typed(),
        durability = directory.what_it_means(group.durability()),
    ))
}

/// Waits until a replica ends, or one that ended is started again.
async fn next_end(replicas: &mut [Replica]) -> (usize, std::io::Result<ExitStatus>) {
    let waits = replicas.iter_mut().map(|replica| Box::pin(replica.wait()));
    let mut waits: Vec<_> = waits.collect();
    std::future::poll_fn(|context| {
        for (id, wait) in waits.iter_mut().enumerate() {
            if let std::task::Poll::Ready(ended) = wait.as_mut().poll(context) {
                return std::task::Poll::Ready((id, ended));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

fn tell_end(replica: &Replica, ended: &std::io::Result<ExitStatus>) {
    let how = ended.as_ref().map_or_else(ToString::to_string, how_it_ended);
    output::remark(format_args!("replica {} (pid {}) {how}; the others go on", replica.id(), replica.pid()));
    if !replica.is_respawned() {
        output::remark(format_args!("  bring it back: {}", replica.command_as_typed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_i_has_ports_ten_apart() {
        assert_eq!(ports(2379, 3).unwrap(), [(2379, 2380), (2389, 2390), (2399, 2400)]);
        assert!(ports(65_530, 1).is_ok());
        assert!(ports(65_535, 1).is_err());
        assert!(ports(65_520, 31).is_err());
    }
}
