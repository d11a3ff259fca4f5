//! What was durable is damaged or gone: that is noticed, and nothing wrong is ever read.

use super::*;
use crate::io::Fault;

/// Opened after damage: what was read is what was written, as far as it goes, and a journal that is called certain has everything.
#[track_caller]
fn check_damaged(opened: &Opened, writer: &Writer) {
    check_records(opened, writer.from);
    let all = opened.end.sequence == writer.journal.next();
    assert!(
        all || !opened.verdict.is_certain(),
        "{} of {}: {:?}",
        opened.end.sequence,
        writer.journal.next(),
        opened.verdict
    );
}

fn reason(opened: &Opened) -> &Reason {
    assert!(opened.journal.is_none(), "a doubtful journal is not continued");
    match &opened.verdict {
        Verdict::Doubtful(doubt) => &doubt.reason,
        verdict => panic!("{verdict:?}"),
    }
}

/// The sector of the ring in which a record's batch begins.
fn sector_of(writer: &Writer, sequence: u64) -> u64 {
    writer.journal.position_of(sequence).unwrap().sector
}

fn byte_of(writer: &Writer, sector: u64) -> usize {
    writer.journal.ring.offset(sector) as usize
}

#[test]
fn a_flipped_bit_is_noticed_wherever_a_record_is() {
    let (disk, writer) = written(1000);
    let bits = disk.content(JOURNAL).unwrap().len() as u64 * 8;
    let live = sector_of(&writer, writer.from.unwrap().sequence)..=writer.journal.batch.start();
    let mut random = Random(1);
    let mut doubts = 0;
    for _ in 0..10_000 {
        let bit = random.below(bits);
        disk.flip_bit(JOURNAL, bit);
        let opened = Journal::read(&disk, OWNER, writer.from).unwrap();
        disk.flip_bit(JOURNAL, bit);
        check_damaged(&opened, &writer);
        let is_live = live.clone().any(|sector| byte_of(&writer, sector) as u64 == bit / 8 / 512 * 512);
        let is_header = bit / 8 < 60;
        assert_eq!(is_live || is_header, !opened.verdict.is_certain(), "bit {bit}");
        doubts += u32::from(is_live);
    }
    assert!(doubts > 1000, "only {doubts} bits hit a record");
    assert_eq!(open(&disk, writer.from).verdict, Verdict::Whole);
}

#[test]
fn a_truncated_journal_is_noticed() {
    for records in [0, 20, 1000] {
        let (disk, writer) = written(records);
        let bytes = disk.content(JOURNAL).unwrap();
        let end = byte_of(&writer, writer.journal.batch.start());
        let is_first_lap = writer.journal.batch.start() < 2 * writer.journal.ring.sectors;
        let mut random = Random(records);
        for _ in 0..1000 {
            let length = random.below(bytes.len() as u64) as usize;
            disk.replace(JOURNAL, bytes[..length].to_vec());
            let opened = Journal::read(&disk, OWNER, writer.from).unwrap();
            check_damaged(&opened, &writer);
            let is_beyond = is_first_lap && length >= end + 512;
            assert_eq!(opened.verdict.is_certain(), is_beyond, "{length} of {} bytes, {records} records", bytes.len());
        }
    }
}

/// A file may be cut in the first lap where it was not used yet: that is prepared again.
#[test]
fn a_journal_that_was_cut_beyond_its_end_goes_on() {
    let (disk, mut writer) = written(20);
    let bytes = disk.content(JOURNAL).unwrap();
    let end = byte_of(&writer, writer.journal.batch.start()) + 512;
    disk.replace(JOURNAL, bytes[..end + 100].to_vec());
    writer = Writer::reopened(&disk, writer.from);
    writer.run(800).unwrap();
    assert_eq!(open(&disk, writer.from).verdict, Verdict::Whole);
    check_records(&open(&disk, writer.from), writer.from);
}

