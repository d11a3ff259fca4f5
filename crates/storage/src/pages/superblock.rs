//! The superblock: the one sector that makes a checkpoint count. The byte diagram is in docs/formats.md.
//!
//! Superblocks are numbered by generation. Those of even generations are written to the first two places, those of odd ones to the
//! last two; so the checkpoint before stays while a new one is written. A sector is written whole or not at all, whatever a crash
//! does: a sector that is no superblock is rot, and what it said is unknown unless the other copy says it.

use viewstamped_protocol::ClusterId;

use super::place::{Place, UNIT_BYTES};
use super::{CheckpointId, JournalPosition};

/// How every superblock begins.
const MAGIC: [u8; 8] = *b"VRPAGES\n";

/// The version written, and the newest one read.
const VERSION: u32 = 1;

/// The bytes of a superblock: a sector.
pub(crate) const SUPERBLOCK_BYTES: usize = UNIT_BYTES as usize;

/// The bytes of the top of a state.
pub(crate) const TOP_BYTES: usize = 81;

/// Where the copies lie, in units: 4 KiB apart, so that a disk with sectors of 4 KiB loses no two at once.
pub(crate) const COPY_UNITS: [u64; 4] = [0, 8, 16, 24];

/// How many copies each generation has.
const COPIES: usize = 2;

/// The first unit for records.
pub(crate) const RECORDS_BEGIN: u64 = 32;

/// What names a tree of pages: where its root page is, and what the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeRoot {
    pub(crate) place: Place,
    /// The top of the state: what its root hashes.
    pub(crate) top: [u8; TOP_BYTES],
}

/// What a superblock says of its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) id: CheckpointId,
    pub(crate) journal: JournalPosition,
    pub(crate) header: Place,
    pub(crate) service: TreeRoot,
    pub(crate) client_table: TreeRoot,
}

/// A superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) cluster: ClusterId,
    /// Increases with every checkpoint. 0: the file was made, and holds no checkpoint yet.
    pub(crate) generation: u64,
    /// The checkpoint; `None` in generation 0.
    pub(crate) contents: Option<Box<Contents>>,
}

/// What lies where a superblock should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    /// A superblock.
    Good(Superblock),
    /// Zeros: nothing was ever written there.
    Zero,
    /// A whole superblock of a later release.
    Newer(u32),
    /// Something else.
    Bad,
}

/// The units to which a superblock of this generation is written.
pub(crate) fn copies_of(generation: u64) -> [u64; COPIES] {
    if generation.is_multiple_of(2) { [COPY_UNITS[0], COPY_UNITS[1]] } else { [COPY_UNITS[2], COPY_UNITS[3]] }
}

impl Superblock {
    /// The sector for the copy at `unit`.
    pub(crate) fn encode(&self, unit: u64) -> Vec<u8> {
        let mut sector = MAGIC.to_vec();
        sector.extend_from_slice(&VERSION.to_le_bytes());
        sector.extend_from_slice(&[0; 4]);
        sector.extend_from_slice(&unit.to_le_bytes());
        sector.extend_from_slice(&self.cluster.0.to_le_bytes());
        sector.extend_from_slice(&self.generation.to_le_bytes());
        if let Some(contents) = &self.contents {
            let Contents { id, journal, header, service, client_table } = &**contents;
            sector.extend_from_slice(&id.op.to_le_bytes());
            sector.extend_from_slice(&id.root);
            sector.extend_from_slice(&journal.sequence.to_le_bytes());
            sector.extend_from_slice(&journal.sector.to_le_bytes());
            sector.extend_from_slice(&header.to_number().to_le_bytes());
            for TreeRoot { place, top } in [service, client_table] {
                sector.extend_from_slice(&place.to_number().to_le_bytes());
                sector.extend_from_slice(top);
            }
        }
        sector.resize(SUPERBLOCK_BYTES, 0);
        let checksum = crc32c::crc32c(&sector);
        sector[12..16].copy_from_slice(&checksum.to_le_bytes());
        sector
    }
}

impl Copy {
    /// What the copy at `unit` says.
    pub(crate) fn decode(unit: u64, sector: &[u8]) -> Self {
        if sector.iter().all(|byte| *byte == 0) {
            return Self::Zero;
        }
        match checked_version(sector) {
            Some(VERSION) => decode_fields(unit, &sector[16..]).map_or(Self::Bad, Self::Good),
            Some(0) | None => Self::Bad,
            Some(newer) => Self::Newer(newer),
        }
    }
}

/// The version, when magic and checksum match. They lie at the same places in all versions.
fn checked_version(sector: &[u8]) -> Option<u32> {
    let mut fields = Fields { rest: sector };
    if sector.len() != SUPERBLOCK_BYTES || fields.array()? != MAGIC {
        return None;
    }
    let (version, checksum) = (u32::from_le_bytes(fields.array()?), u32::from_le_bytes(fields.array()?));
    let mut unsealed = sector.to_vec();
    unsealed[12..16].fill(0);
    (crc32c::crc32c(&unsealed) == checksum).then_some(version)
}

fn decode_fields(unit: u64, fields: &[u8]) -> Option<Superblock> {
    let mut fields = Fields { rest: fields };
    if fields.u64()? != unit {
        return None;
    }
    let cluster = ClusterId(u128::from_le_bytes(fields.array()?));
    let generation = fields.u64()?;
    if generation == 0 {
        return Some(Superblock { cluster, generation, contents: None });
    }
    let contents = Contents {
        id: CheckpointId { op: fields.u64()?, root: fields.array()? },
        journal: JournalPosition { sequence: fields.u64()?, sector: fields.u64()? },
        header: fields.place()?,
        service: fields.tree()?,
        client_table: fields.tree()?,
    };
    let is_here = copies_of(generation).contains(&unit);
    is_here.then_some(Superblock { cluster, generation, contents: Some(Box::new(contents)) })
}

/// Takes fields off the front of a sector.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn place(&mut self) -> Option<Place> {
        self.u64().and_then(Place::from_number).filter(|place| place.unit() >= RECORDS_BEGIN)
    }

    fn tree(&mut self) -> Option<TreeRoot> {
        Some(TreeRoot { place: self.place()?, top: self.array()? })
    }
}
