//! What several runs come to: medians by load and system, and the ratio of ours to the other system.

use serde::ser::{Serialize, SerializeMap, Serializer};
use viewstamped_load::{Arrivals, SystemCalls, median};

use super::run::{OURS, Run};

/// How many figures are compared.
const COUNT: usize = 9;

/// The figures that are compared: the name in JSON, the heading in a table, and the digits behind the point there.
pub(super) const FIGURES: [(&str, &str, usize); COUNT] = [
    ("throughput", "operations/s", 0),
    ("p50_us", "p50 us", 0),
    ("p99_us", "p99 us", 0),
    ("p99_9_us", "p99.9 us", 0),
    ("cpu_seconds_per_100k", "CPU s/100k", 2),
    ("client_cpu_seconds_per_100k", "client CPU", 2),
    ("context_switches_per_operation", "switches/op", 2),
    ("system_calls_per_operation", "syscalls/op", 2),
    ("resident_max_mib", "MiB", 0),
];

/// A value for each of [`FIGURES`]; none where it was not measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures(pub(super) [Option<f64>; COUNT]);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COUNT))?;
        for ((name, ..), figure) in FIGURES.iter().zip(&self.0) {
            map.serialize_entry(name, figure)?;
        }
        map.end()
    }
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(run: &Run) -> Self {
        let (report, servers) = (&run.report, run.report.servers.as_ref());
        let calls = servers.and_then(|servers| match servers.system_calls {
            Some(SystemCalls::Counted { per_operation, .. }) => Some(per_operation),
            _ => None,
        });
        Self([
            Some(report.throughput as f64),
            Some(report.latency_us.p50),
            Some(report.latency_us.p99),
            Some(report.latency_us.p99_9),
            servers.map(|servers| servers.cpu_seconds_per_100k),
            Some(report.client_cpu_seconds_per_100k),
            servers.map(|servers| servers.context_switches_per_operation),
            calls,
            servers.map(|servers| servers.resident_max_mib),
        ])
    }

    /// The median of each figure over the runs that have it.
    fn medians(runs: &[&Run]) -> Self {
        let all: Vec<Self> = runs.iter().map(|run| Self::of(run)).collect();
        Self(std::array::from_fn(|place| {
            let numbers: Vec<f64> = all.iter().filter_map(|figures| figures.0[place]).collect();
            (!numbers.is_empty()).then(|| median(numbers))
        }))
    }

    /// Ours over theirs; none where either was not measured or theirs is nothing.
    fn over(&self, theirs: &Self) -> Self {
        Self(std::array::from_fn(|place| {
            let theirs = theirs.0[place].filter(|theirs| *theirs > 0.0);
            self.0[place].zip(theirs).map(|(ours, theirs)| ours / theirs)
        }))
    }
}

/// The medians of one load, by system, and the ratio of ours to the other.
#[derive(Debug, serde::Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    pub(super) load: Arrivals,
    pub(super) medians: Vec<(String, Figures)>,
    pub(super) ratio: Option<Figures>,
}

/// All runs and what they come to.
#[derive(Debug, serde::Serialize)]
pub(super) struct Document<'a> {
    summaries: Vec<Summary>,
    runs: &'a [Run],
}

impl<'a> Document<'a> {
    pub(super) fn new(runs: &'a [Run]) -> Self {
        Self { summaries: summaries(runs), runs }
    }
}

/// The summaries of all loads, in the order in which they were measured.
pub(super) fn summaries(runs: &[Run]) -> Vec<Summary> {
    loads(runs)
        .into_iter()
        .map(|load| {
            let of = |system: &str| -> Vec<&Run> {
                runs.iter().filter(|run| run.report.plan.arrivals == load && run.system == system).collect()
            };
            let medians: Vec<(String, Figures)> =
                systems(runs).into_iter().map(|system| (system.to_owned(), Figures::medians(&of(system)))).collect();
            let figures = |is_ours| medians.iter().find(|(system, _)| (system == OURS) == is_ours);
            let ratio = figures(true).zip(figures(false)).map(|((_, ours), (_, theirs))| ours.over(theirs));
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

#[cfg(test)]
pub(super) mod tests {
    use viewstamped_load::{Latency, Plan, Report};

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
        let throughputs: Vec<_> = summaries[0].medians.iter().map(|(system, f)| (&system[..], f.0[0])).collect();
        assert_eq!(throughputs, [("etcd", Some(150.0)), (OURS, Some(600.0))]);
        let ratio = summaries[0].ratio.unwrap();
        assert_eq!((ratio.0[0], ratio.0[4]), (Some(4.0), None));
        assert!((ratio.0[1].unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(summaries[1].medians[1].1.0[0], None, "ours was not measured there");
    }
}
