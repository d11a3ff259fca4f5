//! Reading a journal: batch after batch, and at the first one that is not whole the question why.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::format::{
    BATCH_HEAD_BYTES, BatchHead, RECORD_HEADER_BYTES, RING_OFFSET, SectorHeader, payload, sectors_for,
};
use super::sectors::Sectors;
use super::verdict::{Doubt, Reason, Verdict};
use super::{Position, Record};
use crate::io::SECTOR_BYTES;

/// What was read.
pub(super) struct Reading {
    pub(super) records: Vec<Record>,
    /// The batches that hold them, oldest first.
    pub(super) batches: VecDeque<Position>,
    pub(super) verdict: Verdict,
    /// Where the next batch begins.
    pub(super) end: Position,
    /// What the next batch is chained to.
    pub(super) chain: u32,
    /// Sectors ahead that are not prepared.
    pub(super) unprepared: Range<u64>,
    /// Where the torn batch ends, if there is one.
    pub(super) leftovers: u64,
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) at: Position,
    /// What the first batch is chained to, where it is known.
    pub(super) chain: Option<u32>,
    /// The record was durable, so it must be there.
    pub(super) must_be_there: bool,
}

/// A batch that is whole.
struct WholeBatch {
    head: BatchHead,
    sectors: u32,
    /// The checksum of its first sector.
    checksum: u32,
    /// Its records, with the length before each.
    records: Bytes,
}

/// What came of looking for a batch.
enum Looked {
    Found(WholeBatch),
    /// It is not whole: it was never written, or torn, or damaged. To be judged by what else is there.
    NotWhole,
    /// Its sectors are right, and what they say is not.
    Senseless(&'static str),
}

/// Reads the ring from `beginning` to its end.
pub(super) fn read(sectors: &mut Sectors<'_>, beginning: Beginning) -> Reading {
    let Beginning { at: from, mut chain, must_be_there } = beginning;
    let mut reading = Reading {
        records: Vec::new(),
        batches: VecDeque::new(),
        verdict: Verdict::Whole,
        end: from,
        chain: chain.unwrap_or(sectors.seed),
        unprepared: 0..0,
        leftovers: 0,
    };
    let limit = from.sector + sectors.ring;
    loop {
        let at = reading.end;
        match look(sectors, at.sector, limit) {
            Looked::NotWhole => break,
            Looked::Senseless(what) => return reading.doubt(sectors, at.sector, Reason::Content(what)),
            Looked::Found(batch) => {
                // The first batch may begin before the record that was asked for; later ones go on, or begin again further on.
                let is_first = must_be_there && reading.batches.is_empty();
                let follows = if is_first { batch.holds(at.sequence) } else { batch.head.sequence >= at.sequence };
                if chain.is_some_and(|chain| chain != batch.head.chain) {
                    return reading.doubt(sectors, at.sector, Reason::Content("chain to the one before"));
                }
                if !follows {
                    return reading.doubt(sectors, at.sector, Reason::Content("sequence number"));
                }
                chain = Some(batch.checksum);
                reading.take(batch, from.sequence);
            }
        }
    }
    if must_be_there && reading.batches.is_empty() {
        let missing = Reason::NoSuchRecord { sequence: from.sequence };
        let reason = sectors.read(from.sector).err().unwrap_or(missing);
        return reading.doubt(sectors, from.sector, reason);
    }
    reading.judge_end(sectors, limit)
}

impl WholeBatch {
    fn holds(&self, sequence: u64) -> bool {
        (self.head.sequence..self.head.sequence + u64::from(self.head.records)).contains(&sequence)
    }
}

/// Looks for a batch at sector `start`.
fn look(sectors: &mut Sectors<'_>, start: u64, limit: u64) -> Looked {
    let Ok((first, checksum, sector)) = sectors.read(start) else { return Looked::NotWhole };
    if first.number != start || first.place != 0 || first.sectors == 0 {
        return Looked::NotWhole;
    }
    let head = BatchHead::decode(payload(sector));
    let mut content = Vec::new();
    content.extend_from_slice(&payload(sector)[BATCH_HEAD_BYTES..]);
    if start + u64::from(first.sectors) > limit || sectors_for(head.bytes as usize) != u64::from(first.sectors) {
        return Looked::Senseless("length");
    }
    let mut rest = 0;
    for number in start + 1..start + u64::from(first.sectors) {
        match sectors.read(number) {
            Ok((header, checksum, sector)) if is_part(&header, number, start) && header.sectors == first.sectors => {
                rest = crc32c::crc32c_append(rest, &checksum.to_le_bytes());
                content.extend_from_slice(payload(sector));
            }
            _ => return Looked::NotWhole,
        }
    }
    if rest != head.rest {
        return Looked::Senseless("sectors are of different batches");
    }
    content.truncate(head.bytes as usize);
    let batch = WholeBatch { head, sectors: first.sectors, checksum, records: content.into() };
    let is_sound = batch.head.records > 0
        && batch.head.sequence.checked_add(u64::from(batch.head.records)).is_some()
        && batch.split().count() == batch.head.records as usize
        && batch.split().map(|record| record.len() + RECORD_HEADER_BYTES).sum::<usize>() == batch.records.len();
    if is_sound { Looked::Found(batch) } else { Looked::Senseless("records do not fit its length") }
}

/// Whether a sector with this header, found for `number`, was written as part of a batch at `start`.
fn is_part(header: &SectorHeader, number: u64, start: u64) -> bool {
    header.number == number && header.sectors > 0 && header.start() == start
}

impl WholeBatch {
    /// Its records, as far as their lengths make sense.
    fn split(&self) -> impl Iterator<Item = Bytes> {
        let mut rest = self.records.clone();
        std::iter::from_fn(move || {
            let (length, _) = rest.split_first_chunk::<RECORD_HEADER_BYTES>()?;
            let end = RECORD_HEADER_BYTES + u32::from_le_bytes(*length) as usize;
            if rest.len() < end {
                return None;
            }
            Some(rest.split_to(end).slice(RECORD_HEADER_BYTES..))
        })
    }
}

impl Reading {
    fn take(&mut self, batch: WholeBatch, from: u64) {
        let WholeBatch { head, sectors, checksum, .. } = batch;
        let numbered = (head.sequence..).zip(batch.split()).map(|(sequence, bytes)| Record { sequence, bytes });
        self.records.extend(numbered.filter(|record| record.sequence >= from));
        self.batches.push_back(Position { sequence: head.sequence, sector: self.end.sector });
        self.end.sequence = head.sequence + u64::from(head.records);
        self.end.sector += u64::from(sectors);
        self.chain = checksum;
    }

