//! The ring in the file: where a sector is, and which sectors are prepared for being written.

use std::io;
use std::ops::Range;

use super::format::{PAGE_SECTORS, RING_OFFSET, SectorHeader};
use crate::io::{DiskFile, SECTOR_BYTES};

/// Blank sectors written at once: 1 MiB.
const BLANKS_AT_ONCE: u64 = 2048;

/// The ring. Sectors are counted on and on through all laps, from `sectors` on: lap 0 is what the blank sectors of a new ring
/// pretend to belong to.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) file: Box<dyn DiskFile>,
    /// Its size in sectors.
    pub(super) sectors: u64,
    /// What checksums start from.
    pub(super) seed: u32,
    /// Sectors ahead that do not look as if they belonged to the lap before: never prepared, or damaged, or left by a batch that
    /// was given up. Before a batch comes near them, they are made blank, and the blanks durable. So whoever reads the ring can
    /// tell a sector that was never written in this lap from one that was written and is damaged.
    pub(super) unprepared: Range<u64>,
    /// Where that ends which a batch that was given up has left. It is made blank before anything else is written: beyond a shorter
    /// batch it would look as if something between were lost.
    pub(super) leftovers: u64,
}

impl Ring {
    /// Writes whole sectors from number `start` on.
    pub(super) fn write(&self, bytes: &[u8], start: u64) -> io::Result<()> {
        let until_end = (self.sectors - start % self.sectors) as usize * SECTOR_BYTES;
        let (before, after) = bytes.split_at(until_end.min(bytes.len()));
        self.file.write_at(before, self.offset(start))?;
        if after.is_empty() { Ok(()) } else { self.file.write_at(after, RING_OFFSET) }
    }

    /// Where a sector is in the file.
    pub(super) fn offset(&self, number: u64) -> u64 {
        RING_OFFSET + number % self.sectors * SECTOR_BYTES as u64
    }

    /// Fills in a blank for the sector `number` of this lap.
    pub(super) fn blank(&self, number: u64, sector: &mut [u8]) {
        SectorHeader::blank(number - self.sectors).seal(sector, self.seed);
    }

    /// What must be made blank so that all sectors before `end` are prepared and nothing is left over: in whole steps, or all.
    pub(super) fn to_prepare(&self, end: u64, step: u64) -> Range<u64> {
        let Range { start, end: last } = self.unprepared;
        let end = end.max(self.leftovers);
        if start >= end.min(last) { start..start } else { start..end.next_multiple_of(step).min(last) }
    }

    /// Makes these sectors blank: the first of those that are not prepared. They are durable after a sync.
    pub(super) fn write_blanks(&self, range: &Range<u64>) -> io::Result<()> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + BLANKS_AT_ONCE);
            let mut bytes = vec![0; (end - start) as usize * SECTOR_BYTES];
            for (number, sector) in (start..end).zip(bytes.chunks_exact_mut(SECTOR_BYTES)) {
                self.blank(number, sector);
            }
            self.write(&bytes, start)?;
            start = end;
        }
        Ok(())
    }

    /// These sectors hold parts of a batch that was given up. It was the last one, so nothing before them is unprepared.
    pub(super) fn leave(&mut self, range: Range<u64>) {
        self.leftovers = range.end;
        let further = if self.unprepared.is_empty() { 0 } else { self.unprepared.end };
        self.unprepared = range.start..range.end.max(further);
    }
}

/// The first sector of the page of a sector.
pub(super) fn page_start(number: u64) -> u64 {
    number / PAGE_SECTORS * PAGE_SECTORS
}

/// The first sector after the page of the sector before `number`.
pub(super) fn page_end(number: u64) -> u64 {
    number.next_multiple_of(PAGE_SECTORS)
}
