//! What surrounds one replica: its clock, the inputs that wait for its next turn, and when it stops.

use viewstamped_protocol::{Input, Now, OpNumber, Time, Timestamp};

use crate::coverage::Role;
use crate::message_kind::Kind;

/// The wall clock when a run begins, in nanoseconds since 1970.
const WALL_START: u64 = 1_700_000_000_000_000_000;

/// A clock that starts anywhere and runs a little too fast or too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    start: u64,
    /// Parts per million by which it is too fast, or too slow when negative.
    drift_ppm: i64,
    /// How far the wall clock has jumped.
    jump: i64,
}

impl Clock {
    pub(crate) fn new(start: u64, drift_ppm: i64) -> Self {
        assert!(drift_ppm.abs() < 500_000, "a clock that stands still or races");
        Self { start, drift_ppm, jump: 0 }
    }

    fn rate(self) -> u128 {
        u128::try_from(1_000_000 + self.drift_ppm).expect("positive")
    }

    /// Both clocks at this moment of the simulation.
    pub(crate) fn now(&self, time: Time) -> Now {
        let drifted = || u64::try_from(u128::from(time.0) * self.rate() / 1_000_000).expect("minutes, not centuries");
        // Most clocks are right, and this is asked at every step.
        let passed = if self.drift_ppm == 0 { time.0 } else { drifted() };
        let wall = (WALL_START + passed).checked_add_signed(self.jump).expect("jumps are small");
        Now { monotonic: Time(self.start + passed), wall: Timestamp(wall) }
    }

    /// The first moment of the simulation at which this clock shows at least `local`.
    pub(crate) fn moment(&self, local: Time) -> Time {
        if self.drift_ppm == 0 {
            return Time(local.0.saturating_sub(self.start));
        }
        let passed = u128::from(local.0.saturating_sub(self.start));
        Time(u64::try_from((passed * 1_000_000).div_ceil(self.rate())).unwrap_or(u64::MAX))
    }

    /// Moves the wall clock.
    pub(crate) fn jump(&mut self, nanoseconds: i64) {
        self.jump += nanoseconds;
    }
}

/// A crash that waits for its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// After this many more outputs.
    Outputs(u32),
    /// After sending a message of this kind.
    Sent(Kind),
    /// When it joins a view change. What it sends then is on its way for very long: a promise that outlives its maker (C1).
    Promised,
}

/// One machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) clock: Clock,
    pub(crate) inbox: Vec<Input>,
    /// Whether a turn is scheduled for the inbox.
    pub(crate) turn_scheduled: bool,
    pub(crate) is_paused: bool,
    /// When the replica is woken next, in the simulation's time.
    pub(crate) timer: Option<Time>,
    pub(crate) trap: Option<Trap>,
    /// What it was doing when that was counted last.
    pub(crate) role: Role,
    /// Where its log began when that was looked at last.
    pub(crate) base: OpNumber,
    /// The checkpoint it is fetching, unless it has got it otherwise meanwhile.
    pub(crate) fetches: Option<OpNumber>,
    /// A replica from which it may have been fetching has crashed.
    pub(crate) has_lost_source: bool,
}

impl Machine {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            inbox: Vec::new(),
            turn_scheduled: false,
            is_paused: false,
            timer: None,
            trap: None,
            role: Role::Down,
            base: OpNumber::ZERO,
            fetches: None,
            has_lost_source: false,
        }
    }

    /// Forgets what a process forgets when it dies.
    pub(crate) fn clear(&mut self) {
        *self = Self { role: self.role, ..Self::new(self.clock) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_exactly_when_the_clock_shows_it() {
        for drift in [-50_000, -1, 0, 7, 50_000] {
            let clock = Clock::new(12_345, drift);
            for local in [12_345, 12_346, 1_000_003, 99_999_999_999] {
                let moment = clock.moment(Time(local));
                assert!(clock.now(moment).monotonic >= Time(local), "too early at drift {drift}");
                let before = Time(moment.0.saturating_sub(1));
                assert!(moment.0 == 0 || clock.now(before).monotonic < Time(local), "too late at drift {drift}");
            }
        }
    }

    #[test]
    fn a_jump_moves_the_wall_clock_only() {
        let mut clock = Clock::new(0, 0);
        let before = clock.now(Time(1_000));
        clock.jump(-500);
        let after = clock.now(Time(1_000));
        assert_eq!(after.monotonic, before.monotonic);
        assert_eq!(after.wall.0, before.wall.0 - 500);
    }
}
