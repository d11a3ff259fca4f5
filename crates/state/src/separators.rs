//! The keys that tell the children of a page apart.

use std::cmp::Ordering;

use crate::keys;

/// Ascending keys in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Separators {
    /// All keys begin with the same bytes, exactly this many when there are two keys or more.
    prefix: usize,
    /// See [`keys::head`].
    heads: Vec<u32>,
    /// Where each key ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
    /// How many bytes each key has in common with the next one.
    shared: Vec<u32>,
}

impl Separators {
    pub(crate) fn new<'k>(keys: impl IntoIterator<Item = &'k [u8]>) -> Self {
        let mut separators = Self::default();
        for key in keys {
            separators.append(key);
        }
        separators.renew_heads();
        separators
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all keys.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn key(&self, at: usize) -> &[u8] {
        let begin = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[begin..self.ends[at] as usize]
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.key(at))
    }

    /// How many of the keys are `key` or smaller. It begins with the same `known` bytes as all of them.
    pub(crate) fn up_to(&self, key: &[u8], known: usize) -> usize {
        match keys::order_of_start(key, &self.bytes[..self.prefix], known) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.len(),
            Ordering::Equal => {}
        }
        let rest = &key[self.prefix..];
        let head = keys::head(rest);
        let low = self.heads.partition_point(|other| *other < head);
        if self.heads.get(low) != Some(&head) {
            return low;
        }
        let mut tied = low..low + self.heads[low..].partition_point(|other| *other == head);
        while !tied.is_empty() {
            let middle = tied.start + tied.len() / 2;
            let other = &self.key(middle)[self.prefix..];
            if keys::order_of_tied(other.len(), || other, rest).is_le() {
                tied.start = middle + 1;
            } else {
                tied.end = middle;
            }
        }
        tied.start
    }

    /// How many bytes are the same in all keys behind separator `at - 1` and before separator `at`, when in all keys of the page
    /// `known` are.
    pub(crate) fn known_between(&self, at: usize, known: usize) -> usize {
        if at == 0 || at == self.len() { known } else { known.max(self.shared[at - 1] as usize) }
    }

    pub(crate) fn insert(&mut self, at: usize, key: &[u8]) {
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        self.bytes.splice(begin as usize..begin as usize, key.iter().copied());
        self.ends.insert(at, begin);
        self.shift_ends(at, |end| end + length_of(key));
        self.heads.insert(at, 0);
        self.renew_heads();
    }

    pub(crate) fn remove(&mut self, at: usize) {
        let (begin, key_bytes) = (self.ends[at] as usize - self.key(at).len(), self.key(at).len());
        self.bytes.drain(begin..begin + key_bytes);
        self.shift_ends(at, |end| end - u32::try_from(key_bytes).expect("the end was an u32"));
        self.ends.remove(at);
        self.renew_heads();
    }

    fn append(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(length_of(&self.bytes));
    }

    fn shift_ends(&mut self, from: usize, shifted: impl Fn(u32) -> u32) {
        self.ends[from..].iter_mut().for_each(|end| *end = shifted(*end));
    }

    fn renew_heads(&mut self) {
        self.prefix = match self.len() {
            0 => 0,
            count => keys::common_prefix(self.key(0), self.key(count - 1)),
        };
        let prefix = self.prefix;
        let heads = self.keys().map(|key| keys::head(&key[prefix..])).collect();
        self.heads = heads;
        let shared = (1..self.len()).map(|at| keys::common_prefix(self.key(at - 1), self.key(at)));
        self.shared = shared.map(|count| u32::try_from(count).expect("keys end at an u32")).collect();
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("the separators of a page are smaller than 4 GiB")
}
