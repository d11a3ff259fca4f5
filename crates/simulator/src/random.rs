//! Draws on the core's seeded generator, in integers only: a float would make the trace depend on the compiler.

use std::time::Duration;

use viewstamped_protocol::random::Random;

/// What the simulator draws besides plain numbers.
pub(crate) trait Draw {
    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64;
    /// Whether something that happens `per_64k` times in 65,536 happens now.
    fn strikes(&mut self, per_64k: u32) -> bool;
    /// One of the items. Panics when there is none.
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T;
    /// A number from `low` to `high` whose magnitude is uniform: as many below 10 as from 10 to 100.
    fn magnitude(&mut self, low: u64, high: u64) -> u64;
    /// A duration from `low` to `high`, both included.
    fn duration(&mut self, low: Duration, high: Duration) -> Duration;
    /// An interval with this mean: from 0 to twice the mean.
    fn interval(&mut self, mean: Duration) -> Duration;
    /// A generator of its own, so that one concern's draws do not shift another's.
    fn fork(&mut self) -> Random;
}

impl Draw for Random {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range: {low}..={high}");
        low + self.below(high - low + 1)
    }

    fn strikes(&mut self, per_64k: u32) -> bool {
        per_64k > 0 && self.next_u64() >> 48 < u64::from(per_64k)
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        assert!(!items.is_empty(), "nothing to pick from");
        &items[usize::try_from(self.below(items.len() as u64)).expect("below len")]
    }

    fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        assert!(0 < low && low <= high, "an empty range: {low}..={high}");
        let bits = self.between(u64::from(low.ilog2()), u64::from(high.ilog2()));
        let floor = 1u64 << bits;
        self.between(floor, floor.saturating_mul(2) - 1).clamp(low, high)
    }

    fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(nanos(low), nanos(high)))
    }

    fn interval(&mut self, mean: Duration) -> Duration {
        Duration::from_nanos(self.between(0, nanos(mean).saturating_mul(2)))
    }

    fn fork(&mut self) -> Random {
        Random::new(self.next_u128())
    }
}

/// The nanoseconds of a duration, which the simulator keeps far below 2^64.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("durations are minutes, not centuries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        let mut random = Random::new(7);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| random.between(3, 6)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    }

    #[test]
    fn magnitudes_favour_no_order_of_magnitude() {
        let mut random = Random::new(7);
        let small = (0..1000).filter(|_| random.magnitude(1, 1 << 20) < 1 << 10).count();
        assert!((350..650).contains(&small), "{small} of 1000 in the lower half of the magnitudes");
    }

    #[test]
    fn what_never_strikes_draws_nothing() {
        let (mut left, mut right) = (Random::new(7), Random::new(7));
        assert!(!left.strikes(0));
        assert_eq!(left.next_u64(), right.next_u64());
    }
}
