//! Writing a backup.

use std::collections::BTreeSet;
use std::io::{self, Write};

use viewstamped_protocol::ClusterId;
use viewstamped_state::{PageHandle, Place, State};

use super::{FIXED_BYTES, Kind, MAGIC, VERSION};
use crate::pages::CheckpointFiles;

/// How many bytes are hashed and written at once. 256 KiB: hashing is fastest in pieces of that size, and calls are few.
const PIECE_BYTES: usize = 256 << 10;

/// Writes a backup of a checkpoint of a cluster. Returns its bytes. They are not durable until `output` is made so.
///
/// # Errors
/// When `output` refuses; what was written then is no backup.
pub fn write(checkpoint: &CheckpointFiles, cluster: ClusterId, output: impl Write) -> io::Result<u64> {
    let mut output = Output { output, hasher: blake3::Hasher::new(), piece: Vec::new(), bytes: 0 };
    output.put(&header(checkpoint, cluster)?)?;
    let mut fields = BTreeSet::new();
    for state in [&checkpoint.service, &checkpoint.client_table] {
        write_page(&state.root_page(), &mut fields, &mut output)?;
    }
    output.end()
}

fn header(checkpoint: &CheckpointFiles, cluster: ClusterId) -> io::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let length = u32::try_from(checkpoint.header.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&cluster.0.to_le_bytes());
    bytes.extend_from_slice(&checkpoint.id.op.to_le_bytes());
    bytes.extend_from_slice(&checkpoint.id.root);
    bytes.extend_from_slice(&top(&checkpoint.service));
    bytes.extend_from_slice(&top(&checkpoint.client_table));
    bytes.resize(FIXED_BYTES, 0);
    bytes.extend_from_slice(&checkpoint.header);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

fn top(state: &State) -> bytes::Bytes {
    state.part(&Place::top()).expect("every state has a top")
}

/// Writes a page, then what it names, in order; of equal fields the first one only.
fn write_page(page: &PageHandle, written: &mut BTreeSet<[u8; 32]>, output: &mut Output<impl Write>) -> io::Result<()> {
    let mut encoding = Vec::new();
    page.encode(&mut encoding);
    output.part(Kind::Page, &encoding)?;
    for field in page.fields() {
        if written.insert(field.hash()) {
            output.part(Kind::Field, field.bytes())?;
        }
    }
    (0..).map_while(|at| page.child(at)).try_for_each(|child| write_page(&child, written, output))
}

struct Output<W> {
    output: W,
    hasher: blake3::Hasher,
    piece: Vec<u8>,
    /// The bytes of the backup so far.
    bytes: u64,
}

impl<W: Write> Output<W> {
    fn part(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        self.put(&[kind as u8])?;
        self.put(&(content.len() as u64).to_le_bytes())?;
        self.put(content)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.piece.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.piece.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.piece);
        self.output.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    fn end(mut self) -> io::Result<u64> {
        self.put(&[Kind::End as u8])?;
        self.put(&self.bytes.to_le_bytes())?;
        self.flush()?;
        let hash = self.hasher.finalize();
        self.output.write_all(hash.as_bytes())?;
        self.output.flush()?;
        Ok(self.bytes + hash.as_bytes().len() as u64)
    }
}
