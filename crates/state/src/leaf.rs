//! A page of entries.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::entry::{Entry, Field};
use crate::keys;
use crate::large::Large;
use crate::root::Hash;
use crate::slots::{self, LARGE, SLOT_BYTES, Slot, small};

/// Keys and values, in one piece of memory: from the front the slots, in the order of the keys; from the back the bytes of keys and
/// values.
///
/// What it means are its entries and nothing else. How much room it has, where in it an entry lies, what is garbage and how long a
/// common prefix it knows must never decide anything that another replica could see.
pub(crate) struct Leaf<B: ?Sized = [u8]> {
    pub(crate) hash: OnceLock<Hash>,
    /// The last eight bytes of the prefix, as a number that is ordered as they are; 0 when the prefix is shorter.
    pub(crate) prefix_end: u64,
    /// The number of entries.
    pub(crate) count: u16,
    /// All keys begin with the same bytes, at least this many.
    pub(crate) prefix: u16,
    /// How many bytes at the end of `bytes` are of keys and values.
    pub(crate) heap: u16,
    /// How many of them belong to no entry.
    pub(crate) garbage: u16,
    /// What all entries together count.
    pub(crate) used: u16,
    /// The keys and values that are too long to lie in `bytes`.
    pub(crate) large: Vec<Arc<Large>>,
    pub(crate) bytes: B,
}

impl Leaf {
    /// A page without entries.
    pub(crate) fn empty() -> Arc<Self> {
        slots::allocate(0, Vec::new())
    }

    /// A page with these entries, whose keys ascend, and room for `spare` bytes more.
    pub(crate) fn build(entries: &[Entry<'_>], spare: usize) -> Arc<Self> {
        let stored = entries.iter().map(|entry| SLOT_BYTES + entry.stored_bytes()).sum::<usize>();
        let mut page = slots::allocate(stored + spare, Vec::new());
        let leaf = Arc::get_mut(&mut page).expect("nobody else knows it yet");
        if let [first, .., last] = entries {
            let prefix = keys::common_prefix(first.key.bytes(), last.key.bytes());
            leaf.set_prefix(prefix, first.key.bytes());
        }
        for (at, entry) in entries.iter().enumerate().rev() {
            // From the last to the first: the heap grows downwards, and so the keys ascend in memory.
            let slot = leaf.store(entry);
            slot.write(&mut leaf.bytes.as_chunks_mut().0[at]);
            leaf.used += small(entry.page_bytes());
        }
        leaf.count = small(entries.len());
        page
    }

    /// A copy that nobody shares, in at least `room` bytes, which is no less than it has.
    pub(crate) fn copy(&self, room: usize) -> Arc<Self> {
        let mut page = slots::allocate(room, self.large.clone());
        let leaf = Arc::get_mut(&mut page).expect("nobody else knows it yet");
        let (slots, heap) = (self.len() * SLOT_BYTES, usize::from(self.heap));
        leaf.bytes[..slots].copy_from_slice(&self.bytes[..slots]);
        let (new_heap, old_heap) = (leaf.bytes.len() - heap, self.bytes.len() - heap);
        leaf.bytes[new_heap..].copy_from_slice(&self.bytes[old_heap..]);
        (leaf.prefix_end, leaf.prefix, leaf.heap) = (self.prefix_end, self.prefix, self.heap);
        (leaf.count, leaf.garbage, leaf.used) = (self.count, self.garbage, self.used);
        page
    }

    /// Notes that all keys begin with the first `prefix` bytes of `key`.
    pub(crate) fn set_prefix(&mut self, prefix: usize, key: &[u8]) {
        let prefix = prefix.min(usize::from(u16::MAX));
        self.prefix = small(prefix);
        self.prefix_end = prefix_end(&key[..prefix]).unwrap_or(0);
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// What the entries count, against the page bytes of the options.
    pub(crate) fn used(&self) -> usize {
        usize::from(self.used)
    }

    /// The bytes of all keys and values.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.entries().map(|entry| entry.payload_bytes() as u64).sum()
    }

    /// Where `key` is, or the place where it would be. It begins with the same `known` bytes as all keys of the page.
    pub(crate) fn search(&self, key: &[u8], known: usize) -> Result<usize, usize> {
        let slots = self.slots();
        if slots.is_empty() {
            return Err(0);
        }
        match self.order_of_start(key, known) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(slots.len()),
            Ordering::Equal => {}
        }
        let prefix = usize::from(self.prefix);
        let rest = &key[prefix..];
        let head = keys::head(rest);
        let low = slots.partition_point(|slot| Slot::head(slot) < head);
        let has_head = |at: usize| slots.get(at).is_some_and(|slot| Slot::head(slot) == head);
        if !has_head(low) {
            return Err(low);
        }
        let ties = if has_head(low + 1) { slots[low..].partition_point(|slot| Slot::head(slot) == head) } else { 1 };
        let order = |slot: &[u8; SLOT_BYTES]| self.order_of_tied(Slot::read(slot), rest);
        slots[low..low + ties].binary_search_by(order).map(|at| low + at).map_err(|at| low + at)
    }

