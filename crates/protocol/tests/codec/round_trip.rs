//! What is encoded is decoded.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use viewstamped_protocol::codec::{
    Frame, HEADER_BYTES, Limits, REASON_BYTES_MAX, decode, encode, encode_from_client, encode_message,
    encode_to_client, needed,
};
use viewstamped_protocol::message::{ClientReply, ClientRequest, Header, RefusedReason};
use viewstamped_protocol::*;

use crate::strategies::frame;
use crate::{decoded, encoded};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_frame_survives_the_wire(frame in frame()) {
        prop_assert_eq!(decoded(&encoded(&frame)), Ok(Some(frame)));
    }

    #[test]
    fn frames_that_follow_each_other_are_told_apart(frames in prop::collection::vec(frame(), 1..5)) {
        let mut buffer = BytesMut::new();
        frames.iter().for_each(|frame| encode(frame, &mut buffer));
        for frame in frames {
            prop_assert_eq!(decode(&mut buffer, &Limits::default()), Ok(Some(frame)));
        }
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn borrowed_messages_are_encoded_as_their_frames(frame in frame()) {
        let mut out = BytesMut::new();
        match &frame {
            Frame::Replica(message) => encode_message(message, &mut out),
            Frame::FromClient(message) => encode_from_client(message, &mut out),
            Frame::ToClient(message) => encode_to_client(message, &mut out),
            Frame::Hello(_) | Frame::StatusRequest | Frame::Status(_) | Frame::ForceRecover(_) => return Ok(()),
        }
        prop_assert_eq!(out, encoded(&frame));
    }

    /// A reader that reserves what `needed` says never waits for more than there is, and ends with the frame.
    #[test]
    fn reading_what_is_needed_completes_the_frame(frame in frame()) {
        let bytes = encoded(&frame);
        let mut buffer = BytesMut::new();
        prop_assert_eq!(needed(&buffer), HEADER_BYTES);
        for _ in 0..2 {
            let missing = needed(&buffer);
            buffer.put_slice(&bytes[buffer.len()..][..missing]);
        }
        prop_assert_eq!(decode(&mut buffer, &Limits::default()), Ok(Some(frame)));
    }
}

/// The log keeps operations for long. A small one must not keep the buffer it was received in, which is shared with others; a
/// large one fills its buffer, and copying it would cost more than it saves.
#[test]
fn small_operations_are_copied_out_of_the_receive_buffer_and_large_ones_are_not() {
    for (length, is_copied) in [(1_000, true), (100_000, false)] {
        let body = ClientRequest::Operation {
            session: SessionNumber(1),
            slot: 0,
            number: RequestNumber(1),
            payload: Bytes::from(vec![7; length]),
        };
        let message = FromClient { cluster: ClusterId(1), epoch: EpochNumber(0), client: ClientId(1), body };
        let mut buffer = BytesMut::new();
        encode_from_client(&message, &mut buffer);
        let place = buffer.as_ptr_range();
        let Ok(Some(Frame::FromClient(FromClient { body: ClientRequest::Operation { payload, .. }, .. }))) =
            decode(&mut buffer, &Limits::default())
        else {
            panic!("a request was encoded")
        };
        assert_eq!(payload, vec![7; length]);
        assert_eq!(payload.as_ptr_range().end != place.end, is_copied, "{length} bytes");
    }
}

/// A service's reason may be of any length; the client gets as much of it as a frame may carry.
#[test]
fn an_overlong_reason_is_cut_between_two_characters() {
    let header = Header {
        cluster: ClusterId(1),
        epoch: EpochNumber(0),
        view: ViewNumber(0),
        from: NodeId(0),
        incarnation: Incarnation(1),
    };
    let refused = |text: &str| {
        let reason = RefusedReason::Invalid(text.into());
        let body = ClientReply::Refused { session: SessionNumber(1), slot: 0, number: RequestNumber(1), reason };
        Frame::ToClient(ToClient { header, client: ClientId(1), body })
    };
    let (fits, too_long) = ("ß".repeat(REASON_BYTES_MAX / 2), "ß".repeat(REASON_BYTES_MAX));
    assert_eq!(decoded(&encoded(&refused(&fits))), Ok(Some(refused(&fits))));
    assert_eq!(decoded(&encoded(&refused(&too_long))), Ok(Some(refused(&fits))));
    let between = format!("x{too_long}");
    let cut = format!("x{}", "ß".repeat(REASON_BYTES_MAX / 2 - 1));
    assert_eq!(decoded(&encoded(&refused(&between))), Ok(Some(refused(&cut))));
}
