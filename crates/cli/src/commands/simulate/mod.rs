//! `vr simulate`: the protocol under injected faults, one seed in detail or many in parallel.

mod faults;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use viewstamped_simulator::{Coverage, MapWorkload, Outcome as Run, Settings, explain, run, run_traced, shrink};

use crate::failure::{EXIT_NO, EXIT_USAGE, Failure, Outcome};
use crate::human::grouped;
use crate::output::{self, OutputFormat};
use faults::FaultFlags;

/// Run the replicas, clients and network in simulation, under faults drawn from a seed
#[derive(Args, Debug)]
#[command(after_help = "\
One seed prints its trace in the notation of the paper, and the hash of the trace: the same seed gives the same hash
on every machine and in every build. Many seeds run in parallel until all are done or one fails.

Exit code: 0 when every seed is clean, 1 when one fails, or when 20,000 seeds or more, with nothing but --first and
--jobs given beside them, have left something unexercised. -o json has all counts.

Examples:
  vr simulate --seed 7
  vr simulate --seed 7 --replicas 5 --no-trace
  vr simulate --seed 7 --shrink
  vr simulate --seeds 1000
  vr simulate --seeds 1000 --replicas 5 --topology star:2
  vr simulate --seeds 1000 --replicas 3 --drop '>1024' --fault all=off --fault crash=2s
  vr simulate --seeds 20000 --first 1000000 --jobs 2 -o json")]
pub(crate) struct Simulate {
    /// The seed to run
    #[arg(long, value_name = "SEED", conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first of many seeds
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
    /// How many seeds to run at a time; without it one per core
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// The size of the group; without it the seed chooses among 3, 4, 5 and 7
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=31))]
    replicas: Option<u16>,
    /// The most events of the phase with faults
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().events_max)]
    events_max: u64,
    /// The most requests of all clients together
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().requests_max)]
    requests_max: u64,
    /// If the seed fails, find out what it needs to fail, in some hundred runs, and explain it in at most 80 lines
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Do not print the trace of a single seed
    #[arg(long)]
    no_trace: bool,
    #[command(flatten)]
    faults: FaultFlags,
    /// How to show the result
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// The result of a run, for programs.
#[derive(Serialize)]
struct Summary {
    seeds: u64,
    first: u64,
    events: u64,
    committed: u64,
    crashes: u64,
    recoveries: u64,
    view_changes: u64,
    simulated_seconds: f64,
    seconds: f64,
    events_per_second_and_core: u64,
    coverage: std::collections::BTreeMap<String, u64>,
    /// What no seed did, though enough seeds do it.
    not_exercised: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_hash: Option<String>,
    failure: Option<FailedSeed>,
}

#[derive(Clone, Serialize)]
struct FailedSeed {
    seed: u64,
    checker: String,
    what: String,
    replay: String,
}

impl Simulate {
    pub(crate) fn run(self) -> Outcome {
        // A panic of a replica is a failure of its seed and is reported as such.
        std::panic::set_hook(Box::new(|_| {}));
        self.faults.check(self.replicas)?;
        match (self.seed, self.seeds) {
            (Some(seed), None) => self.run_one(seed),
            (None, Some(seeds)) => self.run_many(seeds),
            _ => Err(Failure::new(
                "it is not clear what to run",
                "neither or both of --seed and --seeds are given",
                "vr simulate --seeds 1000",
            )
            .with_code(EXIT_USAGE)),
        }
    }

    fn settings(&self) -> Settings {
        self.faults.apply(Settings {
            replicas: self.replicas.map(usize::from),
            events_max: self.events_max,
            requests_max: self.requests_max,
            ..Settings::default()
        })
    }

    fn run_one(&self, seed: u64) -> Outcome {
        let started = Instant::now();
        let mut broken = Ok(());
        let result = if self.no_trace || self.shrink || self.output == OutputFormat::Json {
            run(seed, &self.settings())
        } else {
            run_traced(seed, &self.settings(), &mut |line| {
                if broken.is_ok() {
                    broken = output::line(line);
                }
            })
        };
        broken?;
        if self.shrink {
            self.explain(seed)?;
        }
        let mut totals = Totals::default();
        totals.add(&result);
        self.report(&totals, seed, 1, started.elapsed(), 1, Some(result.trace_hash))
    }

