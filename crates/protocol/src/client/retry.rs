//! How long to wait before the next try.

use std::time::Duration;

use crate::numbers::Time;
use crate::options::ClientOptions;
use crate::random::Random;

/// The shortest wait, so that an option of zero does not make the client spin.
const SHORTEST: Duration = Duration::from_millis(1);

/// A wait that doubles.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// The next wait: `first`, then twice as long each time, up to `max`; each up to a quarter longer at random, so that
    /// clients that failed together do not try again together.
    pub(super) fn step(&mut self, first: Duration, max: Duration, random: &mut Random) -> Duration {
        self.0 = if self.0.is_zero() { first } else { self.0.saturating_mul(2).min(max.max(first)) };
        jittered(self.0, random)
    }
}

/// While no primary answers, one request goes to all replicas again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Since when no primary answers.
    since: Time,
    /// When to ask next.
    pub(super) at: Time,
    busy: Backoff,
}

impl Probe {
    /// Asks first at `at`.
    pub(super) fn new(now: Time, at: Time) -> Self {
        Self { since: now, at, busy: Backoff::default() }
    }

    /// Sets the time after the one that has come.
    pub(super) fn advance(&mut self, now: Time, options: &ClientOptions, random: &mut Random) {
        let wait = (now.since(self.since) / 8).min(options.retry_max).max(options.probe);
        self.at = now.after(jittered(wait, random));
    }

    /// The primary is too busy to open a session.
    pub(super) fn hold(&mut self, now: Time, options: &ClientOptions, random: &mut Random) {
        self.at = now.after(self.busy.step(options.busy_retry, options.retry_max, random));
    }
}

fn jittered(wait: Duration, random: &mut Random) -> Duration {
    let wait = wait.max(SHORTEST);
    let quarter = u64::try_from(wait.as_nanos() / 4).unwrap_or(u64::MAX);
    wait.saturating_add(Duration::from_nanos(random.below(quarter)))
}
