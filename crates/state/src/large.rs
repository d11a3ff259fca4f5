//! Keys and values that lie outside of the pages, and their hashes piece by piece.
//!
//! The hash of a field is plain BLAKE3. That is a tree over the field's bytes, of which a piece is a subtree: with the hashes of the
//! subtrees beside its way up, a piece alone can be verified against the hash of the field.

use std::hash::{Hash as StdHash, Hasher};
use std::ops::Range;
use std::sync::OnceLock;

use blake3::hazmat::{self, HasherExt, Mode};
use bytes::Bytes;

use crate::place::Place;
use crate::root::Hash;
use crate::unshared;

/// A key or value too long to lie in a page. Shared by all copies of the page, with its hashes once somebody asked for them.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) bytes: Bytes,
    hashes: OnceLock<Hashes>,
}

/// The hash of a field, and those of its pieces when it has more than one.
#[derive(Debug)]
struct Hashes {
    field: Hash,
    pieces: Box<[Hash]>,
}

impl Large {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, hashes: OnceLock::new() }
    }

    /// The field with this hash of which these are all pieces, in order.
    pub(crate) fn of_pieces(hash: Hash, pieces: &[&Piece]) -> Self {
        let (bytes, hashes) = match pieces {
            [only] => (unshared(only.bytes.clone()), Box::default()),
            _ => {
                let bytes: Vec<&[u8]> = pieces.iter().map(|piece| &*piece.bytes).collect();
                (bytes.concat().into(), pieces.iter().map(|piece| piece.hash).collect())
            }
        };
        Self { bytes, hashes: OnceLock::from(Hashes { field: hash, pieces: hashes }) }
    }

    pub(crate) fn hash(&self) -> &Hash {
        &self.hashes().field
    }

    fn hashes(&self) -> &Hashes {
        self.hashes.get_or_init(|| {
            if self.bytes.len() <= Place::PIECE_BYTES {
                return Hashes { field: blake3::hash(&self.bytes).into(), pieces: Box::default() };
            }
            let pieces =
                self.bytes.chunks(Place::PIECE_BYTES).enumerate().map(|(piece, bytes)| piece_hash(bytes, piece));
            let pieces: Box<[Hash]> = pieces.collect();
            Hashes { field: merged(&pieces, Merge::Root), pieces }
        })
    }

    /// The hashes beside the way from the top of the field's tree down to the piece, then the bytes of the piece.
    pub(crate) fn piece(&self, piece: usize) -> Option<Bytes> {
        let length = self.bytes.len();
        let range = Pieces { length: length as u64 }.range(piece)?;
        let mut part = Vec::new();
        let mut pieces = &self.hashes().pieces[..];
        let mut at = piece;
        while pieces.len() > 1 {
            let (lower, upper) = pieces.split_at(lower_pieces(pieces.len()));
            let is_lower = at < lower.len();
            let (way, beside) = if is_lower { (lower, upper) } else { (upper, lower) };
            part.extend_from_slice(&merged(beside, Merge::Below));
            (pieces, at) = (way, if is_lower { at } else { at - lower.len() });
        }
        part.extend_from_slice(&self.bytes[range]);
        Some(part.into())
    }
}

/// Fields with one hash are the same.
impl PartialEq for Large {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Large {}

impl StdHash for Large {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        Self::hash(self).hash(hasher);
    }
}

/// A piece of a field, and its hash in the field's tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    hash: Hash,
}

/// How a field of this many bytes is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pieces {
    pub(crate) length: u64,
}

impl Pieces {
    pub(crate) fn count(self) -> u64 {
        self.length.div_ceil(Place::PIECE_BYTES as u64)
    }

    /// The bytes of the piece, if the field has so many pieces and bytes of memory can be.
    fn range(self, piece: usize) -> Option<Range<usize>> {
        let length = usize::try_from(self.length).ok()?;
        let begin = piece.checked_mul(Place::PIECE_BYTES).filter(|begin| *begin < length)?;
        Some(begin..length.min(begin + Place::PIECE_BYTES))
    }

    /// The piece, if the part is what [`Large::piece`] gives for a field with this hash.
    pub(crate) fn verified(self, hash: &Hash, piece: usize, part: &Bytes) -> Option<Piece> {
        let range = self.range(piece)?;
        let beside_bytes = part.len().checked_sub(range.len())?;
        let (beside, bytes) = part.split_at(beside_bytes);
        let (beside, []) = beside.as_chunks::<32>() else { return None };
        let count = usize::try_from(self.count()).ok()?;
        let (found, piece_hash) = if count == 1 && beside.is_empty() {
            (blake3::hash(bytes).into(), *hash)
        } else {
            let piece_hash = piece_hash(bytes, piece);
            (root_beside(beside, piece_hash, (piece, count))?, piece_hash)
        };
        (found == *hash).then(|| Piece { bytes: part.slice(beside_bytes..), hash: piece_hash })
    }
}

