//! `vr bench`: what the group can do under load.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::failure::{EXIT_NO, EXIT_USAGE, Failure, Outcome};
use crate::human::Span;
use crate::load::{self, Plan, Report};
use crate::output::{self, OutputFormat};
use crate::session::ClientFlags;

/// Measure throughput and latency
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  vr bench put --clients 256 --seconds 10")]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(Put),
}

/// Put random keys: clients that each wait for an answer before they go on
#[derive(Args, Debug)]
#[command(after_help = "\
Every client keeps --pipeline requests outstanding and sends the next when one is answered. Clients share a few
connections. Latency runs from the moment a request is made to its answer. The keys are bench/ and a number.

Exit code: 0 when every request was answered, 1 when some failed.

Examples:
  vr bench put --clients 1
  vr bench put --clients 256 --seconds 10 -o json
  vr bench put --clients 16 --pipeline 64 --count 1000000")]
struct Put {
    #[command(flatten)]
    client: ClientFlags,
    /// How many clients there are
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// How many requests each client keeps outstanding
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pipeline: u32,
    /// Over how many connections the clients are spread; without it as few as the slots of a session allow
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 5, conflicts_with = "count")]
    seconds: u64,
    /// How many requests to measure, instead of a time
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    /// How long to load the group before measuring
    #[arg(long, value_name = "TIME", default_value = "1s")]
    warmup: Span,
    /// Bytes of a key
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=4096))]
    key_size: u32,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_size: u32,
    /// How many keys there are
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    keyspace: u64,
    /// The processes whose CPU time is measured; without it the replicas, when they run on this machine
    #[arg(long, value_name = "PIDS", value_delimiter = ',')]
    pids: Vec<u32>,
    /// How to show the result
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// The most slots the default options of a cluster grant to a session.
const SLOTS_MAX: u32 = 1_024;

impl Bench {
    pub(crate) async fn run(self) -> Outcome {
        let Command::Put(put) = self.command;
        put.run().await
    }
}

impl Put {
    async fn run(self) -> Outcome {
        let outstanding =
            self.clients.checked_mul(self.pipeline).filter(|total| *total <= 10_000_000).ok_or_else(|| {
                let why = format!("{} clients with {} requests outstanding each", self.clients, self.pipeline);
                Failure::new("that load is too large", why, "lower --clients or --pipeline").with_code(EXIT_USAGE)
            })?;
        let plan = Plan {
            clients: self.clients,
            pipeline: self.pipeline,
            connections: self.connections.unwrap_or(outstanding.div_ceil(SLOTS_MAX)).min(self.clients),
            seconds: if self.count.is_some() { None } else { Some(self.seconds) },
            count: self.count,
            warmup_ms: u64::try_from(self.warmup.0.as_millis()).unwrap_or(u64::MAX),
            key_size: self.key_size,
            value_size: self.value_size,
            keyspace: self.keyspace,
        };
        let report = load::run(plan, &self.client, &self.pids).await?;
        match self.output {
            OutputFormat::Table => print(&report)?,
            OutputFormat::Json => output::json(&report)?,
        }
        Ok(if report.errors == 0 { 0 } else { EXIT_NO })
    }
}

fn print(report: &Report) -> Result<(), Failure> {
    let plan = &report.plan;
    let us = |micros: f64| crate::human::rounded(Duration::from_nanos(nanos(micros)));
    output::line(format_args!(
        "put: {} replicas ({}), {} clients x {} outstanding over {} connections, {}-byte keys, {}-byte values, {} keys",
        report.replicas,
        report.durability,
        plan.clients,
        plan.pipeline,
        plan.connections,
        plan.key_size,
        plan.value_size,
        plan.keyspace
    ))?;
    output::line(format_args!(
        "  throughput  {} a second ({} in {:.2} s), {} errors",
        crate::human::grouped(report.throughput),
        crate::human::grouped(report.operations),
        report.seconds,
        report.errors
    ))?;
    let latency = &report.latency_us;
    output::line(format_args!(
        "  latency     p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
        us(latency.p50),
        us(latency.p90),
        us(latency.p99),
        us(latency.p99_9),
        us(latency.max)
    ))?;
    output::line(format_args!("  longest gap without a commit  {:.1} ms", report.longest_gap_ms))?;
    output::line(format_args!("  client CPU  {:.2} s per 100,000", report.client_cpu_seconds_per_100k))?;
    if let Some(servers) = &report.servers {
        output::line(format_args!(
            "  server CPU  {:.2} s per 100,000 over {} processes; resident memory at most {:.1} MiB each",
            servers.cpu_seconds_per_100k, servers.processes, servers.resident_max_mib
        ))?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "latencies are small and not negative")]
fn nanos(micros: f64) -> u64 {
    (micros * 1_000.0) as u64
}
