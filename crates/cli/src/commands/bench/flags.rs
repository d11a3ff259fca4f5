//! The flags of a load, and the plans they make.

use std::path::PathBuf;

use clap::Args;
use viewstamped_load::{Arrivals, KEY_SIZE_MIN, Plan};

use super::rival::Rival;
use crate::failure::{EXIT_USAGE, Failure};
use crate::human::Span;
use crate::output::OutputFormat;
use crate::session::ClientFlags;

pub(super) const AFTER_HELP: &str = "\
Closed loop: every client keeps --pipeline requests outstanding and makes the next when one is answered; a latency runs
from making a request to its answer. Open loop (--rate): requests are made at their time, whatever happened to those
before, and a latency runs from when the request was due, so that a group that stands still is seen by every request
that would have come meanwhile (coordinated omission is corrected).

With --replicas every run has a group of its own on this machine, new and empty, its data in memory. Without it the
group at --endpoints is loaded. Options of the replicas can be given in the environment (VR_LOG_BYTES_MAX=4GiB).

CPU and context switches are those of all replicas together, by /proc. System calls are counted for a second after the
measurement, by perf or else by strace; who may not use either learns why.

--compare runs another system in alternation with ours, every run with new and empty servers:
  etcd          as many nodes of etcd (packages etcd-server and etcd-client of Debian)
  unreplicated  the same service behind the same connections without replication (benches/unreplicated)
  vr=PROGRAM    another build of vr, which must know the same flags

Exit code: 0 when every request was answered, 1 when some failed.

Examples:
  vr bench put --clients 1
  vr bench put --clients 256 --connections 32 --seconds 10 -o json
  vr bench put --replicas 3 --clients 16 --pipeline 64 --count 1000000
  vr bench put --rate 20000 --plot run.svg
  vr bench put --compare etcd --clients 1,16,256,1000 --rounds 3 --plot etcd.svg";

/// What load, on what, and how often.
#[derive(Args, Clone, Debug)]
pub(super) struct LoadFlags {
    #[command(flatten)]
    pub(super) client: ClientFlags,
    /// Start a group of this many replicas on this machine for every run; without it the group at the endpoints is loaded
    #[arg(long, value_name = "N", conflicts_with_all = ["endpoints", "pids"], value_parser = clap::value_parser!(u16).range(1..=31))]
    replicas: Option<u16>,
    /// How many clients there are; several numbers, separated by commas, are measured one after the other
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "64", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: Vec<u32>,
    /// How many requests each client keeps outstanding
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pipeline: u32,
    /// Open loop: how many requests are made a second; several numbers are measured one after the other
    #[arg(long, value_name = "RATES", value_delimiter = ',', conflicts_with_all = ["clients", "pipeline"], value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Vec<u32>,
    /// Over how many connections the requests are spread; without it as few as the slots of a session allow
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 5, conflicts_with = "count", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many requests to measure, instead of a time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How long to load the group before measuring
    #[arg(long, value_name = "TIME", default_value = "1s")]
    warmup: Span,
    /// Bytes of a key
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(i64::from(KEY_SIZE_MIN)..=4096))]
    key_size: u32,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    value_size: u32,
    /// How many keys there are
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    keyspace: u64,
    /// The processes that are measured; without it the replicas, when they run on this machine
    #[arg(long, value_name = "PIDS", value_delimiter = ',')]
    pub(super) pids: Vec<u32>,
    /// Another system to run in alternation: etcd, unreplicated, or vr=PROGRAM
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = ["endpoints", "pids"])]
    pub(super) compare: Option<Rival>,
    /// How often everything is measured; medians count. Without it 3 when systems are compared, else 1
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,
    /// Where the programs that --compare needs are built
    #[arg(long, value_name = "DIR", default_value = "benches")]
    pub(super) benches: PathBuf,
    /// Where etcd keeps its data; without it in memory (/dev/shm) where there is such a place
    #[arg(long, value_name = "DIR")]
    pub(super) etcd_data: Option<PathBuf>,
    /// Do not count system calls
    #[arg(long)]
    no_syscalls: bool,
    /// Draw the result: one load over time, several as latency over throughput
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
    /// How to show the result
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(super) output: OutputFormat,
}

/// The most slots the default options of a cluster grant to a session.
const SLOTS_MAX: u32 = 1_024;
/// The most requests outstanding in a closed loop.
const OUTSTANDING_MAX: u32 = 10_000_000;
/// Connections of the open loop: enough slots for a quarter of a second at 16,000 a second.
const OPEN_CONNECTIONS: u32 = 4;
/// The replicas of a group that is compared.
const REPLICAS: u16 = 3;
/// The rounds of a comparison: the fewest with a median.
const COMPARED_ROUNDS: u32 = 3;

impl LoadFlags {
    /// How many replicas the groups started here have; none when one is loaded that is there.
    pub(super) fn own_replicas(&self) -> Option<u16> {
        self.replicas.or(self.compare.as_ref().map(|_| REPLICAS))
    }

