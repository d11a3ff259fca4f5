//! Which superblocks a file has, and which of them counts.

use viewstamped_protocol::ClusterId;

use super::damage::Damage;
use super::place::UNIT_BYTES;
use super::read::Source;
use super::superblock::{self, COPY_UNITS, Copy, RECORDS_BEGIN, SUPERBLOCK_BYTES, Superblock};
use super::{OpenError, Verdict};

/// What the superblocks of a file say together.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Those that may count, the newest first: at most one of each pair of copies.
    pub(crate) candidates: Vec<Superblock>,
    /// Whether the file holds a checkpoint, and whether a newer one than the candidates may be lost.
    pub(crate) verdict: Verdict,
}

/// Reads the superblocks of a file, which should belong to `cluster`, if that is known.
///
/// # Errors
/// When a later release or another cluster wrote one.
pub(crate) fn choose(source: Source<'_>, cluster: Option<ClusterId>) -> Result<Choice, OpenError> {
    let copies = COPY_UNITS.map(|unit| read(source, unit));
    for copy in &copies {
        match copy {
            Copy::Newer(version) => return Err(OpenError::Newer { version: *version }),
            Copy::Good(found) => {
                if let Some(expected) = cluster.filter(|expected| *expected != found.cluster) {
                    return Err(OpenError::Foreign { found: found.cluster, expected });
                }
            }
            Copy::Zero | Copy::Bad => {}
        }
    }
    Ok(decide(copies, source.length <= RECORDS_BEGIN * UNIT_BYTES))
}

/// What lies where the copy at `unit` should: zeros when the file ends before, since it was never written then.
fn read(source: Source<'_>, unit: u64) -> Copy {
    let offset = unit * UNIT_BYTES;
    let mut sector = [0; SUPERBLOCK_BYTES];
    let there = source.length.saturating_sub(offset).min(SUPERBLOCK_BYTES as u64) as usize;
    if there > 0 && source.file.read_at(&mut sector[..there], offset).is_err() {
        return Copy::Bad;
    }
    Copy::decode(unit, &sector)
}

/// Decides what four copies mean. `is_unused`: the file has no room for records yet.
///
/// All four are made durable before the first record is written. Until then zeros are what a crash may leave; later they are rot.
fn decide(copies: [Copy; 4], is_unused: bool) -> Choice {
    let (even, odd) = copies.split_at(2);
    let mut candidates: Vec<Superblock> = [even, odd].into_iter().filter_map(newest).collect();
    candidates.sort_unstable_by_key(|superblock| std::cmp::Reverse(superblock.generation));
    let is_lost = |copy: &Copy| match copy {
        Copy::Good(_) => false,
        Copy::Zero => !is_unused,
        Copy::Newer(_) | Copy::Bad => true,
    };
    // One good copy of two says enough: a newer superblock counts only when both copies are durable.
    let lost = [(even, COPY_UNITS[0]), (odd, COPY_UNITS[2])].into_iter().find(|(pair, _)| pair.iter().all(is_lost));
    let verdict = match lost {
        Some((_, unit)) => Verdict::Doubt(Damage::Superblock { offset: unit * UNIT_BYTES }),
        None if candidates.iter().any(|superblock| superblock.contents.is_some()) => Verdict::Sound,
        None => Verdict::Empty,
    };
    Choice { candidates, verdict }
}

fn newest(pair: &[Copy]) -> Option<Superblock> {
    let good = pair.iter().filter_map(|copy| match copy {
        Copy::Good(superblock) => Some(superblock.clone()),
        _ => None,
    });
    good.max_by_key(|superblock| superblock.generation)
}

impl Choice {
    /// The generation for the next superblock, when the one of generation `loaded` is used: newer than all that may have been
    /// written, and not in the place of the one used.
    pub(crate) fn next_generation(&self, loaded: Option<u64>) -> u64 {
        let newest = self.candidates.first().map_or(0, |superblock| superblock.generation);
        let hidden = u64::from(matches!(self.verdict, Verdict::Doubt(_)));
        let next = newest + hidden + 1;
        let is_in_its_place = loaded.is_some_and(|loaded| superblock::copies_of(loaded) == superblock::copies_of(next));
        next + u64::from(is_in_its_place)
    }
}