#[test]
fn damage_where_nothing_is_read_is_repaired_when_the_ring_comes_there() {
    let (disk, mut writer) = written(1000);
    let ahead = writer.journal.batch.start() + 20;
    for sector in [ahead, ahead + 3] {
        disk.flip_bit(JOURNAL, byte_of(&writer, sector) as u64 * 8 + 77);
    }
    writer = Writer::reopened(&disk, writer.from);
    let end = writer.journal.next() + 150;
    writer.run(end).unwrap();
    assert!(writer.journal.batch.start() > ahead + 3);
    assert_eq!(open(&disk, writer.from).verdict, Verdict::Whole);
    check_records(&open(&disk, writer.from), writer.from);
}

#[test]
fn a_zeroed_part_is_noticed() {
    let (disk, writer) = written(1000);
    let bytes = disk.content(JOURNAL).unwrap();
    let from = writer.from.unwrap();
    for (start, end) in [(0, bytes.len()), (4096, bytes.len()), (0, 4096)] {
        let mut zeroed = bytes.clone();
        zeroed[start..end].fill(0);
        disk.replace(JOURNAL, zeroed);
        let opened = open(&disk, writer.from);
        let found = reason(&opened);
        let is_right = match start {
            0 => matches!(found, Reason::Header(_)),
            _ => *found == Reason::Damaged,
        };
        assert!(is_right && opened.records.is_empty(), "{found}");
        assert_eq!(opened.end.sequence, from.sequence);
    }
    // The last batch, and all that was prepared after it: it does not look like the end.
    let mut zeroed = bytes;
    let last = byte_of(&writer, sector_of(&writer, writer.journal.next() - 1));
    zeroed[last..].fill(0);
    disk.replace(JOURNAL, zeroed);
    assert_eq!(*reason(&open(&disk, writer.from)), Reason::Damaged);
}

/// Writes a batch with this fault at its write, and more after it. Then the power is cut. Returns the first batch's record, too.
fn with_fault_at_a_write(fault: Fault, more: u64) -> (SimulatedDisk, Writer, u64) {
    let (disk, mut writer) = written(1000);
    let next = writer.journal.next();
    disk.fail_call(disk.calls(), fault);
    // Larger than a page, of which the next batch would write a part again.
    for sequence in next..=next + more {
        writer.journal.append(sequence, &[&[sequence as u8; 9000]]).unwrap();
        writer.journal.sync().unwrap();
    }
    disk.cut_power(&mut |bound| bound - 1);
    (disk, writer, next)
}

#[test]
fn a_lost_write_is_noticed_by_what_was_written_after_it() {
    let (disk, writer, next) = with_fault_at_a_write(Fault::LostWrite, 2);
    let opened = open(&disk, writer.from);
    assert_eq!(opened.end.sequence, next);
    assert!(matches!(reason(&opened), Reason::NewerBeyond { .. }), "{:?}", opened.verdict);
    check_records(&opened, writer.from);
}

#[test]
fn a_misdirected_write_is_noticed() {
    for by in [-40, -16, -8, 8, 16, 40] {
        for more in [0, 2] {
            let (disk, writer, next) = with_fault_at_a_write(Fault::MisdirectedWrite { by: by * 512 }, more);
            let opened = open(&disk, writer.from);
            assert!(
                !opened.verdict.is_certain() && opened.end.sequence <= next,
                "by {by} sectors: {:?}",
                opened.verdict
            );
            check_records(&opened, writer.from);
        }
    }
}

#[test]
fn an_unreadable_sector_hides_no_others() {
    let (disk, writer) = written(300);
    let calls = disk.calls();
    let all = open(&disk, writer.from).records;
    let calls_to_read = disk.calls() - calls;
    let mut doubtful = 0;
    for call in 0..calls_to_read + 200 {
        let disk = disk.fork();
        let first = disk.calls();
        disk.fail_call(first + call, Fault::Error);
        match Journal::open(&disk, OWNER, SMALL, writer.from) {
            Ok(opened) => {
                check_damaged(&opened, &writer);
                doubtful += u32::from(!opened.verdict.is_certain());
                assert!(
                    opened.verdict.is_certain()
                        || matches!(reason(&opened), Reason::Unreadable(_) | Reason::Unconfirmed(_))
                );
            }
            Err(_) => assert_eq!(call, 0, "only the opening of the file itself is an error"),
        }
    }
    assert!(doubtful >= 4, "header, length, confirmation, names: {doubtful}");
    // One that stays unreadable.
    let sector = sector_of(&writer, writer.journal.next() - 10);
    disk.make_unreadable(JOURNAL, byte_of(&writer, sector) as u64);
    let opened = open(&disk, writer.from);
    assert!(matches!(reason(&opened), Reason::Unreadable(_)), "{:?}", opened.verdict);
    assert!(!opened.records.is_empty() && opened.records.len() < all.len());
    check_records(&opened, writer.from);
}

