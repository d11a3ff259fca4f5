//! A run in slices of time: what a plot shows.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What happened in one slice of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// When it ended, in seconds from the start of the measurement.
    pub second: f64,
    /// Operations a second.
    pub throughput: f64,
    /// Microseconds; none where nothing was answered.
    pub p50_us: Option<f64>,
    /// Microseconds; none where nothing was answered.
    pub p99_us: Option<f64>,
}

/// Collects a run in slices of one length.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    length: Duration,
    slices: Vec<Histogram<u64>>,
}

/// The shortest slice, and how many there are of a long run.
const LENGTH_MIN: Duration = Duration::from_millis(100);
const SLICES: u32 = 100;
/// A run that is planned by its count may take for ever; what comes later than this is not shown.
const SLICES_MAX: usize = 10_000;

impl Timeline {
    /// A timeline for a run that takes about as long as `planned`.
    pub(crate) fn new(planned: Option<Duration>) -> Self {
        Self { length: planned.map_or(LENGTH_MIN, |planned| (planned / SLICES).max(LENGTH_MIN)), slices: Vec::new() }
    }

    /// Notes an answer so long after the start.
    pub(crate) fn record(&mut self, since_start: Duration, latency_ns: u64) {
        let place = usize::try_from(since_start.as_nanos() / self.length.as_nanos()).unwrap_or(usize::MAX);
        if place >= SLICES_MAX {
            return;
        }
        while self.slices.len() <= place {
            self.slices.push(Histogram::new_with_bounds(1, crate::recorder::LATENCY_MAX_NS, 2).expect("in order"));
        }
        self.slices[place].saturating_record(latency_ns);
    }

    /// The slices of a run that took so long, a part of a slice at its end left out.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for a plot"
    )]
    pub(crate) fn slices(&self, took: Duration) -> Vec<Slice> {
        let length = self.length.as_secs_f64();
        let whole = (took.as_secs_f64() / length + 1e-6) as usize;
        let none = Histogram::new(2).expect("two digits are few");
        (0..whole.min(SLICES_MAX))
            .map(|place| {
                let latencies = self.slices.get(place).unwrap_or(&none);
                let quantile = |q| (!latencies.is_empty()).then(|| latencies.value_at_quantile(q) as f64 / 1_000.0);
                Slice {
                    second: (place + 1) as f64 * length,
                    throughput: latencies.len() as f64 / length,
                    p50_us: quantile(0.5),
                    p99_us: quantile(0.99),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_in_their_slice_and_gaps_are_seen() {
        let mut timeline = Timeline::new(Some(Duration::from_secs(1)));
        for millis in [10, 20, 350] {
            timeline.record(Duration::from_millis(millis), 1_000_000);
        }
        let slices = timeline.slices(Duration::from_millis(450));
        let throughputs: Vec<f64> = slices.iter().map(|slice| slice.throughput).collect();
        assert_eq!(throughputs, [20.0, 0.0, 0.0, 10.0], "the half slice at the end is left out");
        assert!((slices[0].p50_us.unwrap() - 1_000.0).abs() < 10.0);
        assert_eq!(slices[1].p50_us, None);
    }

    #[test]
    fn long_runs_have_no_more_slices_than_a_plot_can_show() {
        let timeline = Timeline::new(Some(Duration::from_secs(60)));
        assert_eq!(timeline.slices(Duration::from_secs(60)).len(), 100);
    }
}
