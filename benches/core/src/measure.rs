//! CPU time of this thread, instructions of a child, and medians.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use crate::{Options, System};

/// What a round took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    nanoseconds: f64,
}

/// Runs `work` and says what it took.
pub fn spent(work: impl FnOnce()) -> Spent {
    let (start, cpu) = (Instant::now(), cpu_nanoseconds());
    work();
    let wall = start.elapsed().as_secs_f64() * 1e9;
    let cpu = cpu.zip(cpu_nanoseconds()).map(|(before, after)| (after - before) as f64);
    Spent { nanoseconds: cpu.unwrap_or(wall) }
}

/// The time this thread was on a processor, by the first field of schedstat. The time on the wall has to do where there is none.
fn cpu_nanoseconds() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Medians over rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub operations_per_second: f64,
    pub nanoseconds_per_operation: f64,
    /// How far the slowest round lies above the fastest, in percent of the median.
    pub spread_percent: f64,
    pub instructions_per_operation: Option<f64>,
    /// Why there are no instructions, unless they were not asked for.
    pub instructions_not_measured: Option<String>,
}

impl Figures {
    pub fn new(rounds: Vec<Spent>, count: u64, instructions: Result<Option<f64>, String>) -> Self {
        let mut nanoseconds: Vec<f64> = rounds.iter().map(|spent| spent.nanoseconds / count as f64).collect();
        nanoseconds.sort_by(f64::total_cmp);
        let median = median(&nanoseconds);
        let (first, last) = (nanoseconds[0], nanoseconds[nanoseconds.len() - 1]);
        Self {
            operations_per_second: 1e9 / median,
            nanoseconds_per_operation: median,
            spread_percent: (last - first) / median * 100.0,
            instructions_per_operation: instructions.as_ref().ok().copied().flatten(),
            instructions_not_measured: instructions.err(),
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}

/// Instructions in user mode for each operation, by `perf stat`.
///
/// # Errors
/// Why they cannot be counted here.
pub fn instructions_per_operation(system: System, batch: usize, options: &Options) -> Result<f64, String> {
    const SHORT: u64 = 64_000;
    const LONG: u64 = 192_000;
    let count = |operations| instructions(system, batch, options.size, operations);
    Ok((count(LONG)? - count(SHORT)?) / (LONG - SHORT) as f64)
}

fn instructions(system: System, batch: usize, size: u32, operations: u64) -> Result<f64, String> {
    let this = std::env::current_exe().map_err(|error| format!("this program's file is unknown: {error}"))?;
    let system = clap::ValueEnum::to_possible_value(&system).expect("no system is hidden");
    let output = Command::new("perf")
        .args(["stat", "-x,", "-e", "instructions:u"])
        .arg(this)
        .args(["--profile", system.get_name(), "--batch", &batch.to_string()])
        .args(["--size", &size.to_string(), "--count", &operations.to_string()])
        .output()
        .map_err(|error| format!("perf cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let field = text.lines().filter_map(|line| line.split(',').next()).find_map(|field| field.parse().ok());
    field.ok_or_else(|| format!("perf stat counted none: {}", text.trim()))
}
