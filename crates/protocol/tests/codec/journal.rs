//! The records of a journal: what is encoded is decoded, and damaged bytes are refused without a panic. docs/formats.md.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use viewstamped_protocol::codec::{DecodeError, decode_record, encode_record};
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::*;

use crate::strategies::record;

fn bytes_of(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_record_survives_the_disk(record in record()) {
        prop_assert_eq!(decode_record(&bytes_of(&record)), Ok(record));
    }

    #[test]
    fn a_record_of_any_other_length_is_refused(record in record()) {
        let bytes = bytes_of(&record);
        for length in 0..bytes.len() {
            prop_assert!(decode_record(&bytes.slice(..length)).is_err(), "cut to {} bytes", length);
        }
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        prop_assert_eq!(decode_record(&longer), Err(DecodeError::Trailing { frame: "journal", extra: 1 }));
    }

    #[test]
    fn damaged_bytes_are_decoded_or_refused_but_nothing_else(
        record in record(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes_of(&record).to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(record) = decode_record(&Bytes::from(bytes)) {
            // It may still be nonsense, which the fold refuses.
            let _ = Surviving::replay([record.clone()]);
            let _ = Surviving::replay([Record::Rebase(Box::default()), record]);
        }
    }

    #[test]
    fn whatever_the_bytes_they_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_record(&Bytes::from(bytes));
    }
}

/// Replicas of this and later releases must read what this release writes: docs/formats.md.
#[test]
fn the_bytes_are_those_of_the_documented_format() {
    let stamp = Viewstamp { ballot: Ballot { epoch: EpochNumber(0), view: ViewNumber(3) }, op: OpNumber(8) };
    let request = Request::Register { client: ClientId(9), slots: 4 };
    let entry = Entry::new(ChainHash(5), stamp, Timestamp(6), request);
    let recoveries = BTreeMap::from([(NodeId(1), Nonce(0xabc))]);
    let rebase = Rebase {
        incarnation: Incarnation(1),
        view: ViewNumber(4),
        log_view: ViewNumber(3),
        commit: OpNumber(7),
        base: OpNumber(7),
        base_hash: ChainHash(5),
        base_timestamp: Timestamp(2),
        crash_vector: [(NodeId(1), Incarnation(2))].into_iter().collect(),
        recoveries,
        entries: vec![entry.clone()],
    };
    let mut expected = vec![1];
    for number in [1u64, 4, 3, 7, 2] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend(0xabcu128.to_le_bytes());
    let mut run = 7u64.to_le_bytes().to_vec();
    run.extend(5u128.to_le_bytes());
    run.extend(entry.hash.0.to_le_bytes());
    run.extend([1, 0, 0, 0]);
    for number in [0u64, 3, 6] {
        run.extend(number.to_le_bytes());
    }
    run.extend(9u128.to_le_bytes());
    run.extend([2, 4, 0, 0, 0]);
    assert_eq!(bytes_of(&Record::Rebase(Box::new(rebase)))[..], [&expected[..], &run].concat());
    let append = Record::Append { entries: vec![entry.clone()], commit: OpNumber(7) };
    assert_eq!(bytes_of(&append)[..], [&[2, 7, 0, 0, 0, 0, 0, 0, 0], &run[..]].concat());
    let (view, after, previous) = (ViewNumber(5), OpNumber(7), ChainHash(5));
    let install = Record::Install { view, after, previous, entries: vec![entry], commit: OpNumber(7) };
    assert_eq!(bytes_of(&install)[..], [&[3, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0], &run[..]].concat());
    let promise = Record::View { view: ViewNumber(5), commit: OpNumber(7) };
    assert_eq!(bytes_of(&promise)[..], [4, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    let knowledge = Record::Knowledge { crash_vector: Default::default(), recoveries: BTreeMap::new() };
    assert_eq!(bytes_of(&knowledge)[..], [5, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes_of(&Record::Commit(OpNumber(258)))[..], [6, 2, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_record_without_entries_that_must_have_some_is_refused() {
    let install = Record::Install {
        view: ViewNumber(1),
        after: OpNumber(0),
        previous: ChainHash(0),
        entries: Vec::new(),
        commit: OpNumber(0),
    };
    let mut bytes = bytes_of(&install).to_vec();
    bytes.drain(1..9);
    bytes[0] = 2;
    assert_eq!(decode_record(&Bytes::from(bytes)), Err(DecodeError::NoEntries { frame: "journal" }));
}
