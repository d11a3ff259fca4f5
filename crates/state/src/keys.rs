//! Comparing the keys of one page: what all of them begin with is skipped, and four bytes decide nearly everything else.

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

/// The shortest key that is larger than `left` and at most `right`: what tells two pages apart.
pub(crate) fn separator<'k>(left: &[u8], right: &'k [u8]) -> &'k [u8] {
    &right[..common_prefix(left, right) + 1]
}
