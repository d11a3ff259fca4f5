//! The hash of a whole state: the pages name the hashes of their children.

use std::fmt;

use crate::State;
use crate::entry::Field;
use crate::interior::Interior;
use crate::leaf::Leaf;
use crate::page::Page;

/// Says how pages are formed and how roots are made of them. Raised whenever the same operations would get another root, so that
/// replicas of different releases see at once that their roots cannot be compared.
pub const STRUCTURE_VERSION: u64 = 2;

/// A BLAKE3 hash.
pub(crate) type Hash = [u8; 32];

/// The hash of a whole state: what it holds, and how it lies in pages. See [`State::root`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub [u8; 32]);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Stands in an encoding for the length of a field that lies outside of the page: its length and hash follow.
const LARGE_MARK: u16 = u16::MAX;

/// The BLAKE3 hash of `"viewstamped state"`, the structure version, the page bytes, the number of keys, the bytes of all keys and
/// values, and the hash of the root page; all numbers are 64 bits, little endian.
pub(crate) fn of(state: &State) -> Root {
    let mut encoding = b"viewstamped state".to_vec();
    let page_bytes = state.options.page_bytes() as u64;
    for number in [STRUCTURE_VERSION, page_bytes, state.keys, state.bytes] {
        encoding.extend_from_slice(&number.to_le_bytes());
    }
    encoding.extend_from_slice(state.root.hash(&mut Vec::new()));
    Root(blake3::hash(&encoding).into())
}

impl Page {
    /// The hash of the page's encoding. Computed once, and for the pages below, too; `scratch` is memory to work in.
    fn hash(&self, scratch: &mut Vec<u8>) -> &Hash {
        match self {
            Self::Leaf(page) => page.hash.get_or_init(|| hash_of(scratch, |encoding| encode_leaf(page, encoding))),
            Self::Interior(page) => page.hash.get_or_init(|| {
                for child in &page.children {
                    child.page.hash(scratch);
                }
                hash_of(scratch, |encoding| encode_interior(page, encoding))
            }),
        }
    }
}

fn hash_of(scratch: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) -> Hash {
    scratch.clear();
    encode(scratch);
    blake3::hash(scratch).into()
}

/// A byte 0, the number of entries in 32 bits, and of each entry the key and the value.
fn encode_leaf(page: &Leaf, encoding: &mut Vec<u8>) {
    encoding.push(0);
    put_count(page.len(), encoding);
    for entry in page.entries() {
        put_field(&entry.key, encoding);
        put_field(&entry.value, encoding);
    }
}

/// The height as a byte, the number of children in 32 bits, of each child the hash, the number of keys and the bytes of all keys and
/// values in 64 bits, and of each separator the length in 32 bits and the bytes.
fn encode_interior(page: &Interior, encoding: &mut Vec<u8>) {
    encoding.push(page.height);
    put_count(page.children.len(), encoding);
    let mut scratch = Vec::new();
    for child in &page.children {
        encoding.extend_from_slice(child.page.hash(&mut scratch));
        encoding.extend_from_slice(&child.keys.to_le_bytes());
        encoding.extend_from_slice(&child.bytes.to_le_bytes());
    }
    for separator in page.separators.keys() {
        put_count(separator.len(), encoding);
        encoding.extend_from_slice(separator);
    }
}

/// The length in 16 bits and the bytes, or the mark, the length in 64 bits and the hash.
fn put_field(field: &Field<'_>, encoding: &mut Vec<u8>) {
    match field {
        Field::Inline(bytes) => {
            let length = u16::try_from(bytes.len()).expect("longer fields lie outside");
            encoding.extend_from_slice(&length.to_le_bytes());
            encoding.extend_from_slice(bytes);
        }
        Field::Large(large) => {
            encoding.extend_from_slice(&LARGE_MARK.to_le_bytes());
            encoding.extend_from_slice(&(large.bytes.len() as u64).to_le_bytes());
            encoding.extend_from_slice(large.hash());
        }
    }
}

fn put_count(count: usize, encoding: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("a page is smaller than 4 GiB");
    encoding.extend_from_slice(&count.to_le_bytes());
}
