//! The clean marker: says that the replica stopped in order, and that its directory holds all it ever said.
//!
//! It is written last, when the journal and the checkpoint it names are durable, and erased first, before the replica says anything
//! again. So it is never there beside a directory that lacks something. The byte diagram is in docs/formats.md.

use viewstamped_protocol::{CheckpointId, CheckpointRoot, ClusterId, Incarnation, NodeId, OpNumber};

use crate::frame::{FileError, Frame};
use crate::io::{Disk, WholeFileError, whole};
use crate::journal::{Owner, Position};

/// The name of the file.
pub const CLEAN: &str = "clean";

/// The next marker while it is being written; ignored at start.
pub const CLEAN_TEMPORARY: &str = "clean.tmp";

/// The most bytes of a marker: many times what this release writes, so that a later one is told from nonsense.
const BYTES_MAX: usize = 4096;

const FRAME: Frame = Frame { magic: *b"VRCLEAN\n", version: 1 };

/// What was durable when the replica stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanMarker {
    /// Whose directory it is.
    pub owner: Owner,
    /// The life that ended.
    pub incarnation: Incarnation,
    /// Where its journal ends.
    pub journal_end: Position,
    /// Its newest checkpoint; op-number 0: none.
    pub checkpoint: CheckpointId,
}

/// What was found of a marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundMarker {
    /// None: the replica was killed, or lost its power.
    Absent,
    /// It stopped in order.
    Valid(CleanMarker),
    /// There is one, but what it says is lost.
    Damaged(FileError),
}

