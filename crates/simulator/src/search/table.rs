//! A hash table of numbers, as small as it can be: the states seen are counted in tens of millions. It is never iterated, so that
//! its order means nothing.

/// How many slots an empty table has.
const SLOTS_MIN: usize = 1 << 10;

/// Maps hashes to values; `()` makes it a set. A hash of 0 is taken for 1.
#[derive(Debug)]
pub(super) struct Table<V> {
    keys: Vec<u64>,
    values: Vec<V>,
    len: usize,
}

impl<V: Copy + Default> Table<V> {
    pub(super) fn new() -> Self {
        Self { keys: vec![0; SLOTS_MIN], values: vec![V::default(); SLOTS_MIN], len: 0 }
    }

    /// The bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.keys.len() * (size_of::<u64>() + size_of::<V>())
    }

    /// The value of this key, when it is known.
    pub(super) fn get(&self, key: u64) -> Option<V> {
        let slot = self.slot(key.max(1));
        (self.keys[slot] != 0).then(|| self.values[slot])
    }

    /// Enters a key; false when it was known.
    pub(super) fn insert(&mut self, key: u64, value: V) -> bool {
        if (self.len + 1) * 4 > self.keys.len() * 3 {
            self.grow();
        }
        let key = key.max(1);
        let slot = self.slot(key);
        if self.keys[slot] != 0 {
            return false;
        }
        (self.keys[slot], self.values[slot]) = (key, value);
        self.len += 1;
        true
    }

    /// Where the key is, or would go.
    fn slot(&self, key: u64) -> usize {
        let mask = self.keys.len() - 1;
        let mut slot = usize::try_from(mix(key) >> 16).expect("64 bits") & mask;
        while self.keys[slot] != 0 && self.keys[slot] != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let slots = self.keys.len() * 2;
        let keys = std::mem::replace(&mut self.keys, vec![0; slots]);
        let values = std::mem::replace(&mut self.values, vec![V::default(); slots]);
        for (key, value) in keys.into_iter().zip(values).filter(|(key, _)| *key != 0) {
            let slot = self.slot(key);
            (self.keys[slot], self.values[slot]) = (key, value);
        }
    }
}

/// Spreads the bits of a number.
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Two halves of a 128-bit hash as one of 64.
pub(super) fn folded(wide: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    low ^ mix(high)
}