#[test]
fn what_is_no_journal_of_this_replica_is_doubtful() {
    let (disk, writer) = written(300);
    let bytes = disk.content(JOURNAL).unwrap();
    let other = Owner { node: NodeId(3), ..OWNER };
    let opened = Journal::open(&disk, other, SMALL, writer.from).unwrap();
    assert_eq!(*reason(&opened), Reason::Foreign(OWNER.node));
    assert_eq!(*reason(&open(&SimulatedDisk::new(), None)), Reason::Missing);
    disk.replace(JOURNAL, b"short".to_vec());
    assert_eq!(*reason(&open(&disk, None)), Reason::Truncated);
    // A ring of another journal of the same replica, behind a new header.
    let fresh = SimulatedDisk::new();
    Journal::create(&fresh, OWNER, SMALL, 50, None).unwrap();
    let header = fresh.content(JOURNAL).unwrap()[..4096].to_vec();
    disk.replace(JOURNAL, [&header, &bytes[4096..]].concat());
    assert_eq!(*reason(&open(&disk, None)), Reason::Damaged);
}

#[test]
fn a_position_that_is_not_there_is_doubtful() {
    let (disk, writer) = written(1000);
    let from = writer.from.unwrap();
    let positions = [
        Position { sequence: from.sequence + 10_000, ..from },
        Position { sequence: u64::MAX, ..from },
        Position { sector: from.sector + 1, ..from },
        Position { sector: 0, ..from },
        Position { sector: u64::MAX, ..from },
        Position { sequence: writer.journal.next(), sector: writer.journal.batch.start() },
    ];
    for position in positions {
        let opened = open(&disk, Some(position));
        let found = reason(&opened);
        assert!(matches!(found, Reason::NoSuchRecord { .. } | Reason::Content(_)), "{position:?}: {found}");
        assert!(opened.records.is_empty() && opened.end.sequence == position.sequence);
    }
    let overwritten = open(&disk, None);
    assert!(matches!(reason(&overwritten), Reason::NewerBeyond { .. }), "{:?}", overwritten.verdict);
}

/// Whole sectors of another time under right checksums: a disk that restores an old version of a part of the file.
#[test]
fn a_part_from_an_earlier_time_is_noticed() {
    let (disk, mut writer) = written(1000);
    let old = disk.content(JOURNAL).unwrap();
    let start = writer.journal.batch.start();
    let next = writer.journal.next();
    writer.run(next + 100).unwrap();
    let new = disk.content(JOURNAL).unwrap();
    let end = writer.journal.batch.start();
    for from in start..end - 1 {
        for length in [1, 2, 8] {
            let mut mixed = new.clone();
            for sector in from..(from + length).min(end - 1) {
                let at = byte_of(&writer, sector);
                mixed[at..at + 512].copy_from_slice(&old[at..at + 512]);
            }
            disk.replace(JOURNAL, mixed);
            let opened = Journal::read(&disk, OWNER, writer.from).unwrap();
            check_records(&opened, writer.from);
            let is_last = from >= sector_of(&writer, writer.journal.next() - 1);
            assert!(!opened.verdict.is_certain() || is_last, "sector {from}: {:?}", opened.verdict);
        }
    }
}

#[test]
fn every_reason_says_where_and_what() {
    let (disk, writer) = written(300);
    disk.flip_bit(JOURNAL, byte_of(&writer, writer.from.unwrap().sector) as u64 * 8);
    let opened = open(&disk, writer.from);
    let Verdict::Doubtful(doubt) = &opened.verdict else { panic!("{:?}", opened.verdict) };
    let text = doubt.to_string();
    assert!(text.starts_with("at byte ") && text.contains("does not match its checksum"), "{text}");
}

