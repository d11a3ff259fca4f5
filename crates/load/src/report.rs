//! What was measured.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::processes::{Processes, Usage};
use crate::recorder::Recorder;
use crate::syscalls::Counted;
use crate::timeline::Slice;

/// What a run has shown. The JSON of `vr bench -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was done.
    #[serde(flatten)]
    pub plan: Plan,
    /// How long it was measured.
    pub seconds: f64,
    /// Requests answered while it was measured.
    pub operations: u64,
    /// Requests without a result.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// Operations a second.
    pub throughput: u64,
    /// Closed loop: from making a request to its answer. Open loop: from when it should have been made.
    pub latency_us: Latency,
    /// Open loop: how late requests were made, a part of their latency. The fault of the load, not of the store.
    pub lateness_us: Option<Latency>,
    /// The longest time in which nothing was answered.
    pub longest_gap_ms: f64,
    /// CPU of the process that makes the load.
    pub client_cpu_seconds_per_100k: f64,
    /// What the servers used, when they run on this machine.
    pub servers: Option<Servers>,
    /// The run in slices, if asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Slice>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p99_9: f64,
    /// The largest.
    pub max: f64,
}

/// What the servers used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// How many processes there are.
    pub processes: usize,
    /// CPU over all of them, in user and system mode.
    pub cpu_seconds_per_100k: f64,
    /// Context switches over all of them, wanted or not.
    pub context_switches_per_operation: f64,
    /// System calls over all of them; none when not asked for.
    pub system_calls: Option<SystemCalls>,
    /// The largest resident memory of one of them at the end.
    pub resident_mib: f64,
    /// The largest resident memory one of them ever had.
    pub resident_max_mib: f64,
}

/// The system calls of the servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SystemCalls {
    /// They were counted.
    Counted {
        /// Over all servers.
        per_operation: f64,
        /// The tool that counted them. strace slows the servers, which then share a call among more operations.
        by: String,
    },
    /// They were not.
    NotMeasured {
        /// Why.
        not_measured: String,
    },
}

/// What was read off the servers around a run.
pub(crate) struct Meters {
    pub(crate) servers: Processes,
    pub(crate) before: Usage,
    pub(crate) after: Usage,
    /// System calls, and the operations answered a second while they were counted.
    pub(crate) system_calls: Option<(Result<Counted, String>, f64)>,
}

impl Latency {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(nanos: &Histogram<u64>) -> Self {
        let quantile = |quantile| nanos.value_at_quantile(quantile) as f64 / 1_000.0;
        let max = nanos.max() as f64 / 1_000.0;
        Self { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), p99_9: quantile(0.999), max }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
pub(crate) fn report(plan: &Plan, recorder: &Recorder, meters: &Meters) -> Report {
    let Meters { before, after, .. } = meters;
    let per_100k = |seconds: f64| seconds * 100_000.0 / recorder.operations.max(1) as f64;
    let seconds = recorder.took().as_secs_f64();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let servers = (!meters.servers.pids().is_empty()).then(|| Servers {
        processes: meters.servers.pids().len(),
        cpu_seconds_per_100k: per_100k(after.cpu_seconds - before.cpu_seconds),
        context_switches_per_operation: after.context_switches.saturating_sub(before.context_switches) as f64
            / recorder.operations.max(1) as f64,
        system_calls: meters.system_calls.as_ref().map(system_calls),
        resident_mib: mib(after.resident_bytes),
        resident_max_mib: mib(after.resident_max_bytes),
    });
    let is_open = plan.arrivals.outstanding().is_none();
    Report {
        plan: plan.clone(),
        seconds,
        operations: recorder.operations,
        errors: recorder.errors,
        first_error: recorder.first_error.clone(),
        throughput: (recorder.operations as f64 / seconds.max(1e-9)) as u64,
        latency_us: Latency::of(&recorder.latencies_ns),
        lateness_us: is_open.then(|| Latency::of(&recorder.lateness_ns)),
        longest_gap_ms: recorder.longest_gap.as_secs_f64() * 1_000.0,
        client_cpu_seconds_per_100k: per_100k(after.own_cpu_seconds - before.own_cpu_seconds),
        servers,
        timeline: recorder.timeline.as_ref().map(|timeline| timeline.slices(recorder.took())).unwrap_or_default(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn system_calls((counted, rate): &(Result<Counted, String>, f64)) -> SystemCalls {
    match counted {
        Ok(counted) if *rate > 0.0 => SystemCalls::Counted {
            per_operation: counted.calls as f64 / counted.during.as_secs_f64() / rate,
            by: counted.by.to_owned(),
        },
        Ok(_) => SystemCalls::NotMeasured { not_measured: "nothing was answered meanwhile".to_owned() },
        Err(reason) => SystemCalls::NotMeasured { not_measured: reason.clone() },
    }
}

/// The median of some numbers; of none it is not a number.
#[must_use]
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => f64::NAN,
        even if even.is_multiple_of(2) => f64::midpoint(numbers[middle - 1], numbers[middle]),
        _ => numbers[middle],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn median_is_the_middle_or_the_mean_of_the_two() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]).to_bits(), 5.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]).to_bits(), 3.0_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn system_calls_are_divided_by_what_was_answered_meanwhile() {
        let counted = Counted { calls: 3_000, during: Duration::from_millis(500), by: "perf" };
        let SystemCalls::Counted { per_operation, .. } = system_calls(&(Ok(counted), 2_000.0)) else {
            panic!("they were counted")
        };
        assert!((per_operation - 3.0).abs() < 1e-9, "{per_operation}");
        for (counted, rate) in [(Ok(counted), 0.0), (Err("no tool".to_owned()), 5.0)] {
            assert!(matches!(system_calls(&(counted, rate)), SystemCalls::NotMeasured { .. }));
        }
    }
}
