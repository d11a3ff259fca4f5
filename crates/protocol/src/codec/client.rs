//! What clients and replicas say to each other.

use bytes::{BufMut, BytesMut};

use super::DecodeError;
use super::header::{Envelope, Kind, Sender, write_frame};
use super::reader::Reader;
use crate::message::{BusyReason, ClientReply, ClientRequest, FromClient, NotServingReason, RefusedReason, ToClient};
use crate::numbers::{ClientId, NodeId, Nonce, OpNumber, RequestNumber, SessionNumber, Slot, ViewNumber};

/// The most slots a RESUMED may speak of. 65,536: far beyond any useful `slots_max`, and half a mebibyte.
pub const RESUMED_SLOTS_MAX: usize = 1 << 16;

/// The longest reason for refusing an operation, in bytes; a longer one is cut when it is sent. 4 KiB: more is not a reason.
pub const REASON_BYTES_MAX: usize = 4 << 10;

/// Room for the fields of every message but the contents of variable length.
const FIELDS_ROOM: usize = 96;

const QUEUE_FULL: u8 = 1;
const LOG_FULL: u8 = 2;

const STALE_REQUEST: u8 = 1;
const DIFFERENT_OPERATION: u8 = 2;
const NO_SUCH_SLOT: u8 = 3;
const REPLY_LOST: u8 = 4;
const TOO_LARGE: u8 = 5;
const INVALID: u8 = 6;
const PANICKED: u8 = 7;

const STARTING: u8 = 1;
const RECOVERING: u8 = 2;
const QUORUM_LOST: u8 = 3;
const VIEW_CHANGE: u8 = 4;

/// Appends the frame of a message from a client.
pub fn encode_from_client(message: &FromClient, out: &mut BytesMut) {
    let FromClient { cluster, epoch, client, body } = message;
    let sender = Sender::client(*client);
    let envelope = Envelope { cluster: *cluster, epoch: *epoch, view: ViewNumber::ZERO, sender };
    let (kind, room) = match body {
        ClientRequest::Operation { payload, .. } => (Kind::Request, payload.len()),
        ClientRequest::Register { .. } => (Kind::Register, 0),
        ClientRequest::Resume { .. } => (Kind::Resume, 0),
        ClientRequest::TakeCheckpoint => (Kind::TakeCheckpoint, 0),
    };
    write_frame(out, kind, envelope, FIELDS_ROOM + room, |out| match body {
        ClientRequest::Operation { session, slot, number, payload } => {
            out.put_u64_le(session.0);
            out.put_u64_le(number.0);
            out.put_u32_le(*slot);
            out.put_slice(payload);
        }
        ClientRequest::Register { slots } => out.put_u32_le(*slots),
        ClientRequest::Resume { session, nonce } => {
            out.put_u64_le(session.0);
            out.put_u128_le(nonce.0);
        }
        ClientRequest::TakeCheckpoint => {}
    });
}

pub(super) fn decode_from_client(
    kind: Kind,
    envelope: &Envelope,
    reader: &mut Reader<'_>,
) -> Result<FromClient, DecodeError> {
    reader.unused("view", envelope.view == ViewNumber::ZERO)?;
    let body = match kind {
        Kind::Register => ClientRequest::Register { slots: reader.u32("slots")? },
        Kind::TakeCheckpoint => ClientRequest::TakeCheckpoint,
        Kind::Resume => ClientRequest::Resume { session: session(reader)?, nonce: Nonce(reader.u128("nonce")?) },
        _ => {
            debug_assert_eq!(kind, Kind::Request);
            let (session, slot, number) = request_name(reader)?;
            ClientRequest::Operation { session, slot, number, payload: reader.kept_rest() }
        }
    };
    let Envelope { cluster, epoch, sender, .. } = *envelope;
    Ok(FromClient { cluster, epoch, client: sender.as_client(), body })
}

