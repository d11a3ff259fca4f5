//! The wire format from outside: what is encoded is decoded, and nothing else is. docs/wire-format.md.

mod golden;
mod hostile;
mod journal;
mod round_trip;
mod strategies;

use bytes::{Bytes, BytesMut};
use viewstamped_protocol::codec::{DecodeError, Frame, Limits, decode, encode};

/// The bytes of one frame.
fn encoded(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    encode(frame, &mut out);
    out.freeze()
}

/// What the default limits make of these bytes.
fn decoded(bytes: &[u8]) -> Result<Option<Frame>, DecodeError> {
    decode(&mut BytesMut::from(bytes), &Limits::default())
}

/// The frame with a checksum that fits its bytes, whatever was done to them.
fn resealed(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[16..]);
    frame[12..16].copy_from_slice(&checksum.to_le_bytes());
    frame
}