    /// How the key of a slot is ordered against one that has the same prefix, the same head, and this rest behind the prefix.
    fn order_of_tied(&self, slot: Slot, rest: &[u8]) -> Ordering {
        let prefix = usize::from(self.prefix);
        if slot.key == LARGE {
            return self.key_of(slot)[prefix..].cmp(rest);
        }
        keys::order_of_tied(usize::from(slot.key) - prefix, || &self.key_of(slot)[prefix..], rest)
    }

    /// How `key` begins, compared with the prefix. Mostly without a look at the keys.
    fn order_of_start(&self, key: &[u8], known: usize) -> Ordering {
        let prefix = usize::from(self.prefix);
        if prefix <= known {
            return Ordering::Equal;
        }
        if prefix - known <= 8
            && let Some(end) = key.get(..prefix).and_then(prefix_end)
        {
            return end.cmp(&self.prefix_end);
        }
        keys::order_of_start(key, &self.key(0)[..prefix], known)
    }

    pub(crate) fn key(&self, at: usize) -> &[u8] {
        self.key_of(self.slot(at))
    }

    pub(crate) fn value(&self, at: usize) -> &[u8] {
        let slot = self.slot(at);
        let stored = &self.bytes[slot.value_range(self.bytes.len())];
        if slot.value == LARGE { &self.large_of(stored).bytes } else { stored }
    }

    pub(crate) fn pair(&self, at: usize) -> (&[u8], &[u8]) {
        (self.key(at), self.value(at))
    }

    pub(crate) fn entry(&self, at: usize) -> Entry<'_> {
        let slot = self.slot(at);
        let field = |length: u16, range| {
            let stored = &self.bytes[range];
            if length == LARGE { Field::Large(self.large_of(stored).clone()) } else { Field::Inline(stored) }
        };
        let room = self.bytes.len();
        Entry { key: field(slot.key, slot.key_range(room)), value: field(slot.value, slot.value_range(room)) }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).map(|at| self.entry(at))
    }

    pub(crate) fn slots(&self) -> &[[u8; SLOT_BYTES]] {
        &self.bytes.as_chunks().0[..self.len()]
    }

    pub(crate) fn slot(&self, at: usize) -> Slot {
        Slot::read(&self.slots()[at])
    }

    fn key_of(&self, slot: Slot) -> &[u8] {
        let stored = &self.bytes[slot.key_range(self.bytes.len())];
        if slot.key == LARGE { &self.large_of(stored).bytes } else { stored }
    }

    /// The large fields among the key and the value of an entry.
    pub(crate) fn large_at(&self, at: usize) -> impl Iterator<Item = &Arc<Large>> {
        let (slot, room) = (self.slot(at), self.bytes.len());
        let fields = [(slot.key, slot.key_range(room)), (slot.value, slot.value_range(room))];
        fields.into_iter().filter(|(length, _)| *length == LARGE).map(|(_, range)| self.large_of(&self.bytes[range]))
    }

    /// The large fields of the page, in the order of its entries.
    pub(crate) fn large_in_order(&self) -> impl Iterator<Item = &Arc<Large>> {
        // Most pages have none: their entries are not walked.
        let entries = if self.large.is_empty() { 0 } else { self.len() };
        (0..entries).flat_map(|at| self.large_at(at))
    }

    /// The large field whose number is stored.
    fn large_of(&self, stored: &[u8]) -> &Arc<Large> {
        &self.large[large_number(stored)]
    }

    /// How many bytes lie between the slots and the heap.
    pub(crate) fn free(&self) -> usize {
        self.bytes.len() - usize::from(self.heap) - self.len() * SLOT_BYTES
    }

    /// Copies the key and the value into the heap, which has room. Returns the slot of the entry.
    pub(crate) fn store(&mut self, entry: &Entry<'_>) -> Slot {
        self.heap += small(entry.stored_bytes());
        let at = self.bytes.len() - usize::from(self.heap);
        let end = at + entry.key.stored_bytes();
        let key = self.store_field(&entry.key, at);
        let value = self.store_field(&entry.value, end);
        let prefix = usize::from(self.prefix);
        Slot { head: keys::head(&entry.key.bytes()[prefix..]), at: self.heap, key, value }
    }

    /// Writes what the page stores of `field` to `at`. Returns its length, as slots name it.
    pub(crate) fn store_field(&mut self, field: &Field<'_>, at: usize) -> u16 {
        match field {
            Field::Inline(bytes) => {
                self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
                small(bytes.len())
            }
            Field::Large(large) => {
                self.bytes[at..at + 2].copy_from_slice(&small(self.large.len()).to_le_bytes());
                self.large.push(large.clone());
                LARGE
            }
        }
    }
}

/// The last eight bytes of a prefix that has so many, as a number that is ordered as they are.
fn prefix_end(prefix: &[u8]) -> Option<u64> {
    prefix.last_chunk().map(|end| u64::from_be_bytes(*end))
}

/// The number of a large field, from where the field would be.
pub(crate) fn large_number(stored: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([stored[0], stored[1]]))
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries((0..self.len()).map(|at| self.pair(at))).finish()
    }
}
