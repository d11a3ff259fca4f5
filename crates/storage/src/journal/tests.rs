mod crashes;
mod damage;
mod faults;
mod model;

use viewstamped_protocol::{ClusterId, NodeId};

use super::format::{BATCH_HEAD_BYTES, PAGE_SECTORS, PAYLOAD_BYTES};
use super::*;
use crate::io::SimulatedDisk;

const OWNER: Owner = Owner { cluster: ClusterId(0xc1), node: NodeId(2) };

/// A small ring, so that it is filled many times, prepared in three steps.
const SMALL: JournalOptions = JournalOptions { bytes: 100 << 10, step_bytes: 40 << 10, batch_bytes: 4 << 10 };

/// Splitmix64: all randomness of these tests comes from a seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The record of this number: mostly small, sometimes of several sectors, never like another one.
fn record(sequence: u64) -> Vec<u8> {
    let mut random = Random(sequence);
    let length = match random.below(20) {
        0 => random.below(3000),
        1 => 0,
        _ => random.below(120),
    };
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// A replica that journals numbered records, and now and then makes a checkpoint durable elsewhere.
struct Writer {
    journal: Journal,
    /// What the superblock of the page file names.
    from: Option<Position>,
    random: Random,
}

impl Writer {
    fn new(disk: &SimulatedDisk) -> Result<Self, JournalError> {
        Ok(Self { journal: Journal::create(disk, OWNER, SMALL, 0, None)?, from: None, random: Random(1) })
    }

    /// Goes on with an opened journal.
    fn reopened(disk: &SimulatedDisk, from: Option<Position>) -> Self {
        let opened = open(disk, from);
        Self { journal: opened.journal.unwrap(), from, random: Random(1) }
    }

    /// Journals until `end`, in batches of one record to ten.
    fn run(&mut self, end: u64) -> Result<(), JournalError> {
        while self.journal.next() < end {
            for _ in 0..=self.random.below(10) {
                let sequence = self.journal.next();
                self.journal.append(sequence, &[&record(sequence)])?;
            }
            self.journal.sync()?;
            self.checkpoint();
        }
        Ok(())
    }

    /// Needs no more than the last 150 records.
    fn checkpoint(&mut self) {
        let needed = self.journal.durable_before().saturating_sub(150);
        if self.from.map_or(0, |from| from.sequence) + 50 <= needed {
            self.from = self.journal.position_of(needed);
            self.journal.release(needed);
        }
    }
}

fn open(disk: &SimulatedDisk, from: Option<Position>) -> Opened {
    Journal::open(disk, OWNER, SMALL, from).unwrap()
}

/// Whether the records are those that were written, without a hole.
#[track_caller]
fn check_records(opened: &Opened, from: Option<Position>) {
    let first = from.map_or(0, |from| from.sequence);
    for (sequence, found) in (first..).zip(&opened.records) {
        assert_eq!((found.sequence, &found.bytes[..]), (sequence, &record(sequence)[..]));
    }
    assert_eq!(opened.end.sequence, first + opened.records.len() as u64);
}

/// A disk on which so many records were journaled.
fn written(records: u64) -> (SimulatedDisk, Writer) {
    let disk = SimulatedDisk::new();
    let mut writer = Writer::new(&disk).unwrap();
    writer.run(records).unwrap();
    (disk, writer)
}

#[test]
fn what_was_synced_is_read_back_in_order_over_many_laps() {
    for records in [0, 1, 50, 300, 2000] {
        let (disk, writer) = written(records);
        let opened = open(&disk, writer.from);
        assert_eq!(opened.verdict, Verdict::Whole);
        assert_eq!(opened.end.sequence, writer.journal.next());
        check_records(&opened, writer.from);
    }
    let (disk, writer) = written(2000);
    let written = writer.journal.position_of(1990).unwrap().sector / writer.journal.ring.sectors;
    assert!(written > 3, "the ring was filled {written} times");
    assert!(disk.content(JOURNAL).unwrap().len() <= 100 << 10);
    assert_eq!(disk.content(JOURNAL_TEMPORARY), None);
}

#[test]
fn a_real_disk_holds_a_journal_as_the_simulated_one_does() {
    let scratch = crate::directory::tests::Scratch::new();
    let disk = crate::io::RealDisk::new(scratch.path());
    let mut writer =
        Writer { journal: Journal::create(&disk, OWNER, SMALL, 0, None).unwrap(), from: None, random: Random(1) };
    for end in [20, 500, 1000] {
        writer.run(end).unwrap();
        let opened = Journal::open(&disk, OWNER, SMALL, writer.from).unwrap();
        assert_eq!((opened.verdict.clone(), opened.end), (Verdict::Whole, writer.journal.end()));
        check_records(&opened, writer.from);
        writer.journal = opened.journal.unwrap();
    }
    let (simulated, _) = written(1000);
    assert!(std::fs::read(scratch.path().join(JOURNAL)).unwrap() == simulated.content(JOURNAL).unwrap());
}

#[test]
fn what_was_not_synced_is_not_there() {
    let (disk, mut writer) = written(20);
    let next = writer.journal.next();
    writer.journal.append(next, &[b"lost"]).unwrap();
    assert_eq!((writer.journal.durable_before(), writer.journal.position_of(next)), (next, None));
    assert_eq!(open(&disk, None).end.sequence, next);
}

#[test]
fn a_record_in_parts_is_one_record() {
    let disk = SimulatedDisk::new();
    let mut journal = Journal::create(&disk, OWNER, SMALL, 7, None).unwrap();
    let large = vec![b'x'; 2000];
    journal.append(7, &[b"ab", b"", &large, b"c"]).unwrap();
    journal.append(8, &[]).unwrap();
    journal.sync().unwrap();
    let opened = open(&disk, None);
    let expected = [b"ab", &large[..], b"c"].concat();
    let records: Vec<_> = opened.records.iter().map(|record| (record.sequence, &record.bytes[..])).collect();
    assert_eq!(records, [(7, &expected[..]), (8, b"")]);
}

#[test]
fn reading_begins_at_any_record() {
    let (disk, writer) = written(100);
    for sequence in 0..writer.journal.next() {
        let from = writer.journal.position_of(sequence);
        let Some(from) = from else {
            assert!(sequence < writer.from.unwrap().sequence, "{sequence} was not released");
            continue;
        };
        let opened = open(&disk, Some(from));
        assert_eq!((opened.verdict.clone(), opened.records[0].sequence), (Verdict::Whole, sequence));
        check_records(&opened, Some(from));
    }
    assert_eq!(writer.journal.position_of(writer.journal.next()), None);
}

#[test]
fn an_opened_journal_goes_on_where_it_ended() {
    let disk = SimulatedDisk::new();
    let mut writer = Writer::new(&disk).unwrap();
    for end in (10..1500).step_by(37) {
        writer.run(end).unwrap();
        let (next, from) = (writer.journal.next(), writer.from);
        writer = Writer::reopened(&disk, from);
        assert_eq!((writer.journal.next(), writer.journal.durable_before()), (next, next));
        assert_eq!(from.map(|from| writer.journal.position_of(from.sequence)), from.map(Some));
    }
    check_records(&open(&disk, writer.from), writer.from);
}

#[test]
fn a_full_ring_is_an_error_and_goes_on_when_records_are_released() {
    let disk = SimulatedDisk::new();
    let mut journal = Journal::create(&disk, OWNER, SMALL, 0, None).unwrap();
    let full = loop {
        let next = journal.next();
        if let Err(error) = journal.append(next, &[&record(next)]) {
            break error;
        }
        journal.sync().unwrap();
    };
    assert!(matches!(full, JournalError::Full { bytes } if bytes == 96 << 10), "{full}");
    let next = journal.next();
    check_records(&open(&disk, None), None);
    assert_eq!(open(&disk, None).end.sequence, next, "nothing was overwritten");
    let from = journal.position_of(next - 20);
    journal.release(next - 20);
    while journal.append(journal.next(), &[&record(journal.next())]).is_ok() {
        journal.sync().unwrap();
    }
    assert!(journal.next() > next + 50);
    check_records(&open(&disk, from), from);
    assert_eq!(open(&disk, from).end.sequence, journal.next());
    let error = journal.append(journal.next(), &[&[0; 200 << 10]]).unwrap_err();
    assert!(matches!(error, JournalError::Full { .. }), "what is larger than the ring never fits: {error}");
}

#[test]
fn a_batch_asks_to_be_synced_when_it_is_large() {
    let (_, mut writer) = written(1);
    let journal = &mut writer.journal;
    assert!(!journal.is_batch_full());
    journal.append(journal.next(), &[&[1; 4 << 10]]).unwrap();
    assert!(journal.is_batch_full());
    journal.sync().unwrap();
    assert!(!journal.is_batch_full());
}

#[test]
fn a_broken_journal_begins_again_with_a_record_that_needs_none_before() {
    let (disk, mut writer) = written(20);
    let journal = &mut writer.journal;
    let broken = journal.next();
    journal.append(broken, &[b"dropped"]).unwrap();
    journal.mark_broken();
    let error = journal.append(broken, &[b"refused"]).unwrap_err();
    assert!(matches!(error, JournalError::Broken { since } if since == broken), "{error}");
    journal.sync().expect("there is nothing to make durable");
    check_records(&open(&disk, None), None);
    journal.begin_again(broken + 500, &[b"everything"]).unwrap();
    journal.append(broken + 501, &[b"and more"]).unwrap();
    journal.sync().unwrap();
    let from = journal.position_of(broken + 500).unwrap();
    let opened = open(&disk, None);
    assert_eq!((opened.verdict.clone(), opened.end.sequence), (Verdict::Whole, broken + 502));
    let last: Vec<u64> = opened.records.iter().rev().take(3).map(|record| record.sequence).collect();
    assert_eq!(last, [broken + 501, broken + 500, broken - 1]);
    assert_eq!(open(&disk, Some(from)).records[0].bytes, &b"everything"[..]);
}

#[test]
fn a_new_journal_replaces_the_old_one_in_one_step() {
    let (disk, writer) = written(300);
    let next = writer.journal.next();
    let calls = disk.calls();
    Journal::create(&disk.fork(), OWNER, SMALL, next, Some(&[b"everything"])).unwrap();
    let old = open(&disk, writer.from).records;
    for seed in 0..20 {
        for call in calls.. {
            let disk = disk.fork();
            disk.fail_call(call, crate::io::Fault::PowerCut);
            let created = Journal::create(&disk, OWNER, SMALL, next, Some(&[b"everything"])).is_ok();
            let mut random = Random(seed);
            disk.cut_power(&mut |bound| random.below(bound));
            let opened = open(&disk, writer.from);
            assert!(opened.verdict.is_certain(), "{:?}", opened.verdict);
            let is_new = opened.records.len() == 1 && opened.records[0].bytes == b"everything"[..];
            assert!(is_new || (!created && opened.records == old), "call {call}, seed {seed}");
            if created {
                break;
            }
        }
    }
}

#[test]
fn a_journal_of_another_size_keeps_it() {
    let (disk, writer) = written(300);
    let larger = JournalOptions { bytes: 1 << 20, ..SMALL };
    let opened = Journal::open(&disk, OWNER, larger, writer.from).unwrap();
    assert_eq!(opened.journal.unwrap().ring.sectors, SMALL.ring());
    let smallest = JournalOptions { bytes: 0, step_bytes: 0, batch_bytes: 0 };
    assert_eq!((smallest.ring(), smallest.step()), (24, 8));
    assert_eq!(JournalOptions { bytes: u64::MAX, ..SMALL }.ring(), 1 << 37);
}

/// Replicas of this and later releases must read what this release writes: docs/formats.md.
#[test]
fn the_bytes_are_those_of_the_documented_format() {
    let disk = SimulatedDisk::new();
    let options = JournalOptions { bytes: 16 << 10, step_bytes: 4 << 10, batch_bytes: 4 << 10 };
    let mut journal = Journal::create(&disk, OWNER, options, 9, None).unwrap();
    journal.append(9, &[b"first"]).unwrap();
    journal.sync().unwrap();
    journal.append(10, &[&[b'x'; 500]]).unwrap();
    journal.append(11, &[b"y"]).unwrap();
    journal.sync().unwrap();
    let bytes = disk.content(JOURNAL).unwrap();
    assert_eq!(bytes.len(), 4096 + 2 * 4096, "two steps of a page: the end is always prepared");
    // The header.
    assert_eq!(bytes[..16], *b"VRJOURN\n\x01\0\0\0\x28\0\0\0");
    assert_eq!(
        (bytes[16], bytes[32], bytes[40], bytes[48]),
        (0xc1, 2, 24, 9),
        "cluster, replica, ring, first sequence"
    );
    let checksum = crc32c::crc32c(&bytes[..56]);
    assert_eq!(bytes[56..60], checksum.to_le_bytes());
    assert!(bytes[60..4096].iter().all(|byte| *byte == 0));
    let seed = checksum;
    let sector = |number: usize| &bytes[4096 + number * 512..4096 + (number + 1) * 512];
    for number in 0..16 {
        let checksum = crc32c::crc32c_append(seed, &sector(number)[4..]);
        assert_eq!(sector(number)[..4], checksum.to_le_bytes(), "sector {number}");
    }
    // A batch of one sector.
    assert_eq!(sector(0)[4..20], [0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], "place, number, sectors");
    assert_eq!(sector(0)[20..36], [9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0], "sequence, records, bytes");
    assert_eq!(sector(0)[36..44], [&seed.to_le_bytes()[..], &[0; 4]].concat(), "chain, rest");
    assert_eq!(sector(0)[44..53], *b"\x05\0\0\0first");
    assert!(sector(0)[53..].iter().all(|byte| *byte == 0));
    // A batch of two.
    assert_eq!(sector(1)[4..20], [0, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(sector(1)[20..36], [10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0xfd, 1, 0, 0]);
    let rest = crc32c::crc32c(&sector(2)[..4]);
    assert_eq!(sector(1)[36..44], [&sector(0)[..4], &rest.to_le_bytes()].concat());
    assert_eq!(sector(1)[44..50], *b"\xf4\x01\0\0xx");
    assert_eq!(sector(2)[4..20], [1, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    let (first, second) = (PAYLOAD_BYTES - BATCH_HEAD_BYTES - 4, 500 - (PAYLOAD_BYTES - BATCH_HEAD_BYTES - 4));
    assert_eq!((first, second), (464, 36));
    assert_eq!(sector(2)[20 + second - 1..20 + second + 6], *b"x\x01\0\0\0y\0");
    // A blank.
    assert_eq!(sector(3)[4..20], [0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(sector(3)[20..].iter().all(|byte| *byte == 0));
}
