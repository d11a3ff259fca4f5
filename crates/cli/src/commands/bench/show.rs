//! Results for people: one run in full, several as medians and ratios.

use std::time::Duration;

use serde::Serialize;
use viewstamped_load::{Arrivals, Latency, Servers, SystemCalls, median};

use super::run::{OURS, Run};
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

/// The figures that are compared. None where it was not measured.
#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    throughput: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p99_9_us: Option<f64>,
    cpu_seconds_per_100k: Option<f64>,
    client_cpu_seconds_per_100k: Option<f64>,
    context_switches: Option<f64>,
    system_calls: Option<f64>,
    resident_mib: Option<f64>,
}

/// The headings of [`Figures::all`], and how many digits each has behind the point.
const HEADINGS: [(&str, usize); 9] = [
    ("operations/s", 0),
    ("p50 us", 0),
    ("p99 us", 0),
    ("p99.9 us", 0),
    ("CPU s/100k", 2),
    ("client CPU", 2),
    ("switches/op", 2),
    ("syscalls/op", 2),
    ("MiB", 0),
];

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(run: &Run) -> Self {
        let (report, servers) = (&run.report, run.report.servers.as_ref());
        let calls = servers.and_then(|servers| match servers.system_calls {
            Some(SystemCalls::Counted { per_operation, .. }) => Some(per_operation),
            _ => None,
        });
        Self {
            throughput: Some(report.throughput as f64),
            p50_us: Some(report.latency_us.p50),
            p99_us: Some(report.latency_us.p99),
            p99_9_us: Some(report.latency_us.p99_9),
            cpu_seconds_per_100k: servers.map(|servers| servers.cpu_seconds_per_100k),
            client_cpu_seconds_per_100k: Some(report.client_cpu_seconds_per_100k),
            context_switches: servers.map(|servers| servers.context_switches_per_operation),
            system_calls: calls,
            resident_mib: servers.map(|servers| servers.resident_max_mib),
        }
    }

    fn all(&self) -> [Option<f64>; 9] {
        [
            self.throughput,
            self.p50_us,
            self.p99_us,
            self.p99_9_us,
            self.cpu_seconds_per_100k,
            self.client_cpu_seconds_per_100k,
            self.context_switches,
            self.system_calls,
            self.resident_mib,
        ]
    }

    fn from_all(all: [Option<f64>; 9]) -> Self {
        let [
            throughput,
            p50_us,
            p99_us,
            p99_9_us,
            cpu_seconds_per_100k,
            client_cpu_seconds_per_100k,
            context_switches,
            system_calls,
            resident_mib,
        ] = all;
        Self {
            throughput,
            p50_us,
            p99_us,
            p99_9_us,
            cpu_seconds_per_100k,
            client_cpu_seconds_per_100k,
            context_switches,
            system_calls,
            resident_mib,
        }
    }

    /// The median of each figure over the runs that have it.
    fn medians(runs: &[&Run]) -> Self {
        let all: Vec<[Option<f64>; 9]> = runs.iter().map(|run| Self::of(run).all()).collect();
        Self::from_all(std::array::from_fn(|place| {
            let numbers: Vec<f64> = all.iter().filter_map(|figures| figures[place]).collect();
            (!numbers.is_empty()).then(|| median(numbers))
        }))
    }

    /// Ours over theirs; none where either was not measured or theirs is nothing.
    fn ratio(&self, theirs: &Self) -> Self {
        let (ours, theirs) = (self.all(), theirs.all());
        Self::from_all(std::array::from_fn(|place| {
            ours[place].zip(theirs[place].filter(|theirs| *theirs > 0.0)).map(|(ours, theirs)| ours / theirs)
        }))
    }
}

/// The medians of one load, by system, and the ratio of ours to the other.
#[derive(Debug, Serialize)]
struct Summary {
    #[serde(flatten)]
    load: Arrivals,
    medians: Vec<(String, Figures)>,
    ratio: Option<Figures>,
}