/// Appends the frame of a message to a client.
pub fn encode_to_client(message: &ToClient, out: &mut BytesMut) {
    let (kind, room) = match &message.body {
        ClientReply::Reply { result, .. } => (Kind::Reply, result.len()),
        ClientReply::Registered { .. } => (Kind::Registered, 0),
        ClientReply::Resumed { numbers, .. } => (Kind::Resumed, 8 * numbers.len()),
        ClientReply::CheckpointTaken { .. } => (Kind::CheckpointTaken, 0),
        ClientReply::Redirect { .. } => (Kind::Redirect, 0),
        ClientReply::Busy { .. } => (Kind::Busy, 0),
        ClientReply::Refused { .. } => (Kind::Refused, 0),
        ClientReply::NoSession { .. } => (Kind::NoSession, 0),
        ClientReply::NotServing { .. } => (Kind::NotServing, 0),
    };
    write_frame(out, kind, Envelope::of(&message.header), FIELDS_ROOM + room, |out| {
        out.put_u128_le(message.client.0);
        encode_reply(&message.body, out);
    });
}

fn encode_reply(body: &ClientReply, out: &mut BytesMut) {
    match body {
        ClientReply::Reply { session, slot, number, op, result } => {
            put_request_name(out, *session, *slot, *number);
            out.put_u64_le(op.0);
            out.put_slice(result);
        }
        ClientReply::Registered { session, slots } => {
            out.put_u64_le(session.0);
            out.put_u32_le(*slots);
        }
        ClientReply::Resumed { old, nonce, session, numbers } => {
            debug_assert!(numbers.len() <= RESUMED_SLOTS_MAX);
            out.put_u64_le(old.0);
            out.put_u128_le(nonce.0);
            out.put_u64_le(session.0);
            out.put_u32_le(u32::try_from(numbers.len()).expect("at most RESUMED_SLOTS_MAX"));
            numbers.iter().for_each(|number| out.put_u64_le(number.0));
        }
        ClientReply::CheckpointTaken { op } => out.put_u64_le(op.0),
        ClientReply::Redirect { primary } => out.put_u64_le(primary.0),
        ClientReply::Busy { slot, number, reason } => {
            out.put_u8(u8::from(slot.is_some()));
            out.put_u32_le(slot.unwrap_or_default());
            out.put_u64_le(number.0);
            out.put_u8(match reason {
                BusyReason::QueueFull => QUEUE_FULL,
                BusyReason::LogFull => LOG_FULL,
            });
        }
        ClientReply::Refused { session, slot, number, reason } => {
            put_request_name(out, *session, *slot, *number);
            encode_refused_reason(reason, out);
        }
        ClientReply::NoSession { session } => out.put_u64_le(session.0),
        ClientReply::NotServing { reason } => out.put_u8(match reason {
            NotServingReason::Starting => STARTING,
            NotServingReason::Recovering => RECOVERING,
            NotServingReason::QuorumLost => QUORUM_LOST,
            NotServingReason::ViewChange => VIEW_CHANGE,
        }),
    }
}

fn encode_refused_reason(reason: &RefusedReason, out: &mut BytesMut) {
    match reason {
        RefusedReason::StaleRequest => out.put_u8(STALE_REQUEST),
        RefusedReason::DifferentOperation => out.put_u8(DIFFERENT_OPERATION),
        RefusedReason::NoSuchSlot => out.put_u8(NO_SUCH_SLOT),
        RefusedReason::ReplyLost => out.put_u8(REPLY_LOST),
        RefusedReason::Panicked => out.put_u8(PANICKED),
        RefusedReason::TooLarge(max) => {
            out.put_u8(TOO_LARGE);
            out.put_u32_le(*max);
        }
        RefusedReason::Invalid(text) => {
            let text = &text[..text.floor_char_boundary(REASON_BYTES_MAX)];
            out.put_u8(INVALID);
            out.put_u32_le(u32::try_from(text.len()).expect("at most REASON_BYTES_MAX"));
            out.put_slice(text.as_bytes());
        }
    }
}

