//! The bytes of a journal: its header, its sectors, the head of a batch. The byte diagrams are in docs/formats.md.

use viewstamped_protocol::{ClusterId, NodeId};

use super::options::JournalOptions;
use crate::frame::{FileError, Frame};
use crate::io::SECTOR_BYTES;

/// Where the ring begins in the file: a whole page, so that pages of the ring are pages of the file.
pub(super) const RING_OFFSET: u64 = 4096;

/// Sectors in a page of the operating system's cache.
pub(super) const PAGE_SECTORS: u64 = 4096 / SECTOR_BYTES as u64;

/// What precedes the payload in each sector.
const SECTOR_HEADER_BYTES: usize = 20;

/// The payload of a sector.
pub(super) const PAYLOAD_BYTES: usize = SECTOR_BYTES - SECTOR_HEADER_BYTES;

/// What precedes the records in the payload of a batch.
pub(super) const BATCH_HEAD_BYTES: usize = 24;

/// The length before each record.
pub(super) const RECORD_HEADER_BYTES: usize = 4;

/// The most sectors of one batch: 2 GiB, so that every length fits its field.
pub(super) const BATCH_SECTORS_MAX: u64 = 1 << 22;

/// The fewest sectors of a ring.
pub(super) const RING_SECTORS_MIN: u64 = (JournalOptions::BYTES_MIN - RING_OFFSET) / SECTOR_BYTES as u64;

/// The most sectors of a ring: 64 TiB, so that no sum of positions overflows.
pub(super) const RING_SECTORS_MAX: u64 = 1 << 37;

const FRAME: Frame = Frame { magic: *b"VRJOURN\n", version: 1 };

/// Whose journal it is. A journal of another replica is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
}

/// What the file begins with, written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) owner: Owner,
    /// Sectors in the ring.
    pub(super) ring: u64,
    /// The sequence number of its first record.
    pub(super) first: u64,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = FRAME.begin();
        bytes.extend_from_slice(&self.owner.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.owner.node.0.to_le_bytes());
        bytes.extend_from_slice(&self.ring.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        FRAME.seal(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let (mut fields, _) = FRAME.open_prefix(bytes)?;
        let owner = Owner { cluster: ClusterId(fields.u128("cluster id")?), node: NodeId(fields.u64("replica id")?) };
        let (ring, first) = (fields.u64("size of the ring")?, fields.u64("first sequence number")?);
        fields.end()?;
        let is_ring = ring.is_multiple_of(PAGE_SECTORS) && (RING_SECTORS_MIN..=RING_SECTORS_MAX).contains(&ring);
        if is_ring { Ok(Self { owner, ring, first }) } else { Err(FileError::Field("size of the ring")) }
    }

    /// What the checksums of all its sectors start from, so that sectors of another journal are none of this one: its checksum.
    pub(super) fn seed(&self) -> u32 {
        // Not the checksum of all its bytes: with their own checksum at the end that is the same number for all.
        u32::from_le_bytes(*self.encode().last_chunk().expect("it ends with its checksum"))
    }
}

/// What a sector says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectorHeader {
    /// Its number, counted on and on through all laps. Its place in the ring is the remainder.
    pub(super) number: u64,
    /// Its place in the batch, from 0.
    pub(super) place: u32,
    /// Sectors in the batch; 0: it is blank.
    pub(super) sectors: u32,
}

impl SectorHeader {
    /// A sector that was never written: it looks as if it belonged to the lap before.
    pub(super) fn blank(number: u64) -> Self {
        Self { number, place: 0, sectors: 0 }
    }

    /// The number of the first sector of its batch.
    pub(super) fn start(&self) -> u64 {
        self.number - u64::from(self.place)
    }

    /// Fills in header and checksum of a sector with its payload in place. Returns the checksum.
    pub(super) fn seal(&self, sector: &mut [u8], seed: u32) -> u32 {
        sector[4..8].copy_from_slice(&self.place.to_le_bytes());
        sector[8..16].copy_from_slice(&self.number.to_le_bytes());
        sector[16..20].copy_from_slice(&self.sectors.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &sector[4..SECTOR_BYTES]);
        sector[..4].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    /// The header and the checksum of a sector, if they match.
    pub(super) fn open(sector: &[u8], seed: u32) -> Option<(Self, u32)> {
        let checksum = u32::from_le_bytes(array(sector, 0));
        if crc32c::crc32c_append(seed, &sector[4..SECTOR_BYTES]) != checksum {
            return None;
        }
        let place = u32::from_le_bytes(array(sector, 4));
        let number = u64::from_le_bytes(array(sector, 8));
        let sectors = u32::from_le_bytes(array(sector, 16));
        let makes_sense = place < sectors.max(1) && u64::from(place) <= number;
        makes_sense.then_some((Self { number, place, sectors }, checksum))
    }
}

/// The payload of a sector.
pub(super) fn payload(sector: &[u8]) -> &[u8] {
    &sector[SECTOR_HEADER_BYTES..SECTOR_BYTES]
}

/// The payload of a sector, to be written.
pub(super) fn payload_mut(sector: &mut [u8]) -> &mut [u8] {
    &mut sector[SECTOR_HEADER_BYTES..SECTOR_BYTES]
}

/// What a batch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHead {
    /// The sequence number of its first record.
    pub(super) sequence: u64,
    /// Records in it.
    pub(super) records: u32,
    /// Their bytes, with the length before each.
    pub(super) bytes: u32,
    /// The checksum of the first sector of the batch before; for the first batch of a journal that of the header.
    pub(super) chain: u32,
    /// The checksum of the checksums of its other sectors.
    pub(super) rest: u32,
}

impl BatchHead {
    pub(super) fn encode(&self, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&self.sequence.to_le_bytes());
        payload[8..12].copy_from_slice(&self.records.to_le_bytes());
        payload[12..16].copy_from_slice(&self.bytes.to_le_bytes());
        payload[16..20].copy_from_slice(&self.chain.to_le_bytes());
        payload[20..24].copy_from_slice(&self.rest.to_le_bytes());
    }

    pub(super) fn decode(payload: &[u8]) -> Self {
        Self {
            sequence: u64::from_le_bytes(array(payload, 0)),
            records: u32::from_le_bytes(array(payload, 8)),
            bytes: u32::from_le_bytes(array(payload, 12)),
            chain: u32::from_le_bytes(array(payload, 16)),
            rest: u32::from_le_bytes(array(payload, 20)),
        }
    }
}

/// Sectors of a batch with so many bytes of records.
pub(super) fn sectors_for(bytes: usize) -> u64 {
    (BATCH_HEAD_BYTES + bytes).div_ceil(PAYLOAD_BYTES) as u64
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("N bytes")
}
