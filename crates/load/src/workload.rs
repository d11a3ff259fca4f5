//! Which requests are made: puts and reads of random keys.

use viewstamped_protocol::random::Random;

use crate::plan::Plan;

/// One request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Give a key a value.
    Put {
        /// The key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Read the value of a key, linearizably.
    Get {
        /// The key.
        key: &'a [u8],
    },
}

const KEY_PREFIX: &[u8] = b"bench/";
const KEY_DIGITS: usize = 10;

/// The shortest keys there are, in bytes: a prefix and a number.
#[expect(clippy::cast_possible_truncation, reason = "16")]
pub const KEY_SIZE_MIN: u32 = (KEY_PREFIX.len() + KEY_DIGITS) as u32;

/// Makes random requests.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    random: Random,
    reads_percent: u64,
    keyspace: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Workload {
    pub(crate) fn new(plan: &Plan, seed: u128) -> Self {
        let mut random = Random::new(seed);
        let mut key = KEY_PREFIX.to_vec();
        key.resize(plan.key_size.max(KEY_SIZE_MIN) as usize, b'-');
        let value = (0..plan.value_size).map(|_| b'a' + u8::try_from(random.below(26)).expect("below 26")).collect();
        Self { random, reads_percent: u64::from(plan.reads_percent), keyspace: plan.keyspace, key, value }
    }

    /// The next request.
    pub(crate) fn step(&mut self) -> Step<'_> {
        let number = self.random.below(self.keyspace);
        let is_read = self.reads_percent > 0 && self.random.below(100) < self.reads_percent;
        self.name(number);
        if is_read { Step::Get { key: &self.key } } else { Step::Put { key: &self.key, value: &self.value } }
    }

    /// The put that makes the key with this number exist.
    pub(crate) fn put(&mut self, number: u64) -> Step<'_> {
        self.name(number);
        Step::Put { key: &self.key, value: &self.value }
    }

    fn name(&mut self, mut number: u64) {
        for digit in self.key[KEY_PREFIX.len()..KEY_PREFIX.len() + KEY_DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::Arrivals;
    use crate::plan::tests::small;

    fn plan(reads_percent: u32) -> Plan {
        Plan { reads_percent, ..small(Arrivals::Closed { clients: 1, pipeline: 1 }) }
    }

    #[test]
    fn keys_and_values_have_the_sizes_asked_for() {
        let mut workload = Workload::new(&plan(0), 1);
        let mut keys = BTreeSet::new();
        for _ in 0..100 {
            let Step::Put { key, value } = workload.step() else { panic!("a put") };
            assert_eq!((key.len(), value.len()), (64, 128));
            keys.insert(key.to_vec());
        }
        let filled: BTreeSet<Vec<u8>> = (0..3)
            .map(|number| match workload.put(number) {
                Step::Put { key, .. } | Step::Get { key } => key.to_vec(),
            })
            .collect();
        assert_eq!(keys, filled, "what is filled is what is asked for");
    }

    #[test]
    fn reads_are_as_many_as_asked_for() {
        for (percent, expected) in [(0, 0..=0), (50, 400..=600), (100, 1_000..=1_000)] {
            let mut workload = Workload::new(&plan(percent), 1);
            let reads = (0..1_000).filter(|_| matches!(workload.step(), Step::Get { .. })).count();
            assert!(expected.contains(&reads), "{percent}: {reads}");
        }
    }
}
