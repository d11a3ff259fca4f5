//! What hashes cover: the bytes that a top and a page are sent and stored as. All numbers are little endian.

use bytes::Bytes;

use crate::State;
use crate::entry::Field;
use crate::interior::Interior;
use crate::leaf::Leaf;
use crate::page::Page;
use crate::root::STRUCTURE_VERSION;

/// What every top begins with.
pub(crate) const TOP_BEGIN: &[u8] = b"viewstamped state";

/// Stands in an encoding for the length of a field that lies outside of the page: its length and hash follow.
pub(crate) const LARGE_MARK: u16 = u16::MAX;

/// The beginning, then in 64 bits each the structure version, the page bytes, the number of keys, the bytes of all keys and values,
/// and the hash of the root page.
pub(crate) fn top(state: &State) -> Bytes {
    let mut encoding = TOP_BEGIN.to_vec();
    for number in [STRUCTURE_VERSION, state.options.page_bytes() as u64, state.keys, state.bytes] {
        encoding.extend_from_slice(&number.to_le_bytes());
    }
    encoding.extend_from_slice(state.root.hash());
    encoding.into()
}

/// The height of the page as a byte, and what it holds.
pub(crate) fn page(page: &Page, encoding: &mut Vec<u8>) {
    encoding.push(page.height());
    match page {
        Page::Leaf(page) => put_leaf(page, encoding),
        Page::Interior(page) => put_interior(page, encoding),
    }
}

/// The number of entries in 32 bits, and of each entry the key and the value.
fn put_leaf(page: &Leaf, encoding: &mut Vec<u8>) {
    put_count(page.len(), encoding);
    for entry in page.entries() {
        put_field(&entry.key, encoding);
        put_field(&entry.value, encoding);
    }
}

/// The number of children in 32 bits, of each child the hash, the number of keys and the bytes of all keys and values in 64 bits, and
/// of each separator the length in 32 bits and the bytes.
fn put_interior(page: &Interior, encoding: &mut Vec<u8>) {
    put_count(page.children.len(), encoding);
    for child in &page.children {
        encoding.extend_from_slice(child.page.hash());
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
