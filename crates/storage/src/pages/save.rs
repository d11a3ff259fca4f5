//! A checkpoint on its way into the file, in steps.

use std::io;

use viewstamped_state::{PageHandle, State};

use super::index::{Hash, Index};
use super::place::Place;
use super::record::{self, Kind};
use super::space::Space;
use super::superblock::{Contents, TreeRoot};
use super::{CheckpointFiles, JournalPosition};
use crate::io::DiskFile;

/// The most bytes of one write, unless a record alone is longer. 1 MiB: a disk writes that at full speed.
const WRITE_BYTES: usize = 1 << 20;

/// Writes the records of a checkpoint that the checkpoint before does not have.
#[derive(Debug)]
pub(crate) struct Save {
    pub(crate) checkpoint: CheckpointFiles,
    journal: JournalPosition,
    /// Everything is written, also what the file has: to free space at its front, so that its end can be cut.
    pub(crate) is_anew: bool,
    /// What the checkpoint names: what it shares with the one before, and what was written.
    pub(crate) named: Index,
    /// Where everything that was written lies.
    pub(crate) written: Vec<Place>,
    pub(crate) bytes_written: u64,
    /// Where the file ends at least, in bytes.
    pub(crate) written_end: u64,
    /// The way down to the page that is due, in the tree that is being walked.
    above: Vec<Frame>,
    header: Option<Place>,
    service: Option<Place>,
    client_table: Option<Place>,
    /// Records that are not written yet, one behind the other.
    buffer: Vec<u8>,
    /// Where the buffer belongs, in bytes.
    buffer_offset: u64,
}

/// A page that is written when all pages below are.
#[derive(Debug)]
struct Frame {
    page: PageHandle,
    hash: Hash,
    /// Where its children are, as far as they were visited.
    places: Vec<Place>,
}

/// What a save works with.
pub(crate) struct Target<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) space: &'a mut Space,
    /// The records of the checkpoint before.
    pub(crate) before: &'a Index,
}

impl Save {
    pub(crate) fn new(checkpoint: CheckpointFiles, journal: JournalPosition, is_anew: bool) -> Self {
        Self {
            checkpoint,
            journal,
            is_anew,
            named: Index::default(),
            written: Vec::new(),
            bytes_written: 0,
            written_end: 0,
            above: Vec::new(),
            header: None,
            service: None,
            client_table: None,
            buffer: Vec::new(),
            buffer_offset: 0,
        }
    }

    /// Writes about `bytes` bytes. Returns what the superblock will say when all is written.
    pub(crate) fn step(&mut self, bytes: usize, target: &mut Target<'_>) -> io::Result<Option<Contents>> {
        let enough = self.bytes_written + bytes.max(1) as u64;
        while self.bytes_written < enough {
            if !self.above.is_empty() {
                self.walk(target)?;
            } else if self.service.is_none() {
                self.service = self.visit(self.checkpoint.service.root_page(), target.before);
            } else if self.client_table.is_none() {
                self.client_table = self.visit(self.checkpoint.client_table.root_page(), target.before);
            } else if self.header.is_none() {
                let header = self.checkpoint.header.clone();
                self.header = Some(self.share(Kind::Header, self.checkpoint.id.root, &header, target)?);
            } else {
                self.flush(target.file)?;
                return Ok(self.contents());
            }
            if self.buffer.len() >= bytes.min(WRITE_BYTES) {
                self.flush(target.file)?;
            }
        }
        Ok(None)
    }

    /// Goes on to the next child of the page that is due, or writes the page when there is none.
    fn walk(&mut self, target: &mut Target<'_>) -> io::Result<()> {
        let Some(mut frame) = self.above.pop() else { return Ok(()) };
        while let Some(child) = frame.page.child(frame.places.len()) {
            let hash = child.hash();
            let Some(place) = self.name(hash, target.before) else {
                self.above.push(frame);
                self.above.push(Frame { page: child, hash, places: Vec::new() });
                return Ok(());
            };
            frame.places.push(place);
        }
        for field in frame.page.fields() {
            frame.places.push(self.share(Kind::Field, field.hash(), field.bytes(), target)?);
        }
        let mut encoding = Vec::new();
        frame.page.encode(&mut encoding);
        let place = self.put(Kind::Page, frame.hash, &frame.places, &encoding, target)?;
        self.arrive(place);
        Ok(())
    }

    /// The page before which the walk stood lies at `place`.
    fn arrive(&mut self, place: Place) {
        let root = if self.service.is_none() { &mut self.service } else { &mut self.client_table };
        match self.above.last_mut() {
            Some(above) => above.places.push(place),
            None => *root = Some(place),
        }
    }

    /// The place of a root page, if the file has it; otherwise it is due.
    fn visit(&mut self, page: PageHandle, before: &Index) -> Option<Place> {
        let hash = page.hash();
        let place = self.name(hash, before);
        if place.is_none() {
            self.above.push(Frame { page, hash, places: Vec::new() });
        }
        place
    }

    /// Names a record that the file has.
    fn name(&mut self, hash: Hash, before: &Index) -> Option<Place> {
        let before = before.place(&hash).filter(|_| !self.is_anew);
        let place = before.or_else(|| self.named.place(&hash))?;
        self.named.name(hash, place);
        Some(place)
    }

    /// Names a record that names no others, and writes it if the file has not got it.
    fn share(&mut self, kind: Kind, hash: Hash, content: &[u8], target: &mut Target<'_>) -> io::Result<Place> {
        match self.name(hash, target.before) {
            Some(place) => Ok(place),
            None => self.put(kind, hash, &[], content, target),
        }
    }

    /// Writes a record that the file has not, and names it.
    fn put(
        &mut self,
        kind: Kind,
        hash: Hash,
        places: &[Place],
        content: &[u8],
        target: &mut Target<'_>,
    ) -> io::Result<Place> {
        let units = record::units(places.len(), content.len());
        let place = target.space.allocate(units).ok_or(io::ErrorKind::FileTooLarge)?;
        self.written.push(place);
        if self.buffer_offset + self.buffer.len() as u64 != place.offset() {
            self.flush(target.file)?;
            self.buffer_offset = place.offset();
        }
        record::write(kind, place, places, content, &mut self.buffer);
        self.named.name(hash, place);
        Ok(place)
    }

    fn flush(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        file.write_at(&self.buffer, self.buffer_offset)?;
        self.bytes_written += self.buffer.len() as u64;
        self.buffer_offset += self.buffer.len() as u64;
        self.written_end = self.written_end.max(self.buffer_offset);
        self.buffer.clear();
        Ok(())
    }

    fn contents(&self) -> Option<Contents> {
        let CheckpointFiles { id, service, client_table, .. } = &self.checkpoint;
        let tree = |place: Place, state: &State| {
            let top = state.part(&viewstamped_state::Place::top())?;
            Some(TreeRoot { place, top: top.as_ref().try_into().ok()? })
        };
        Some(Contents {
            id: *id,
            journal: self.journal,
            header: self.header?,
            service: tree(self.service?, service)?,
            client_table: tree(self.client_table?, client_table)?,
        })
    }
}
