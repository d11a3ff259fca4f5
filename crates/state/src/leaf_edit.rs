//! Changing a page of entries.
//!
//! Whether a page splits follows from what its entries count, never from the room it happens to have.

use std::sync::Arc;

use crate::entry::Entry;
use crate::keys;
use crate::leaf::{Leaf, large_number};
use crate::options::PageOptions;
use crate::slots::{LARGE, SLOT_BYTES, SMALLEST_ROOM_BYTES, Slot, small};

/// What became of a page that an entry was written to.
pub(crate) struct Written {
    /// The payload bytes of the entry that the new one replaced.
    pub(crate) replaced: Option<usize>,
    /// The upper part of the page, if it had to be split.
    pub(crate) upper: Option<Arc<Leaf>>,
}

/// Writes `value` over the one at this place, if it has the same length and lies in the page. Returns whether it does.
pub(crate) fn overwrite(page: &mut Arc<Leaf>, at: usize, value: &[u8]) -> bool {
    let slot = page.slot(at);
    if slot.value == LARGE || usize::from(slot.value) != value.len() {
        return false;
    }
    let leaf = changed(page);
    let place = slot.value_range(leaf.bytes.len());
    leaf.bytes[place].copy_from_slice(value);
    true
}

/// Writes `entry` into the page, or into one of the two pages that it becomes: instead of the one at a place, or between others.
pub(crate) fn write(
    page: &mut Arc<Leaf>,
    at: Result<usize, usize>,
    entry: &Entry<'_>,
    options: &PageOptions,
) -> Written {
    match at {
        Ok(at) => replace(page, at, entry, options),
        Err(at) => Written { replaced: None, upper: insert(page, at, entry, options) },
    }
}

fn replace(page: &mut Arc<Leaf>, at: usize, entry: &Entry<'_>, options: &PageOptions) -> Written {
    let old = page.entry(at);
    let (old_bytes, payload_bytes) = (old.page_bytes(), old.payload_bytes());
    let upper = if page.used() - old_bytes + entry.page_bytes() > options.page_bytes() {
        let page_ref = &**page;
        let entries = page_ref.entries().enumerate().map(|(place, old)| if place == at { entry.clone() } else { old });
        let (lower, upper) = split(&entries.collect::<Vec<_>>(), None, options);
        *page = lower;
        Some(upper)
    } else {
        remove(page, at);
        let upper = insert(page, at, entry, options);
        assert!(upper.is_none(), "the entry fits instead of the old one");
        None
    };
    Written { replaced: Some(payload_bytes), upper }
}

fn insert(page: &mut Arc<Leaf>, at: usize, entry: &Entry<'_>, options: &PageOptions) -> Option<Arc<Leaf>> {
    if page.used() + entry.page_bytes() > options.page_bytes() {
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(page.len() + 1);
        entries.extend(page.entries());
        entries.insert(at, entry.clone());
        let (lower, upper) = split(&entries, Some(at), options);
        *page = lower;
        return Some(upper);
    }
    make_room(page, SLOT_BYTES + entry.stored_bytes(), options);
    let leaf = changed(page);
    leaf.admit(entry.key.bytes());
    let slot = leaf.store(entry);
    let (begin, end) = (at * SLOT_BYTES, leaf.len() * SLOT_BYTES);
    leaf.bytes.copy_within(begin..end, begin + SLOT_BYTES);
    leaf.count += 1;
    leaf.used += small(entry.page_bytes());
    slot.write(&mut leaf.bytes.as_chunks_mut().0[at]);
    None
}

/// Takes an entry out of the page.
pub(crate) fn remove(page: &mut Arc<Leaf>, at: usize) {
    let entry_bytes = page.entry(at).page_bytes();
    let leaf = changed(page);
    let slot = leaf.slot(at);
    leaf.garbage += small(slot.stored_bytes());
    leaf.used -= small(entry_bytes);
    let (begin, end) = (at * SLOT_BYTES, leaf.len() * SLOT_BYTES);
    leaf.bytes.copy_within(begin + SLOT_BYTES..end, begin);
    leaf.count -= 1;
    let number = |length: u16, range| (length == LARGE).then(|| large_number(&leaf.bytes[range]));
    let room = leaf.bytes.len();
    let (key, value) = (number(slot.key, slot.key_range(room)), number(slot.value, slot.value_range(room)));
    // The larger number first: giving it up cannot change the smaller one.
    for number in [key.max(value), key.min(value)].into_iter().flatten() {
        leaf.forget_large(number);
    }
    if leaf.stored_bytes() * 4 + SMALLEST_ROOM_BYTES < leaf.bytes.len() {
        // Most of its memory is unused.
        *page = Leaf::build(&page.entries().collect::<Vec<_>>(), 0);
    }
}

