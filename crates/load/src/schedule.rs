//! The open loop: when each request is due, whatever happened to the ones before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Evenly spaced moments. One that was missed is still due, and keeps its time: a latency counts from there. That corrects
/// coordinated omission: a store that stands still does not delay the requests that would have seen it stand still.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    rate: u32,
    next: u64,
}

impl Schedule {
    pub(crate) fn new(start: Instant, rate: u32) -> Self {
        assert!(rate > 0, "a rate of nothing never asks");
        Self { start, rate, next: 0 }
    }

    /// The earliest moment that has come and was not taken yet.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let nanos = u128::from(self.next) * 1_000_000_000 / u128::from(self.rate);
        let due = self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if due > now {
            return None;
        }
        self.next += 1;
        Some(due)
    }

    /// How long it is from one moment to the next.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }
}

/// The shortest sleep. Requests due within one are made together: more wake-ups would take the CPU from the servers.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// Notifies at short intervals, from a thread of its own: the timers of the event loop are ten times as coarse.
pub(crate) struct Ticker {
    pub(crate) ticks: Arc<Notify>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(interval: Duration) -> Self {
        // At most a tenth of an interval late, unless that is less than a thread can sleep.
        let sleep = (interval / 10).max(SLEEP_MIN);
        let (ticks, is_over) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (notify, over) = (Arc::clone(&ticks), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(sleep);
                notify.notify_one();
            }
        });
        Self { ticks, is_over, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and if it did nobody waits for it any more.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_evenly_spaced() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 4);
        let second = start + Duration::from_secs(1);
        let due: Vec<Duration> =
            std::iter::from_fn(|| schedule.take_due(second)).map(|due| due.duration_since(start)).collect();
        assert_eq!(due, [0, 250, 500, 750, 1_000].map(Duration::from_millis));
        assert_eq!(schedule.take_due(second), None, "the next is a quarter of a second later");
    }

    #[test]
    fn moments_missed_keep_their_time() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 1_000);
        assert_eq!(schedule.take_due(start), Some(start));
        let late = start + Duration::from_millis(500);
        assert_eq!(schedule.take_due(late), Some(start + Duration::from_millis(1)));
        assert_eq!(schedule.take_due(late), Some(start + Duration::from_millis(2)));
    }

    #[test]
    fn rates_that_divide_no_second_do_not_drift() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 3);
        let last = std::iter::from_fn(|| schedule.take_due(start + Duration::from_secs(1_000))).last();
        assert_eq!(last, Some(start + Duration::from_secs(1_000)));
    }
}
