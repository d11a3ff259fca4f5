//! What was fetched of a checkpoint that is not complete, kept so that a crash does not lose it.
//!
//! It is a help and no more: nothing of it is ever made durable on purpose, what is damaged is ignored, and whoever takes something
//! out verifies it as if it came from the network.

use std::collections::BTreeMap;
use std::io;

use crate::io::{Disk, DiskFile};

/// The name of the file in a replica's directory.
pub const PARTIAL: &str = "partial";

/// Unless another number is chosen, so many bytes are kept. 4 GiB: more than most states have, and little for a disk that is to hold
/// the whole state besides.
pub const PARTIAL_BYTES_DEFAULT: u64 = 4 << 30;

/// Checksum, length and key.
const HEAD_BYTES: usize = 40;

/// The most bytes of one piece of content. 64 MiB: far more than any part of a state that is sent; a length above it is rot.
const CONTENT_BYTES_MAX: u32 = 64 << 20;

/// How much is read at once when the file is opened. 4 MiB: a disk reads that at full speed.
const READ_BYTES: usize = 4 << 20;

/// A file of things that can be looked up by a key of 32 bytes: as a rule, by the hash of what they are.
#[derive(Debug)]
pub struct Partial {
    file: Box<dyn DiskFile>,
    /// Where each content is, and its bytes.
    contents: BTreeMap<[u8; 32], (u64, u32)>,
    /// Where the next one is written, in bytes.
    end: u64,
    bytes_max: u64,
}

impl Partial {
    /// Opens the file of a directory, creates it if there is none, and finds what is in it up to the first damage. The file gets at
    /// most `bytes_max` bytes.
    ///
    /// # Errors
    /// When the disk refuses to open or to create the file.
    pub fn open(disk: &dyn Disk, bytes_max: u64) -> io::Result<Self> {
        let file = match disk.open(PARTIAL) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(PARTIAL)?,
            found => found?,
        };
        let mut partial = Self { file, contents: BTreeMap::new(), end: 0, bytes_max };
        let length = partial.file.length()?;
        let mut window = Window { begin: 0, bytes: Vec::new() };
        while let Some((key, bytes)) = partial.next(length, &mut window) {
            partial.contents.insert(key, (partial.end + HEAD_BYTES as u64, bytes));
            partial.end += HEAD_BYTES as u64 + u64::from(bytes);
        }
        Ok(partial)
    }

    /// The key and the length of what lies at the end of what is known, if it is whole.
    fn next(&self, length: u64, window: &mut Window) -> Option<([u8; 32], u32)> {
        let head = window.at(&*self.file, length, self.end, HEAD_BYTES)?;
        let (checksum, rest) = head.split_first_chunk::<4>()?;
        let (bytes, key) = rest.split_first_chunk::<4>()?;
        let (checksum, bytes) = (u32::from_le_bytes(*checksum), u32::from_le_bytes(*bytes));
        let key = key.try_into().ok()?;
        if bytes > CONTENT_BYTES_MAX {
            return None;
        }
        let whole = window.at(&*self.file, length, self.end, HEAD_BYTES + bytes as usize)?;
        (crc32c::crc32c(&whole[4..]) == checksum).then_some((key, bytes))
    }

    /// How many things are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contents.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// The bytes of the file that are in use.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// The keys of what is kept, in the order in which it was kept: what was fetched can be given again in an order that was possible.
    #[must_use]
    pub fn keys(&self) -> Vec<[u8; 32]> {
        let mut keys: Vec<(u64, [u8; 32])> = self.contents.iter().map(|(key, (offset, _))| (*offset, *key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// What was kept under `key`, if it is there and undamaged.
    #[must_use]
    pub fn get(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        let (offset, bytes) = *self.contents.get(key)?;
        let mut whole = vec![0; HEAD_BYTES + bytes as usize];
        self.file.read_at(&mut whole, offset - HEAD_BYTES as u64).ok()?;
        let content = whole.split_off(HEAD_BYTES);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&whole[4..]), &content);
        (whole[..4] == checksum.to_le_bytes()).then_some(content)
    }

    /// Keeps `content` under `key`. Returns whether it is kept: not when the file would become too large.
    ///
    /// # Errors
    /// When the disk refuses. What was kept before stays.
    pub fn keep(&mut self, key: [u8; 32], content: &[u8]) -> io::Result<bool> {
        if self.contents.contains_key(&key) {
            return Ok(true);
        }
        let end = self.end + (HEAD_BYTES + content.len()) as u64;
        let Some(bytes) = u32::try_from(content.len()).ok().filter(|bytes| *bytes <= CONTENT_BYTES_MAX) else {
            return Ok(false);
        };
        if end > self.bytes_max {
            return Ok(false);
        }
        let mut whole = vec![0; 4];
        whole.extend_from_slice(&bytes.to_le_bytes());
        whole.extend_from_slice(&key);
        whole.extend_from_slice(content);
        let checksum = crc32c::crc32c(&whole[4..]);
        whole[..4].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_at(&whole, self.end)?;
        self.contents.insert(key, (self.end + HEAD_BYTES as u64, bytes));
        self.end = end;
        Ok(true)
    }

    /// Forgets everything: the checkpoint is complete, or is not wanted any more.
    ///
    /// # Errors
    /// When the disk refuses to cut the file. Everything is forgotten all the same.
    pub fn clear(&mut self) -> io::Result<()> {
        self.contents.clear();
        self.end = 0;
        self.file.set_length(0)
    }
}

