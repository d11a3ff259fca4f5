//! Which units of the file are in use. Kept in memory only; found anew when a checkpoint is loaded.

use std::collections::{BTreeMap, BTreeSet};

use super::place::Place;

/// So many gaps are looked at before a record gives up to lie behind the one before. 32: a write of its own costs more than to look.
const NEAR_GAPS: usize = 32;

/// The free and the used units of a page file.
///
/// Records are placed by ascending address: [`Space::rewind`] goes to the front, and from there every record takes one of the next gaps
/// that holds it, or else the smallest one anywhere, or else grows the file. So the records of one checkpoint are written in about one
/// sweep, one behind the other where that is possible, and the file stays about as small as what lies in it.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// The first unit that records may use.
    begin: u64,
    /// The unit behind the last one in use.
    end: u64,
    /// Where each gap below `end` begins, and its units. No two gaps touch, and none touches `end`.
    gaps: BTreeMap<u64, u64>,
    /// The units of each gap, and where it begins.
    by_units: BTreeSet<(u64, u64)>,
    /// Where the next record should lie.
    cursor: u64,
}

/// A unit is in use twice, or was never there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlap(pub(crate) Place);

impl Space {
    /// All units from `begin` on are free.
    pub(crate) fn new(begin: u64) -> Self {
        Self { begin, end: begin, gaps: BTreeMap::new(), by_units: BTreeSet::new(), cursor: begin }
    }

    /// Exactly these places are in use.
    ///
    /// # Errors
    /// When two of them share a unit, or one lies before `begin`.
    pub(crate) fn with(begin: u64, mut places: Vec<Place>) -> Result<Self, Overlap> {
        places.sort_unstable();
        let mut space = Self::new(begin);
        for place in places {
            if place.unit() < space.end {
                return Err(Overlap(place));
            }
            if place.unit() > space.end {
                space.add_gap(space.end, place.unit() - space.end);
            }
            space.end = place.end();
        }
        Ok(space)
    }

    /// The unit behind the last one in use.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many units are in use.
    pub(crate) fn used(&self) -> u64 {
        self.end - self.begin - self.gaps.values().sum::<u64>()
    }

    /// Lets the next search begin at the front.
    pub(crate) fn rewind(&mut self) {
        self.cursor = self.begin;
    }

    /// The place of a record of `units` units; `None`: it is too large for any place.
    pub(crate) fn allocate(&mut self, units: u64) -> Option<Place> {
        let near = self.gaps.range(self.cursor..).take(NEAR_GAPS).find(|(_, free)| **free >= units);
        let near = near.map(|(unit, free)| (*unit, *free));
        let smallest = || self.by_units.range((units, 0)..).next().map(|(free, unit)| (*unit, *free));
        let Some((unit, free)) = near.or_else(smallest) else {
            let place = Place::new(self.end, units)?;
            self.end = place.end();
            return Some(place);
        };
        let place = Place::new(unit, units)?;
        self.remove_gap(unit);
        if free > units {
            self.add_gap(place.end(), free - units);
        }
        if near.is_some() {
            self.cursor = place.end();
        }
        Some(place)
    }

    /// Makes a place in use free.
    pub(crate) fn release(&mut self, place: Place) {
        let (mut unit, mut units) = (place.unit(), place.units());
        if let Some((before, free)) = self.gaps.range(..unit).next_back().map(|(unit, free)| (*unit, *free)) {
            assert!(before + free <= unit, "{place} is free already");
            if before + free == unit {
                self.remove_gap(before);
                (unit, units) = (before, units + free);
            }
        }
        if let Some(free) = self.remove_gap(place.end()) {
            units += free;
        }
        if unit + units == self.end {
            self.end = unit;
        } else {
            self.add_gap(unit, units);
        }
    }

    fn add_gap(&mut self, unit: u64, units: u64) {
        self.gaps.insert(unit, units);
        self.by_units.insert((units, unit));
    }

    fn remove_gap(&mut self, unit: u64) -> Option<u64> {
        let units = self.gaps.remove(&unit)?;
        self.by_units.remove(&(units, unit));
        Some(units)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGIN: u64 = 32;

    fn place(unit: u64, units: u64) -> Place {
        Place::new(unit, units).unwrap()
    }

    #[test]
    fn records_lie_one_behind_the_other_while_nothing_is_freed() {
        let mut space = Space::new(BEGIN);
        assert_eq!(space.allocate(3), Some(place(32, 3)));
        assert_eq!(space.allocate(1), Some(place(35, 1)));
        assert_eq!((space.end(), space.used()), (36, 4));
    }

    #[test]
    fn a_gap_is_used_again_and_the_rest_of_it_stays_free() {
        let mut space = Space::new(BEGIN);
        let places: Vec<Place> = [4, 1, 9].map(|units| space.allocate(units).unwrap()).to_vec();
        space.release(places[0]);
        space.rewind();
        assert_eq!(space.allocate(3), Some(place(32, 3)));
        assert_eq!(space.allocate(2), Some(place(46, 2)), "one unit is too small a gap");
        space.rewind();
        assert_eq!(space.allocate(1), Some(place(35, 1)));
    }

    #[test]
    fn a_large_record_leaves_the_gaps_to_the_small_ones() {
        let mut space = Space::new(BEGIN);
        let places: Vec<Place> = (0..100).map(|_| space.allocate(2).unwrap()).collect();
        places.iter().step_by(2).for_each(|place| space.release(*place));
        space.rewind();
        assert_eq!(space.allocate(50), Some(place(232, 50)));
        assert_eq!(space.allocate(2), Some(places[0]));
        assert_eq!(space.allocate(1), Some(place(places[2].unit(), 1)));
        assert_eq!(space.allocate(1), Some(place(places[2].unit() + 1, 1)));
    }

    #[test]
    fn neighbouring_gaps_become_one_and_the_last_one_shortens_the_file() {
        let mut space = Space::new(BEGIN);
        let places: Vec<Place> = [2, 2, 2, 2].map(|units| space.allocate(units).unwrap()).to_vec();
        space.release(places[0]);
        space.release(places[2]);
        space.release(places[1]);
        space.rewind();
        assert_eq!(space.allocate(6), Some(place(32, 6)));
        space.release(places[3]);
        assert_eq!(space.end(), 38);
    }

    #[test]
    fn places_that_overlap_are_refused() {
        assert_eq!(Space::with(BEGIN, vec![place(40, 4), place(32, 9)]).unwrap_err(), Overlap(place(40, 4)));
        assert_eq!(Space::with(BEGIN, vec![place(31, 2)]).unwrap_err(), Overlap(place(31, 2)));
    }

    proptest! {
        #[test]
        fn no_unit_is_given_out_twice(steps in prop::collection::vec((1..9u64, any::<prop::sample::Index>(), 0..4u8), 1..200)) {
            let mut space = Space::new(BEGIN);
            let mut used: Vec<Place> = Vec::new();
            for (units, which, action) in steps {
                match action {
                    0 if !used.is_empty() => space.release(used.swap_remove(which.index(used.len()))),
                    1 => space.rewind(),
                    _ => used.push(space.allocate(units).unwrap()),
                }
                let known = Space::with(BEGIN, used.clone()).expect("no two places overlap");
                prop_assert_eq!((space.end(), space.used(), &space.gaps), (known.end(), known.used(), &known.gaps));
                prop_assert_eq!(&space.by_units, &known.by_units);
            }
        }
    }
}
