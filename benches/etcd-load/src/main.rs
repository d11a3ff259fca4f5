//! Loads etcd by its gRPC API, as `vr bench` loads a group of replicas: the same plan, the same code that makes the requests
//! and measures, the same report. Started by `vr bench --compare etcd`.

mod kv;

use std::process::ExitCode;

use viewstamped_load::{Plan, Processes};

use kv::Connections;

const USAGE: &str = "usage: etcd-load --endpoints HOST:PORT,... --pids PID,... --plan JSON
Loads the etcd nodes at the endpoints as planned, measures them and the processes, and prints a report as JSON.
`vr bench put --compare etcd` starts nodes, makes the plan and shows the report.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (mut endpoints, mut pids, mut plan) = (None, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--endpoints" => &mut endpoints,
            "--pids" => &mut pids,
            "--plan" => &mut plan,
            _ => return Err(format!("there is no flag {name}\n{USAGE}")),
        };
        *place = Some(arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?);
    }
    let (Some(endpoints), Some(pids), Some(plan)) = (endpoints, pids, plan) else {
        return Err(format!("a flag is missing\n{USAGE}"));
    };
    let endpoints: Vec<String> = endpoints.split(',').map(str::to_owned).collect();
    let pids = pids.split(',').filter(|pid| !pid.is_empty()).map(str::parse).collect::<Result<Vec<u32>, _>>();
    let pids = pids.map_err(|error| format!("--pids: {error}"))?;
    let plan: Plan = serde_json::from_str(&plan).map_err(|error| format!("--plan: {error}"))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.map_err(|error| format!("cannot start an event loop: {error}"))?.block_on(async {
        let connections = Connections::open(&endpoints, plan.connections as usize).await?;
        viewstamped_load::run(&plan, connections, Processes::new(pids)).await
    })?;
    println!("{}", serde_json::to_string(&report).expect("a report has string keys"));
    Ok(())
}
