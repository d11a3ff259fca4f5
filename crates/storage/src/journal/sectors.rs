//! Reading the sectors of a ring, in large pieces.

use std::io;

use super::format::{RING_OFFSET, SectorHeader};
use super::verdict::Reason;
use crate::io::{DiskFile, SECTOR_BYTES};

/// Sectors read at once: 1 MiB.
const SECTORS_AT_ONCE: u64 = 2048;

/// A ring to be read.
pub(super) struct Sectors<'a> {
    file: &'a dyn DiskFile,
    /// Whole sectors in the file after the header.
    available: u64,
    /// Sectors in the ring.
    pub(super) ring: u64,
    /// What checksums start from.
    pub(super) seed: u32,
    /// The place of the first sector in `piece`.
    first: u64,
    piece: Vec<u8>,
    /// The piece could not be read as a whole.
    has_damage: bool,
}

impl<'a> Sectors<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, ring: u64, seed: u32) -> io::Result<Self> {
        let available = file.length()?.saturating_sub(RING_OFFSET) / SECTOR_BYTES as u64;
        let available = available.min(ring);
        Ok(Self { file, available, ring, seed, first: 0, piece: Vec::new(), has_damage: false })
    }

    /// Whether the file is as long as the ring.
    pub(super) fn is_complete(&self) -> bool {
        self.available == self.ring
    }

    /// If the file ends before sector `number`: the number of the next one that is in it again, in the next lap.
    pub(super) fn next_available(&self, number: u64) -> Option<u64> {
        (number % self.ring >= self.available).then(|| (number + 1).next_multiple_of(self.ring))
    }

    /// The sector for `number`, with what it says of itself and its checksum, whatever its number.
    pub(super) fn read(&mut self, number: u64) -> Result<(SectorHeader, u32, &[u8]), Reason> {
        let place = number % self.ring;
        if place >= self.available {
            return Err(Reason::Truncated);
        }
        let has_it = |first: u64, piece: &[u8]| place >= first && place - first < (piece.len() / SECTOR_BYTES) as u64;
        if !has_it(self.first, &self.piece) {
            self.read_piece(place);
        }
        let at = (place - self.first) as usize * SECTOR_BYTES;
        if self.has_damage {
            let sector = &mut self.piece[at..at + SECTOR_BYTES];
            // A piece that cannot be read as a whole is read sector by sector, so that one bad sector hides no others.
            let result = self.file.read_at(sector, RING_OFFSET + place * SECTOR_BYTES as u64);
            result.map_err(|error| Reason::Unreadable(error.to_string()))?;
        }
        let sector = &self.piece[at..at + SECTOR_BYTES];
        let (header, checksum) = SectorHeader::open(sector, self.seed).ok_or(Reason::Damaged)?;
        Ok((header, checksum, sector))
    }

    fn read_piece(&mut self, place: u64) {
        let count = SECTORS_AT_ONCE.min(self.available - place);
        self.first = place;
        self.piece.resize(count as usize * SECTOR_BYTES, 0);
        self.has_damage = self.file.read_at(&mut self.piece, RING_OFFSET + place * SECTOR_BYTES as u64).is_err();
    }
}
