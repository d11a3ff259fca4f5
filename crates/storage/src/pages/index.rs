//! Where each record of the last saved checkpoint lies, and how many others name it.

use std::collections::BTreeMap;

use super::place::Place;

/// A BLAKE3 hash.
pub(crate) type Hash = [u8; 32];

/// A record with this content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) place: Place,
    /// How many times records and superblock name it: content that is the same lies in the file once.
    pub(crate) names: u32,
}

/// The records of a checkpoint by the hash of their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    records: BTreeMap<Hash, Located>,
}

impl Index {
    pub(crate) fn place(&self, hash: &Hash) -> Option<Place> {
        self.records.get(hash).map(|located| located.place)
    }

    /// Notes that the record with this content lies at `place` and is named once more. Returns whether it was unknown before.
    pub(crate) fn name(&mut self, hash: Hash, place: Place) -> bool {
        let located = self.records.entry(hash).or_insert(Located { place, names: 0 });
        located.names += 1;
        located.names == 1
    }

    /// Notes that the record is named once less. Returns its place when nothing names it any more.
    pub(crate) fn unname(&mut self, hash: &Hash) -> Option<Place> {
        let located = self.records.get_mut(hash).expect("what was named is known");
        located.names -= 1;
        let place = (located.names == 0).then_some(located.place)?;
        self.records.remove(hash);
        Some(place)
    }

    /// Adds what `newer` names.
    pub(crate) fn add(&mut self, newer: Self) {
        for (hash, Located { place, names }) in newer.records {
            self.records.entry(hash).or_insert(Located { place, names: 0 }).names += names;
        }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.records.values().map(|located| located.place)
    }
}
