//! The commands, one file each.

mod backup;
mod bench;
mod checkpoint;
mod dev;
mod format;
mod kv;
mod recover;
mod search;
mod simulate;
mod start;
mod status;

use std::path::PathBuf;

use clap::Subcommand;

use crate::failure::Outcome;

/// What `vr` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Dev),
    Format(format::Format),
    Start(Box<start::Start>),
    Status(status::Status),
    Recover(recover::Recover),
    Checkpoint(checkpoint::Checkpoint),
    Backup(backup::Backup),
    Kv(kv::Kv),
    Bench(bench::Bench),
    Simulate(simulate::Simulate),
    Search(search::Search),
}

impl Command {
    /// Runs the command; `config` is the settings file, which `vr dev` hands to its replicas.
    pub(crate) async fn run(self, config: Option<PathBuf>) -> Outcome {
        match self {
            Self::Dev(dev) => dev.run(config).await,
            Self::Format(format) => format.run(),
            Self::Start(_) => unreachable!("a replica has the main thread to itself"),
            Self::Status(status) => status.run().await,
            Self::Recover(recover) => recover.run().await,
            Self::Checkpoint(checkpoint) => checkpoint.run().await,
            Self::Backup(backup) => backup.run(),
            Self::Kv(kv) => kv.run().await,
            Self::Bench(bench) => bench.run().await,
            Self::Simulate(simulate) => simulate.run(),
            Self::Search(search) => search.run(),
        }
    }
}
