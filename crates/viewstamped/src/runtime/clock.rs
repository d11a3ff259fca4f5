//! The clocks of this machine, as the core wants them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use viewstamped_protocol::{Now, Time, Timestamp};

/// Reads both clocks; monotonic time counts from when the clock was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: self.monotonic(), wall: Timestamp(nanoseconds(wall)) }
    }

    pub(crate) fn monotonic(self) -> Time {
        Time(nanoseconds(self.origin.elapsed()))
    }

    /// The moment `time` on the clock that tokio's timers use.
    pub(crate) fn instant(self, time: Time) -> Instant {
        // A deadline beyond what the platform's clock can name is as good as none.
        let far = self.origin + std::time::Duration::from_secs(365 * 24 * 3600);
        self.origin.checked_add(std::time::Duration::from_nanos(time.0)).map_or(far, |instant| instant.min(far))
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
