//! Results for people: one run in full, several as medians and ratios.

use std::time::Duration;

use viewstamped_load::{Latency, Servers, SystemCalls};

use super::run::Run;
use super::summary::{FIGURES, Figures, loads, summaries, systems};
use crate::failure::Failure;
use crate::human::{grouped, rounded};
use crate::output;
use crate::table::Table;

/// Shows all there is of one run.
pub(super) fn one(what: &str, run: &Run) -> Result<(), Failure> {
    let (plan, report) = (&run.report.plan, &run.report);
    output::line(format_args!(
        "{what}: {} replicas ({}), {} over {} connections, {}-byte keys, {}-byte values, {} keys",
        run.replicas, run.durability, plan.arrivals, plan.connections, plan.key_size, plan.value_size, plan.keyspace
    ))?;
    output::line(format_args!(
        "  throughput  {} a second ({} in {:.2} s), {} errors",
        grouped(report.throughput),
        grouped(report.operations),
        report.seconds,
        report.errors
    ))?;
    if let Some(error) = &report.first_error {
        output::line(format_args!("  first error {error}"))?;
    }
    output::line(format_args!("  latency     {}", percentiles(&report.latency_us)))?;
    if let Some(lateness) = &report.lateness_us {
        output::line(format_args!("  of which    {} passed before the request was made", percentiles(lateness)))?;
    }
    output::line(format_args!("  longest gap without a commit  {:.1} ms", report.longest_gap_ms))?;
    output::line(format_args!("  client CPU  {:.2} s per 100,000", report.client_cpu_seconds_per_100k))?;
    report.servers.as_ref().map_or(Ok(()), servers)
}

fn servers(servers: &Servers) -> Result<(), Failure> {
    output::line(format_args!(
        "  server CPU  {:.2} s per 100,000 over {} processes; {:.2} context switches an operation",
        servers.cpu_seconds_per_100k, servers.processes, servers.context_switches_per_operation
    ))?;
    output::line(format_args!(
        "  memory      {:.1} MiB resident, at most {:.1} MiB, the largest process",
        servers.resident_mib, servers.resident_max_mib
    ))?;
    match &servers.system_calls {
        None => Ok(()),
        Some(SystemCalls::Counted { per_operation, by }) => {
            output::line(format_args!("  system calls  {per_operation:.2} an operation, over all processes (by {by})"))
        }
        Some(SystemCalls::NotMeasured { not_measured }) => {
            output::line(format_args!("  system calls  not measured: {not_measured}"))
        }
    }
}

fn percentiles(latency: &Latency) -> String {
    let us = |micros: f64| rounded(Duration::from_secs_f64(micros / 1e6));
    let Latency { p50, p90, p99, p99_9, max } = *latency;
    format!("p50 {}   p90 {}   p99 {}   p99.9 {}   max {}", us(p50), us(p90), us(p99), us(p99_9), us(max))
}

/// Shows medians and ratios of several runs.
pub(super) fn several(what: &str, runs: &[Run]) -> Result<(), Failure> {
    let plan = &runs[0].report.plan;
    let count = runs.len() / loads(runs).len() / systems(runs).len();
    output::line(format_args!(
        "{what}: {}-byte keys, {}-byte values, {} keys; medians of {count} runs; CPU s/100k, switches and syscalls are\n\
         those of all servers together, MiB of the largest",
        plan.key_size, plan.value_size, plan.keyspace
    ))?;
    let mut places: Vec<(&str, usize, &str)> =
        runs.iter().map(|run| (run.system.as_str(), run.replicas, run.durability.as_str())).collect();
    places.sort_unstable();
    places.dedup_by_key(|(system, ..)| *system);
    for (system, replicas, durability) in places {
        output::line(format_args!("  {system}: {replicas} replicas, a commit waits for: {durability}"))?;
    }
    let figures = FIGURES.map(|(_, heading, _)| heading);
    let mut table = Table::new(["load", "system"].into_iter().chain(figures));
    for summary in summaries(runs) {
        let load = summary.load.to_string();
        for (system, figures) in &summary.medians {
            table.row(cells(&load, system, figures, false));
        }
        if let Some(ratio) = &summary.ratio {
            table.row(cells(&load, "ratio", ratio, true));
        }
    }
    table.lines().try_for_each(output::line)
}

fn cells(load: &str, system: &str, figures: &Figures, is_ratio: bool) -> Vec<String> {
    let numbers = figures.0.into_iter().zip(FIGURES).map(|(figure, (.., digits))| {
        let digits = if is_ratio { 2 } else { digits };
        figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
    });
    [load.to_owned(), system.to_owned()].into_iter().chain(numbers).collect()
}
