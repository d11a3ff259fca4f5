//! The hash of a whole state.

use std::fmt;

use crate::State;

/// Says how roots are made. Raised whenever the same contents would get another root, so that replicas of different releases
/// see at once that their roots cannot be compared.
///
/// Version 1 is the BLAKE3 hash of `"viewstamped state"`, this number, the number of keys, and then for every key in order the
/// length of the key, the key, the length of the value and the value; all numbers are 64 bits, little endian.
pub const STRUCTURE_VERSION: u64 = 1;

/// The hash of the whole contents of a state: equal exactly when the contents are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub [u8; 32]);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(crate) fn of(state: &State) -> Root {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"viewstamped state");
    hasher.update(&STRUCTURE_VERSION.to_le_bytes());
    hasher.update(&(state.len() as u64).to_le_bytes());
    for (key, value) in state.range(..) {
        // Lengths before contents: no two states have one encoding.
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    Root(hasher.finalize().into())
}
