//! Runs of log entries. Op-numbers and chain hashes are implied: the decoder counts and computes them, and so verifies the run.

use bytes::{BufMut, Bytes, BytesMut};

use super::DecodeError;
use super::reader::Reader;
use crate::log::{Entry, Request};
use crate::numbers::{
    Ballot, ChainHash, ClientId, EpochNumber, Nonce, OpNumber, RequestNumber, SessionNumber, Timestamp, ViewNumber,
    Viewstamp,
};

/// The fixed fields of a run.
const RUN_BYTES: usize = 8 + 16 + 16 + 4;
/// The fields all entries have: epoch, view, timestamp, client, kind of request.
const ENTRY_BYTES: usize = 8 + 8 + 8 + 16 + 1;
/// What an operation adds: session, request-number, slot, two lengths.
const OPERATION_BYTES: usize = 8 + 8 + 4 + 4 + 4;
/// The shortest entry: a checkpoint that was asked for adds nothing.
const ENTRY_BYTES_MIN: usize = ENTRY_BYTES;

const OPERATION: u8 = 1;
const REGISTER: u8 = 2;
const RESUME: u8 = 3;
const CHECKPOINT: u8 = 4;

/// A contiguous run of the log, as messages carry it.
pub(super) struct Run<E> {
    /// The op-number below the first entry.
    pub(super) after: OpNumber,
    /// The chain hash at `after`.
    pub(super) previous: ChainHash,
    /// The chain hash at the end.
    pub(super) head: ChainHash,
    /// The entries.
    pub(super) entries: E,
}

impl<'a> Run<&'a [Entry]> {
    /// The run of these entries, the first of which is above `after`.
    pub(super) fn after(after: OpNumber, previous: ChainHash, entries: &'a [Entry]) -> Self {
        let head = entries.last().map_or(previous, |last| last.hash);
        Self { after, previous, head, entries }
    }

    /// The run of these entries, of which there is at least one.
    pub(super) fn of(entries: &'a [Entry]) -> Self {
        let first = entries.first().expect("a run of entries");
        Self::after(first.op().previous(), first.previous, entries)
    }

    /// The run of these entries, the last of which is at `end`, the chain hash there being `head`.
    pub(super) fn ending_at(end: OpNumber, head: ChainHash, previous: ChainHash, entries: &'a [Entry]) -> Self {
        Self { after: OpNumber(end.distance_from(OpNumber(entries.len() as u64))), previous, head, entries }
    }

    /// Room for the run in a frame.
    pub(super) fn room(&self) -> usize {
        let entry_bytes = |entry: &Entry| ENTRY_BYTES + OPERATION_BYTES + entry.request.payload_len();
        RUN_BYTES + self.entries.iter().map(entry_bytes).sum::<usize>()
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        debug_assert!(self.is_contiguous(), "a run has no holes, and its entries are chained");
        out.put_u64_le(self.after.0);
        out.put_u128_le(self.previous.0);
        out.put_u128_le(self.head.0);
        out.put_u32_le(u32::try_from(self.entries.len()).expect("runs are bounded in bytes"));
        for entry in self.entries {
            encode_entry(entry, out);
        }
    }

    fn is_contiguous(&self) -> bool {
        let (mut op, mut hash) = (self.after, self.previous);
        for entry in self.entries {
            op = op.next();
            if entry.op() != op || !entry.follows(hash) {
                return false;
            }
            hash = entry.hash;
        }
        self.entries.is_empty() || hash == self.head
    }
}

impl Run<Vec<Entry>> {
    /// Decodes a run, and verifies that its entries end in the chain hash it names.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let after = OpNumber(reader.number("op-number below the entries")?);
        let previous = ChainHash(reader.u128("chain hash below the entries")?);
        let head = ChainHash(reader.u128("chain hash")?);
        let count = reader.count("entries", usize::MAX, ENTRY_BYTES_MIN)?;
        reader.bounded("op-number of the last entry", after.0 + count as u64)?;
        // As many entries as the bytes that are there have room for.
        let mut entries = Vec::with_capacity(count);
        let (mut op, mut hash) = (after, previous);
        for _ in 0..count {
            op = op.next();
            let entry = decode_entry(reader, hash, op)?;
            hash = entry.hash;
            entries.push(entry);
        }
        if count > 0 && hash != head {
            return Err(DecodeError::WrongHash { frame: reader.name(), found: hash, expected: head });
        }
        Ok(Self { after, previous, head, entries })
    }

    /// The run, if it has nothing to name a hash for but its entries.
    pub(super) fn whole(self, reader: &Reader<'_>) -> Result<Self, DecodeError> {
        if self.entries.is_empty() && self.head != self.previous {
            let (found, expected) = (self.previous, self.head);
            return Err(DecodeError::WrongHash { frame: reader.name(), found, expected });
        }
        Ok(self)
    }

    /// The run, if it has entries.
    pub(super) fn not_empty(self, reader: &Reader<'_>) -> Result<Self, DecodeError> {
        if self.entries.is_empty() { Err(DecodeError::NoEntries { frame: reader.name() }) } else { Ok(self) }
    }

    /// The run, if it ends at `end`.
    pub(super) fn up_to(self, end: OpNumber, reader: &Reader<'_>) -> Result<Self, DecodeError> {
        let last = self.after.plus(self.entries.len() as u64);
        if last != end {
            return Err(DecodeError::WrongEnd { frame: reader.name(), found: last.0, expected: end.0 });
        }
        Ok(self)
    }
}

