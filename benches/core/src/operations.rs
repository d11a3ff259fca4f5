//! The operations every system replicates: encoded puts on the map, of one size, over a fixed set of keys.

use bytes::Bytes;
use viewstamped_map::Operation;

/// How many different keys are put.
pub const KEYS: u64 = 10_000;

const DIGITS: usize = 8;
/// What the encoding of a put adds to its key and value: the kind and two lengths.
const OVERHEAD: usize = 7;
/// Where the key begins in an encoded put: behind the kind and the length of the key.
const KEY_AT: usize = 3;
/// Prime to the number of keys, so that all of them are put before one is put again, in no sorted order.
const STEP: u64 = 7_919;

/// An endless supply of operations.
pub struct Operations {
    encoded: Vec<u8>,
    next: u64,
}

impl Operations {
    /// Operations of `size` bytes.
    ///
    /// # Panics
    /// When a put does not fit in so few bytes.
    pub fn new(size: usize) -> Self {
        let key = [b'0'; DIGITS];
        let value = vec![b'v'; size - OVERHEAD - DIGITS];
        let encoded = Operation::Put { key: &key, value: &value }.encode().expect("short keys are encodable").to_vec();
        assert_eq!(encoded.len(), size, "the overhead of a put is known");
        assert_eq!(encoded[KEY_AT..KEY_AT + DIGITS], key, "the place of the key is known");
        Self { encoded, next: 0 }
    }

    /// The next operation in a buffer of its own, as a server gets it from a connection.
    pub fn next(&mut self) -> Bytes {
        Bytes::copy_from_slice(self.encode())
    }

    /// The same for who wants a vector.
    pub fn next_vec(&mut self) -> Vec<u8> {
        self.encode().to_vec()
    }

    fn encode(&mut self) -> &[u8] {
        self.next = (self.next + STEP) % KEYS;
        let mut rest = self.next;
        for digit in self.encoded[KEY_AT..KEY_AT + DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        &self.encoded
    }
}
