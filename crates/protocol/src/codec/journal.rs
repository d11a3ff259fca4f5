//! Bytes <-> records of the journal. Byte diagram in docs/formats.md. The storage adds lengths and checksums: a record that does
//! not decode was written by another program, or is damaged in a way that no checksum shows.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::DecodeError;
use super::entries::Run;
use super::reader::Reader;
use super::replica::{commit, crash_vector, log_view, nonce, put_count, put_crash_vector, put_u64s};
use crate::configuration::MEMBERS_MAX;
use crate::journal::{Rebase, Record};
use crate::log::Entry;
use crate::numbers::{Incarnation, NodeId, Nonce, Timestamp, ViewNumber};

const REBASE: u8 = 1;
const APPEND: u8 = 2;
const INSTALL: u8 = 3;
const VIEW: u8 = 4;
const KNOWLEDGE: u8 = 5;
const COMMIT: u8 = 6;

/// More than the fields of a record need that are not entries.
const FIELDS_BYTES: usize = 64 + 40 * MEMBERS_MAX;

/// Appends the record to `out`.
pub fn encode_record(record: &Record, out: &mut BytesMut) {
    match record {
        Record::Rebase(rebase) => encode_rebase(rebase, out),
        Record::Append { entries, commit } => {
            let run = Run::of(entries);
            out.reserve(FIELDS_BYTES + run.room());
            out.put_u8(APPEND);
            out.put_u64_le(commit.0);
            run.encode(out);
        }
        Record::Install { view, after, previous, entries, commit } => {
            let run = Run::after(*after, *previous, entries);
            out.reserve(FIELDS_BYTES + run.room());
            out.put_u8(INSTALL);
            put_u64s(out, [view.0, commit.0]);
            run.encode(out);
        }
        Record::View { view, commit } => {
            out.put_u8(VIEW);
            put_u64s(out, [view.0, commit.0]);
        }
        Record::Knowledge { crash_vector, recoveries } => {
            out.put_u8(KNOWLEDGE);
            put_crash_vector(out, crash_vector);
            put_recoveries(out, recoveries);
        }
        Record::Commit(commit) => {
            out.put_u8(COMMIT);
            out.put_u64_le(commit.0);
        }
    }
}

fn encode_rebase(rebase: &Rebase, out: &mut BytesMut) {
    // Every field is named, so that a new one cannot be forgotten here. It needs a new kind of record.
    let Rebase {
        incarnation,
        view,
        log_view,
        commit,
        base,
        base_hash,
        base_timestamp,
        crash_vector,
        recoveries,
        entries,
    } = rebase;
    let run = Run::after(*base, *base_hash, entries);
    out.reserve(FIELDS_BYTES + run.room());
    out.put_u8(REBASE);
    put_u64s(out, [incarnation.0, view.0, log_view.0, commit.0, base_timestamp.0]);
    put_crash_vector(out, crash_vector);
    put_recoveries(out, recoveries);
    run.encode(out);
}

fn put_recoveries(out: &mut BytesMut, recoveries: &BTreeMap<NodeId, Nonce>) {
    debug_assert!(recoveries.len() <= MEMBERS_MAX);
    put_count(out, recoveries.len());
    for (node, nonce) in recoveries {
        out.put_u64_le(node.0);
        out.put_u128_le(nonce.0);
    }
}

/// Reads one record, which must be all of `bytes`.
///
/// # Errors
/// When the bytes are not exactly what [`encode_record`] writes. They never make it panic, or take more memory than they do.
pub fn decode_record(bytes: &Bytes) -> Result<Record, DecodeError> {
    let mut reader = Reader::new("journal", bytes);
    let record = match reader.u8("kind of record")? {
        REBASE => Record::Rebase(Box::new(decode_rebase(&mut reader)?)),
        APPEND => {
            let commit = commit(&mut reader)?;
            let entries = Run::decode(&mut reader)?.not_empty(&reader)?.entries;
            Record::Append { entries, commit }
        }
        INSTALL => {
            let (view, commit) = (view(&mut reader)?, commit(&mut reader)?);
            let Run { after, previous, entries, .. } = decode_whole(&mut reader)?;
            Record::Install { view, after, previous, entries, commit }
        }
        VIEW => Record::View { view: view(&mut reader)?, commit: commit(&mut reader)? },
        KNOWLEDGE => {
            Record::Knowledge { crash_vector: crash_vector(&mut reader)?, recoveries: recoveries(&mut reader)? }
        }
        COMMIT => Record::Commit(commit(&mut reader)?),
        found => return Err(reader.choice("kind of record", found)),
    };
    reader.finish()?;
    Ok(record)
}

fn decode_rebase(reader: &mut Reader<'_>) -> Result<Rebase, DecodeError> {
    let incarnation = Incarnation(reader.number("incarnation")?);
    let (view, log_view, commit) = (view(reader)?, log_view(reader)?, commit(reader)?);
    let base_timestamp = Timestamp(reader.number("timestamp at the base")?);
    let (crash_vector, recoveries) = (crash_vector(reader)?, recoveries(reader)?);
    let Run { after: base, previous: base_hash, entries, .. } = decode_whole(reader)?;
    Ok(Rebase {
        incarnation,
        view,
        log_view,
        commit,
        base,
        base_hash,
        base_timestamp,
        crash_vector,
        recoveries,
        entries,
    })
}

fn decode_whole(reader: &mut Reader<'_>) -> Result<Run<Vec<Entry>>, DecodeError> {
    Run::decode(reader)?.whole(reader)
}

fn view(reader: &mut Reader<'_>) -> Result<ViewNumber, DecodeError> {
    reader.number("view-number").map(ViewNumber)
}

fn recoveries(reader: &mut Reader<'_>) -> Result<BTreeMap<NodeId, Nonce>, DecodeError> {
    let count = reader.count("nonces of recoveries", MEMBERS_MAX, 24)?;
    let mut recoveries = BTreeMap::new();
    for _ in 0..count {
        let node = NodeId(reader.u64("node that recovered")?);
        if let Some((after, _)) = recoveries.last_key_value().filter(|(last, _): &(&NodeId, _)| **last >= node) {
            return Err(DecodeError::Disorder { frame: reader.name(), found: node.0, after: after.0 });
        }
        recoveries.insert(node, nonce(reader)?);
    }
    Ok(recoveries)
}
