//! The header that all frames share: what it is, how long, whole or not, and from whom.

use bytes::{BufMut, BytesMut};

use super::reader::Reader;
use super::{DecodeError, Limits};
use crate::message::Header;
use crate::numbers::{ClientId, ClusterId, EpochNumber, Incarnation, NodeId, ViewNumber};

/// The bytes of the header of every frame.
pub const HEADER_BYTES: usize = 64;

/// How every frame begins. The first byte is in no text, so that no other protocol is taken for this one.
pub const MAGIC: [u8; 4] = [0xf6, b'V', b'R', b'R'];

/// The version of the format, in every header. Raised whenever a frame changes that older programs must not misread; everything
/// up to the checksum keeps its place in all versions.
pub const VERSION: u16 = 1;

const VERSION_AT: usize = 4;
const KIND_AT: usize = 6;
const BODY_BYTES_AT: usize = 8;
const CHECKSUM_AT: usize = 12;
/// The end of the part that is checked as soon as it is there.
const PROLOGUE_BYTES: usize = 12;
/// Where the part after the checksum begins.
const ENVELOPE_AT: usize = 16;

macro_rules! kinds {
    ($($kind:ident = $number:literal $name:literal,)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($kind = $number,)* }

        impl Kind {
            fn new(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// The name, as the paper writes it.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    Hello = 0x0001 "HELLO",
    StatusRequest = 0x0002 "STATUSREQUEST",
    Status = 0x0003 "STATUS",
    ForceRecover = 0x0004 "FORCERECOVER",
    Request = 0x0101 "REQUEST",
    Register = 0x0102 "REGISTER",
    Resume = 0x0103 "RESUME",
    TakeCheckpoint = 0x0104 "TAKECHECKPOINT",
    Reply = 0x0201 "REPLY",
    Registered = 0x0202 "REGISTERED",
    Resumed = 0x0203 "RESUMED",
    Redirect = 0x0204 "REDIRECT",
    Busy = 0x0205 "BUSY",
    Refused = 0x0206 "REFUSED",
    NoSession = 0x0207 "NOSESSION",
    NotServing = 0x0208 "NOTSERVING",
    CheckpointTaken = 0x0209 "CHECKPOINTTAKEN",
    Prepare = 0x0301 "PREPARE",
    PrepareOk = 0x0302 "PREPAREOK",
    Commit = 0x0303 "COMMIT",
    CommitAck = 0x0304 "COMMITACK",
    StartViewChange = 0x0305 "STARTVIEWCHANGE",
    DoViewChange = 0x0306 "DOVIEWCHANGE",
    StartView = 0x0307 "STARTVIEW",
    GetState = 0x0308 "GETSTATE",
    NewState = 0x0309 "NEWSTATE",
    GetLog = 0x030a "GETLOG",
    LogChunk = 0x030b "LOGCHUNK",
    Recovery = 0x030c "RECOVERY",
    RecoveryResponse = 0x030d "RECOVERYRESPONSE",
    GetIncarnation = 0x030e "GETINCARNATION",
    KnownIncarnation = 0x030f "KNOWNINCARNATION",
    StaleIncarnation = 0x0310 "STALEINCARNATION",
    Bootstrap = 0x0311 "BOOTSTRAP",
    Founded = 0x0312 "FOUNDED",
    GetConfiguration = 0x0313 "GETCONFIGURATION",
    ConfigurationInfo = 0x0314 "CONFIGURATION",
    ViewHint = 0x0315 "VIEWHINT",
    AlsoRecovering = 0x0316 "ALSORECOVERING",
    StartViewPending = 0x0317 "SVPENDING",
    Predict = 0x0318 "PREDICT",
    PredictOk = 0x0319 "PREDICTOK",
    GetPages = 0x031a "GETPAGES",
    Pages = 0x031b "PAGES",
    NewRoot = 0x031c "NEWROOT",
    Revive = 0x031d "REVIVE",
    ReviveOk = 0x031e "REVIVEOK",
}

/// The part of the header that is checked before the frame is there.
pub(super) struct Prologue {
    pub(super) kind: Kind,
    /// The length of the frame, header included.
    pub(super) frame_bytes: usize,
}

impl Prologue {
    /// Checks as much of the prologue as has arrived; `None` when that is not all of it.
    pub(super) fn parse(buffer: &[u8], limits: &Limits) -> Result<Option<Self>, DecodeError> {
        let start = &buffer[..buffer.len().min(MAGIC.len())];
        if !MAGIC.starts_with(start) {
            return Err(DecodeError::Magic { found: start.to_vec() });
        }
        let Some(version) = u16_at(buffer, VERSION_AT) else { return Ok(None) };
        if version != VERSION {
            return Err(DecodeError::Version { found: version });
        }
        let Some(number) = u16_at(buffer, KIND_AT) else { return Ok(None) };
        let Some(kind) = Kind::new(number) else { return Err(DecodeError::UnknownKind { found: number }) };
        let Some(frame_bytes) = declared_frame_bytes(buffer) else { return Ok(None) };
        if frame_bytes > limits.frame_bytes_max {
            let (found, max) = (frame_bytes as u64, limits.frame_bytes_max);
            return Err(DecodeError::TooLong { frame: kind.name(), found, max });
        }
        Ok(Some(Self { kind, frame_bytes }))
    }
}

/// The length of a frame that its header declares, header included, when so much of the header has arrived.
pub(super) fn declared_frame_bytes(buffer: &[u8]) -> Option<usize> {
    let bytes = buffer.get(BODY_BYTES_AT..PROLOGUE_BYTES)?.try_into().expect("four bytes");
    Some((u32::from_le_bytes(bytes) as usize).saturating_add(HEADER_BYTES))
}

fn u16_at(buffer: &[u8], at: usize) -> Option<u16> {
    let bytes = buffer.get(at..at + 2)?.try_into().expect("two bytes");
    Some(u16::from_le_bytes(bytes))
}

/// The checksum of a frame: of everything in it but the checksum itself.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CHECKSUM_AT]), &frame[ENVELOPE_AT..])
}

pub(super) fn verify_checksum(kind: Kind, frame: &[u8]) -> Result<(), DecodeError> {
    let found = u32::from_le_bytes(frame[CHECKSUM_AT..ENVELOPE_AT].try_into().expect("four bytes"));
    let expected = checksum(frame);
    if found == expected { Ok(()) } else { Err(DecodeError::Checksum { frame: kind.name(), found, expected }) }
}

/// The rest of the header: who sends, and from where in time. A kind of frame that does not use a field leaves it zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Envelope {
    pub(super) cluster: ClusterId,
    pub(super) epoch: EpochNumber,
    pub(super) view: ViewNumber,
    pub(super) sender: Sender,
}