/// A part of the file in memory.
struct Window {
    begin: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// So many bytes of the file from `offset` on, if it has them.
    fn at(&mut self, file: &dyn DiskFile, length: u64, offset: u64, count: usize) -> Option<&[u8]> {
        if length.checked_sub(offset)? < count as u64 {
            return None;
        }
        if self.begin + (self.bytes.len() as u64) < offset + count as u64 {
            let most = (length - offset).min(count.max(READ_BYTES) as u64);
            self.bytes.resize(usize::try_from(most).ok()?, 0);
            self.begin = offset;
            file.read_at(&mut self.bytes, offset).ok()?;
        }
        let from = usize::try_from(offset - self.begin).ok()?;
        self.bytes.get(from..from + count)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use viewstamped_state::{Fetch, PageOptions, Place, State};

    use super::*;
    use crate::io::SimulatedDisk;

    fn open(disk: &SimulatedDisk) -> Partial {
        Partial::open(disk, 100_000).unwrap()
    }

    fn content(number: u8) -> Vec<u8> {
        vec![number; 10 + 40 * usize::from(number)]
    }

    /// A file in which the contents of these numbers are kept under their numbers.
    fn kept(numbers: std::ops::Range<u8>) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let mut partial = open(&disk);
        for number in numbers {
            assert!(partial.keep([number; 32], &content(number)).unwrap());
        }
        disk
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_until_it_is_cleared() {
        let disk = kept(0..30);
        let mut partial = open(&disk);
        assert_eq!(partial.len(), 30);
        for number in 0..30 {
            assert_eq!(partial.get(&[number; 32]), Some(content(number)));
        }
        assert_eq!(partial.get(&[99; 32]), None);
        partial.keep([99; 32], b"more").unwrap();
        assert_eq!(open(&disk).get(&[99; 32]).as_deref(), Some(&b"more"[..]));
        partial.clear().unwrap();
        assert!(partial.is_empty() && open(&disk).is_empty());
    }

    #[test]
    fn keys_come_in_the_order_in_which_they_were_kept() {
        let disk = SimulatedDisk::new();
        let mut partial = open(&disk);
        let keys = [[9; 32], [2; 32], [5; 32]];
        keys.iter().for_each(|key| assert!(partial.keep(*key, &key[..7]).unwrap()));
        assert_eq!((partial.keys(), open(&disk).keys()), (keys.to_vec(), keys.to_vec()));
    }

    #[test]
    fn the_file_never_becomes_larger_than_allowed() {
        let disk = SimulatedDisk::new();
        let mut partial = Partial::open(&disk, 500).unwrap();
        assert!(partial.keep([1; 32], &[1; 400]).unwrap());
        assert!(!partial.keep([2; 32], &[2; 30]).unwrap(), "it does not fit");
        assert!(partial.keep([1; 32], &[1; 400]).unwrap(), "it is there already");
        assert!(partial.keep([3; 32], &[3; 20]).unwrap());
        assert_eq!((partial.bytes(), disk.content(PARTIAL).unwrap().len()), (500, 500));
    }

    #[test]
    fn damage_hides_what_lies_behind_it_and_never_changes_anything() {
        let disk = kept(0..20);
        let bits = disk.content(PARTIAL).unwrap().len() as u64 * 8;
        for bit in (0..bits).step_by(97) {
            disk.flip_bit(PARTIAL, bit);
            let partial = open(&disk);
            assert!(partial.len() < 20, "bit {bit}");
            for number in 0..20 {
                let found = partial.get(&[number; 32]);
                assert!(found.is_none() || usize::from(number) < partial.len());
                assert!(found.is_none_or(|found| found == content(number)));
            }
            disk.flip_bit(PARTIAL, bit);
        }
        let whole = disk.content(PARTIAL).unwrap();
        for length in (0..whole.len()).step_by(13) {
            disk.replace(PARTIAL, whole[..length].to_vec());
            assert!(open(&disk).len() < 20);
        }
    }

    #[test]
    fn rot_after_opening_is_seen_too() {
        let disk = kept(3..4);
        let partial = open(&disk);
        disk.flip_bit(PARTIAL, 8 * 60);
        assert_eq!(partial.get(&[3; 32]), None);
    }

    #[test]
    fn after_a_failed_write_the_rest_is_kept_and_more_can_be() {
        let disk = kept(0..5);
        let mut partial = open(&disk);
        disk.set_space(Some(partial.bytes() + 60));
        partial.keep([5; 32], &content(5)).unwrap_err();
        disk.set_space(None);
        assert_eq!(open(&disk).len(), 5);
        assert!(partial.keep([6; 32], &content(6)).unwrap());
        assert_eq!((open(&disk).len(), open(&disk).get(&[6; 32])), (6, Some(content(6))));
    }

    /// How a requester uses it: what came is kept with its place, and given again after a crash, in the same order.
    #[test]
    fn a_state_that_was_fetched_in_part_is_not_fetched_from_the_beginning() {
        let source: State = (0..3_000u32).map(|key| (key.to_be_bytes().to_vec(), vec![7; 90])).collect();
        let begin = || Fetch::new(source.root(), PageOptions::default(), State::default().snapshot());
        let (disk, mut fetch, mut asked) = (SimulatedDisk::new(), begin(), 0);
        let mut partial = Partial::open(&disk, 1 << 20).unwrap();
        while let Some(place) = fetch.next().filter(|_| asked < 40) {
            asked += 1;
            let part = source.part(&place).unwrap();
            let mut content = Vec::new();
            place.encode(&mut content);
            partial.keep(blake3::hash(&content).into(), &[&content[..], &part].concat()).unwrap();
            fetch.give(&place, part).unwrap();
        }
        drop((fetch, partial));
        let (mut fetch, partial) = (begin(), Partial::open(&disk, 1 << 20).unwrap());
        for content in partial.keys().iter().filter_map(|key| partial.get(key)) {
            let (place, part) = Place::decode(&content).unwrap();
            assert_eq!(fetch.give(&place, Bytes::copy_from_slice(part)), Ok(true));
        }
        while let Some(place) = fetch.next() {
            asked += 1;
            fetch.give(&place, source.part(&place).unwrap()).unwrap();
        }
        assert_eq!(fetch.state().unwrap().root(), source.root());
        assert_eq!(asked, 1 + source.pages().count(), "nothing was asked for twice");
    }
}
