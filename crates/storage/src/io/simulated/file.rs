//! What a simulated disk and the cache above it hold of one file.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::SECTOR_BYTES;

/// One file: as calls see it, and as the disk has it.
#[derive(Clone, Debug, Default)]
pub(super) struct FileContent {
    /// As calls see it.
    cached: Vec<u8>,
    /// What a power cut leaves at least.
    durable: Vec<u8>,
    /// By sector: what may have been written since. A sync makes it durable.
    unsynced: BTreeMap<usize, Unsynced>,
    /// The lengths since the last sync, in order.
    lengths: Vec<usize>,
    /// Sectors that cannot be read until they are written.
    unreadable: BTreeSet<usize>,
}

/// What one sector held since it was last synced.
#[derive(Clone, Debug, Default)]
struct Unsynced {
    contents: Vec<[u8; SECTOR_BYTES]>,
    /// A sync failed, and no later one will write it.
    dropped: bool,
}

impl FileContent {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { cached: bytes.clone(), durable: bytes, ..Self::default() }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.cached
    }

    /// Whether all of this range can be read.
    pub(super) fn is_readable(&self, offset: u64, length: usize) -> bool {
        let start = usize::try_from(offset).expect("it is in memory");
        let mut unreadable = self.unreadable.range(start / SECTOR_BYTES..(start + length).div_ceil(SECTOR_BYTES));
        unreadable.next().is_none()
    }

    pub(super) fn make_unreadable(&mut self, offset: u64) {
        self.unreadable.insert(usize::try_from(offset).expect("it is in memory") / SECTOR_BYTES);
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let (start, end) = self.cache(bytes, offset);
        self.note(start, end);
    }

    /// The disk forgets it: it is in the cache only.
    pub(super) fn write_lost(&mut self, bytes: &[u8], offset: u64) {
        self.cache(bytes, offset);
    }

    /// Changes what calls see, and returns the range.
    fn cache(&mut self, bytes: &[u8], offset: u64) -> (usize, usize) {
        let start = usize::try_from(offset).expect("it is in memory");
        let end = start + bytes.len();
        if bytes.is_empty() {
            return (start, end);
        }
        if end > self.cached.len() {
            self.cached.resize(end, 0);
            self.lengths.push(end);
        }
        self.cached[start..end].copy_from_slice(bytes);
        (start, end)
    }

    /// The disk writes elsewhere at once, if the file is there; the right place keeps what it had.
    pub(super) fn write_misdirected(&mut self, bytes: &[u8], offset: u64, by: i64) {
        self.cache(bytes, offset);
        let Some(elsewhere) = offset.checked_add_signed(by).and_then(|place| usize::try_from(place).ok()) else {
            return;
        };
        let end = elsewhere + bytes.len();
        for content in [&mut self.durable, &mut self.cached] {
            if let Some(place) = content.get_mut(elsewhere..end) {
                place.copy_from_slice(bytes);
            }
        }
    }

    pub(super) fn set_length(&mut self, bytes: usize) {
        let old = self.cached.len();
        self.cached.resize(bytes, 0);
        self.lengths.push(bytes);
        if bytes < old {
            self.note(bytes, old);
        }
    }

    /// The cache has new content for the sectors of this range.
    fn note(&mut self, start: usize, end: usize) {
        if start == end {
            return;
        }
        for sector in start / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES {
            let mut content = [0; SECTOR_BYTES];
            let from = (sector * SECTOR_BYTES).min(self.cached.len());
            let to = (from + SECTOR_BYTES).min(self.cached.len());
            content[..to - from].copy_from_slice(&self.cached[from..to]);
            let unsynced = self.unsynced.entry(sector).or_default();
            unsynced.contents.push(content);
            unsynced.dropped = false;
            self.unreadable.remove(&sector);
        }
    }

    pub(super) fn sync(&mut self) {
        let (dropped, written) = mem::take(&mut self.unsynced).into_iter().partition(|(_, sector)| sector.dropped);
        self.unsynced = dropped;
        let written: BTreeMap<usize, Unsynced> = written;
        for (sector, Unsynced { contents, .. }) in written {
            store(&mut self.durable, sector, contents.last().expect("noted with a content"));
        }
        self.durable.resize(self.cached.len(), 0);
        self.lengths.clear();
    }

    /// Linux marks what it could not write as clean: later syncs succeed, and write nothing of it.
    pub(super) fn fail_sync(&mut self) {
        for sector in self.unsynced.values_mut() {
            sector.dropped = true;
        }
    }

    pub(super) fn cut_power(&mut self, below: &mut dyn FnMut(u64) -> u64) {
        let length = self.length_after_power_cut(below);
        for (sector, Unsynced { contents, .. }) in mem::take(&mut self.unsynced) {
            let surviving = below(contents.len() as u64 + 1) as usize;
            if let Some(content) = surviving.checked_sub(1).map(|last| &contents[last]) {
                store(&mut self.durable, sector, content);
            }
        }
        self.durable.resize(length, 0);
        self.cached = self.durable.clone();
        self.lengths.clear();
    }

    fn length_after_power_cut(&self, below: &mut dyn FnMut(u64) -> u64) -> usize {
        if self.lengths.is_empty() {
            return self.durable.len();
        }
        let lengths: Vec<usize> = self.lengths.iter().copied().chain([self.durable.len()]).collect();
        if below(2) == 0 {
            return lengths[below(lengths.len() as u64) as usize];
        }
        let shortest = lengths.iter().copied().min().expect("not empty");
        let longest = lengths.iter().copied().max().expect("not empty");
        shortest + below((longest - shortest) as u64 + 1) as usize
    }

    pub(super) fn flip_bit(&mut self, bit: u64) {
        let place = (bit / 8) as usize;
        for content in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = content.get_mut(place) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

/// Puts a sector into place. The file is as long as it must be for that; its length is set afterwards.
fn store(durable: &mut Vec<u8>, sector: usize, content: &[u8; SECTOR_BYTES]) {
    let start = sector * SECTOR_BYTES;
    if durable.len() < start + SECTOR_BYTES {
        durable.resize(start + SECTOR_BYTES, 0);
    }
    durable[start..start + SECTOR_BYTES].copy_from_slice(content);
}