/// After a crash the same sectors are written with other records. A disk that shows some of those that were given up makes no batch
/// of two, and no journal of two.
#[test]
fn sectors_of_a_history_that_was_given_up_are_noticed() {
    let (disk, writer) = written(300);
    let given_up = disk.fork();
    let mut journal = Writer::reopened(&given_up, writer.from).journal;
    let next = journal.next();
    journal.append(next, &[&[1; 3000]]).unwrap();
    journal.sync().unwrap();
    let mut writer = Writer::reopened(&disk, writer.from);
    writer.journal.append(next, &[&[2; 3000]]).unwrap();
    writer.journal.sync().unwrap();
    let (start, end) = (sector_of(&writer, next), writer.journal.end().sector);
    assert_eq!(journal.end().sector, end);
    writer.journal.append(next + 1, &[b"after it"]).unwrap();
    writer.journal.sync().unwrap();
    let (old, new) = (given_up.content(JOURNAL).unwrap(), disk.content(JOURNAL).unwrap());
    for shown in 1..1_u64 << (end - start) {
        let mut mixed = new.clone();
        for sector in (start..end).filter(|sector| shown >> (sector - start) & 1 == 1) {
            let at = byte_of(&writer, sector);
            mixed[at..at + 512].copy_from_slice(&old[at..at + 512]);
        }
        disk.replace(JOURNAL, mixed);
        let opened = open(&disk, writer.from);
        assert!(matches!(reason(&opened), Reason::Content(_)), "{shown:b}: {:?}", opened.verdict);
    }
}

/// A checksum does not make nonsense sensible.
#[test]
fn nonsense_under_a_right_checksum_is_doubtful_or_as_written() {
    let (disk, writer) = written(1000);
    let bytes = disk.content(JOURNAL).unwrap();
    let live: Vec<u64> = (writer.from.unwrap().sector..writer.journal.end().sector + 1).collect();
    let mut random = Random(3);
    for _ in 0..5000 {
        let at = byte_of(&writer, live[random.below(live.len() as u64) as usize]);
        let mut nonsense = bytes.clone();
        let sector = &mut nonsense[at..at + 512];
        // The fields of the sector and of the batch.
        let place = 4 + random.below(40) as usize;
        let value = match random.below(3) {
            0 => 0xff,
            1 => 0,
            _ => random.below(256) as u8,
        };
        if sector[place] == value {
            continue;
        }
        sector[place] = value;
        let checksum = crc32c::crc32c_append(writer.journal.ring.seed, &sector[4..]);
        sector[..4].copy_from_slice(&checksum.to_le_bytes());
        disk.replace(JOURNAL, nonsense);
        let opened = Journal::read(&disk, OWNER, writer.from).unwrap();
        // A changed checksum is one to which the batch after it is not chained, so only the last one can be changed unseen.
        let last = sector_of(&writer, writer.journal.next() - 1);
        if at < byte_of(&writer, last) || last % writer.journal.ring.sectors < live[0] % writer.journal.ring.sectors {
            assert!(!opened.verdict.is_certain(), "byte {place} of the sector at {at}");
        }
    }
}

/// The ring of a journal may be much larger than its file.
#[test]
fn a_large_ring_that_was_hardly_used_is_opened_at_once() {
    let disk = SimulatedDisk::new();
    let options = JournalOptions { bytes: u64::MAX, ..SMALL };
    let mut journal = Journal::create(&disk, OWNER, options, 0, None).unwrap();
    journal.append(0, &[b"first"]).unwrap();
    journal.sync().unwrap();
    let opened = Journal::open(&disk, OWNER, options, None).unwrap();
    assert_eq!((opened.verdict, opened.end), (Verdict::Whole, journal.end()));
    let mut journal = opened.journal.unwrap();
    journal.append(1, &[&[1; 100 << 10]]).unwrap();
    journal.sync().unwrap();
    assert_eq!(Journal::read(&disk, OWNER, None).unwrap().end, journal.end());
}