/// The sixteen bytes that say who sends: a node and its incarnation, or a client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sender(u128);

impl Sender {
    pub(super) fn node(from: NodeId, incarnation: Incarnation) -> Self {
        Self(u128::from(from.0) | u128::from(incarnation.0) << 64)
    }

    pub(super) fn client(client: ClientId) -> Self {
        Self(client.0)
    }

    pub(super) fn as_client(self) -> ClientId {
        ClientId(self.0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the field")]
    pub(super) fn as_node(self, reader: &Reader<'_>) -> Result<(NodeId, Incarnation), DecodeError> {
        let incarnation = reader.bounded("incarnation", (self.0 >> 64) as u64)?;
        Ok((NodeId(self.0 as u64), Incarnation(incarnation)))
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Envelope {
    pub(super) fn of(header: &Header) -> Self {
        let Header { cluster, epoch, view, from, incarnation } = *header;
        Self { cluster, epoch, view, sender: Sender::node(from, incarnation) }
    }

    pub(super) fn header(&self, reader: &Reader<'_>) -> Result<Header, DecodeError> {
        let Self { cluster, epoch, view, sender } = *self;
        let (from, incarnation) = sender.as_node(reader)?;
        Ok(Header { cluster, epoch, view, from, incarnation })
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.skip(ENVELOPE_AT);
        Ok(Self {
            cluster: ClusterId(reader.u128("cluster")?),
            epoch: EpochNumber(reader.number("epoch")?),
            view: ViewNumber(reader.number("view")?),
            sender: Sender(reader.u128("sender")?),
        })
    }
}

/// Appends a frame with the body that `body` writes, in `room` bytes or a little more.
pub(super) fn write_frame(
    out: &mut BytesMut,
    kind: Kind,
    envelope: Envelope,
    room: usize,
    body: impl FnOnce(&mut BytesMut),
) {
    let start = out.len();
    out.reserve(HEADER_BYTES + room);
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(kind as u16);
    // Length and checksum are filled in when the body is there.
    out.put_u64_le(0);
    out.put_u128_le(envelope.cluster.0);
    out.put_u64_le(envelope.epoch.0);
    out.put_u64_le(envelope.view.0);
    out.put_u128_le(envelope.sender.0);
    debug_assert_eq!(out.len() - start, HEADER_BYTES);
    body(out);
    let frame = &mut out[start..];
    let body_bytes = u32::try_from(frame.len() - HEADER_BYTES).expect("our own messages are far below 4 GiB");
    frame[BODY_BYTES_AT..PROLOGUE_BYTES].copy_from_slice(&body_bytes.to_le_bytes());
    let checksum = checksum(frame);
    frame[CHECKSUM_AT..ENVELOPE_AT].copy_from_slice(&checksum.to_le_bytes());
}