pub(super) fn decode_to_client(
    kind: Kind,
    envelope: &Envelope,
    reader: &mut Reader<'_>,
) -> Result<ToClient, DecodeError> {
    let header = envelope.header(reader)?;
    let client = ClientId(reader.u128("client")?);
    let body = match kind {
        Kind::Registered => ClientReply::Registered { session: session(reader)?, slots: reader.u32("slots")? },
        Kind::Resumed => decode_resumed(reader)?,
        Kind::CheckpointTaken => {
            ClientReply::CheckpointTaken { op: OpNumber(reader.number("op-number of the checkpoint")?) }
        }
        Kind::Redirect => ClientReply::Redirect { primary: NodeId(reader.u64("primary")?) },
        Kind::Busy => decode_busy(reader)?,
        Kind::Refused => {
            let (session, slot, number) = request_name(reader)?;
            ClientReply::Refused { session, slot, number, reason: decode_refused_reason(reader)? }
        }
        Kind::NoSession => ClientReply::NoSession { session: session(reader)? },
        Kind::NotServing => ClientReply::NotServing { reason: decode_not_serving_reason(reader)? },
        _ => {
            debug_assert_eq!(kind, Kind::Reply);
            let (session, slot, number) = request_name(reader)?;
            let op = OpNumber(reader.number("op-number")?);
            ClientReply::Reply { session, slot, number, op, result: reader.kept_rest() }
        }
    };
    Ok(ToClient { header, client, body })
}

fn decode_resumed(reader: &mut Reader<'_>) -> Result<ClientReply, DecodeError> {
    let old = SessionNumber(reader.number("old session")?);
    let nonce = Nonce(reader.u128("nonce")?);
    let session = session(reader)?;
    let count = reader.count("slots", RESUMED_SLOTS_MAX, 8)?;
    let numbers = (0..count).map(|_| reader.number("request-number").map(RequestNumber)).collect::<Result<_, _>>()?;
    Ok(ClientReply::Resumed { old, nonce, session, numbers })
}

fn decode_busy(reader: &mut Reader<'_>) -> Result<ClientReply, DecodeError> {
    let has_slot = reader.bool("whether there is a slot")?;
    let slot = reader.u32("slot")?;
    reader.unused("slot", has_slot || slot == 0)?;
    let number = RequestNumber(reader.number("request-number")?);
    let reason = match reader.u8("reason")? {
        QUEUE_FULL => BusyReason::QueueFull,
        LOG_FULL => BusyReason::LogFull,
        found => return Err(reader.choice("reason", found)),
    };
    Ok(ClientReply::Busy { slot: has_slot.then_some(slot), number, reason })
}

fn decode_refused_reason(reader: &mut Reader<'_>) -> Result<RefusedReason, DecodeError> {
    Ok(match reader.u8("reason")? {
        STALE_REQUEST => RefusedReason::StaleRequest,
        DIFFERENT_OPERATION => RefusedReason::DifferentOperation,
        NO_SUCH_SLOT => RefusedReason::NoSuchSlot,
        REPLY_LOST => RefusedReason::ReplyLost,
        PANICKED => RefusedReason::Panicked,
        TOO_LARGE => RefusedReason::TooLarge(reader.u32("largest operation")?),
        INVALID => RefusedReason::Invalid(reader.text("bytes of reason", REASON_BYTES_MAX)?),
        found => return Err(reader.choice("reason", found)),
    })
}

fn decode_not_serving_reason(reader: &mut Reader<'_>) -> Result<NotServingReason, DecodeError> {
    Ok(match reader.u8("reason")? {
        STARTING => NotServingReason::Starting,
        RECOVERING => NotServingReason::Recovering,
        QUORUM_LOST => NotServingReason::QuorumLost,
        VIEW_CHANGE => NotServingReason::ViewChange,
        found => return Err(reader.choice("reason", found)),
    })
}

fn session(reader: &mut Reader<'_>) -> Result<SessionNumber, DecodeError> {
    reader.number("session").map(SessionNumber)
}

/// What names a request: its session, its request-number and its slot.
fn put_request_name(out: &mut BytesMut, session: SessionNumber, slot: Slot, number: RequestNumber) {
    out.put_u64_le(session.0);
    out.put_u64_le(number.0);
    out.put_u32_le(slot);
}

fn request_name(reader: &mut Reader<'_>) -> Result<(SessionNumber, Slot, RequestNumber), DecodeError> {
    let session = session(reader)?;
    let number = RequestNumber(reader.number("request-number")?);
    Ok((session, reader.u32("slot")?, number))
}
