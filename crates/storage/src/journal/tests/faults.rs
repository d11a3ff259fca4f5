//! The disk reports errors, or is full.

use super::*;
use crate::io::Fault;

/// Journals on, trying again after each error as a runtime does. Returns the errors.
fn run_through_errors(writer: &mut Writer, end: u64) -> Vec<JournalError> {
    let mut errors = Vec::new();
    while errors.len() < 5 && (writer.journal.next() < end || writer.journal.durable_before() < end) {
        let result = match writer.journal.sync() {
            Ok(()) => writer.run(end),
            Err(error) => Err(error),
        };
        writer.checkpoint();
        errors.extend(result.err());
    }
    errors
}

#[test]
fn an_error_or_a_full_disk_at_any_call_loses_nothing() {
    let calls = written(600).0.calls();
    for fault in [Fault::Error, Fault::NoSpace] {
        for call in 0..calls {
            let disk = SimulatedDisk::new();
            disk.fail_call(call, fault);
            let Ok(mut writer) = Writer::new(&disk) else {
                assert!(Writer::new(&disk).is_ok(), "a journal can be created later");
                continue;
            };
            let errors = run_through_errors(&mut writer, 600);
            let is_poisoned = matches!(errors[..], [JournalError::Poisoned { .. }, ..]);
            assert!(is_poisoned || matches!(errors[..], [JournalError::Io { .. }]), "{call}: {errors:?}");
            assert!(is_poisoned || writer.journal.durable_before() >= 600);
            let mut random = Random(call);
            disk.cut_power(&mut |bound| random.below(bound));
            let opened = open(&disk, writer.from);
            assert!(opened.verdict.is_certain(), "{call}: {:?}", opened.verdict);
            check_records(&opened, writer.from);
            assert!(opened.end.sequence >= writer.journal.durable_before());
        }
    }
}

#[test]
fn a_failed_sync_poisons_the_journal_for_good() {
    let (disk, mut writer) = written(300);
    let journal = &mut writer.journal;
    let next = journal.next();
    journal.append(next, &[b"unknown"]).unwrap();
    disk.fail_call(disk.calls() + 1, Fault::Error);
    let error = journal.sync().unwrap_err();
    assert!(matches!(error, JournalError::Poisoned { .. }), "{error}");
    assert!(error.to_string().contains("restart the replica"), "{error}");
    assert_eq!(journal.durable_before(), next);
    journal.mark_broken();
    for error in [
        journal.sync().unwrap_err(),
        journal.append(next, &[b"more"]).unwrap_err(),
        journal.begin_again(next + 9, &[b"everything"]).unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::Poisoned { .. }), "{error}");
    }
}

#[test]
fn a_full_disk_stops_the_journal_and_space_lets_it_go_on() {
    let disk = SimulatedDisk::new();
    disk.set_space(Some(60 << 10));
    let mut writer = Writer::new(&disk).unwrap();
    let error = writer.run(600).unwrap_err();
    assert!(
        matches!(&error, JournalError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
    assert!(error.to_string().contains("free some space"), "{error}");
    check_records(&open(&disk, writer.from), writer.from);
    writer.journal.sync().unwrap_err();
    disk.set_space(None);
    writer.journal.sync().unwrap();
    writer.run(600).unwrap();
    disk.cut_power(&mut |_| 0);
    assert_eq!(open(&disk, writer.from).end.sequence, writer.journal.next());
    check_records(&open(&disk, writer.from), writer.from);
}

/// What an abandoned batch left behind is not taken for a batch, nor for damage, whatever is written over it.
#[test]
fn a_batch_that_was_given_up_after_an_error_leaves_no_doubt() {
    for length in [100, 1000, 9000] {
        let (disk, mut writer) = written(300);
        let journal = &mut writer.journal;
        let next = journal.next();
        journal.append(next, &[&vec![7; length]]).unwrap();
        disk.fail_call(disk.calls(), Fault::NoSpace);
        journal.sync().unwrap_err();
        journal.mark_broken();
        assert_eq!(journal.next(), next);
        assert!(open(&disk, writer.from).verdict.is_certain());
        let again = writer.journal.next() + 5;
        writer.journal.begin_again(again, &[b"everything"]).unwrap();
        writer.journal.sync().unwrap();
        let from = writer.journal.position_of(again);
        disk.cut_power(&mut |_| 0);
        let opened = open(&disk, from);
        assert_eq!((opened.verdict, opened.end.sequence), (Verdict::Whole, again + 1));
        assert_eq!(opened.records[0].bytes, &b"everything"[..]);
    }
}
