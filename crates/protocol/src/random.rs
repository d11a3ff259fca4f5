//! The core's only source of randomness: a seeded generator, so that the same inputs give the same outputs.

/// SplitMix64 over a 128-bit seed. For jitter and nonces; the seed comes from the operating system in production.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random {
    low: u64,
    high: u64,
}

impl Random {
    /// A generator for this seed.
    #[must_use]
    pub fn new(seed: u128) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the seed")]
        Self { low: seed as u64, high: (seed >> 64) as u64 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.low = self.low.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.high = self.high.wrapping_add(0xd1b5_4a32_d192_ed03);
        let mut z = self.low ^ self.high.rotate_left(32);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 128 random bits.
    pub fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64 }
    }
}
