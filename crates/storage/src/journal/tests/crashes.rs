//! The power goes at any call, and any part of what was not synced survives.

use super::*;
use crate::io::Fault;

const RECORDS: u64 = 2000;

/// Everything that was durable is there, and nothing but what was appended after it, in order.
#[track_caller]
fn check_after_power_cut(disk: &SimulatedDisk, writer: &Writer) -> Opened {
    let opened = open(disk, writer.from);
    assert!(opened.verdict.is_certain(), "{:?}", opened.verdict);
    check_records(&opened, writer.from);
    let (durable, appended) = (writer.journal.durable_before(), writer.journal.next());
    assert!(
        (durable..=appended).contains(&opened.end.sequence),
        "{} is not in {durable}..={appended}",
        opened.end.sequence
    );
    opened
}

/// The reports of `synchronous` mode stand on this: what a sync has reported is there after the power was cut at any later moment.
#[test]
fn a_power_cut_at_any_call_loses_nothing_that_was_synced() {
    let calls = written(RECORDS).0.calls();
    let mut torn = 0;
    for call in 0..calls {
        let disk = SimulatedDisk::new();
        disk.fail_call(call, Fault::PowerCut);
        let mut random = Random(call);
        let Ok(mut writer) = Writer::new(&disk) else {
            disk.cut_power(&mut |bound| random.below(bound));
            let opened = open(&disk, None);
            assert!(opened.records.is_empty(), "nothing was written before there was a journal");
            continue;
        };
        writer.run(RECORDS).expect_err("the power went");
        disk.cut_power(&mut |bound| random.below(bound));
        let opened = check_after_power_cut(&disk, &writer);
        torn += u32::from(matches!(opened.verdict, Verdict::Torn { .. }));
        // And it goes on, and is cut off again.
        let mut writer = Writer { journal: opened.journal.unwrap(), from: writer.from, random: random.clone() };
        let end = writer.journal.next() + 1;
        writer.run(end).unwrap();
        disk.fail_call(disk.calls() + random.below(12), Fault::PowerCut);
        let _ = writer.run(end + 200);
        disk.cut_power(&mut |bound| random.below(bound));
        check_after_power_cut(&disk, &writer);
    }
    assert!(torn > calls as u32 / 10, "{torn} of {calls} tore a batch");
}

/// Each of the many ways in which one batch can be torn is told from the end and from damage.
#[test]
fn a_torn_batch_is_dropped_whatever_is_missing_of_it() {
    let (disk, mut writer) = written(700);
    let next = writer.journal.next();
    for sequence in next..next + 3 {
        writer.journal.append(sequence, &[&[sequence as u8; 1000]]).unwrap();
    }
    disk.fail_call(disk.calls(), Fault::PowerCut);
    writer.journal.sync().unwrap_err();
    let sectors = 7;
    for survivors in 0..1_u32 << sectors {
        let disk = disk.fork();
        // First the choice of names; then the sectors before the batch in its page, which are written again as they are.
        let before = 1 + writer.journal.batch.start() % PAGE_SECTORS;
        let mut choices = (0..before).map(|_| true).chain((0..).map(|sector| survivors >> sector & 1 == 1));
        disk.cut_power(&mut |bound| if choices.next().unwrap() { bound - 1 } else { 0 });
        let opened = open(&disk, writer.from);
        let expected = match sectors - survivors.count_ones() {
            0 => Verdict::Whole,
            missing if missing == sectors => Verdict::Whole,
            missing => Verdict::Torn { sectors, missing },
        };
        assert_eq!(
            (opened.verdict, opened.end.sequence),
            (expected, next + if survivors.count_ones() == sectors { 3 } else { 0 })
        );
        // A shorter batch in its place, and what was left of the longer one is no damage.
        let mut journal = opened.journal.unwrap();
        let next = journal.next();
        journal.append(next, &[b"short"]).unwrap();
        journal.sync().unwrap();
        let opened = open(&disk, writer.from);
        assert_eq!((opened.verdict, opened.end.sequence), (Verdict::Whole, next + 1), "survivors {survivors:b}");
    }
}

/// A sync that failed says nothing of what the disk has; the cache goes on showing what was written.
#[test]
fn what_was_read_after_a_failed_sync_is_durable_before_it_is_trusted() {
    let (disk, mut writer) = written(300);
    let next = writer.journal.next();
    writer.journal.append(next, &[&record(next)]).unwrap();
    disk.fail_call(disk.calls() + 1, Fault::Error);
    writer.journal.sync().unwrap_err();
    assert_eq!(Journal::read(&disk, OWNER, writer.from).unwrap().end.sequence, next + 1);
    let unconfirmed = disk.fork();
    unconfirmed.cut_power(&mut |_| 0);
    assert_eq!(open(&unconfirmed, writer.from).end.sequence, next, "it was not durable");
    let opened = open(&disk, writer.from);
    assert_eq!((opened.verdict, opened.end.sequence), (Verdict::Whole, next + 1));
    disk.cut_power(&mut |_| 0);
    check_records(&open(&disk, writer.from), writer.from);
    assert_eq!(open(&disk, writer.from).end.sequence, next + 1);
}