    fn doubt(mut self, sectors: &Sectors<'_>, number: u64, reason: Reason) -> Self {
        self.verdict = Verdict::Doubtful(Doubt { at: offset(sectors, number), reason });
        self
    }

    /// Judges what is beyond the last whole batch. A batch is written only when the one before is durable, and only over sectors
    /// that are prepared. So after a crash each sector of the one batch that was being written is new or prepared, and beyond it
    /// nothing is new. Anything else is damage.
    fn judge_end(mut self, sectors: &mut Sectors<'_>, limit: u64) -> Self {
        let start = self.end.sector;
        // A ring that was filled once was prepared to its end.
        if start >= 2 * sectors.ring && !sectors.is_complete() {
            return self.doubt(sectors, start, Reason::Truncated);
        }
        let (mut torn_sectors, mut present) = (0, 0);
        let mut first_fault = None;
        let mut number = start;
        while number < limit {
            // A large ring in its first lap is mostly not there yet.
            let next = sectors.next_available(number).unwrap_or(number + 1).min(limit);
            match classify(sectors, number, start) {
                Class::Prepared => {
                    number = next;
                    continue;
                }
                Class::Part { sectors } if torn_sectors == 0 || torn_sectors == sectors => {
                    torn_sectors = sectors;
                    present += 1;
                }
                Class::Part { .. } | Class::Newer => {
                    let newer = Reason::NewerBeyond { beyond: offset(sectors, number) };
                    let (number, reason) = first_fault.unwrap_or((start, newer));
                    return self.doubt(sectors, number, reason);
                }
                Class::Faulty(reason) => {
                    first_fault.get_or_insert((number, reason));
                }
            }
            let first = if self.unprepared.is_empty() { number } else { self.unprepared.start };
            self.unprepared = first..next;
            number = next;
        }
        let torn_end = start + u64::from(torn_sectors.max(1));
        match first_fault {
            Some((number, reason)) if number < torn_end => return self.doubt(sectors, number, reason),
            // Nothing is missing, and yet it was not found to be whole: the disk reads now this and now that.
            _ if torn_sectors > 0 && present == torn_sectors => {
                return self.doubt(sectors, start, Reason::Content("sectors change while they are read"));
            }
            // A fault further on is damage where nothing was to be read.
            _ if torn_sectors > 0 => {
                self.verdict = Verdict::Torn { sectors: torn_sectors, missing: torn_sectors - present };
                self.leftovers = torn_end;
                self.unprepared = start..self.unprepared.end.max(torn_end);
            }
            _ => {}
        }
        self
    }
}

/// What a sector beyond the last whole batch is.
enum Class {
    /// Of the lap before, as it should be.
    Prepared,
    /// Part of the batch that begins where the whole ones end.
    Part { sectors: u32 },
    /// Of something else that was written later than the whole batches.
    Newer,
    /// None of these.
    Faulty(Reason),
}

fn classify(sectors: &mut Sectors<'_>, number: u64, start: u64) -> Class {
    let ring = sectors.ring;
    match sectors.read(number) {
        Err(reason) => Class::Faulty(reason),
        Ok((header, ..)) if header.number == number - ring => Class::Prepared,
        Ok((header, ..)) if is_part(&header, number, start) => Class::Part { sectors: header.sectors },
        Ok((header, ..)) if header.number >= start => Class::Newer,
        Ok(_) => Class::Faulty(Reason::Outdated),
    }
}

fn offset(sectors: &Sectors<'_>, number: u64) -> u64 {
    RING_OFFSET + number % sectors.ring * SECTOR_BYTES as u64
}
