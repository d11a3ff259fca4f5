//! What happened, as a number that two runs can compare and as lines that a person can read.

use std::fmt;

use viewstamped_protocol::message::{Body, ClientReply, ClientRequest, StateContent};
use viewstamped_protocol::{FromClient, Message, Time, ToClient};

use crate::message_kind::Kind;
use crate::observed::digest_of;

/// Takes the lines of a printed trace.
pub type Sink<'a> = &'a mut dyn FnMut(&str);

/// The trace of one run.
pub(crate) struct Trace<'a> {
    hash: u64,
    sink: Option<Sink<'a>>,
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x})", self.hash)
    }
}

impl<'a> Trace<'a> {
    /// A trace without events; lines go to `sink`, when there is one.
    pub(crate) fn new(sink: Option<Sink<'a>>) -> Self {
        Self { hash: 0x5653_5232_3031_3221, sink }
    }

    /// The hash of everything noted so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Folds a number into the hash.
    pub(crate) fn note(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }

    /// Folds several numbers into the hash.
    pub(crate) fn note_all(&mut self, words: &[u64]) {
        for word in words {
            self.note(*word);
        }
    }

    /// Prints a line when anyone reads along; `line` is not even made otherwise.
    pub(crate) fn line(&mut self, now: Time, line: impl FnOnce() -> String) {
        if let Some(sink) = &mut self.sink {
            sink(&format!("{} {}", Moment(now), line()));
        }
    }
}

/// A time as the trace prints it: `12.345ms`.
pub(crate) struct Moment(pub(crate) Time);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}ms", self.0.0 / 1_000_000, self.0.0 / 1_000 % 1_000)
    }
}

/// A number that differs for messages that differ in anything the protocol decides by.
pub(crate) fn digest(message: &Message) -> u64 {
    let header = &message.header;
    let content = match &message.body {
        Body::Prepare(m) => low(m.entries.last().map_or(0, |entry| entry.hash.0)) ^ m.commit.0.rotate_left(32),
        Body::PrepareOk(m) => m.op.0 ^ low(m.head.0).rotate_left(24),
        Body::Commit(m) => m.op.0 ^ m.commit.0.rotate_left(24) ^ m.sequence.rotate_left(48),
        Body::CommitAck(m) => m.op.0 ^ m.executed.0.rotate_left(24) ^ m.sequence.rotate_left(48),
        Body::StartViewChange(m) => m.candidate.0 ^ (m.votes.len() as u64) << 32 ^ u64::from(m.confirmed) << 63,
        Body::DoViewChange(m) => low(m.head.0) ^ m.log_view.0.rotate_left(32) ^ m.suffix.len() as u64,
        Body::StartView(m) => low(m.head.0) ^ m.commit.0.rotate_left(32) ^ m.suffix.len() as u64,
        Body::StartViewPending(m) => m.op.0 ^ m.of.0.rotate_left(32),
        Body::GetState(m) => m.from.0 ^ m.head_op.0.rotate_left(24) ^ m.target.0.rotate_left(48),
        Body::NewState(m) => m.op.0 ^ m.commit.0.rotate_left(32) ^ digest_of_content(&m.content),
        Body::GetLog(m) => m.first.0 ^ m.last.0.rotate_left(24) ^ m.log_view.0.rotate_left(48),
        Body::LogChunk(m) => digest_of_content(&m.content),
        Body::GetPages(m) => m.checkpoint.op.0 ^ m.number.rotate_left(24) ^ (m.parts.len() as u64) << 48,
        Body::Pages(m) => m.checkpoint.op.0 ^ m.number.rotate_left(24) ^ (m.pages.len() as u64) << 48,
        Body::NewRoot(m) => m.checkpoint.op.0 ^ m.number.rotate_left(24),
        Body::Recovery(m) => low(m.nonce.0),
        Body::RecoveryResponse(m) => low(m.nonce.0) ^ m.primary.map_or(0, |primary| primary.op.0.rotate_left(32)),
        Body::GetIncarnation(m) => low(m.nonce.0),
        Body::AlsoRecovering(m) => low(m.nonce.0) ^ u64::from(m.attempt),
        Body::Revive(m) => low(m.head.0) ^ m.view.0,
        Body::ReviveOk(m) => m.view.0,
        Body::KnownIncarnation(m) => low(m.nonce.0) ^ m.incarnation.0,
        Body::StaleIncarnation(m) => m.known.0,
        Body::Bootstrap(m) => low(m.instance.0),
        Body::Founded(m) => m.founders.len() as u64,
        Body::Predict(m) => m.request.session.0 ^ m.request.number.0.rotate_left(32) ^ u64::from(m.request.slot),
        Body::PredictOk(m) => digest_of(&m.value) ^ m.request.number.0 ^ u64::from(m.request.slot).rotate_left(32),
        Body::GetConfiguration | Body::ConfigurationInfo(_) | Body::ViewHint => 0,
    };
    let kind = Kind::of(&message.body).place() as u64;
    content ^ header.view.0.rotate_left(40) ^ header.incarnation.0.rotate_left(56) ^ kind.rotate_left(8)
}

