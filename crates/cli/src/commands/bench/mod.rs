//! `vr bench`: what a group can do under load, alone or beside another system.

mod chart;
mod compare;
mod etcd;
mod failover;
mod flags;
mod own;
mod rival;
mod run;
mod show;
mod summary;
mod target;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use self::failover::Failover;
use self::flags::LoadFlags;
use crate::failure::{Failure, Outcome};

/// Measure throughput, latency, and what an operation costs
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  vr bench put --clients 256 --seconds 10
  vr bench put --replicas 3 --clients 1,16,256 --plot latency.svg
  vr bench put --compare etcd --clients 256 --connections 32
  vr bench failover --kills 20")]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(Box<Put>),
    Get(Box<Get>),
    Mixed(Box<Mixed>),
    Failover(Failover),
}

/// Put random keys
#[derive(Args, Debug)]
#[command(after_help = flags::AFTER_HELP)]
struct Put {
    #[command(flatten)]
    load: LoadFlags,
}

/// Read random keys, each read ordered like a write
#[derive(Args, Debug)]
#[command(after_help = "\
All keys are put before the measurement begins. `vr bench put --help` explains what is measured.

Example:
  vr bench get --clients 256")]
struct Get {
    #[command(flatten)]
    load: LoadFlags,
}

/// Put and read random keys
#[derive(Args, Debug)]
#[command(after_help = "\
All keys are put before the measurement begins. `vr bench put --help` explains what is measured.

Example:
  vr bench mixed --reads 90 --clients 256")]
struct Mixed {
    /// How many of a hundred requests are reads
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
    reads: u32,
    #[command(flatten)]
    load: LoadFlags,
}

impl Bench {
    pub(crate) async fn run(self) -> Outcome {
        // Whoever stops it must not leave the processes it started, nor their directories.
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        tokio::select! {
            _ = terminate.recv() => Err(stopped()),
            _ = interrupt.recv() => Err(stopped()),
            outcome = self.command.run() => outcome,
        }
    }
}

impl Command {
    async fn run(self) -> Outcome {
        match self {
            Self::Put(put) => compare::run("put", 0, put.load).await,
            Self::Get(get) => compare::run("get", 100, get.load).await,
            Self::Mixed(mixed) => compare::run("mixed", mixed.reads, mixed.load).await,
            Self::Failover(failover) => failover.run().await,
        }
    }
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::new("cannot listen for signals", error, "")
}

fn stopped() -> Failure {
    Failure::new("stopped by a signal", "the measurement is not complete", "run it again")
}
