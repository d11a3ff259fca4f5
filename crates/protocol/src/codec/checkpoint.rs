//! The header of a checkpoint <-> bytes, which its root is the hash of. Byte diagram in docs/formats.md.

use bytes::{BufMut, Bytes, BytesMut};
use viewstamped_state::Root;

use super::DecodeError;
use super::configuration::{configuration, options, put_configuration, put_options};
use super::reader::Reader;
use super::replica::put_u64s;
use crate::checkpoint::CheckpointHeader;
use crate::numbers::{Ballot, ChainHash, EpochNumber, OpNumber, Timestamp, ViewNumber};

/// How the header of a checkpoint begins.
const MAGIC: [u8; 8] = *b"VRCHECK\n";

/// The version written, and the only one read.
const VERSION: u8 = 1;

/// Appends the bytes of a header.
pub fn encode_checkpoint_header(header: &CheckpointHeader, out: &mut BytesMut) {
    // Every field is named, so that a new one cannot be forgotten here. It needs a new version.
    let CheckpointHeader { op, head, ballot, timestamp, configuration, options, service, client_table } = header;
    out.put_slice(&MAGIC);
    out.put_u8(VERSION);
    put_u64s(out, [op.0, ballot.epoch.0, ballot.view.0, timestamp.0]);
    out.put_u128_le(head.0);
    out.put_slice(&service.0);
    out.put_slice(&client_table.0);
    put_options(out, options);
    put_configuration(out, configuration);
}

/// Reads the bytes of a header.
///
/// # Errors
/// When they are not exactly what `encode_checkpoint_header` writes.
pub fn decode_checkpoint_header(bytes: &Bytes) -> Result<CheckpointHeader, DecodeError> {
    let mut reader = Reader::new("checkpoint header", bytes);
    let found = *reader.array::<{ MAGIC.len() }>("magic")?;
    if found != MAGIC {
        return Err(DecodeError::Magic { found: found.to_vec() });
    }
    match reader.u8("version")? {
        VERSION => {}
        found => return Err(reader.choice("version", found)),
    }
    let op = OpNumber(reader.number("op-number of the checkpoint")?);
    let epoch = EpochNumber(reader.number("epoch of the last entry")?);
    let view = ViewNumber(reader.number("view of the last entry")?);
    let header = CheckpointHeader {
        op,
        ballot: Ballot { epoch, view },
        timestamp: Timestamp(reader.number("timestamp of the last entry")?),
        head: ChainHash(reader.u128("chain hash")?),
        service: Root(*reader.array("root of the service's state")?),
        client_table: Root(*reader.array("root of the client-table")?),
        options: options(&mut reader)?,
        configuration: configuration(&mut reader)?,
    };
    reader.finish()?;
    Ok(header)
}
