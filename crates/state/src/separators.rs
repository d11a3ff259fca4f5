//! The keys that tell the children of a page apart.

use crate::keys;

/// Ascending keys in one piece of memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Separators {
    /// All keys begin with the same bytes, exactly this many when there are two keys or more.
    prefix: usize,
    /// See [`keys::head`].
    heads: Vec<u32>,
    /// Where each key ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
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

    /// How many of the keys are `key` or smaller.
    pub(crate) fn up_to(&self, key: &[u8]) -> usize {
        if self.ends.is_empty() {
            return 0;
        }
        let (start, rest) = key.split_at(self.prefix.min(key.len()));
        let shared = &self.bytes[..self.prefix];
        if start != shared {
            return if start < shared { 0 } else { self.len() };
        }
        let head = keys::head(rest);
        let low = self.heads.partition_point(|other| *other < head);
        let ties = self.heads[low..].iter().take_while(|other| **other == head).count();
        let mut tied = low..low + ties;
        while !tied.is_empty() {
            let middle = tied.start + tied.len() / 2;
            if self.key(middle)[self.prefix..] <= *rest {
                tied.start = middle + 1;
            } else {
                tied.end = middle;
            }
        }
        tied.start
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
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("the separators of a page are smaller than 4 GiB")
}
