//! Comparing the keys of one page: what all of them begin with is skipped, and four bytes decide nearly everything else.

use std::cmp::Ordering;

/// The bytes of a head.
const HEAD_BYTES: usize = 4;

/// How many bytes `a` and `b` both begin with.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_of_a, words_of_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let words = words_of_a.iter().zip(words_of_b).take_while(|(a, b)| a == b).count();
    let done = words * 8;
    done + a[done..].iter().zip(&b[done..]).take_while(|(a, b)| a == b).count()
}

/// The first four bytes of a key behind the prefix of its page, as a number that is ordered as they are.
///
/// A shorter rest is filled with zeros: a smaller head means a smaller key, equal heads mean nothing.
pub(crate) fn head(rest: &[u8]) -> u32 {
    if let Some(first) = rest.first_chunk::<4>() {
        return u32::from_be_bytes(*first);
    }
    let mut first = [0; 4];
    first[..rest.len()].copy_from_slice(rest);
    u32::from_be_bytes(first)
}

/// How two keys with one head are ordered, by their rests behind the prefix of their page.
///
/// When one of them is no longer than a head, it is what the other begins with, or differs in zeros that it lacks: then the lengths
/// decide, and `rest_of_a` is not asked for.
pub(crate) fn order_of_tied<'a>(a_bytes: usize, rest_of_a: impl FnOnce() -> &'a [u8], rest_of_b: &[u8]) -> Ordering {
    if a_bytes.min(rest_of_b.len()) <= HEAD_BYTES {
        a_bytes.cmp(&rest_of_b.len())
    } else {
        rest_of_a()[HEAD_BYTES..].cmp(&rest_of_b[HEAD_BYTES..])
    }
}

/// How `key` begins, compared with keys that begin with `prefix`. Of both, `known` bytes are the same: they are not compared.
pub(crate) fn order_of_start(key: &[u8], prefix: &[u8], known: usize) -> Ordering {
    if prefix.len() <= known {
        return Ordering::Equal;
    }
    key[known..key.len().min(prefix.len())].cmp(&prefix[known..])
}

/// The shortest key that is larger than `left` and at most `right`: what tells two pages apart.
pub(crate) fn separator<'k>(left: &[u8], right: &'k [u8]) -> &'k [u8] {
    &right[..common_prefix(left, right) + 1]
}