fn encode_entry(entry: &Entry, out: &mut BytesMut) {
    let (kind, client) = match &entry.request {
        Request::Operation { client, .. } => (OPERATION, client),
        Request::Register { client, .. } => (REGISTER, client),
        Request::Resume { client, .. } => (RESUME, client),
        Request::Checkpoint { client } => (CHECKPOINT, client),
    };
    let mut fields = [0; ENTRY_BYTES];
    fields[..8].copy_from_slice(&entry.stamp.ballot.epoch.0.to_le_bytes());
    fields[8..16].copy_from_slice(&entry.stamp.ballot.view.0.to_le_bytes());
    fields[16..24].copy_from_slice(&entry.timestamp.0.to_le_bytes());
    fields[24..40].copy_from_slice(&client.0.to_le_bytes());
    fields[40] = kind;
    out.put_slice(&fields);
    match &entry.request {
        Request::Operation { session, slot, number, predicted, payload, .. } => {
            let mut fields = [0; OPERATION_BYTES];
            fields[..8].copy_from_slice(&session.0.to_le_bytes());
            fields[8..16].copy_from_slice(&number.0.to_le_bytes());
            fields[16..20].copy_from_slice(&slot.to_le_bytes());
            fields[20..24].copy_from_slice(&length(predicted).to_le_bytes());
            fields[24..].copy_from_slice(&length(payload).to_le_bytes());
            out.put_slice(&fields);
            out.put_slice(predicted);
            out.put_slice(payload);
        }
        Request::Register { slots, .. } => out.put_u32_le(*slots),
        Request::Resume { session, nonce, .. } => {
            out.put_u64_le(session.0);
            out.put_u128_le(nonce.0);
        }
        Request::Checkpoint { .. } => {}
    }
}

fn length(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).expect("operations are bounded by operation_bytes_max")
}

fn decode_entry(reader: &mut Reader<'_>, previous: ChainHash, op: OpNumber) -> Result<Entry, DecodeError> {
    let epoch = EpochNumber(reader.number("epoch of an entry")?);
    let view = ViewNumber(reader.number("view of an entry")?);
    let timestamp = Timestamp(reader.number("timestamp of an entry")?);
    let client = ClientId(reader.u128("client of an entry")?);
    let request = match reader.u8("kind of an entry")? {
        OPERATION => decode_operation(reader, client)?,
        REGISTER => Request::Register { client, slots: reader.u32("slots of an entry")? },
        RESUME => Request::Resume {
            client,
            session: SessionNumber(reader.number("session of an entry")?),
            nonce: Nonce(reader.u128("nonce of an entry")?),
        },
        CHECKPOINT => Request::Checkpoint { client },
        found => return Err(reader.choice("kind of an entry", found)),
    };
    Ok(Entry::new(previous, Viewstamp { ballot: Ballot { epoch, view }, op }, timestamp, request))
}

fn decode_operation(reader: &mut Reader<'_>, client: ClientId) -> Result<Request, DecodeError> {
    let session = SessionNumber(reader.number("session of an entry")?);
    let number = RequestNumber(reader.number("request-number of an entry")?);
    let slot = reader.u32("slot of an entry")?;
    let predicted_bytes = reader.u32("length of a predicted value")? as usize;
    let payload_bytes = reader.u32("length of an operation")? as usize;
    let predicted = reader.kept("predicted value", predicted_bytes)?;
    let payload = reader.kept("operation", payload_bytes)?;
    Ok(Request::Operation { client, session, slot, number, predicted, payload })
}
