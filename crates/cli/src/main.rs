//! `vr`: runs, watches, loads and simulates a replicated map.

mod chart;
mod commands;
mod failure;
mod files;
mod formatting;
mod group;
mod health;
mod human;
mod lines;
mod logging;
mod members;
mod options;
mod output;
mod processes;
mod session;
mod settings;
mod storage;
mod table;
mod transport;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::failure::{EXIT_USAGE, Failure, Outcome};

/// Viewstamped Replication: a service that survives the failure of any minority of its machines
#[derive(Debug, Parser)]
#[command(
    name = "vr",
    version,
    arg_required_else_help = true,
    after_help = "\
Every flag is also an environment variable (--listen-client: VR_LISTEN_CLIENT) and a key of the settings file
(listen-client, at the top level or in the table of a command). A flag counts more than the environment, the
environment more than the file. Durations are written 350ms, 5s, 2m; sizes 4096, 64KiB, 1GiB.

Exit codes: 0 done; 1 the answer is no (no such key, degraded, a failing seed); 2 no quorum serves; 3 failed
otherwise; 64 the command line makes no sense.

Start here:
  vr dev                       three replicas on this machine
  vr kv put greeting hello     in another terminal
  vr status"
)]
struct Cli {
    /// A TOML file of settings
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match run(std::env::args_os().collect()) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.is_silent() {
                output::remark(&failure);
            }
            ExitCode::from(failure.code())
        }
    }
}

fn run(args: Vec<OsString>) -> Outcome {
    let mut command = settings::with_environment(Cli::command());
    if let Some(path) = settings::file_named(&args, std::env::var_os("VR_CONFIG")) {
        command = settings::with_file(command, &path)?;
    }
    let parsed = command.try_get_matches_from_mut(args).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(Cli { command: Command::Start(start), .. }) => start.run(),
        Ok(cli) => runtime()?.block_on(cli.command.run(cli.config)),
        Err(error) => usage(&error),
    }
}

/// One thread: a client needs no more, and a replica has its own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new("cannot start the event loop", error, "raise the limit of open files (ulimit -n) and try again")
    })
}

/// Help and version are output; anything else is a mistake on the command line.
fn usage(error: &clap::Error) -> Outcome {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::bytes(error.render().to_string().as_bytes())?;
            Ok(0)
        }
        _ => {
            output::remark_part(error.render());
            Ok(EXIT_USAGE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        settings::with_environment(Cli::command()).debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            for below in command.get_subcommands() {
                let help = below.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example") || below.has_subcommands(), "{} has no example", below.get_name());
                check(below);
            }
        }
        check(&Cli::command());
    }
}
