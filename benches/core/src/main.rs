//! What it costs to replicate an operation, without network and disk: three replicas in one thread hand each other messages.
//!
//! Every system gets the same operations in the same batches: a batch is proposed, messages are handed on until the primary
//! (the leader) has committed it, and only then comes the next. Rounds alternate between the systems; medians count.

mod measure;
mod omnipaxos_core;
mod operations;
mod raft_core;
mod viewstamped_core;

use clap::Parser;
use serde::Serialize;
use viewstamped_map::Map;

use measure::{Figures, Spent};
use operations::Operations;
use viewstamped_core::{Nothing, Viewstamped};

/// A group of three replicas in this thread.
trait Group {
    /// Has the group commit the next `batch` operations.
    fn commit(&mut self, operations: &mut Operations, batch: usize);
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum System {
    /// Viewstamped with its client-table, executing puts on the replicated map.
    Map,
    /// Viewstamped with its client-table, executing operations that do nothing.
    Null,
    /// The raft crate: commits only.
    Raft,
    /// The omnipaxos crate: commits only.
    Omnipaxos,
}

const ALL: [System; 4] = [System::Map, System::Null, System::Raft, System::Omnipaxos];

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Map => "viewstamped, map",
            Self::Null => "viewstamped, null service",
            Self::Raft => "raft crate",
            Self::Omnipaxos => "omnipaxos crate",
        }
    }

    fn group(self, batch: usize) -> Box<dyn Group> {
        match self {
            Self::Map => Box::new(Viewstamped::new(Map, batch)),
            Self::Null => Box::new(Viewstamped::new(Nothing, batch)),
            Self::Raft => Box::new(raft_core::Raft::new()),
            Self::Omnipaxos => Box::new(omnipaxos_core::Omnipaxos::new(batch)),
        }
    }
}

/// Viewstamped's protocol core beside those of the raft and omnipaxos crates: three replicas in one thread
#[derive(Parser, Debug)]
#[command(after_help = "\
Time is CPU time of the thread, so that other programs on the machine disturb less. Instructions are those in user mode
by `perf stat`, the difference of two runs, so that starting up does not count.

Examples:
  core-benchmark
  core-benchmark --batch 64 --rounds 9 --no-instructions
  perf record core-benchmark --profile map --batch 64 --count 3000000")]
struct Options {
    /// Operations proposed at once; may be given several times
    #[arg(long, value_name = "COUNT", default_values_t = [1, 64], value_parser = clap::value_parser!(u16).range(1..=1_024))]
    batch: Vec<u16>,
    /// How often each system is measured
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Operations in each round
    #[arg(long, value_name = "COUNT", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=3_000_000))]
    count: u64,
    /// Bytes of an operation
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(24..=65_536))]
    size: u32,
    /// Do not count instructions
    #[arg(long)]
    no_instructions: bool,
    /// Run this one system once, for a profiler
    #[arg(long, value_name = "SYSTEM", value_enum)]
    profile: Option<System>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The medians of one system at one batch size.
#[derive(Debug, Serialize)]
struct Row {
    system: System,
    batch: usize,
    #[serde(flatten)]
    figures: Figures,
    /// Operations per second of the system over those of the raft crate.
    ratio_to_raft: f64,
    /// Operations per second of the system over those of the omnipaxos crate.
    ratio_to_omnipaxos: f64,
}

fn main() {
    let options = Options::parse();
    if let Some(system) = options.profile {
        for batch in &options.batch {
            run(system, usize::from(*batch), &options);
        }
        return;
    }
    let rows: Vec<Row> = options.batch.iter().flat_map(|batch| compare(usize::from(*batch), &options)).collect();
    if options.json {
        println!("{}", serde_json::to_string(&rows).expect("rows have string keys"));
    } else {
        print(&rows, &options);
    }
}

/// One round of one system: a group of its own, warmed up with as many operations as there are keys.
fn run(system: System, batch: usize, options: &Options) -> Spent {
    let mut operations = Operations::new(options.size as usize);
    let mut group = system.group(batch);
    let mut commit = |count: u64| {
        for _ in 0..count.div_ceil(batch as u64) {
            group.commit(&mut operations, batch);
        }
    };
    commit(operations::KEYS);
    measure::spent(|| commit(options.count))
}

fn compare(batch: usize, options: &Options) -> Vec<Row> {
    let mut rounds = [const { Vec::new() }; ALL.len()];
    for _ in 0..options.rounds {
        for (system, rounds) in ALL.iter().zip(&mut rounds) {
            rounds.push(run(*system, batch, options));
        }
    }
    let count = options.count.next_multiple_of(batch as u64);
    let figures: Vec<Figures> = ALL
        .iter()
        .zip(rounds)
        .map(|(system, rounds)| {
            let instructions = (!options.no_instructions)
                .then(|| measure::instructions_per_operation(*system, batch, options))
                .transpose();
            Figures::new(rounds, count, instructions)
        })
        .collect();
    let speed = |system: System| {
        let place = ALL.iter().position(|other| *other == system).expect("all are measured");
        figures[place].operations_per_second
    };
    let (raft, omnipaxos) = (speed(System::Raft), speed(System::Omnipaxos));
    ALL.iter()
        .zip(&figures)
        .map(|(system, figures)| Row {
            system: *system,
            batch,
            figures: figures.clone(),
            ratio_to_raft: figures.operations_per_second / raft,
            ratio_to_omnipaxos: figures.operations_per_second / omnipaxos,
        })
        .collect()
}

fn print(rows: &[Row], options: &Options) {
    println!(
        "three replicas in one thread, {}-byte operations, median of {} rounds of {}",
        options.size, options.rounds, options.count
    );
    println!(
        "{:>5}  {:<25}  {:>12}  {:>8}  {:>8}  {:>15}  {:>9}  {:>12}",
        "batch", "system", "operations/s", "ns/op", "spread", "instructions/op", "x of raft", "x omnipaxos"
    );
    for row in rows {
        let figures = &row.figures;
        let instructions = figures.instructions_per_operation.map_or("-".to_owned(), |count| format!("{count:.0}"));
        println!(
            "{:>5}  {:<25}  {:>12.0}  {:>8.0}  {:>7.0}%  {:>15}  {:>9.2}  {:>12.2}",
            row.batch,
            row.system.name(),
            figures.operations_per_second,
            figures.nanoseconds_per_operation,
            figures.spread_percent,
            instructions,
            row.ratio_to_raft,
            row.ratio_to_omnipaxos
        );
    }
    if let Some(reason) = rows.iter().find_map(|row| row.figures.instructions_not_measured.as_ref()) {
        println!("instructions are not measured: {reason}");
    }
}
