//! Operations and replies survive the wire, and nothing else does.

use proptest::prelude::*;
use viewstamped_map::{KEY_BYTES_MAX, Malformed, Map, Operation, Reply, VALUE_BYTES_MAX};
use viewstamped_protocol::Service;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 1..20), Just(vec![7; KEY_BYTES_MAX])]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..20), Just(vec![7; 70_000])]
}

fn assert_operation_survives(operation: Operation<'_>) {
    let payload = operation.encode().expect("within the limits");
    assert_eq!(Operation::decode(&payload), Ok(operation));
    assert_eq!(Map.validate(&payload), Ok(()));
    for length in 0..payload.len().min(100) {
        assert!(Operation::decode(&payload[..length]).is_err(), "cut to {length} bytes");
        assert!(Map.validate(&payload[..length]).is_err(), "cut to {length} bytes");
    }
    let longer = [&payload, [0].as_slice()].concat();
    assert_eq!(Operation::decode(&longer), Err(Malformed::Trailing { what: "operation", extra: 1 }));
}

fn assert_reply_survives(reply: &Reply<'_>) {
    let result = reply.encode();
    assert_eq!(Reply::decode(&result).as_ref(), Ok(reply));
    for length in 0..result.len().min(100) {
        // A page and a reason go on to the end; cut short they are shorter ones, or nothing.
        assert_ne!(Reply::decode(&result[..length]).as_ref(), Ok(reply), "cut to {length} bytes");
    }
}

proptest! {
    #[test]
    fn every_operation_survives_the_wire(
        key in key(),
        value in value(),
        other in proptest::option::of(value()),
        limit in any::<u32>(),
    ) {
        assert_operation_survives(Operation::Put { key: &key, value: &value });
        assert_operation_survives(Operation::Get { key: &key });
        assert_operation_survives(Operation::Delete { key: &key });
        assert_operation_survives(Operation::List { prefix: &key, after: b"", limit });
        assert_operation_survives(Operation::List { prefix: b"", after: &key, limit });
        let (expected, other) = (Some(value.as_slice()), other.as_deref());
        assert_operation_survives(Operation::CompareAndSwap { key: &key, expected, value: other });
        assert_operation_survives(Operation::CompareAndSwap { key: &key, expected: other, value: None });
    }

    #[test]
    fn every_reply_survives_the_wire(
        pairs in prop::collection::vec((key(), value()), 0..4),
        value in proptest::option::of(value()),
        yes in any::<bool>(),
        reason in ".{0,20}",
    ) {
        assert_reply_survives(&Reply::Done { existed: yes });
        assert_reply_survives(&Reply::Value(value.as_deref()));
        let pairs = pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
        assert_reply_survives(&Reply::Page { pairs, more: yes });
        assert_reply_survives(&Reply::Swapped);
        assert_reply_survives(&Reply::NotSwapped { current: value.as_deref() });
        assert_reply_survives(&Reply::Invalid(&reason));
    }

    #[test]
    fn whatever_decodes_is_encoded_as_it_was(bytes in prop::collection::vec(0..8u8, 0..40)) {
        if let Ok(operation) = Operation::decode(&bytes) {
            prop_assert_eq!(operation.encode().expect("decoded"), &bytes);
        }
        if let Ok(reply) = Reply::decode(&bytes) {
            prop_assert_eq!(reply.encode(), &bytes);
        }
    }
}

#[test]
fn keys_and_values_beyond_their_limits_are_refused_on_both_sides() {
    let (long_key, long_value) = (vec![1; KEY_BYTES_MAX + 1], vec![1; VALUE_BYTES_MAX + 1]);
    assert_eq!(Operation::Get { key: b"" }.encode(), Err(Malformed::EmptyKey));
    assert_eq!(Operation::Get { key: &long_key }.encode(), Err(Malformed::KeyTooLong(KEY_BYTES_MAX + 1)));
    assert_eq!(
        Operation::List { prefix: b"", after: &long_key, limit: 0 }.encode(),
        Err(Malformed::KeyTooLong(KEY_BYTES_MAX + 1))
    );
    for operation in [
        Operation::Put { key: b"k", value: &long_value },
        Operation::CompareAndSwap { key: b"k", expected: None, value: Some(&long_value) },
    ] {
        assert_eq!(operation.encode(), Err(Malformed::ValueTooLong(VALUE_BYTES_MAX + 1)));
    }
    assert_eq!(Operation::decode(&[2, 0, 0]), Err(Malformed::EmptyKey));
    assert_eq!(Operation::decode(&[2, 1, 16]), Err(Malformed::KeyTooLong(KEY_BYTES_MAX + 1)));
    assert_eq!(Operation::decode(&[1, 1, 0, b'k', 1, 0, 16, 0]), Err(Malformed::ValueTooLong(VALUE_BYTES_MAX + 1)));
}

#[test]
fn an_unknown_operation_is_named_in_the_reason() {
    let reason = Map.validate(&[99]).expect_err("there is no operation 99");
    assert_eq!(reason, "byte 99 stands for no operation that this version of the map knows");
    assert_eq!(Map.validate(&[]), Err("the operation ends 1 bytes too early".into()));
}
