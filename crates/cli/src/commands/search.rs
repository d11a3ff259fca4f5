//! `vr search`: all states that a small group can get into, instead of some that a seed leads to.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use viewstamped_simulator::search::{Bounds, Found, PRESETS, Progress, Verdict, preset, search};

use crate::failure::{EXIT_NO, EXIT_USAGE, Failure, Outcome};
use crate::human::{Span, grouped};
use crate::output::{self, OutputFormat};

/// Search all states of a small group, by breadth first: every order of messages, timeouts and crashes
#[derive(Args, Debug)]
#[command(after_help = "\
Runs the same code as the replicas of `vr start`. The first violation found is one with the fewest steps; its
transcript is printed in the notation of the paper. Without --width the search is exhaustive within its bounds;
with it, levels that grow larger are sampled, which still finds what random runs do not.

Exit code: 0 when nothing is wrong as far as the search went, 1 when an invariant is violated.

Examples:
  vr search                                  the preset `small`
  vr search --list                           all presets
  vr search --preset trace-d
  vr search --operations 2 --crashes 2 --time 10m
  vr search --replicas 5 --down 2 --crashes 3 --width 20000 --seed 7")]
pub(crate) struct Search {
    /// Begin with these bounds; the options below change them
    #[arg(long, value_name = "NAME", default_value = "small", value_parser = PRESETS.map(|preset| preset.name))]
    preset: String,
    /// List the presets
    #[arg(long)]
    list: bool,
    /// The size of the group
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9))]
    replicas: Option<u16>,
    /// How many operations clients ask for
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100))]
    operations: Option<u32>,
    /// How often clients ask again for the same, at any primary
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: Option<u32>,
    /// The highest view; the first is 0
    #[arg(long, value_name = "VIEW", value_parser = clap::value_parser!(u64).range(0..=100))]
    view_max: Option<u64>,
    /// How often replicas lose their memory in all
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100))]
    crashes: Option<u32>,
    /// How often one replica does
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100))]
    crashes_each: Option<u32>,
    /// How many replicas may be without memory at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=9))]
    down: Option<u16>,
    /// A crash takes the identity, too
    #[arg(long)]
    wiped: bool,
    /// View changes need votes; without, a replica joins any view change at any time
    #[arg(long)]
    votes: bool,
    /// Primaries send COMMIT at any time
    #[arg(long)]
    heartbeats: bool,
    /// Deliver one by one even what a replica only keeps until the rest arrives
    #[arg(long)]
    every_order: bool,
    /// The most states kept of one level; without it all are
    #[arg(long, value_name = "STATES", value_parser = clap::value_parser!(u32).range(1..))]
    width: Option<u32>,
    /// Chooses the states kept
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The most states; one takes 20 to 200 bytes
    #[arg(long, value_name = "COUNT")]
    states_max: Option<u64>,
    /// The most levels, that is, steps
    #[arg(long, value_name = "COUNT")]
    levels_max: Option<u32>,
    /// How long to search
    #[arg(long, value_name = "TIME")]
    time: Option<Span>,
    /// How to show the result
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// The result, for programs.
#[derive(Serialize)]
struct Summary {
    verdict: &'static str,
    levels: u32,
    states: u64,
    transitions: u64,
    replica_states: usize,
    replica_steps: usize,
    messages: usize,
    bytes: usize,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transcript: Vec<String>,
}

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

impl Search {
    pub(crate) fn run(self) -> Outcome {
        if self.list {
            for preset in &PRESETS {
                output::line(format_args!("{:<10} {}", preset.name, preset.about))?;
            }
            return Ok(0);
        }
        // A panic of a replica is a violation and is reported as such.
        std::panic::set_hook(Box::new(|_| {}));
        let bounds = self.bounds()?;
        let started = Instant::now();
        let mut shown = Duration::ZERO;
        let found = search(&bounds, &mut |progress| {
            let took = started.elapsed();
            if took >= shown + PROGRESS_INTERVAL {
                shown = took;
                show(progress, took);
            }
            self.time.is_none_or(|limit| took < limit.0)
        });
        self.report(found, started.elapsed())
    }

    fn bounds(&self) -> Result<Bounds, Failure> {
        let from = preset(&self.preset).expect("checked by the parser").bounds;
        let bounds = Bounds {
            replicas: self.replicas.map_or(from.replicas, usize::from),
            operations: self.operations.unwrap_or(from.operations),
            view_max: self.view_max.unwrap_or(from.view_max),
            crashes: self.crashes.unwrap_or(from.crashes),
            crashes_each: self.crashes_each.unwrap_or(from.crashes_each),
            down_max: self.down.map_or(from.down_max, usize::from),
            retries: self.retries.unwrap_or(from.retries),
            heartbeats: self.heartbeats || from.heartbeats,
            votes: self.votes || from.votes,
            every_order: self.every_order || from.every_order,
            wiped: self.wiped || from.wiped,
            width: self.width.map(|width| width as usize).or(from.width),
            seed: self.seed.unwrap_or(from.seed),
            states_max: self.states_max.unwrap_or(from.states_max),
            levels_max: self.levels_max.unwrap_or(from.levels_max),
        };
        if bounds.states_max > Bounds::STATES_MAX {
            let why = format!("states are numbered up to {}", grouped(Bounds::STATES_MAX));
            let failure = Failure::new("there is no room for so many states", why, "lower --states-max");
            return Err(failure.with_code(EXIT_USAGE));
        }
        Ok(bounds)
    }

    fn report(&self, found: Found, took: Duration) -> Outcome {
        let Found { verdict, progress } = found;
        let name = match verdict {
            Verdict::Exhausted => "exhaustive, clean",
            Verdict::Sampled => "sampled, clean",
            Verdict::Bounded => "clean as far as it went",
            Verdict::Violated(_) => "violated",
        };
        let mut summary = Summary {
            verdict: name,
            levels: progress.levels,
            states: progress.states,
            transitions: progress.transitions,
            replica_states: progress.locals,
            replica_steps: progress.steps,
            messages: progress.messages,
            bytes: progress.bytes,
            seconds: took.as_secs_f64(),
            violation: None,
            transcript: Vec::new(),
        };
        if let Verdict::Violated(counterexample) = verdict {
            summary.violation = Some(counterexample.violation.to_string());
            summary.transcript = counterexample.transcript;
        }
        match self.output {
            OutputFormat::Json => output::json(&summary)?,
            OutputFormat::Table => print(&summary)?,
        }
        Ok(if summary.violation.is_some() { EXIT_NO } else { 0 })
    }
}

fn show(progress: &Progress, took: Duration) {
    output::remark(format_args!(
        "{:.0} s: {} levels, {} states, {} MB",
        took.as_secs_f64(),
        progress.levels,
        grouped(progress.states),
        progress.bytes >> 20
    ));
}

fn print(summary: &Summary) -> Result<(), Failure> {
    output::line(format_args!(
        "{} states in {} levels, {} steps in {:.1} s, {} MB",
        grouped(summary.states),
        summary.levels,
        grouped(summary.transitions),
        summary.seconds,
        summary.bytes >> 20
    ))?;
    output::line(format_args!(
        "made of {} states of replicas, {} of their steps, {} messages",
        grouped(summary.replica_states as u64),
        grouped(summary.replica_steps as u64),
        grouped(summary.messages as u64)
    ))?;
    let Some(violation) = &summary.violation else { return output::line(summary.verdict) };
    output::line(format_args!("VIOLATED: {violation}"))?;
    for line in &summary.transcript {
        output::line(format_args!("  {line}"))?;
    }
    Ok(())
}