    pub(super) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.compare.is_some() { COMPARED_ROUNDS } else { 1 })
    }

    /// One plan for each number of clients, or each rate.
    ///
    /// # Errors
    /// When a load is too large.
    pub(super) fn plans(&self, reads_percent: u32) -> Result<Vec<Plan>, Failure> {
        let arrivals: Vec<Arrivals> = if self.rate.is_empty() {
            self.clients.iter().map(|clients| Arrivals::Closed { clients: *clients, pipeline: self.pipeline }).collect()
        } else {
            self.rate.iter().map(|rate| Arrivals::Open { rate: *rate }).collect()
        };
        arrivals.into_iter().map(|arrivals| self.plan(arrivals, reads_percent)).collect()
    }

    fn plan(&self, arrivals: Arrivals, reads_percent: u32) -> Result<Plan, Failure> {
        let connections = match arrivals {
            Arrivals::Closed { clients, pipeline } => {
                let outstanding = clients.checked_mul(pipeline).filter(|total| *total <= OUTSTANDING_MAX);
                let outstanding = outstanding.ok_or_else(|| {
                    let why = format!("{clients} clients with {pipeline} requests outstanding each");
                    let next = "lower --clients or --pipeline";
                    Failure::new("that load is too large", why, next).with_code(EXIT_USAGE)
                })?;
                self.connections.unwrap_or(outstanding.div_ceil(SLOTS_MAX)).min(clients)
            }
            Arrivals::Open { .. } => self.connections.unwrap_or(OPEN_CONNECTIONS),
        };
        Ok(Plan {
            arrivals,
            connections,
            reads_percent,
            duration_ms: if self.count.is_some() { None } else { Some(self.seconds * 1_000) },
            count: self.count,
            warmup_ms: u64::try_from(self.warmup.0.as_millis()).unwrap_or(u64::MAX),
            key_size: self.key_size,
            value_size: self.value_size,
            keyspace: self.keyspace,
            has_timeline: self.plot.is_some(),
            system_calls: !self.no_syscalls,
        })
    }
}

/// How many requests one connection may have outstanding.
pub(super) fn slots(plan: &Plan) -> u32 {
    plan.arrivals.outstanding().map_or(SLOTS_MAX, |outstanding| outstanding.div_ceil(plan.connections))
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parse(args: &str) -> Result<LoadFlags, clap::Error> {
        let args = ["put"].into_iter().chain(args.split_whitespace());
        LoadFlags::from_arg_matches(&LoadFlags::augment_args(Command::new("put")).try_get_matches_from(args)?)
    }

    #[test]
    fn closed_loop_has_a_plan_for_each_number_of_clients() {
        let plans = parse("--clients 1,256 --pipeline 64 --seconds 2").unwrap().plans(0).unwrap();
        let loads: Vec<(String, u32, u32)> =
            plans.iter().map(|plan| (plan.arrivals.to_string(), plan.connections, slots(plan))).collect();
        assert_eq!(loads, [("1 x 64 outstanding".into(), 1, 64), ("256 x 64 outstanding".into(), 16, 1_024)]);
        assert_eq!((plans[0].duration_ms, plans[0].count), (Some(2_000), None));
    }

    #[test]
    fn connections_are_no_more_than_clients() {
        let plans = parse("--clients 1,256 --connections 32").unwrap().plans(0).unwrap();
        assert_eq!(plans.iter().map(|plan| (plan.connections, slots(plan))).collect::<Vec<_>>(), [(1, 1), (32, 8)]);
    }

    #[test]
    fn open_loop_has_a_rate_instead_of_clients() {
        let flags = parse("--rate 1000,2000 --count 10").unwrap();
        let plans = flags.plans(50).unwrap();
        assert_eq!(plans[1].arrivals, Arrivals::Open { rate: 2_000 });
        assert_eq!((plans[1].duration_ms, plans[1].count, plans[1].reads_percent), (None, Some(10), 50));
        assert!(parse("--rate 1000 --clients 5").is_err());
        assert!(parse("--rate 1000 --pipeline 5").is_err());
    }

    #[test]
    fn group_of_its_own_and_endpoints_exclude_each_other() {
        assert_eq!(parse("").unwrap().own_replicas(), None);
        assert_eq!(parse("--replicas 5").unwrap().own_replicas(), Some(5));
        assert!(parse("--replicas 3 --endpoints h:1").is_err());
        assert!(parse("--compare etcd --endpoints h:1").is_err());
        assert!(parse("--replicas 3 --pids 1").is_err());
    }

    #[test]
    fn comparison_has_three_replicas_and_three_rounds_unless_told_otherwise() {
        let flags = parse("--compare etcd").unwrap();
        assert_eq!((flags.own_replicas(), flags.rounds()), (Some(3), 3));
        let flags = parse("--compare vr=/tmp/vr --replicas 5 --rounds 7").unwrap();
        assert_eq!((flags.own_replicas(), flags.rounds()), (Some(5), 7));
        assert_eq!(parse("").unwrap().rounds(), 1);
        assert!(parse("--compare consul").is_err());
    }

    #[test]
    fn load_that_no_machine_can_hold_is_refused() {
        let failure = parse("--clients 1000000 --pipeline 1000000").unwrap().plans(0).unwrap_err();
        assert_eq!(failure.code(), EXIT_USAGE);
    }
}
