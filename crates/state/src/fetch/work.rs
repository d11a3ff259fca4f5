//! What is to be asked for, and how far that is.

use crate::decoding::{Named, NamedField};
use crate::place::{Kind, Path, Place};

use super::Progress;

/// What is missing and not asked for, and the counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Work {
    /// The last is asked for first. May hold what came in the meantime.
    wanted: Vec<Wanted>,
    progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Wanted {
    One(Place),
    /// The pieces of a field from this one on. They are listed when their turn comes: there may be many.
    Pieces {
        leaf: Path,
        field: u16,
        next: u32,
        count: u32,
    },
}

/// What a [`Work`] was at some time, as long as nothing is taken from it.
#[derive(Debug)]
pub(super) struct Mark(usize, Progress);

impl Work {
    pub(super) fn beginning_with(place: Place) -> Self {
        let progress = Progress { parts_missing: 1, ..Progress::default() };
        Self { wanted: vec![Wanted::One(place)], progress }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.wanted.len(), self.progress)
    }

    /// Forgets all since the mark.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.wanted.truncate(mark.0);
        self.progress = mark.1;
    }

    pub(super) fn push(&mut self, place: Place) {
        self.wanted.push(Wanted::One(place));
    }

    pub(super) fn want_page(&mut self, path: &[u16]) {
        self.progress.parts_missing += 1;
        self.push(Place(Kind::Page(path.to_vec())));
    }

    /// Wants the pieces of the field of this number in the leaf at `path`, of which some are there.
    pub(super) fn want_pieces(&mut self, path: &[u16], field: usize, named: NamedField, present: usize) {
        let count = u32::try_from(named.pieces.count()).expect("a field with more is refused");
        let field = u16::try_from(field).expect("a page has fewer entries");
        self.progress.parts_missing += u64::from(count) - present as u64;
        self.wanted.push(Wanted::Pieces { leaf: path.to_vec(), field, next: 0, count });
    }

    /// The place whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let place = match self.wanted.last_mut()? {
            Wanted::One(place) => place.clone(),
            Wanted::Pieces { leaf, field, next, count } => {
                let place = Place(Kind::Piece { leaf: leaf.clone(), field: *field, piece: *next });
                *next += 1;
                if next < count {
                    return Some(place);
                }
                place
            }
        };
        self.wanted.pop();
        Some(place)
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    pub(super) fn set_totals(&mut self, keys: u64, bytes: u64) {
        (self.progress.keys_total, self.progress.bytes_total) = (keys, bytes);
    }

    pub(super) fn count_fetched(&mut self, bytes: u64) {
        self.progress.parts_fetched += 1;
        self.progress.bytes_fetched += bytes;
        self.progress.parts_missing -= 1;
    }

    pub(super) fn count_complete(&mut self, page: &Named) {
        self.progress.keys += page.keys;
        self.progress.bytes += page.bytes;
    }

    pub(super) fn count_reused(&mut self, page: &Named) {
        self.count_complete(page);
        self.progress.bytes_reused += page.bytes;
    }

    pub(super) fn count_reused_field(&mut self, field: NamedField) {
        self.progress.bytes_reused += field.pieces.length;
    }

    /// Goes on counting what was fetched.
    pub(super) fn carry_on(&mut self, earlier: &Self) {
        self.progress.parts_fetched = earlier.progress.parts_fetched;
        self.progress.bytes_fetched = earlier.progress.bytes_fetched;
    }
}
