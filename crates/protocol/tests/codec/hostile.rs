//! Damaged, truncated, giant and malicious frames: refused, at once where possible, without a panic.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use viewstamped_protocol::codec::{
    DecodeError, ForceRecover, Frame, HEADER_BYTES, Hello, Limits, MAGIC, NUMBER_MAX, Purpose, VERSION, decode,
};
use viewstamped_protocol::crash_vector::CrashVector;
use viewstamped_protocol::log::{Entry, Request};
use viewstamped_protocol::message::*;
use viewstamped_protocol::*;

use crate::strategies::frame;
use crate::{decoded, encoded, resealed};

/// Where the entries begin in the body of a PREPARE, with the op-number below them and the two hashes: behind the commit-number and
/// the checkpoint of a quorum.
const RUN_AT: usize = 8 + 8 + 40;

/// Where the length of the body stands in a header.
const BODY_BYTES_AT: usize = 8;

fn message(body: Body) -> Frame {
    let header = Header {
        cluster: ClusterId(1),
        epoch: EpochNumber(0),
        view: ViewNumber(0),
        from: NodeId(0),
        incarnation: Incarnation(1),
    };
    Frame::Replica(Message { header, body })
}

fn entry(previous: ChainHash, op: u64) -> Entry {
    let stamp = Viewstamp { ballot: Ballot::default(), op: OpNumber(op) };
    Entry::new(previous, stamp, Timestamp(op), Request::Register { client: ClientId(1), slots: 1 })
}

fn prepare(entries: Vec<Entry>) -> Frame {
    message(Body::Prepare(Prepare {
        previous: ChainHash(5),
        entries,
        commit: OpNumber(0),
        checkpoint: QuorumCheckpoint::default(),
    }))
}

/// Whether the last field goes on to the end of the frame, so that a shorter or longer frame has a shorter or longer one.
fn ends_in_a_payload(frame: &Frame) -> bool {
    match frame {
        Frame::FromClient(message) => matches!(message.body, ClientRequest::Operation { .. }),
        Frame::ToClient(message) => matches!(message.body, ClientReply::Reply { .. }),
        Frame::Status(_) => true,
        Frame::Replica(message) => matches!(message.body, Body::Predict(_) | Body::PredictOk(_)),
        Frame::Hello(_) | Frame::StatusRequest | Frame::ForceRecover(_) => false,
    }
}

