//! Where a record lies in the page file.

use std::fmt;

use crate::io::SECTOR_BYTES;

/// The bytes of a unit: a sector. Records begin at units and fill whole ones.
pub(crate) const UNIT_BYTES: u64 = SECTOR_BYTES as u64;

/// How many bits of a place are the unit. 40: half a petabyte.
const UNIT_BITS: u32 = 40;

/// Where a record lies: the unit at which it begins, and how many units it has, in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    unit: u64,
    units: u64,
}

impl Place {
    /// `None` when it is empty, or lies farther or is longer than a place can say.
    pub(crate) fn new(unit: u64, units: u64) -> Option<Self> {
        let is_possible = unit >> UNIT_BITS == 0 && units > 0 && units >> (64 - UNIT_BITS) == 0;
        is_possible.then_some(Self { unit, units })
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::new(number & ((1 << UNIT_BITS) - 1), number >> UNIT_BITS)
    }

    /// The unit in the lower 40 bits, the number of units in the upper 24.
    pub(crate) fn to_number(self) -> u64 {
        self.units << UNIT_BITS | self.unit
    }

    pub(crate) fn unit(self) -> u64 {
        self.unit
    }

    pub(crate) fn units(self) -> u64 {
        self.units
    }

    /// The unit behind it.
    pub(crate) fn end(self) -> u64 {
        self.unit + self.units
    }

    /// Where it begins in the file, in bytes.
    pub(crate) fn offset(self) -> u64 {
        self.unit * UNIT_BYTES
    }

    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.units * UNIT_BYTES).expect("less than 2^33 bytes")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at offset {}", self.bytes(), self.offset())
    }
}
