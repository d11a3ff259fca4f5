//! Reading many records: in the order in which they lie, many in one call.

use std::io;
use std::ops::Range;

use super::damage::Damage;
use super::place::{Place, UNIT_BYTES};
use super::record::{Kind, Record, RecordFault};
use crate::io::DiskFile;

/// The most bytes of one call, unless a record alone is longer. 4 MiB: a disk reads that at full speed, and it costs no memory to
/// speak of.
const READ_BYTES: u64 = 4 << 20;

/// A gap up to this many bytes is read, too, rather than skipped by another call. 64 KiB: a disk reads them in the time of a call.
const GAP_BYTES: u64 = 64 << 10;

/// A file that is read, and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) length: u64,
}

/// Some records that lie near each other, in memory.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    places: &'a [Place],
    /// The number of the first one among all that are read.
    first: usize,
    bytes: Vec<u8>,
    /// Where the first record is that cannot be read, and why.
    unreadable: Option<(usize, Damage)>,
}

/// Cuts places, which ascend, into what is read in one call each.
pub(crate) fn runs(places: &[Place]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let is_near = runs.last().is_some_and(|run| {
            let (first, last) = (places[run.start], places[run.end - 1]);
            let gap = place.unit().saturating_sub(last.end());
            gap * UNIT_BYTES <= GAP_BYTES && (place.end().max(last.end()) - first.unit()) * UNIT_BYTES <= READ_BYTES
        });
        match runs.last_mut() {
            Some(run) if is_near => run.end = number + 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

impl<'a> Chunk<'a> {
    /// Reads a run of `places` into `buffer`, which need not be empty.
    pub(crate) fn read(source: Source<'_>, places: &'a [Place], run: Range<usize>, buffer: Vec<u8>) -> Self {
        let first = run.start;
        let places = &places[run];
        let begin = places[0].offset();
        let end = places.iter().map(|place| place.end() * UNIT_BYTES).max().unwrap_or(begin);
        let mut chunk = Self { places, first, bytes: buffer, unreadable: None };
        if end <= source.length {
            chunk.bytes.resize((end - begin) as usize, 0);
            if source.file.read_at(&mut chunk.bytes[..], begin).is_ok() {
                return chunk;
            }
        }
        // Something in there cannot be read: which record that is shows when each is read alone.
        for (at, place) in places.iter().enumerate() {
            if let Err(error) = chunk.read_one(source, *place) {
                chunk.unreadable = Some((at, failure(*place, &error)));
                break;
            }
        }
        chunk
    }

    fn read_one(&mut self, source: Source<'_>, place: Place) -> io::Result<()> {
        if place.end() * UNIT_BYTES > source.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let begin = (place.offset() - self.places[0].offset()) as usize;
        let end = begin + place.bytes();
        self.bytes.resize(self.bytes.len().max(end), 0);
        source.file.read_at(&mut self.bytes[begin..end], place.offset())
    }

    /// The memory, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// The records, each with its number, up to the first that cannot be read.
    pub(crate) fn records(&self, kind: Kind) -> impl Iterator<Item = (usize, Result<Record<'_>, Damage>)> {
        self.numbers().map(move |number| (number, self.record(kind, number, Record::read)))
    }

    /// The numbers of the records.
    pub(crate) fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.places.len()
    }

    /// The record of this number, of which another thread found that its checksum matches.
    pub(crate) fn verified(&self, kind: Kind, number: usize) -> Result<Record<'_>, Damage> {
        self.record(kind, number, Record::read_verified)
    }

    fn record<'c>(
        &'c self,
        kind: Kind,
        number: usize,
        read: impl FnOnce(Kind, Place, &'c [u8]) -> Result<Record<'c>, RecordFault>,
    ) -> Result<Record<'c>, Damage> {
        let at = number - self.first;
        if let Some((_, damage)) = self.unreadable.as_ref().filter(|(unreadable, _)| *unreadable <= at) {
            return Err(damage.clone());
        }
        let place = self.places[at];
        let begin = (place.offset() - self.places[0].offset()) as usize;
        let bytes = &self.bytes[begin..begin + place.bytes()];
        read(kind, place, bytes).map_err(|fault| damaged(place, fault))
    }
}

/// Gives the content of the record at `place` to `found`.
pub(crate) fn one<T>(
    source: Source<'_>,
    kind: Kind,
    place: Place,
    found: impl FnOnce(Record<'_>) -> Result<T, Damage>,
) -> Result<T, Damage> {
    let mut chunk = Chunk { places: &[place], first: 0, bytes: Vec::new(), unreadable: None };
    chunk.read_one(source, place).map_err(|error| failure(place, &error))?;
    found(Record::read(kind, place, &chunk.bytes).map_err(|fault| damaged(place, fault))?)
}

pub(crate) fn damaged(place: Place, fault: RecordFault) -> Damage {
    Damage::Record { offset: place.offset(), fault }
}

fn failure(place: Place, error: &io::Error) -> Damage {
    let (offset, bytes) = (place.offset(), place.bytes() as u64);
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Damage::Truncated { offset, bytes }
    } else {
        Damage::Unreadable { offset, bytes, error: error.to_string() }
    }
}
