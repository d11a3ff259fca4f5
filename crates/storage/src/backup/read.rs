//! Reading a backup.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use bytes::Bytes;
use viewstamped_protocol::ClusterId;
use viewstamped_state::{LoadError, NamedPage, State};

use super::{BackupError, FIXED_BYTES, HEADER_BYTES_MAX, Inspected, Kind, MAGIC, Restored, TOP_BYTES, VERSION};
use crate::pages::CheckpointId;

/// How many bytes are read at once. 1 MiB: a disk reads that at full speed.
const READ_BYTES: usize = 1 << 20;

/// Reads a backup, all of it, and verifies every byte.
///
/// # Errors
/// When it cannot be read, or is not exactly what was written.
pub fn read(input: impl Read) -> Result<Restored, BackupError> {
    let mut input = Input::new(input);
    let header = Header::read(&mut input)?;
    let mut fields = BTreeMap::new();
    let service = load(&header.service, &mut fields, &mut input)?;
    let client_table = load(&header.client_table, &mut fields, &mut input)?;
    match input.part()? {
        None => {}
        Some(_) => return Err(input.damaged("it goes on behind the last page")),
    }
    let Header { cluster, id, header, .. } = header;
    Ok(Restored { cluster, id, header, service, client_table })
}

/// Reads what a backup says of itself, and verifies its checksum, without making a state of it.
///
/// # Errors
/// When it cannot be read, or its bytes are not those that were written.
pub fn inspect(input: impl Read) -> Result<Inspected, BackupError> {
    let mut input = Input::new(input);
    let header = Header::read(&mut input)?;
    let mut parts = 0;
    while input.part()?.is_some() {
        parts += 1;
    }
    let Header { cluster, id, header, service, client_table } = header;
    let totals = |top: &[u8]| NamedPage::of_top(top).map(|(page, _)| (page.keys(), page.bytes()));
    let (service_keys, service_bytes) = totals(&service).map_err(|error| input.damaged(&error.to_string()))?;
    let (client_table_keys, _) = totals(&client_table).map_err(|error| input.damaged(&error.to_string()))?;
    let bytes = input.offset;
    Ok(Inspected { cluster, id, header, service_keys, service_bytes, client_table_keys, parts, bytes })
}

struct Header {
    cluster: ClusterId,
    id: CheckpointId,
    header: Bytes,
    service: Bytes,
    client_table: Bytes,
}

impl Header {
    fn read(input: &mut Input<impl Read>) -> Result<Self, BackupError> {
        let magic = input.bytes(MAGIC.len()).map_err(|error| match error {
            BackupError::Cut { .. } => BackupError::NotABackup,
            error => error,
        })?;
        if magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        let mut bytes = magic;
        bytes.extend_from_slice(&input.bytes(FIXED_BYTES - MAGIC.len())?);
        let (version, length) = (u32_at(&bytes, 8), u32_at(&bytes, 12));
        if version > VERSION {
            return Err(BackupError::Newer { version });
        }
        if version == 0 || length > HEADER_BYTES_MAX {
            return Err(input.damaged("its header makes no sense"));
        }
        bytes.extend_from_slice(&input.bytes(length as usize)?);
        if input.bytes(4)? != crc32c::crc32c(&bytes).to_le_bytes() {
            return Err(input.damaged("the checksum of its header does not match"));
        }
        let header = Self::of(&bytes);
        if *blake3::hash(&header.header).as_bytes() != header.id.root {
            return Err(input.damaged("the header of the checkpoint is not the one that it names"));
        }
        Ok(header)
    }

    /// Takes the fields out of a header whose length and checksum are right.
    fn of(bytes: &[u8]) -> Self {
        let mut rest = Bytes::copy_from_slice(&bytes[16..]);
        let mut take = |count: usize| rest.split_to(count);
        let cluster = ClusterId(u128::from_le_bytes(array(&take(16))));
        let id = CheckpointId { op: u64::from_le_bytes(array(&take(8))), root: array(&take(32)) };
        let (service, client_table) = (take(TOP_BYTES), take(TOP_BYTES));
        let header = Bytes::copy_from_slice(&bytes[FIXED_BYTES..]);
        Self { cluster, id, header, service, client_table }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("so many bytes were taken")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(&bytes[at..at + 4]))
}

/// The state with this top out of the parts that come next. Fields are there once, before the first page that needs them is complete.
fn load(
    top: &Bytes,
    fields: &mut BTreeMap<[u8; 32], Bytes>,
    input: &mut Input<impl Read>,
) -> Result<State, BackupError> {
    let (page, root) = NamedPage::of_top(top).map_err(|error| input.damaged(&error.to_string()))?;
    let read = |hash: &[u8; 32]| {
        if *hash == root.0 {
            return Ok(top.clone());
        }
        if let Some(field) = fields.get(hash) {
            return Ok(field.clone());
        }
        let (kind, content) = input.part()?.ok_or_else(|| input.damaged("it ends before the last page"))?;
        if kind == Kind::Field {
            fields.insert(*hash, content.clone());
        }
        Ok(content)
    };
    State::load(root, *page.options(), read).map_err(|error| match error {
        LoadError::Read(error) => error,
        LoadError::Bad { why, .. } => input.damaged(&why.to_string()),
    })
}

/// What is read of a backup, hashed and counted.
struct Input<R> {
    input: BufReader<R>,
    hasher: blake3::Hasher,
    /// The bytes read so far.
    offset: u64,
}

impl<R: Read> Input<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(READ_BYTES, input), hasher: blake3::Hasher::new(), offset: 0 }
    }

    /// The next part; `None` at the end, which is verified.
    fn part(&mut self) -> Result<Option<(Kind, Bytes)>, BackupError> {
        let kind = match self.bytes(1)?[..] {
            [0] => return self.end().map(|()| None),
            [1] => Kind::Page,
            [2] => Kind::Field,
            _ => return Err(self.damaged("it has a part of unknown kind")),
        };
        let length = u64::from_le_bytes(array(&self.bytes(8)?));
        let length = usize::try_from(length).map_err(|_| self.damaged("it has an impossible length"))?;
        Ok(Some((kind, self.bytes(length)?.into())))
    }

    fn end(&mut self) -> Result<(), BackupError> {
        let offset = self.offset;
        if u64::from_le_bytes(array(&self.bytes(8)?)) != offset {
            return Err(self.damaged("it has another length than it says"));
        }
        let hash = self.hasher.finalize();
        if self.bytes(32)? != *hash.as_bytes() {
            return Err(self.damaged("its checksum does not match"));
        }
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(self.damaged("it goes on behind its end")),
        }
    }

    /// Exactly so many bytes. Memory is taken as they come: a length may be wrong.
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::with_capacity(count.min(READ_BYTES));
        self.input.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        self.hasher.update(&bytes);
        self.offset += bytes.len() as u64;
        if bytes.len() < count { Err(BackupError::Cut { bytes: self.offset }) } else { Ok(bytes) }
    }

    fn damaged(&self, what: &str) -> BackupError {
        BackupError::Damaged { offset: self.offset, what: what.to_owned() }
    }
}