impl CleanMarker {
    /// Writes the marker. When this returns, and nothing else is written, the next start needs no recovery.
    ///
    /// # Errors
    /// When it is unknown whether a restart would find it. The next start may then recover, and loses nothing by it.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), WholeFileError> {
        whole::replace(disk, CLEAN, CLEAN_TEMPORARY, &self.encode())
    }

    /// Reads the marker and erases it, durably. Due before the replica sends or writes anything.
    ///
    /// # Errors
    /// When it cannot be read or erased. The replica must not start: if it did and crashed, the marker would say that nothing is
    /// missing.
    pub fn take(disk: &dyn Disk) -> Result<FoundMarker, WholeFileError> {
        let found = Self::read(disk)?;
        whole::erase(disk, CLEAN)?;
        Ok(found)
    }

    /// Reads the marker, and leaves it.
    ///
    /// # Errors
    /// When it cannot be read, though it is there.
    pub fn read(disk: &dyn Disk) -> Result<FoundMarker, WholeFileError> {
        Ok(match whole::read(disk, CLEAN, BYTES_MAX)?.map(|bytes| Self::decode(&bytes)) {
            None => FoundMarker::Absent,
            Some(Ok(marker)) => FoundMarker::Valid(marker),
            Some(Err(error)) => FoundMarker::Damaged(error),
        })
    }

    fn encode(&self) -> Vec<u8> {
        // Every field is named, so that a new one cannot be forgotten here. It needs a new version.
        let Self { owner: Owner { cluster, node }, incarnation, journal_end, checkpoint } = self;
        let mut bytes = FRAME.begin();
        bytes.extend_from_slice(&cluster.0.to_le_bytes());
        bytes.extend_from_slice(&node.0.to_le_bytes());
        bytes.extend_from_slice(&incarnation.0.to_le_bytes());
        bytes.extend_from_slice(&journal_end.sequence.to_le_bytes());
        bytes.extend_from_slice(&journal_end.sector.to_le_bytes());
        bytes.extend_from_slice(&checkpoint.op.0.to_le_bytes());
        bytes.extend_from_slice(&checkpoint.root.0);
        FRAME.seal(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let mut fields = FRAME.open(bytes)?;
        let owner = Owner { cluster: ClusterId(fields.u128("cluster id")?), node: NodeId(fields.u64("replica id")?) };
        let marker = Self {
            owner,
            incarnation: Incarnation(fields.u64("incarnation")?),
            journal_end: Position {
                sequence: fields.u64("end of the journal")?,
                sector: fields.u64("end of the journal")?,
            },
            checkpoint: CheckpointId {
                op: OpNumber(fields.u64("checkpoint")?),
                root: CheckpointRoot(fields.array("root")?),
            },
        };
        fields.end()?;
        Ok(marker)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::io::{Fault, SimulatedDisk};

    pub(crate) fn example() -> CleanMarker {
        CleanMarker {
            owner: Owner { cluster: ClusterId(0xc1), node: NodeId(2) },
            incarnation: Incarnation(7),
            journal_end: Position { sequence: 900, sector: 5000 },
            checkpoint: CheckpointId { op: OpNumber(640), root: CheckpointRoot([0xab; 32]) },
        }
    }

    #[test]
    fn a_marker_is_found_once() {
        let disk = SimulatedDisk::new();
        assert_eq!(CleanMarker::take(&disk).unwrap(), FoundMarker::Absent);
        example().write(&disk).unwrap();
        assert_eq!(CleanMarker::read(&disk).unwrap(), FoundMarker::Valid(example()));
        disk.cut_power(&mut |_| 0);
        assert_eq!(CleanMarker::take(&disk).unwrap(), FoundMarker::Valid(example()));
        disk.cut_power(&mut |_| 0);
        assert_eq!(CleanMarker::take(&disk).unwrap(), FoundMarker::Absent);
    }

    #[test]
    fn a_power_cut_while_it_is_written_leaves_it_whole_or_absent() {
        for call in 0..5 {
            for survives in [false, true] {
                let disk = SimulatedDisk::new();
                disk.fail_call(call, Fault::PowerCut);
                let is_written = example().write(&disk).is_ok();
                disk.cut_power(&mut |bound| if survives { bound - 1 } else { 0 });
                let found = CleanMarker::read(&disk).unwrap();
                assert!(
                    found == FoundMarker::Valid(example()) || (!is_written && found == FoundMarker::Absent),
                    "{found:?}"
                );
            }
        }
    }

    /// Whoever was told what the marker says can be sure that it is gone.
    #[test]
    fn a_marker_that_could_not_be_erased_is_not_told() {
        for fault in [Fault::PowerCut, Fault::Error] {
            for call in 0..5 {
                let disk = SimulatedDisk::new();
                example().write(&disk).unwrap();
                disk.fail_call(disk.calls() + call, fault);
                let was_told = CleanMarker::take(&disk).is_ok();
                disk.cut_power(&mut |_| 0);
                let found = CleanMarker::read(&disk).unwrap();
                assert_eq!(was_told, found == FoundMarker::Absent, "{fault:?} at call {call}: {found:?}");
            }
        }
    }

    /// The removal was not durable when the process ended; another start finds no marker, but a power cut would bring it back.
    #[test]
    fn an_erasure_that_failed_is_made_durable_by_the_next_start() {
        let disk = SimulatedDisk::new();
        example().write(&disk).unwrap();
        disk.fail_call(disk.calls() + 4, Fault::Error);
        CleanMarker::take(&disk).unwrap_err();
        assert_eq!(CleanMarker::take(&disk).unwrap(), FoundMarker::Absent);
        disk.cut_power(&mut |_| 0);
        assert_eq!(CleanMarker::read(&disk).unwrap(), FoundMarker::Absent);
    }

    #[test]
    fn a_damaged_marker_is_no_marker() {
        let disk = SimulatedDisk::new();
        example().write(&disk).unwrap();
        let bytes = disk.content(CLEAN).unwrap();
        for bit in 0..bytes.len() as u64 * 8 {
            disk.flip_bit(CLEAN, bit);
            assert!(matches!(CleanMarker::read(&disk).unwrap(), FoundMarker::Damaged(_)), "bit {bit}");
            disk.flip_bit(CLEAN, bit);
        }
        for length in 0..bytes.len() {
            disk.replace(CLEAN, bytes[..length].to_vec());
            assert!(matches!(CleanMarker::read(&disk).unwrap(), FoundMarker::Damaged(_)), "{length} bytes");
        }
        disk.replace(CLEAN, [&bytes[..], &[0; 9000]].concat());
        assert!(matches!(CleanMarker::take(&disk).unwrap(), FoundMarker::Damaged(_)));
        assert_eq!(disk.content(CLEAN), None);
    }

    /// Replicas of this and later releases must read what this release writes: docs/formats.md.
    #[test]
    fn the_bytes_are_those_of_the_documented_format() {
        let bytes = example().encode();
        assert_eq!(bytes[..16], *b"VRCLEAN\n\x01\0\0\0\x58\0\0\0");
        assert_eq!((bytes[16], bytes[32], bytes[40]), (0xc1, 2, 7), "cluster, replica, incarnation");
        assert_eq!((&bytes[48..50], &bytes[56..58]), (&[0x84, 3][..], &[0x88, 0x13][..]), "sequence, sector");
        assert_eq!((&bytes[64..66], &bytes[72..104]), (&[0x80, 2][..], &[0xab; 32][..]), "checkpoint, root");
        assert_eq!(bytes.len(), 108);
        assert_eq!(crc32c::crc32c(&bytes[..104]).to_le_bytes(), bytes[104..]);
    }
}
