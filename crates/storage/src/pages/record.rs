//! One record of the page file, as bytes. The byte diagram is in docs/formats.md.

use super::place::{Place, UNIT_BYTES};

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A page of a tree, as its hash covers it.
    Page = 1,
    /// A key or value too long to lie in a page.
    Field = 2,
    /// The header of a checkpoint.
    Header = 3,
}

/// Checksum, kind, place, length and number of places.
const FIXED_BYTES: usize = 32;

/// The bytes of a place.
const PLACE_BYTES: usize = 8;

/// What is wrong with the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The bytes are not those that were written.
    #[error("its checksum does not match")]
    Checksum,
    /// A whole record that belongs elsewhere.
    #[error("it belongs to another place")]
    Misplaced,
    /// The checksum matches, the rest makes no sense.
    #[error("its fields make no sense")]
    Fields,
    /// A whole record with other content than its parent names.
    #[error("its content does not have the hash by which it is named")]
    Hash,
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    places: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// How many units a record has with so many places and so many bytes of content.
pub(crate) fn units(places: usize, content: usize) -> u64 {
    ((FIXED_BYTES + places * PLACE_BYTES + content) as u64).div_ceil(UNIT_BYTES)
}

/// Appends a record to `buffer`.
pub(crate) fn write(kind: Kind, place: Place, places: &[Place], content: &[u8], buffer: &mut Vec<u8>) {
    let begin = buffer.len();
    assert_eq!(place.units(), units(places.len(), content.len()), "the place was made for this record");
    buffer.extend_from_slice(&[0, 0, 0, 0, kind as u8, 0, 0, 0]);
    buffer.extend_from_slice(&place.to_number().to_le_bytes());
    buffer.extend_from_slice(&(content.len() as u64).to_le_bytes());
    buffer.extend_from_slice(&(places.len() as u64).to_le_bytes());
    for place in places {
        buffer.extend_from_slice(&place.to_number().to_le_bytes());
    }
    buffer.extend_from_slice(content);
    buffer.resize(begin + place.bytes(), 0);
    let checksum = crc32c::crc32c(&buffer[begin + 4..]);
    buffer[begin..begin + 4].copy_from_slice(&checksum.to_le_bytes());
}

impl<'a> Record<'a> {
    /// Reads the record that should lie at `place`, of which `bytes` are all bytes.
    pub(crate) fn read(kind: Kind, place: Place, bytes: &'a [u8]) -> Result<Self, RecordFault> {
        let (checksum, rest) = bytes.split_first_chunk().ok_or(RecordFault::Fields)?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*checksum) {
            return Err(RecordFault::Checksum);
        }
        Self::read_verified(kind, place, bytes)
    }

    /// Reads a record whose checksum matches.
    pub(crate) fn read_verified(kind: Kind, place: Place, bytes: &'a [u8]) -> Result<Self, RecordFault> {
        let number = |at: usize| bytes.get(at..at + 8).and_then(|field| field.try_into().ok()).map(u64::from_le_bytes);
        let length = |at| number(at).and_then(|length| usize::try_from(length).ok()).ok_or(RecordFault::Fields);
        if number(8) != Some(place.to_number()) {
            return Err(RecordFault::Misplaced);
        }
        if number(0).map(|first| first >> 32) != Some(kind as u64) {
            return Err(RecordFault::Fields);
        }
        let (content, places) = (length(16)?, length(24)?);
        let places = places.checked_mul(PLACE_BYTES).ok_or(RecordFault::Fields)?;
        let (places, rest) = bytes[FIXED_BYTES..].split_at_checked(places).ok_or(RecordFault::Fields)?;
        let content = rest.get(..content).ok_or(RecordFault::Fields)?;
        Ok(Self { places, content })
    }

    /// The places of what it names, in order.
    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = Result<Place, RecordFault>> + use<'a> {
        let numbers = self.places.as_chunks::<PLACE_BYTES>().0.iter();
        numbers.map(|number| Place::from_number(u64::from_le_bytes(*number)).ok_or(RecordFault::Fields))
    }
}
