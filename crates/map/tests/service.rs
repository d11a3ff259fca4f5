//! What the operations do to the replicated state.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use viewstamped_map::{LIST_REPLY_BYTES_MAX, Map, Operation, Reply};
use viewstamped_protocol::{ClientId, OpNumber, Service, Timestamp};
use viewstamped_state::State;

fn execute_bytes(state: &mut State, payload: &Bytes) -> Bytes {
    let operation = viewstamped_protocol::Operation {
        op: OpNumber(1),
        timestamp: Timestamp(1),
        client: ClientId(1),
        payload,
        predicted: &Bytes::new(),
    };
    Map.execute(state, operation)
}

fn execute(state: &mut State, operation: Operation<'_>) -> Bytes {
    execute_bytes(state, &operation.encode().expect("within the limits"))
}

/// All pairs, page by page, as an export reads them.
fn pages(state: &mut State, prefix: &[u8], limit: u32) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pages: Vec<Vec<(Vec<u8>, Vec<u8>)>> = Vec::new();
    loop {
        let after = pages.last().map(|page| page.last().expect("no page but the last is empty").0.clone());
        let result = execute(state, Operation::List { prefix, after: after.as_deref().unwrap_or_default(), limit });
        let Ok(Reply::Page { pairs, more }) = Reply::decode(&result) else { panic!("LIST is answered by a page") };
        pages.push(pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect());
        if !more {
            return pages;
        }
    }
}

#[test]
fn put_get_and_delete_say_what_was_there() {
    let mut state = State::default();
    let put = |value| Operation::Put { key: b"k", value };
    let get = Operation::Get { key: b"k" };
    assert_eq!(execute(&mut state, get), Reply::Value(None).encode());
    assert_eq!(execute(&mut state, put(b"1")), Reply::Done { existed: false }.encode());
    assert_eq!(execute(&mut state, put(b"2")), Reply::Done { existed: true }.encode());
    assert_eq!(execute(&mut state, get), Reply::Value(Some(b"2")).encode());
    assert_eq!(Map.query(&state, &get.encode().unwrap()), Reply::Value(Some(b"2")).encode());
    assert_eq!(execute(&mut state, Operation::Delete { key: b"k" }), Reply::Done { existed: true }.encode());
    assert_eq!(execute(&mut state, Operation::Delete { key: b"k" }), Reply::Done { existed: false }.encode());
    assert_eq!(state, State::default());
}

#[test]
fn compare_and_swap_changes_only_what_is_as_expected() {
    let mut state = State::default();
    let swap = |expected, value| Operation::CompareAndSwap { key: b"k", expected, value };
    let (one, two) = (Some(b"1".as_slice()), Some(b"2".as_slice()));
    assert_eq!(execute(&mut state, swap(one, two)), Reply::NotSwapped { current: None }.encode());
    assert_eq!(execute(&mut state, swap(None, one)), Reply::Swapped.encode());
    assert_eq!(execute(&mut state, swap(None, two)), Reply::NotSwapped { current: one }.encode());
    assert_eq!(execute(&mut state, swap(one, two)), Reply::Swapped.encode());
    assert_eq!(state.get(b"k"), two);
    assert_eq!(execute(&mut state, swap(two, None)), Reply::Swapped.encode());
    assert!(state.is_empty());
}

#[test]
fn a_malformed_operation_changes_nothing_and_is_answered_with_the_reason() {
    let mut state = State::from_iter([("k", "v")]);
    let before = state.root();
    for payload in [b"".as_slice(), b"\x63", b"\x01\xff\xff", b"\x01\x01\x00k\x05\x00\x00\x00v"] {
        let result = execute_bytes(&mut state, &Bytes::copy_from_slice(payload));
        let reason = Map.validate(payload).expect_err("malformed");
        assert_eq!(Reply::decode(&result), Ok(Reply::Invalid(&reason)));
    }
    assert_eq!(state.root(), before);
}

#[test]
fn a_query_never_changes_the_map() {
    let state = State::from_iter([("k", "v")]);
    for operation in [Operation::Put { key: b"k", value: b"w" }, Operation::Delete { key: b"k" }] {
        let result = Map.query(&state, &operation.encode().unwrap());
        assert!(matches!(Reply::decode(&result), Ok(Reply::Invalid(_))), "{operation:?}");
        assert!(operation.is_write());
    }
}

#[test]
fn a_page_is_bounded_in_bytes_but_never_empty_while_there_is_more() {
    let mut state: State = (0..10u8).map(|n| (vec![n], vec![n; 20_000])).collect();
    state.insert(vec![4, 4], vec![0; 200_000]);
    let pages = pages(&mut state, b"", 0);
    for page in &pages {
        let bytes: usize = 2 + page.iter().map(|(key, value)| 6 + key.len() + value.len()).sum::<usize>();
        assert!(bytes <= LIST_REPLY_BYTES_MAX || page.len() == 1, "{} pairs in {bytes} bytes", page.len());
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 1, 3, 2]);
}

proptest! {
    #[test]
    fn pages_together_are_the_keys_with_the_prefix(
        pairs in prop::collection::btree_map(prop::collection::vec(0..3u8, 1..5), prop::collection::vec(any::<u8>(), 0..3), 0..40),
        prefix in prop::collection::vec(0..3u8, 0..3),
        limit in 0..5u32,
    ) {
        let mut state: State = pairs.clone().into_iter().collect();
        let pages = pages(&mut state, &prefix, limit);
        prop_assert!(pages.iter().all(|page| limit == 0 || page.len() <= limit as usize));
        let expected: BTreeMap<_, _> = pairs.into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
        prop_assert!(pages.into_iter().flatten().eq(expected));
    }

    #[test]
    fn garbage_never_panics(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut state = State::from_iter([("k", "v")]);
        let result = execute_bytes(&mut state, &payload.into());
        prop_assert!(Reply::decode(&result).is_ok());
    }
}
