//! Collects what is answered, and when: the same numbers whatever is loaded.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use crate::plan::{Arrivals, Plan};
use crate::timeline::Timeline;

/// The largest latency told apart: 10 minutes. Latencies are kept to three digits.
pub(crate) const LATENCY_MAX_NS: u64 = 600_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring {
        since: Instant,
    },
    /// The load goes on, for what is measured after it, but counts no more.
    Over {
        since: Instant,
        until: Instant,
    },
}

/// Collects what the clients see.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// In the open loop a latency counts when its request was due while measuring; in the closed loop when it was answered then.
    is_open: bool,
    wanted: Option<u64>,
    phase: Phase,
    is_stopped: bool,
    pub(crate) latencies_ns: Histogram<u64>,
    /// How long after its time a request was made: the open loop's own fault.
    pub(crate) lateness_ns: Histogram<u64>,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) operations: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Answers in all phases.
    pub(crate) answered: u64,
    last_answer: Option<Instant>,
    pub(crate) longest_gap: Duration,
    /// Requests of the open loop that were due while measuring and are not answered.
    pub(crate) awaited: u64,
    /// Tells that the wanted count is reached, or nothing is awaited any more.
    pub(crate) changed: Rc<Notify>,
}

impl Recorder {
    pub(crate) fn new(plan: &Plan) -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are in order");
        Self {
            is_open: matches!(plan.arrivals, Arrivals::Open { .. }),
            wanted: plan.count,
            phase: Phase::WarmUp,
            is_stopped: false,
            latencies_ns: histogram(),
            lateness_ns: histogram(),
            timeline: plan.has_timeline.then(|| Timeline::new(plan.duration_ms.map(Duration::from_millis))),
            operations: 0,
            errors: 0,
            first_error: None,
            answered: 0,
            last_answer: None,
            longest_gap: Duration::ZERO,
            awaited: 0,
            changed: Rc::default(),
        }
    }

    /// From now on answers count.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.phase = Phase::Measuring { since: now };
        self.last_answer = Some(now);
    }

    /// From now on answers do not count, but for those of the open loop's requests that were due before.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Phase::Measuring { since } = self.phase {
            self.note_gap(now);
            self.phase = Phase::Over { since, until: now };
        }
    }

    /// No more requests shall be made.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// How long it was measured.
    pub(crate) fn took(&self) -> Duration {
        if let Phase::Over { since, until } = self.phase { until.duration_since(since) } else { Duration::ZERO }
    }

    /// A request of the open loop is made, which was due at `due`.
    pub(crate) fn made(&mut self, due: Instant, now: Instant) {
        if self.counts(due, now) {
            self.awaited += 1;
            self.lateness_ns.saturating_record(nanos(now.duration_since(due)));
        }
    }

    /// A request due (in the closed loop: made) at `due` has an answer, or none for the reason given.
    pub(crate) fn answered(&mut self, due: Instant, now: Instant, error: Option<String>) {
        let counts = self.counts(due, now);
        let is_measuring = matches!(self.phase, Phase::Measuring { .. });
        if counts && self.is_open {
            self.awaited -= 1;
        }
        match error {
            None => {
                self.answered += 1;
                if counts {
                    self.count(due, now);
                }
                if is_measuring {
                    self.operations += 1;
                    self.note_gap(now);
                }
            }
            Some(error) if counts => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
            Some(_) => {}
        }
        self.tell(now);
    }

    fn tell(&mut self, now: Instant) {
        let is_enough = self.wanted.is_some_and(|wanted| self.operations + self.errors >= wanted);
        if is_enough && matches!(self.phase, Phase::Measuring { .. }) {
            self.end(now);
            self.changed.notify_one();
        }
        if self.is_over() && self.awaited == 0 {
            self.changed.notify_one();
        }
    }

    /// Whether the latency of a request counts.
    fn counts(&self, due: Instant, now: Instant) -> bool {
        let moment = if self.is_open { due } else { now };
        match self.phase {
            Phase::WarmUp => false,
            Phase::Measuring { since } => moment >= since,
            Phase::Over { since, until } => self.is_open && (since..until).contains(&moment),
        }
    }

    fn count(&mut self, due: Instant, now: Instant) {
        let latency = nanos(now.duration_since(due));
        self.latencies_ns.saturating_record(latency);
        let (Phase::Measuring { since } | Phase::Over { since, .. }) = self.phase else { return };
        if let Some(timeline) = &mut self.timeline {
            timeline.record(now.duration_since(since), latency);
        }
    }

    fn note_gap(&mut self, now: Instant) {
        if let Some(last) = self.last_answer.replace(now) {
            self.longest_gap = self.longest_gap.max(now.duration_since(last));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::small;
    use crate::schedule::Schedule;

    fn recorder(arrivals: Arrivals, count: Option<u64>) -> Recorder {
        Recorder::new(&Plan { count, ..small(arrivals) })
    }

    const CLOSED: Arrivals = Arrivals::Closed { clients: 1, pipeline: 1 };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn only_what_is_answered_while_measuring_counts() {
        let mut recorder = recorder(CLOSED, Some(2));
        let start = Instant::now();
        recorder.answered(start, start, None);
        recorder.begin(start);
        recorder.answered(start, start + millis(1), None);
        recorder.answered(start, start + millis(2), Some("lost".to_owned()));
        assert!(recorder.is_over(), "two were wanted");
        recorder.answered(start, start + millis(3), None);
        assert_eq!((recorder.operations, recorder.errors, recorder.answered), (1, 1, 3));
        assert_eq!(recorder.latencies_ns.len(), 1);
        assert_eq!((recorder.first_error.as_deref(), recorder.took()), (Some("lost"), millis(2)));
    }

    #[test]
    fn longest_gap_includes_the_silence_at_the_end() {
        let mut recorder = recorder(CLOSED, None);
        let start = Instant::now();
        recorder.begin(start);
        recorder.answered(start, start + millis(100), None);
        recorder.answered(start, start + millis(150), None);
        recorder.end(start + millis(900));
        assert_eq!(recorder.longest_gap, millis(750));
    }

    /// A store that stands still for 500 ms, asked every 10 ms. A closed loop with one client would see one slow request of 100;
    /// the requests that would have been made meanwhile see it, too, each from its own time on.
    #[test]
    fn stall_is_seen_by_all_requests_that_were_due_meanwhile() {
        let mut recorder = recorder(Arrivals::Open { rate: 100 }, None);
        let start = Instant::now();
        recorder.begin(start);
        let mut schedule = Schedule::new(start, 100);
        for millisecond in 0..1_000 {
            let now = start + millis(millisecond);
            let is_standing = (250..750).contains(&millisecond);
            while let Some(due) = if is_standing { None } else { schedule.take_due(now) } {
                recorder.made(due, now);
                recorder.answered(due, now, None);
            }
        }
        recorder.end(start + millis(1_000));
        assert_eq!(recorder.latencies_ns.len(), 100);
        let slow = recorder.latencies_ns.count_between(millis(1).as_nanos() as u64, LATENCY_MAX_NS);
        assert_eq!(slow, 50, "half of the time nothing was answered");
        let p75 = recorder.latencies_ns.value_at_quantile(0.75);
        assert!((240_000_000..=260_000_000).contains(&p75), "{p75}");
        assert_eq!(recorder.longest_gap, millis(510));
    }

    #[test]
    fn requests_due_while_measuring_are_waited_for() {
        let mut recorder = recorder(Arrivals::Open { rate: 100 }, None);
        let start = Instant::now();
        recorder.begin(start);
        recorder.made(start + millis(990), start + millis(991));
        recorder.end(start + millis(1_000));
        recorder.made(start + millis(1_001), start + millis(1_001));
        recorder.answered(start + millis(1_001), start + millis(1_002), None);
        assert_eq!((recorder.awaited, recorder.latencies_ns.len()), (1, 0));
        recorder.answered(start + millis(990), start + millis(5_000), None);
        assert_eq!((recorder.awaited, recorder.operations), (0, 0));
        assert_eq!(recorder.latencies_ns.max() / 1_000_000_000, 4, "the answer came four seconds late");
    }
}