    fn run_many(&self, seeds: u64) -> Outcome {
        if self.first.checked_add(seeds - 1).is_none() {
            let failure =
                Failure::new("there are not so many seeds", "seeds end at 2^64 - 1", "lower --first or --seeds");
            return Err(failure.with_code(EXIT_USAGE));
        }
        let cores = thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX));
        let jobs = self.jobs.unwrap_or(cores);
        let started = Instant::now();
        let batch = Batch {
            first: self.first,
            seeds,
            taken: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            totals: Mutex::default(),
            started,
        };
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| batch.work(&self.settings()));
            }
        });
        let totals = batch.totals.into_inner().expect("no worker panics");
        let busy = u32::from(jobs.min(cores));
        self.report(&totals, self.first, totals.seeds, started.elapsed(), busy, None)
    }

    /// Whether the run is so long, and so little restricted, that it has to exercise everything.
    fn must_exercise_all(&self) -> bool {
        self.seeds.is_some_and(|seeds| seeds >= LONG_RUN_SEEDS) && self.settings() == Settings::default()
    }

    /// Prints the least that makes the seed fail in the same way.
    fn explain(&self, seed: u64) -> Result<(), Failure> {
        let Some(shrunk) = shrink::<MapWorkload>(seed, &self.settings(), SHRINKING_RUNS_MAX) else { return Ok(()) };
        for line in explain::<MapWorkload>(seed, &shrunk.settings) {
            output::line(line)?;
        }
        let smaller = Self {
            seed: Some(seed),
            seeds: None,
            first: self.first,
            jobs: None,
            replicas: self.replicas,
            events_max: shrunk.settings.events_max,
            requests_max: shrunk.settings.requests_max,
            faults: self.faults.shrunk(&shrunk.settings),
            shrink: false,
            no_trace: false,
            output: OutputFormat::Table,
        };
        let failure = shrunk.outcome.failure.as_ref().map(ToString::to_string).unwrap_or_default();
        output::line(format_args!("shrunk in {} runs: {failure}", grouped(shrunk.runs)))?;
        output::line(format_args!("  replay: {}", smaller.replay_command(seed)))
    }

    /// What replays a seed with the settings of this run.
    fn replay_command(&self, seed: u64) -> String {
        let default = Settings::default();
        let mut command = format!("vr simulate --seed {seed}");
        if let Some(replicas) = self.replicas {
            command.push_str(&format!(" --replicas {replicas}"));
        }
        if self.events_max != default.events_max {
            command.push_str(&format!(" --events-max {}", self.events_max));
        }
        if self.requests_max != default.requests_max {
            command.push_str(&format!(" --requests-max {}", self.requests_max));
        }
        command.push_str(&self.faults.to_string());
        command
    }

    fn report(&self, totals: &Totals, first: u64, seeds: u64, took: Duration, busy: u32, hash: Option<u64>) -> Outcome {
        let failure = totals.failure.as_ref().map(|(seed, checker, what)| FailedSeed {
            seed: *seed,
            checker: checker.clone(),
            what: what.clone(),
            replay: self.replay_command(*seed),
        });
        let summary = Summary {
            seeds,
            first,
            events: totals.events,
            committed: totals.committed,
            crashes: totals.crashes,
            recoveries: totals.recoveries,
            view_changes: totals.view_changes,
            simulated_seconds: totals.simulated.as_secs_f64(),
            seconds: took.as_secs_f64(),
            events_per_second_and_core: rate(totals.events, took * busy),
            coverage: totals.coverage.iter().collect(),
            not_exercised: totals.coverage.missed(),
            trace_hash: hash.map(|hash| format!("{hash:016x}")),
            failure,
        };
        match self.output {
            OutputFormat::Json => output::json(&summary)?,
            OutputFormat::Table => print(&summary)?,
        }
        let is_blind = self.must_exercise_all() && !summary.not_exercised.is_empty();
        Ok(if summary.failure.is_some() || is_blind { EXIT_NO } else { 0 })
    }
}