/// All runs and what they come to.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    summaries: Vec<Summary>,
    runs: &'a [Run],
}

impl<'a> Document<'a> {
    pub(super) fn new(runs: &'a [Run]) -> Self {
        Self { summaries: summaries(runs), runs }
    }
}

fn summaries(runs: &[Run]) -> Vec<Summary> {
    loads(runs)
        .into_iter()
        .map(|load| {
            let of = |system: &str| -> Vec<&Run> {
                runs.iter().filter(|run| run.report.plan.arrivals == load && run.system == system).collect()
            };
            let medians: Vec<(String, Figures)> =
                systems(runs).into_iter().map(|system| (system.to_owned(), Figures::medians(&of(system)))).collect();
            let figures = |is_ours| medians.iter().find(|(system, _)| (system == OURS) == is_ours);
            let ratio = figures(true).zip(figures(false)).map(|((_, ours), (_, theirs))| ours.ratio(theirs));
            Summary { load, medians, ratio }
        })
        .collect()
}

/// The loads, in the order in which they were measured.
pub(super) fn loads(runs: &[Run]) -> Vec<Arrivals> {
    distinct(runs.iter().map(|run| run.report.plan.arrivals))
}

/// The systems, in the order in which they were measured.
pub(super) fn systems(runs: &[Run]) -> Vec<&str> {
    distinct(runs.iter().map(|run| run.system.as_str()))
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut found, next| {
        if !found.contains(&next) {
            found.push(next);
        }
        found
    })
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
    let figures = HEADINGS.map(|(name, _)| name);
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
    let numbers = figures.all().into_iter().zip(HEADINGS).map(|(figure, (_, digits))| {
        let digits = if is_ratio { 2 } else { digits };
        figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
    });
    [load.to_owned(), system.to_owned()].into_iter().chain(numbers).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use viewstamped_load::{Plan, Report};

    use super::*;

    pub(in super::super) fn run(system: &str, clients: u32, throughput: u64, p50: f64) -> Run {
        let plan = Plan {
            arrivals: Arrivals::Closed { clients, pipeline: 1 },
            connections: 1,
            reads_percent: 0,
            duration_ms: Some(1_000),
            count: None,
            warmup_ms: 0,
            key_size: 64,
            value_size: 128,
            keyspace: 10,
            has_timeline: false,
            system_calls: false,
        };
        let report = Report {
            plan,
            seconds: 1.0,
            operations: throughput,
            errors: 0,
            first_error: None,
            throughput,
            latency_us: Latency { p50, ..Latency::default() },
            lateness_us: None,
            longest_gap_ms: 0.0,
            client_cpu_seconds_per_100k: 0.0,
            servers: None,
            timeline: Vec::new(),
        };
        Run { system: system.to_owned(), replicas: 3, durability: "replicated".to_owned(), report }
    }

    #[test]
    fn medians_are_by_load_and_system_and_ratios_are_ours_over_theirs() {
        let mut runs = Vec::new();
        for (theirs, ours) in [(100, 900), (200, 300), (150, 600)] {
            runs.push(run("etcd", 1, theirs, 30.0));
            runs.push(run(OURS, 1, ours, 10.0));
        }
        runs.push(run("etcd", 16, 7, 1.0));
        let summaries = summaries(&runs);
        assert_eq!(summaries.len(), 2);
        let throughputs: Vec<_> = summaries[0].medians.iter().map(|(system, f)| (&system[..], f.throughput)).collect();
        assert_eq!(throughputs, [("etcd", Some(150.0)), (OURS, Some(600.0))]);
        let ratio = summaries[0].ratio.unwrap();
        assert_eq!((ratio.throughput, ratio.cpu_seconds_per_100k), (Some(4.0), None));
        assert!((ratio.p50_us.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(summaries[1].medians[1].1.throughput, None, "ours was not measured there");
    }
}
