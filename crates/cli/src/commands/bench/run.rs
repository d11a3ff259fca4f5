//! One run of one system: its servers are started for it, loaded, and stopped.

use std::path::Path;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use viewstamped_load::{Arrivals, Plan, Processes, Report};

use super::etcd::Etcd;
use super::flags::LoadFlags;
use super::own::{OwnGroup, free_ports};
use super::rival::Rival;
use super::target;
use crate::failure::Failure;
use crate::processes::to_measure;
use crate::session::{ClientFlags, Endpoints, ask_all};

/// A report and what it is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// Our own name, or the rival's.
    pub(super) system: String,
    /// The size of the group.
    pub(super) replicas: usize,
    /// What a commit waits for.
    pub(super) durability: String,
    /// What was measured.
    #[serde(flatten)]
    pub(super) report: Report,
}

/// The name of this program among those compared.
pub(super) const OURS: &str = "vr";

/// Runs our own system: on a group of its own, or on the one that is there.
pub(super) async fn ours(plan: &Plan, flags: &LoadFlags) -> Result<Run, Failure> {
    let Some(replicas) = flags.own_replicas() else {
        return on_endpoints(OURS, plan, &flags.client, &flags.pids).await;
    };
    let group = OwnGroup::start(replicas).await?;
    let run = on_endpoints(OURS, plan, &group.client(flags.client.request_timeout), &[]).await;
    group.stop().await;
    run
}

/// Runs the rival.
pub(super) async fn theirs(rival: &Rival, plan: &Plan, flags: &LoadFlags) -> Result<Run, Failure> {
    let replicas = flags.own_replicas().expect("a comparison starts all groups itself");
    match rival {
        Rival::Etcd => {
            let etcd = Etcd::start(replicas, flags.etcd_data.as_deref()).await?;
            let report = etcd.load(plan, &flags.benches).await?;
            let durability = etcd.durability();
            Ok(Run { system: rival.name(), replicas: usize::from(replicas), durability, report })
        }
        Rival::Unreplicated => unreplicated(plan, flags).await,
        Rival::Program(program) => other_build(program, plan, flags).await,
    }
}

async fn on_endpoints(system: &str, plan: &Plan, client: &ClientFlags, pids: &[u32]) -> Result<Run, Failure> {
    let answers = ask_all(&client.endpoints.endpoints).await;
    let servers = to_measure(pids, &answers)?;
    let report = target::load(plan, client, servers).await?;
    let statuses = || answers.iter().filter_map(|answer| answer.status.as_ref().ok());
    Ok(Run {
        system: system.to_owned(),
        replicas: statuses().map(|status| status.members.len()).max().unwrap_or(0),
        durability: statuses().next().map(|status| status.durability.clone()).unwrap_or_default(),
        report,
    })
}

/// The same service behind the same connections, without replication.
async fn unreplicated(plan: &Plan, flags: &LoadFlags) -> Result<Run, Failure> {
    let program = flags.benches.join("unreplicated/target/release/unreplicated");
    let (port, _) = free_ports(1)?[0];
    let endpoint = format!("127.0.0.1:{port}");
    let mut command = Command::new(&program);
    command.arg(&endpoint).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = command.spawn().map_err(|error| not_built(&program, &error))?;
    wait_until_it_listens(&mut server, &program).await?;
    let endpoints = Endpoints { endpoints: vec![endpoint] };
    let client = ClientFlags { endpoints, request_timeout: flags.client.request_timeout };
    let servers = Processes::new(server.id().into_iter().collect());
    let report = target::load(plan, &client, servers).await?;
    // It has nothing to write; only then is there no process that disturbs the next run.
    let _ = server.kill().await;
    Ok(Run { system: Rival::Unreplicated.name(), replicas: 1, durability: "none".to_owned(), report })
}