/// Seeds shared among threads.
struct Batch {
    first: u64,
    seeds: u64,
    taken: AtomicU64,
    is_over: AtomicBool,
    totals: Mutex<Totals>,
    started: Instant,
}

/// The most runs of one shrinking: a minute or so.
const SHRINKING_RUNS_MAX: u64 = 600;

/// From here on a run that leaves something unexercised fails. 20,000 seeds: some marks are hit by one seed in a few thousand.
const LONG_RUN_SEEDS: u64 = 20_000;

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

impl Batch {
    /// Takes seeds until there are none, or one has failed.
    fn work(&self, settings: &Settings) {
        while !self.is_over.load(Ordering::Relaxed) {
            let done = self.taken.fetch_add(1, Ordering::Relaxed);
            if done >= self.seeds {
                return;
            }
            let seed = self.first + done;
            let result = run(seed, settings);
            let mut totals = self.totals.lock().expect("no worker panics");
            totals.add(&result);
            if result.failure.is_some() {
                self.is_over.store(true, Ordering::Relaxed);
            }
            if totals.shown + PROGRESS_INTERVAL < self.started.elapsed() {
                totals.shown = self.started.elapsed();
                output::remark(format_args!("{} seeds, {} events", grouped(totals.seeds), grouped(totals.events)));
            }
        }
    }
}

/// What all seeds together did.
#[derive(Default)]
struct Totals {
    seeds: u64,
    events: u64,
    committed: u64,
    crashes: u64,
    recoveries: u64,
    view_changes: u64,
    simulated: Duration,
    coverage: Coverage,
    /// Of the lowest seed that failed.
    failure: Option<(u64, String, String)>,
    shown: Duration,
}

impl Totals {
    fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.events += run.events;
        self.committed += run.committed;
        self.crashes += run.crashes;
        self.recoveries += run.recoveries;
        self.view_changes += run.view_changes;
        self.simulated += Duration::from_nanos(run.simulated.0);
        self.coverage.merge(&run.coverage);
        if let Some(failure) = &run.failure
            && self.failure.as_ref().is_none_or(|(seed, ..)| run.seed < *seed)
        {
            self.failure = Some((run.seed, failure.checker.clone(), failure.to_string()));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn rate(count: u64, took: Duration) -> u64 {
    (count as f64 / took.as_secs_f64().max(1e-9)) as u64
}

fn print(summary: &Summary) -> Result<(), Failure> {
    output::line(format_args!(
        "{} seeds from {} in {:.1} s: {} events, {} a second and core, {:.0} s simulated",
        grouped(summary.seeds),
        summary.first,
        summary.seconds,
        grouped(summary.events),
        grouped(summary.events_per_second_and_core),
        summary.simulated_seconds,
    ))?;
    output::line(format_args!(
        "{} operations committed, {} crashes, {} recoveries, {} view changes",
        grouped(summary.committed),
        grouped(summary.crashes),
        grouped(summary.recoveries),
        grouped(summary.view_changes)
    ))?;
    if let Some(hash) = &summary.trace_hash {
        output::line(format_args!("trace hash {hash}"))?;
    } else {
        let (missed, marks) = (summary.not_exercised.len(), summary.coverage.len());
        let names = if missed == 0 { String::new() } else { format!(": {}", summary.not_exercised.join(", ")) };
        output::line(format_args!("{} of {marks} marks not hit{names}", grouped(missed as u64)))?;
    }
    match &summary.failure {
        None => output::line("clean"),
        Some(failed) => {
            output::line(format_args!("FAILED: seed {}: {}", failed.seed, failed.what))?;
            output::line(format_args!("  replay: {}", failed.replay))
        }
    }
}