/// The error of the frame with `bytes` put over its body from `at` on, and a checksum that fits.
fn tampered(frame: &Frame, at: usize, bytes: &[u8]) -> DecodeError {
    let mut tampered = encoded(frame).to_vec();
    tampered[HEADER_BYTES + at..][..bytes.len()].copy_from_slice(bytes);
    decoded(&resealed(tampered)).expect_err("tampered with")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_truncated_frame_is_not_there_yet(frame in frame()) {
        let bytes = encoded(&frame);
        for length in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes[..length]);
            prop_assert_eq!(decode(&mut buffer, &Limits::default()), Ok(None), "cut to {} bytes", length);
            prop_assert_eq!(&buffer, &bytes[..length], "the buffer is as it was");
        }
    }

    #[test]
    fn a_body_that_was_cut_short_is_refused(frame in frame(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        prop_assume!(bytes.len() > HEADER_BYTES);
        let length = HEADER_BYTES + cut.index(bytes.len() - HEADER_BYTES);
        let mut short = bytes[..length].to_vec();
        short[BODY_BYTES_AT..][..4].copy_from_slice(&u32::try_from(length - HEADER_BYTES).unwrap().to_le_bytes());
        let result = decoded(&resealed(short));
        prop_assert!(result.is_err() || (ends_in_a_payload(&frame) && result != Ok(Some(frame))));
    }

    #[test]
    fn a_body_with_something_after_it_is_refused(frame in frame()) {
        let mut long = encoded(&frame).to_vec();
        long.push(0);
        let body_bytes = u32::try_from(long.len() - HEADER_BYTES).unwrap();
        long[BODY_BYTES_AT..][..4].copy_from_slice(&body_bytes.to_le_bytes());
        let result = decoded(&resealed(long));
        prop_assert!(result.is_err() || (ends_in_a_payload(&frame) && result != Ok(Some(frame))));
    }

    #[test]
    fn flipped_bits_are_noticed(frame in frame(), flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let mut bytes = encoded(&frame).to_vec();
        let places: std::collections::BTreeSet<usize> = flips.iter().map(|flip| flip.index(bytes.len() * 8)).collect();
        places.iter().for_each(|place| bytes[place / 8] ^= 1 << (place % 8));
        // A length that became larger lets the reader wait; it ends with the checksum, or with the connection.
        prop_assert!(matches!(decoded(&bytes), Err(_) | Ok(None)), "bits {:?}", places);
    }

    #[test]
    fn damage_under_a_fitting_checksum_never_panics(
        frame in frame(),
        place in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let mut damaged = encoded(&frame).to_vec();
        let start = 16 + place.index(damaged.len() - 16);
        damaged[start..].iter_mut().zip(&bytes).for_each(|(old, new)| *old = *new);
        if let Ok(Some(other)) = decoded(&resealed(damaged.clone())) {
            prop_assert_eq!(encoded(&other), resealed(damaged), "a frame has one encoding");
        }
    }

    #[test]
    fn garbage_is_refused_with_its_first_byte(garbage in prop::collection::vec(any::<u8>(), 1..200)) {
        prop_assume!(garbage[0] != MAGIC[0]);
        let found = |length: usize| DecodeError::Magic { found: garbage[..garbage.len().min(length)].to_vec() };
        prop_assert_eq!(decoded(&garbage), Err(found(4)));
        prop_assert_eq!(decoded(&garbage[..1]), Err(found(1)));
    }

    #[test]
    fn garbage_in_a_proper_header_never_panics(kind in 0..0x320u16, body in prop::collection::vec(any::<u8>(), 48..300)) {
        let mut frame = MAGIC.to_vec();
        frame.extend(VERSION.to_le_bytes());
        frame.extend(kind.to_le_bytes());
        frame.extend(u32::try_from(body.len() - 48).unwrap().to_le_bytes());
        frame.extend([0; 4]);
        frame.extend(body);
        if let Ok(Some(other)) = decoded(&resealed(frame.clone())) {
            prop_assert_eq!(encoded(&other), resealed(frame), "a frame has one encoding");
        }
    }
}

#[test]
fn text_protocols_are_not_taken_for_ours() {
    for start in ["GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00", "PRI * HTTP/2.0"] {
        let error = decoded(start.as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::Magic { .. }));
        assert!(error.to_string().contains("is this address meant for another program?"), "{error}");
    }
}

#[test]
fn another_version_has_an_error_of_its_own_before_anything_else_is_read() {
    let mut bytes = encoded(&Frame::StatusRequest).to_vec();
    bytes[4..6].copy_from_slice(&9u16.to_le_bytes());
    let error = decoded(&bytes[..6]).unwrap_err();
    assert_eq!(error, DecodeError::Version { found: 9 });
    assert_eq!(
        error.to_string(),
        "the sender speaks version 9 of the wire format and this program version 1; run releases that share one"
    );
}

#[test]
fn an_unknown_kind_is_refused_before_its_body() {
    let mut bytes = encoded(&Frame::StatusRequest).to_vec();
    bytes[6..8].copy_from_slice(&0x0999u16.to_le_bytes());
    assert_eq!(decoded(&bytes[..8]), Err(DecodeError::UnknownKind { found: 0x0999 }));
}

