//! A batch while it is being put together: each record is copied once, into the sectors that are written.

use super::format::{
    BATCH_HEAD_BYTES, BatchHead, PAGE_SECTORS, PAYLOAD_BYTES, RECORD_HEADER_BYTES, SectorHeader, payload_mut,
    sectors_for,
};
use super::ring::{Ring, page_end, page_start};
use crate::io::SECTOR_BYTES;

/// The records that were appended since the last sync, as the sectors they will be.
///
/// Whole pages are written, so that the operating system need not read a page from the disk to change a part of it. What precedes
/// the batch in its first page is written again as it is, what follows it in its last page is made blank.
#[derive(Debug)]
pub(super) struct Batch {
    /// From the beginning of the first page on.
    sectors: Vec<u8>,
    /// The number of its first sector.
    start: u64,
    /// Records in it.
    pub(super) records: u32,
    /// Their bytes, with the length before each.
    pub(super) bytes: usize,
}

impl Batch {
    /// An empty one, which will begin at sector `start`, after `before`: what precedes it in its page.
    pub(super) fn new(start: u64, before: Vec<u8>) -> Self {
        assert_eq!(
            before.len() as u64,
            start % PAGE_SECTORS * SECTOR_BYTES as u64,
            "it reaches from the page to the batch"
        );
        Self { sectors: before, start, records: 0, bytes: 0 }
    }

    /// The number of its first sector.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The number of the sector after its last one.
    pub(super) fn end(&self) -> u64 {
        self.start + sectors_for(self.bytes)
    }

    /// The number of the sector after it, had it one more record of so many bytes.
    pub(super) fn end_with(&self, record: usize) -> u64 {
        self.start + sectors_for(self.bytes + RECORD_HEADER_BYTES + record)
    }

    /// Appends a record, given in parts.
    pub(super) fn append(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).expect("a record that fits the ring");
        self.copy(&length.to_le_bytes());
        for part in parts {
            self.copy(part);
        }
        self.records += 1;
    }

    fn copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let place = BATCH_HEAD_BYTES + self.bytes;
            let sector = (self.start % PAGE_SECTORS) as usize + place / PAYLOAD_BYTES;
            if self.sectors.len() < (sector + 1) * SECTOR_BYTES {
                self.sectors.resize((sector + 1) * SECTOR_BYTES, 0);
            }
            let payload = payload_mut(&mut self.sectors[sector * SECTOR_BYTES..]);
            let free = &mut payload[place % PAYLOAD_BYTES..];
            let (now, later) = bytes.split_at(free.len().min(bytes.len()));
            free[..now.len()].copy_from_slice(now);
            self.bytes += now.len();
            bytes = later;
        }
    }

    /// The pages to write, and the number of their first sector; then the checksum that the next batch is chained to.
    pub(super) fn seal(&mut self, ring: &Ring, sequence: u64, chain: u32) -> (&[u8], u64, u32) {
        let (start, end) = (self.start, self.end());
        let sectors = u32::try_from(end - start).expect("at most BATCH_SECTORS_MAX");
        let (first_page, last_page) = (page_start(start), page_end(end));
        self.sectors.resize((last_page - first_page) as usize * SECTOR_BYTES, 0);
        let (batch, after) = self.sectors.split_at_mut((end - first_page) as usize * SECTOR_BYTES);
        for (number, sector) in (end..last_page).zip(after.chunks_exact_mut(SECTOR_BYTES)) {
            ring.blank(number, sector);
        }
        let batch = &mut batch[(start - first_page) as usize * SECTOR_BYTES..];
        let (head, others) = batch.split_at_mut(SECTOR_BYTES);
        let mut rest = 0;
        for (place, sector) in (1..).zip(others.chunks_exact_mut(SECTOR_BYTES)) {
            let header = SectorHeader { number: start + u64::from(place), place, sectors };
            rest = crc32c::crc32c_append(rest, &header.seal(sector, ring.seed).to_le_bytes());
        }
        let bytes = u32::try_from(self.bytes).expect("at most BATCH_SECTORS_MAX");
        BatchHead { sequence, records: self.records, bytes, chain, rest }.encode(payload_mut(head));
        let checksum = SectorHeader { number: start, place: 0, sectors }.seal(head, ring.seed);
        (&self.sectors, first_page, checksum)
    }

    /// Begins the batch after this one, which was written. Keeps memory for one of `usual` bytes.
    pub(super) fn begin_next(&mut self, usual: usize) {
        let (first_page, end) = (page_start(self.start), self.end());
        let before = (page_start(end) - first_page) as usize * SECTOR_BYTES;
        self.sectors.truncate((end - first_page) as usize * SECTOR_BYTES);
        self.sectors.drain(..before);
        self.sectors.shrink_to(2 * usual);
        (self.start, self.records, self.bytes) = (end, 0, 0);
    }

    /// Drops its records.
    pub(super) fn clear(&mut self) {
        self.sectors.truncate((self.start % PAGE_SECTORS) as usize * SECTOR_BYTES);
        (self.records, self.bytes) = (0, 0);
    }
}
