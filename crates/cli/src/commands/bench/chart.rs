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

/// Of several rounds the last one is drawn.
fn over_time(runs: &[Run]) -> Vec<Panel> {
    let last = |system: &&str| runs.iter().rfind(|run| run.system == *system).expect("its name is from there");
    let last: Vec<&Run> = systems(runs).iter().map(last).collect();
    let series = |run: &Run, suffix: &str, value: fn(&Slice) -> Option<f64>| Series {
        name: format!("{}{suffix}", run.system),
        points: run.report.timeline.iter().map(|slice| (slice.second, value(slice))).collect(),
        labels: Vec::new(),
    };
    let throughput = last.iter().map(|run| series(run, "", |slice| Some(slice.throughput))).collect();
    let latency = last
        .iter()
        .flat_map(|run| [series(run, " p50", |slice| slice.p50_us), series(run, " p99", |slice| slice.p99_us)])
        .collect();
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
    let series = |system: &str, suffix: &str, value: fn(&Run) -> f64| Series {
        name: format!("{system}{suffix}"),
        points: loads(runs)
            .into_iter()
            .map(|load| median(system, load))
            .map(|run| (run.report.throughput as f64, Some(value(run))))
            .collect(),
        labels: loads(runs).iter().map(ToString::to_string).collect(),
    };
    let all = systems(runs)
        .into_iter()
        .flat_map(|system| {
            let p50 = series(system, " p50", |run| run.report.latency_us.p50);
            let p99 = series(system, " p99", |run| run.report.latency_us.p99);
            [p50, p99]
        })
        .collect();
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