/// The hash at the top of a tree of `count` pieces, of which one has this hash and the others lie below the hashes `beside`.
fn root_beside(beside: &[Hash], piece_hash: Hash, (piece, count): (usize, usize)) -> Option<Hash> {
    let (mut at, mut pieces, mut is_lower) = (piece, count, Vec::new());
    while pieces > 1 {
        let lower = lower_pieces(pieces);
        is_lower.push(at < lower);
        (at, pieces) = if at < lower { (at, lower) } else { (at - lower, pieces - lower) };
    }
    if is_lower.len() != beside.len() || beside.is_empty() {
        return None;
    }
    let mut hash = piece_hash;
    for (depth, (beside, is_lower)) in beside.iter().zip(is_lower).enumerate().rev() {
        let merge = if depth == 0 { Merge::Root } else { Merge::Below };
        hash = if is_lower { merge.of(&hash, beside) } else { merge.of(beside, &hash) };
    }
    Some(hash)
}

/// How many of several pieces lie in the lower half of their tree: the largest power of two that leaves some for the other half.
fn lower_pieces(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn piece_hash(bytes: &[u8], piece: usize) -> Hash {
    let offset = piece as u64 * Place::PIECE_BYTES as u64;
    blake3::Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
}

/// Whether two hashes are merged at the top of a field's tree or below it.
#[derive(Clone, Copy, Debug)]
enum Merge {
    Root,
    Below,
}

impl Merge {
    fn of(self, lower: &Hash, upper: &Hash) -> Hash {
        match self {
            Self::Root => hazmat::merge_subtrees_root(lower, upper, Mode::Hash).into(),
            Self::Below => hazmat::merge_subtrees_non_root(lower, upper, Mode::Hash),
        }
    }
}

fn merged(pieces: &[Hash], merge: Merge) -> Hash {
    if let [only] = pieces {
        return *only;
    }
    let (lower, upper) = pieces.split_at(lower_pieces(pieces.len()));
    merge.of(&merged(lower, Merge::Below), &merged(upper, Merge::Below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(length: usize) -> Large {
        Large::new((0..length).map(|at| (at * 7 + at / 251) as u8).collect::<Vec<u8>>().into())
    }

    #[test]
    fn a_field_has_its_plain_hash_whatever_its_pieces_are() {
        let piece = Place::PIECE_BYTES;
        for length in [1, piece - 1, piece, piece + 1, 2 * piece, 3 * piece, 4 * piece, 4 * piece + 1, 7 * piece + 5] {
            let field = field(length);
            let plain: Hash = blake3::hash(&field.bytes).into();
            assert_eq!(*field.hash(), plain, "{length} bytes");
            let pieces = Pieces { length: length as u64 };
            let count = usize::try_from(pieces.count()).expect("few");
            let verified = (0..count).map(|piece| {
                let part = field.piece(piece).expect("the piece is there");
                pieces.verified(&plain, piece, &part).expect("the piece is right")
            });
            let verified: Vec<Piece> = verified.collect();
            let again = Large::of_pieces(plain, &verified.iter().collect::<Vec<_>>());
            assert_eq!((&again.bytes, again.hash()), (&field.bytes, &plain));
            assert_eq!(again.piece(count - 1), field.piece(count - 1));
            assert_eq!(field.piece(length.div_ceil(piece)), None);
        }
    }

    #[test]
    fn a_piece_with_any_damage_is_refused() {
        for length in [100, 2 * Place::PIECE_BYTES + 100, 5 * Place::PIECE_BYTES] {
            let (field, pieces) = (field(length), Pieces { length: length as u64 });
            let last = usize::try_from(pieces.count()).expect("few") - 1;
            let part = field.piece(last).expect("the piece is there");
            let is_right = |part: &[u8]| pieces.verified(field.hash(), last, &Bytes::copy_from_slice(part)).is_some();
            assert!(is_right(&part));
            for at in (0..part.len()).step_by(part.len() / 50) {
                let mut damaged = part.to_vec();
                damaged[at] ^= 1 << (at % 8);
                assert!(!is_right(&damaged), "a flipped bit at {at}");
                assert!(!is_right(&part[..at]), "cut at {at}");
            }
            assert!(!is_right(&[&part[..], &[0]].concat()));
            assert!(!is_right(&[&[0; 32], &part[..]].concat()), "a hash too many");
            assert!(last == 0 || pieces.verified(field.hash(), last - 1, &part).is_none(), "another piece");
        }
    }
}