fn digest_of_content(content: &StateContent) -> u64 {
    match content {
        StateContent::Entries { after, entries, .. } => after.0.rotate_left(16) ^ (entries.len() as u64) << 40,
        StateContent::NeedCheckpoint(id) => id.op.0.rotate_left(48),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
fn low(wide: u128) -> u64 {
    wide as u64
}

/// A client's message as the trace prints it.
pub(crate) struct Request<'a>(pub(crate) &'a FromClient);

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.body {
            ClientRequest::Operation { session, slot, number, payload } => {
                write!(f, "REQUEST {session} slot={slot} {number} {} bytes", payload.len())
            }
            ClientRequest::Register { slots } => write!(f, "REGISTER slots={slots}"),
            ClientRequest::Resume { session, .. } => write!(f, "RESUME {session}"),
            ClientRequest::TakeCheckpoint => write!(f, "TAKECHECKPOINT"),
        }
    }
}

/// An answer to a client as the trace prints it.
pub(crate) struct Answer<'a>(pub(crate) &'a ToClient);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.0.header.view;
        match &self.0.body {
            ClientReply::Reply { session, slot, number, op, .. } => {
                write!(f, "REPLY {view} {session} slot={slot} {number} {op}")
            }
            ClientReply::Registered { session, slots } => write!(f, "REGISTERED {view} {session} slots={slots}"),
            ClientReply::Resumed { old, session, .. } => write!(f, "RESUMED {view} {old} as {session}"),
            ClientReply::CheckpointTaken { op } => write!(f, "CHECKPOINTTAKEN {view} {op}"),
            ClientReply::Redirect { primary } => write!(f, "REDIRECT {view} to {primary}"),
            ClientReply::Busy { reason, .. } => write!(f, "BUSY {view} {reason:?}"),
            ClientReply::Refused { number, reason, .. } => write!(f, "REFUSED {view} {number} {reason:?}"),
            ClientReply::NoSession { session } => write!(f, "NOSESSION {view} {session}"),
            ClientReply::NotServing { reason } => write!(f, "NOTSERVING {view} {reason:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_the_order_of_events() {
        let hash = |words: &[u64]| {
            let mut trace = Trace::new(None);
            trace.note_all(words);
            trace.hash()
        };
        assert_eq!(hash(&[1, 2]), hash(&[1, 2]));
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[0]), hash(&[0, 0]));
    }

    #[test]
    fn lines_carry_the_time_in_milliseconds() {
        let mut lines = Vec::new();
        let mut sink = |line: &str| lines.push(line.to_owned());
        Trace::new(Some(&mut sink)).line(Time(12_345_678), || "r1->r2 COMMIT v0 n1 k1".into());
        assert_eq!(lines, ["12.345ms r1->r2 COMMIT v0 n1 k1"]);
    }
}
