//! What a benchmark's plot shows: one load over time, several as latency over throughput.

use viewstamped_load::Slice;

use super::run::Run;
use super::summary::{loads, systems};
use crate::chart::{Axis, Chart, Panel, Series};

pub(super) fn chart(what: &str, runs: &[Run]) -> Chart {
    let plan = &runs[0].report.plan;
    let sizes = format!("{}-byte keys, {}-byte values", plan.key_size, plan.value_size);
    if loads(runs).len() == 1 {
        Chart { title: format!("{what}: {}, {sizes}", plan.arrivals), panels: over_time(runs) }
    } else {
        Chart { title: format!("{what}: {sizes}"), panels: over_throughput(runs) }
    }
}

/// The two latencies drawn of every system.
#[derive(Clone, Copy)]
enum Percentile {
    P50,
    P99,
}

/// A line of a system: its colour, and dashed where the percentile is the higher one.
fn series(place: usize, system: &str, percentile: Option<Percentile>) -> Series {
    let suffix = match percentile {
        None => "",
        Some(Percentile::P50) => " p50",
        Some(Percentile::P99) => " p99",
    };
    Series {
        name: format!("{system}{suffix}"),
        colour: place,
        is_dashed: matches!(percentile, Some(Percentile::P99)),
        points: Vec::new(),
        labels: Vec::new(),
    }
}

/// Of several rounds the last one is drawn.
fn over_time(runs: &[Run]) -> Vec<Panel> {
    let (mut throughput, mut latency) = (Vec::new(), Vec::new());
    for (place, system) in systems(runs).into_iter().enumerate() {
        let last = runs.iter().rfind(|run| run.system == system).expect("its name is from there");
        let points = |value: fn(&Slice) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
            last.report.timeline.iter().map(|slice| (slice.second, value(slice))).collect()
        };
        throughput.push(Series { points: points(|slice| Some(slice.throughput)), ..series(place, system, None) });
        latency.push(Series { points: points(|slice| slice.p50_us), ..series(place, system, Some(Percentile::P50)) });
        latency.push(Series { points: points(|slice| slice.p99_us), ..series(place, system, Some(Percentile::P99)) });
    }
    let time = || Axis::linear("seconds from the start of the measurement");
    vec![
        Panel { x: time(), y: Axis::linear("operations per second"), series: throughput },
        Panel { x: time(), y: Axis::logarithmic("latency in microseconds"), series: latency },
    ]
}

/// Every load is a point, labelled with the load; of several rounds the median by throughput is drawn.
#[expect(clippy::cast_precision_loss, reason = "for a plot")]
fn over_throughput(runs: &[Run]) -> Vec<Panel> {
    let median = |system: &str, load| {
        let mut of: Vec<&Run> =
            runs.iter().filter(|run| run.system == system && run.report.plan.arrivals == load).collect();
        of.sort_by_key(|run| run.report.throughput);
        of[of.len() / 2]
    };
    let mut all = Vec::new();
    for (place, system) in systems(runs).into_iter().enumerate() {
        for percentile in [Percentile::P50, Percentile::P99] {
            let point = |run: &Run| {
                let latency = &run.report.latency_us;
                let value = if matches!(percentile, Percentile::P50) { latency.p50 } else { latency.p99 };
                (run.report.throughput as f64, Some(value))
            };
            let points = loads(runs).into_iter().map(|load| point(median(system, load))).collect();
            let labels = loads(runs).iter().map(ToString::to_string).collect();
            all.push(Series { points, labels, ..series(place, system, Some(percentile)) });
        }
    }
    let (x, y) = (Axis::logarithmic("operations per second"), Axis::logarithmic("latency in microseconds"));
    vec![Panel { x, y, series: all }]
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::run;
    use super::*;

    #[test]
    fn one_load_is_drawn_over_time() {
        let mut ours = run("vr", 1, 100, 10.0);
        ours.report.timeline = vec![Slice { second: 0.1, throughput: 5.0, p50_us: None, p99_us: None }];
        let chart = chart("put", &[ours]);
        assert_eq!(chart.panels.len(), 2);
        assert_eq!(chart.panels[0].series[0].points, [(0.1, Some(5.0))]);
        assert_eq!(chart.panels[1].series[1].points, [(0.1, None)]);
    }

    #[test]
    fn several_loads_are_points_of_latency_over_throughput() {
        let runs =
            [run("etcd", 1, 100, 30.0), run("vr", 1, 400, 10.0), run("etcd", 16, 200, 60.0), run("vr", 16, 900, 20.0)];
        let chart = chart("put", &runs);
        let series: Vec<&str> = chart.panels[0].series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(series, ["etcd p50", "etcd p99", "vr p50", "vr p99"]);
        assert_eq!(chart.panels[0].series[2].points, [(400.0, Some(10.0)), (900.0, Some(20.0))]);
        assert_eq!(chart.panels[0].series[2].labels, ["1 client", "16 clients"]);
    }
}