/// It writes a line when it listens.
async fn wait_until_it_listens(server: &mut tokio::process::Child, program: &Path) -> Result<(), Failure> {
    use tokio::io::AsyncReadExt;
    let mut out = server.stdout.take().expect("piped");
    match out.read(&mut [0; 64]).await {
        Ok(1..) => Ok(()),
        _ => Err(Failure::new(format!("{} ended at once", program.display()), "its own message is above", "")),
    }
}

/// Another build of this program measures itself with the same load.
async fn other_build(program: &Path, plan: &Plan, flags: &LoadFlags) -> Result<Run, Failure> {
    let replicas = flags.own_replicas().expect("a comparison starts all groups itself").to_string();
    let mut command = Command::new(program);
    command.args(["bench", "mixed", "-o", "json", "--replicas", &replicas]);
    command.args(arguments(plan)).arg("--request-timeout").arg(flags.client.request_timeout.to_string());
    if plan.has_timeline {
        // Only a run that is drawn has a timeline.
        command.args(["--plot", "/dev/null"]);
    }
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| {
        let next = "name the program, as in --compare vr=/path/to/vr";
        Failure::new(format!("cannot run {}", program.display()), error, next)
    })?;
    let failed = |why: String| Failure::new(format!("{} measured nothing", program.display()), why, "");
    if !output.status.success() {
        return Err(failed(format!("it ended with {}; its own message is above", output.status)));
    }
    let mut run: Run = serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    run.system = Rival::Program(program.into()).name();
    Ok(run)
}

/// The flags of `vr bench mixed` that make this plan.
fn arguments(plan: &Plan) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut flag = |name: &str, value: u64| arguments.extend([format!("--{name}"), value.to_string()]);
    match plan.arrivals {
        Arrivals::Closed { clients, pipeline } => {
            flag("clients", clients.into());
            flag("pipeline", pipeline.into());
        }
        Arrivals::Open { rate } => flag("rate", rate.into()),
    }
    flag("connections", plan.connections.into());
    flag("reads", plan.reads_percent.into());
    if let Some(count) = plan.count {
        flag("count", count);
    }
    if let Some(millis) = plan.duration_ms {
        flag("seconds", millis / 1_000);
    }
    flag("key-size", plan.key_size.into());
    flag("value-size", plan.value_size.into());
    flag("keyspace", plan.keyspace);
    arguments.extend(["--warmup".to_owned(), format!("{}ms", plan.warmup_ms)]);
    if !plan.system_calls {
        arguments.push("--no-syscalls".to_owned());
    }
    arguments
}

/// The failure for a program under benches/ that is not there.
pub(super) fn not_built(program: &Path, error: &std::io::Error) -> Failure {
    // benches/NAME/target/release/NAME
    let package = program.ancestors().nth(3).unwrap_or(program);
    let next = format!(
        "cargo build --release --manifest-path {}/Cargo.toml, or name the directory: --benches DIR",
        package.display()
    );
    Failure::new(format!("cannot run {}", program.display()), error, next)
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    #[test]
    fn another_build_is_asked_for_the_same_plan() {
        for line in ["--clients 3 --pipeline 2 --count 7", "--rate 50 --seconds 2 --connections 9 --no-syscalls"] {
            let parse = |arguments: Vec<String>| {
                let all = std::iter::once("put".to_owned()).chain(arguments);
                let command = LoadFlags::augment_args(clap::Command::new("put"));
                let matches = command.arg(clap::Arg::new("reads").long("reads")).try_get_matches_from(all).unwrap();
                LoadFlags::from_arg_matches(&matches).unwrap().plans(50).unwrap().remove(0)
            };
            let plan = parse(line.split_whitespace().map(str::to_owned).collect());
            assert_eq!(parse(arguments(&plan)), plan, "{line}");
        }
    }

    #[test]
    fn program_that_is_missing_is_told_how_to_build() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        let text = not_built(Path::new("benches/x/target/release/x"), &error).to_string();
        assert!(text.contains("--manifest-path benches/x/Cargo.toml"), "{text}");
    }
}