/// One page with the entries of two neighbours.
pub(crate) fn merge(lower: &Leaf, upper: &Leaf) -> Arc<Leaf> {
    Leaf::build(&lower.entries().chain(upper.entries()).collect::<Vec<_>>(), 0)
}

/// The page, shared with nobody and without a hash.
fn changed(page: &mut Arc<Leaf>) -> &mut Leaf {
    if Arc::strong_count(page) != 1 {
        *page = page.copy(page.bytes.len());
    }
    let leaf = Arc::get_mut(page).expect("a page has no weak pointers");
    leaf.hash.take();
    leaf
}

/// Sees to it that the page has `bytes` bytes between its slots and its heap.
fn make_room(page: &mut Arc<Leaf>, bytes: usize, options: &PageOptions) {
    if page.free() < bytes {
        // An eighth more than what is needed at once, so that few insertions copy the page; but never more than a page may have.
        let stored = page.stored_bytes();
        let most = options.page_bytes().saturating_sub(stored);
        let spare = (bytes + (stored + bytes) / 8).min(most).max(bytes);
        *page = if page.garbage == 0 {
            page.copy(stored + spare)
        } else {
            Leaf::build(&page.entries().collect::<Vec<_>>(), spare)
        };
    }
}

/// Distributes entries that are too many for one page over two.
///
/// An entry that was just inserted at one end of its page is likely to be followed by others there, so most of the old entries stay
/// together: ascending insertions leave pages nearly full.
fn split(entries: &[Entry<'_>], inserted: Option<usize>, options: &PageOptions) -> (Arc<Leaf>, Arc<Leaf>) {
    let total: usize = entries.iter().map(Entry::page_bytes).sum();
    let wanted = match inserted {
        Some(0) => total / 8,
        Some(at) if at + 1 == entries.len() => total / 8 * 7,
        _ => total / 2,
    };
    let at = split_place(entries.iter().map(Entry::page_bytes), total, wanted, options.page_bytes());
    let (lower, upper) = entries.split_at(at);
    (Leaf::build(lower, 0), Leaf::build(upper, 0))
}

/// How many of the first `sizes` go to the lower page: as many as are `wanted` bytes, at least one, not all, and so that neither page
/// has more than `most` bytes.
pub(crate) fn split_place(sizes: impl Iterator<Item = usize>, total: usize, wanted: usize, most: usize) -> usize {
    let (mut place, mut lower) = (0, 0);
    for (before, size) in sizes.enumerate() {
        let is_enough = before > 0 && lower + size > wanted && total - lower <= most;
        if is_enough || (before > 0 && (lower + size > most || lower + size == total)) {
            break;
        }
        lower += size;
        place = before + 1;
    }
    place
}

impl Leaf {
    /// The bytes its entries take, slots included.
    fn stored_bytes(&self) -> usize {
        self.len() * SLOT_BYTES + usize::from(self.heap) - usize::from(self.garbage)
    }

    /// Makes the prefix one of `key`, too.
    fn admit(&mut self, key: &[u8]) {
        if self.count == 0 {
            self.set_prefix(0, key);
            return;
        }
        let first = self.key(0);
        let prefix = usize::from(self.prefix);
        if self.count > 1 && key.get(..prefix) == Some(&first[..prefix]) {
            return;
        }
        // A page of one entry has no prefix yet; otherwise it becomes shorter.
        self.set_prefix(keys::common_prefix(key, first), key);
        for at in 0..self.len() {
            let head = keys::head(&self.key(at)[usize::from(self.prefix)..]);
            let slot = Slot { head, ..self.slot(at) };
            slot.write(&mut self.bytes.as_chunks_mut().0[at]);
        }
    }

    /// Gives up the large field of this number, which no slot names any more. The last one gets its number.
    fn forget_large(&mut self, number: usize) {
        self.large.swap_remove(number);
        let last = self.large.len();
        if number == last {
            return;
        }
        let room = self.bytes.len();
        for at in 0..self.len() {
            let slot = self.slot(at);
            for (length, range) in [(slot.key, slot.key_range(room)), (slot.value, slot.value_range(room))] {
                if length == LARGE && large_number(&self.bytes[range.clone()]) == last {
                    self.bytes[range].copy_from_slice(&small(number).to_le_bytes());
                    return;
                }
            }
        }
    }
}