#[test]
fn a_giant_length_is_refused_before_anything_is_buffered() {
    let mut bytes = encoded(&Frame::Status(Bytes::new())).to_vec();
    bytes[BODY_BYTES_AT..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut buffer = BytesMut::from(&bytes[..12]);
    let capacity = buffer.capacity();
    let (found, max) = (u64::from(u32::MAX) + 64, HEADER_BYTES + (16 << 20));
    assert_eq!(decode(&mut buffer, &Limits::default()), Err(DecodeError::TooLong { frame: "STATUS", found, max }));
    assert_eq!(buffer.capacity(), capacity);
}

#[test]
fn a_frame_may_be_as_long_as_its_limit_and_not_a_byte_longer() {
    let limits = Limits { frame_bytes_max: HEADER_BYTES + 100 };
    let status = |length| encoded(&Frame::Status(Bytes::from(vec![b' '; length])));
    assert!(decode(&mut BytesMut::from(status(100)), &limits).unwrap().is_some());
    let error = decode(&mut BytesMut::from(status(101)), &limits).unwrap_err();
    assert_eq!(error.to_string(), "STATUS frame of 165 bytes exceeds the limit of 164 bytes");
}

#[test]
fn an_operation_somewhat_above_its_limit_still_gets_an_answer() {
    let limits = Limits::for_clients(1000);
    let body = ClientRequest::Operation {
        session: SessionNumber(1),
        slot: 0,
        number: RequestNumber(1),
        payload: Bytes::from(vec![0; 2000]),
    };
    let frame =
        Frame::FromClient(FromClient { cluster: ClusterId(1), epoch: EpochNumber(0), client: ClientId(1), body });
    assert_eq!(decode(&mut BytesMut::from(encoded(&frame)), &limits), Ok(Some(frame)));
    assert!(Limits::for_peers(64 << 20).frame_bytes_max > 64 << 20, "peers pass on the largest operation");
}

#[test]
fn entries_that_are_not_what_their_hash_says_are_refused() {
    let first = entry(ChainHash(5), 7);
    let frame = prepare(vec![first.clone(), entry(first.hash, 8)]);
    assert!(decoded(&encoded(&frame)).is_ok());
    for (what, at) in [("op-number", 0), ("hash below", 8), ("hash at the end", 24), ("an entry's timestamp", 60)] {
        let error = tampered(&frame, RUN_AT + at, &[99]);
        assert!(matches!(error, DecodeError::WrongHash { frame: "PREPARE", .. }), "{what}: {error}");
    }
}

#[test]
fn a_prepare_without_entries_is_refused() {
    let frame = prepare(Vec::new());
    assert_eq!(decoded(&encoded(&frame)), Err(DecodeError::NoEntries { frame: "PREPARE" }));
}

#[test]
fn a_suffix_that_does_not_end_at_the_head_of_its_log_is_refused() {
    let last = entry(ChainHash(5), 7);
    let start_view = |op, head| {
        let (commit, base, previous) = (OpNumber(0), OpNumber(0), ChainHash(5));
        message(Body::StartView(Box::new(StartView { op, commit, base, head, previous, suffix: vec![last.clone()] })))
    };
    assert!(decoded(&encoded(&start_view(OpNumber(7), last.hash))).is_ok());
    let frame = start_view(OpNumber(7), last.hash);
    let error = tampered(&frame, 0, &8u64.to_le_bytes());
    assert_eq!(error, DecodeError::WrongEnd { frame: "STARTVIEW", found: 7, expected: 8 });
    let error = tampered(&frame, 24 + 8 + 16, &[0; 16]);
    let expected = ChainHash(0);
    assert_eq!(error, DecodeError::WrongHash { frame: "STARTVIEW", found: last.hash, expected });
}

#[test]
fn more_entries_than_the_frame_has_bytes_for_are_refused_before_making_room() {
    let frame = prepare(vec![entry(ChainHash(5), 1)]);
    let error = tampered(&frame, RUN_AT + 40, &u32::MAX.to_le_bytes());
    let found = u64::from(u32::MAX);
    assert_eq!(error, DecodeError::TooMany { frame: "PREPARE", field: "entries", found, max: 1 });
}

#[test]
fn nobody_can_make_a_counter_overflow() {
    let frame = message(Body::PrepareOk(PrepareOk {
        op: OpNumber(1),
        head: ChainHash(5),
        checkpoint: CheckpointId::default(),
    }));
    let found = NUMBER_MAX + 1;
    let error = tampered(&frame, 0, &found.to_le_bytes());
    assert_eq!(error, DecodeError::NumberTooLarge { frame: "PREPAREOK", field: "op-number", found });
    let request = RequestId { client: ClientId(1), session: SessionNumber(1), slot: 0, number: RequestNumber(1) };
    let frame = message(Body::PredictOk(Box::new(PredictOk { request, value: Bytes::new() })));
    for (field, at) in [("session", 16), ("request-number", 24)] {
        let error = tampered(&frame, at, &found.to_le_bytes());
        assert_eq!(error, DecodeError::NumberTooLarge { frame: "PREDICTOK", field, found });
    }
    let frame = prepare(vec![entry(ChainHash(5), 1)]);
    let error = tampered(&frame, RUN_AT, &NUMBER_MAX.to_le_bytes());
    let field = "op-number of the last entry";
    assert_eq!(error, DecodeError::NumberTooLarge { frame: "PREPARE", field, found });
}

#[test]
fn a_crash_vector_names_its_nodes_in_order_and_once() {
    let crash_vector: CrashVector = [(NodeId(1), Incarnation(1)), (NodeId(2), Incarnation(1))].into_iter().collect();
    let frame =
        message(Body::RecoveryResponse(Box::new(RecoveryResponse { nonce: Nonce(1), crash_vector, primary: None })));
    let second_node = 16 + 4 + 16;
    for found in [0u64, 1] {
        let error = tampered(&frame, second_node, &found.to_le_bytes());
        assert_eq!(error, DecodeError::Disorder { frame: "RECOVERYRESPONSE", found, after: 1 });
    }
}

#[test]
fn members_that_make_no_configuration_are_refused() {
    let member = |id: u64| Member { id: NodeId(id), role: Role::Active, address: format!("h:{id}") };
    let configuration = Configuration::new(EpochNumber(0), vec![member(1), member(2)]).unwrap();
    let options = ClusterOptions::default();
    let frame = message(Body::ConfigurationInfo(ConfigurationInfo { configuration, options }));
    let second_id = 4 * ClusterOptions::COUNT + 8 + 4 + (8 + 1 + 4 + 3);
    let error = tampered(&frame, second_id, &1u64.to_le_bytes());
    assert_eq!(error, DecodeError::Configuration(ConfigurationError::DuplicateId(NodeId(1))));
    let error = tampered(&frame, second_id + 8, &[7]);
    assert_eq!(error, DecodeError::Choice { frame: "CONFIGURATION", field: "role of a member", found: 7 });
}

#[test]
fn a_field_that_a_frame_does_not_use_must_be_zero() {
    let hello = Hello {
        cluster: ClusterId(1),
        node: None,
        incarnation: Incarnation(0),
        purpose: Purpose::Client,
        version: VERSION,
        process: 0,
        durability: None,
    };
    let request = FromClient {
        cluster: ClusterId(1),
        epoch: EpochNumber(0),
        client: ClientId(1),
        body: ClientRequest::Register { slots: 1 },
    };
    let consent = Frame::ForceRecover(ForceRecover { cluster: ClusterId(1), without: BTreeSet::new() });
    for (frame, at, name, field) in [
        (Frame::Hello(hello), 40, "HELLO", "view"),
        (Frame::Hello(hello), 48, "HELLO", "node"),
        (Frame::FromClient(request), 40, "REGISTER", "view"),
        (Frame::StatusRequest, 16, "STATUSREQUEST", "cluster"),
        (Frame::StatusRequest, 63, "STATUSREQUEST", "sender"),
        (consent, 40, "FORCERECOVER", "view"),
    ] {
        let mut bytes = encoded(&frame).to_vec();
        bytes[at] = 1;
        assert_eq!(decoded(&resealed(bytes)), Err(DecodeError::Unused { frame: name, field }));
    }
}

#[test]
fn members_given_up_are_named_once_and_in_order_and_no_more_than_a_group_has() {
    let without = BTreeSet::from([NodeId(1), NodeId(2)]);
    let frame = Frame::ForceRecover(ForceRecover { cluster: ClusterId(1), without });
    for found in [0_u64, 1] {
        let error = tampered(&frame, 4 + 8, &found.to_le_bytes());
        assert_eq!(error, DecodeError::Disorder { frame: "FORCERECOVER", found, after: 1 });
    }
    assert!(matches!(tampered(&frame, 0, &3_u32.to_le_bytes()), DecodeError::TooMany { .. }));
}
