//! Bytes <-> messages: versioned, checksummed, every length bounded. Byte diagrams in docs/wire-format.md.
//!
//! A connection carries frames, one message each: a header of [`HEADER_BYTES`] and a body. [`encode_message`] and its sisters
//! append a frame to a buffer; [`decode`] takes the next one off a buffer and leaves what follows it. Payloads are not copied:
//! they are slices of the buffer they were received in.
//!
//! ```
//! use bytes::BytesMut;
//! use viewstamped_protocol::codec::{Frame, Hello, Limits, Purpose, VERSION, decode, encode};
//! use viewstamped_protocol::{ClusterId, Incarnation};
//!
//! let hello = Hello {
//!     cluster: ClusterId(7),
//!     node: None,
//!     incarnation: Incarnation::ZERO,
//!     purpose: Purpose::Client,
//!     version: VERSION,
//!     process: 7,
//!     durability: None,
//! };
//! let mut buffer = BytesMut::new();
//! encode(&Frame::Hello(hello), &mut buffer);
//! assert_eq!(decode(&mut buffer, &Limits::default())?, Some(Frame::Hello(hello)));
//! assert_eq!(decode(&mut buffer, &Limits::default())?, None, "nothing more has arrived");
//! # Ok::<(), viewstamped_protocol::codec::DecodeError>(())
//! ```

mod checkpoint;
mod client;
mod configuration;
mod connection;
mod entries;
mod error;
mod header;
mod journal;
mod pages;
mod reader;
mod replica;

use bytes::{Bytes, BytesMut};

pub use checkpoint::{decode_checkpoint_header, encode_checkpoint_header};
pub use client::{REASON_BYTES_MAX, RESUMED_SLOTS_MAX, encode_from_client, encode_to_client};
pub use configuration::ADDRESS_BYTES_MAX;
pub use connection::{ForceRecover, Hello, Purpose};
pub use error::DecodeError;
pub use header::{HEADER_BYTES, MAGIC, VERSION};
pub use journal::{decode_record, encode_record};
pub use reader::{KEPT_FRAME_BYTES, NUMBER_MAX};
pub use replica::encode_message;

use crate::message::{FromClient, Message, ToClient};
use header::{Envelope, Kind, Prologue};
use reader::Reader;

/// How much a peer or a client may send in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The longest frame accepted, in bytes, its header included. Default 16 MiB and a header: room for many times the largest
    /// run of entries that is sent by default, and still little enough to hold one for every peer.
    pub frame_bytes_max: usize,
}

/// The default of [`Limits::frame_bytes_max`], without the header.
const BODY_BYTES_MAX: usize = 16 << 20;
/// More than all other fields of a message need together.
const FIELDS_BYTES_MAX: usize = 64 << 10;

impl Default for Limits {
    fn default() -> Self {
        Self { frame_bytes_max: HEADER_BYTES + BODY_BYTES_MAX }
    }
}

impl Limits {
    /// What a replica accepts from another one, and a client from a replica, when operations have at most
    /// `operation_bytes_max` bytes: the default, or one operation if that is more.
    #[must_use]
    pub fn for_peers(operation_bytes_max: u32) -> Self {
        let body = (operation_bytes_max as usize).saturating_add(FIELDS_BYTES_MAX).max(BODY_BYTES_MAX);
        Self { frame_bytes_max: body.saturating_add(HEADER_BYTES) }
    }

    /// What a replica accepts from a client. Twice the largest operation: one that is a little too large is then refused by
    /// name, and the connection lives on; only one far beyond the limit ends it.
    #[must_use]
    pub fn for_clients(operation_bytes_max: u32) -> Self {
        let body = (operation_bytes_max as usize).saturating_mul(2).saturating_add(FIELDS_BYTES_MAX);
        Self { frame_bytes_max: body.saturating_add(HEADER_BYTES) }
    }
}

/// Everything that travels on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// From one replica to another.
    Replica(Message),
    /// From a client to a replica.
    FromClient(FromClient),
    /// From a replica to a client.
    ToClient(ToClient),
    /// The first frame of each side of a connection.
    Hello(Hello),
    /// Asks a replica how it is. Answered by [`Frame::Status`].
    StatusRequest,
    /// How a replica is: JSON written by the runtime.
    Status(Bytes),
    /// An operator accepts what is lost when the group begins again (docs/deviations.md, C5). Answered by [`Frame::Status`].
    ForceRecover(ForceRecover),
}

/// Appends the frame to `out`.
pub fn encode(frame: &Frame, out: &mut BytesMut) {
    match frame {
        Frame::Replica(message) => encode_message(message, out),
        Frame::FromClient(message) => encode_from_client(message, out),
        Frame::ToClient(message) => encode_to_client(message, out),
        Frame::Hello(hello) => connection::encode_hello(hello, out),
        Frame::StatusRequest => connection::encode_status_request(out),
        Frame::Status(status) => connection::encode_status(status, out),
        Frame::ForceRecover(consent) => connection::encode_force_recover(consent, out),
    }
}

/// Takes the next frame off the front of `buffer`; `None` when it has not arrived as a whole, and `buffer` is as it was.
///
/// Whatever the first bytes of a header show to be wrong is refused as soon as they are there: nobody waits, or makes room, for
/// the rest of something that is not a frame or is too long.
///
/// # Errors
/// When the bytes are no frame that is allowed. The connection cannot be used any more: where the next frame starts is unknown.
pub fn decode(buffer: &mut BytesMut, limits: &Limits) -> Result<Option<Frame>, DecodeError> {
    let Some(Prologue { kind, frame_bytes }) = Prologue::parse(buffer, limits)? else { return Ok(None) };
    if buffer.len() < frame_bytes {
        return Ok(None);
    }
    let frame = buffer.split_to(frame_bytes).freeze();
    header::verify_checksum(kind, &frame)?;
    let mut reader = Reader::new(kind.name(), &frame);
    let envelope = Envelope::decode(&mut reader)?;
    let decoded = decode_body(kind, &envelope, &mut reader)?;
    reader.finish()?;
    Ok(Some(decoded))
}

fn decode_body(kind: Kind, envelope: &Envelope, reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    match kind {
        Kind::Hello => connection::decode_hello(envelope, reader).map(Frame::Hello),
        Kind::StatusRequest => connection::decode_status_request(envelope, reader),
        Kind::Status => connection::decode_status(envelope, reader),
        Kind::ForceRecover => connection::decode_force_recover(envelope, reader).map(Frame::ForceRecover),
        Kind::Request | Kind::Register | Kind::Resume | Kind::TakeCheckpoint => {
            client::decode_from_client(kind, envelope, reader).map(Frame::FromClient)
        }
        Kind::Reply
        | Kind::Registered
        | Kind::Resumed
        | Kind::CheckpointTaken
        | Kind::Redirect
        | Kind::Busy
        | Kind::Refused
        | Kind::NoSession
        | Kind::NotServing => client::decode_to_client(kind, envelope, reader).map(Frame::ToClient),
        _ => replica::decode_message(kind, envelope, reader).map(Frame::Replica),
    }
}

/// How many bytes more `buffer` needs before [`decode`] can go on: up to the end of the header, or of the frame. A hint for
/// reserving room, to be asked after [`decode`] has returned `None`, and so has checked the length against the limit.
#[must_use]
pub fn needed(buffer: &[u8]) -> usize {
    let wanted = header::declared_frame_bytes(buffer).unwrap_or(HEADER_BYTES);
    wanted.saturating_sub(buffer.len())
}
