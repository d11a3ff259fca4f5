//! Where a part of a state lies, for those who fetch it from somewhere else.

use std::fmt;

use bytes::BufMut;

/// The most pages between the root page and the entries: with two children to each page there would be 2^64 pages. What is higher is
/// refused, so that nobody's tree makes the rest of this crate count beyond a byte.
pub(crate) const HEIGHT_MAX: u8 = 64;

/// The numbers of the children on the way down from the root page.
pub(crate) type Path = Vec<u16>;

/// Where a part of a state lies in its tree: what [`State::part`](crate::State::part) gives and [`Fetch`](crate::Fetch) asks for.
///
/// * The *top* is what the root hashes: the structure version, the bytes of a page, the numbers of keys and of bytes, and the hash
///   of the root page.
/// * A *page* is found by the numbers of the children on the way down to it; the root page lies at the end of no way at all.
/// * Of a key or value that lies outside of its page, a *piece* of at most [`Place::PIECE_BYTES`] bytes.
///
/// A place says nothing of the state that it is a place of: name the state's root beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub(crate) Kind);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Top,
    Page(Path),
    /// Of the leaf on this path the field of this number among those that lie outside, in the order of the entries, a key before its
    /// value; and of that the piece.
    Piece {
        leaf: Path,
        field: u16,
        piece: u32,
    },
}

// The first byte of an encoding.
const TOP: u8 = 0;
const PAGE: u8 = 1;
const PIECE: u8 = 2;

impl Place {
    /// The bytes of a long field that one part holds. 64 KiB: many of them are on their way at once without filling a message, and
    /// the hashes beside them are few.
    pub const PIECE_BYTES: usize = 64 << 10;

    /// The most bytes of an encoding.
    pub const ENCODED_BYTES_MAX: usize = 2 + 2 * HEIGHT_MAX as usize + 6;

    /// The top of a state.
    #[must_use]
    pub fn top() -> Self {
        Self(Kind::Top)
    }

    /// Appends the place to `buffer`: a byte that says what it is, the number of children's numbers in a byte, these numbers in 16
    /// bits each, and for a piece the number of the field in 16 bits and of the piece in 32; all little endian. The top is one byte.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        match &self.0 {
            Kind::Top => buffer.put_u8(TOP),
            Kind::Page(path) => {
                buffer.put_u8(PAGE);
                encode_path(path, buffer);
            }
            Kind::Piece { leaf, field, piece } => {
                buffer.put_u8(PIECE);
                encode_path(leaf, buffer);
                buffer.put_u16_le(*field);
                buffer.put_u32_le(*piece);
            }
        }
    }

    /// How many bytes [`Place::encode`] appends.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        match &self.0 {
            Kind::Top => 1,
            Kind::Page(path) => 2 + 2 * path.len(),
            Kind::Piece { leaf, .. } => 2 + 2 * leaf.len() + 6,
        }
    }

    /// The place that `bytes` begin with, and the bytes behind it. `None` when they begin with no place.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            TOP => Some((Self::top(), rest)),
            PAGE => decode_path(rest).map(|(path, rest)| (Self(Kind::Page(path)), rest)),
            PIECE => {
                let (leaf, rest) = decode_path(rest)?;
                let (field, rest) = rest.split_first_chunk()?;
                let (piece, rest) = rest.split_first_chunk()?;
                let (field, piece) = (u16::from_le_bytes(*field), u32::from_le_bytes(*piece));
                Some((Self(Kind::Piece { leaf, field, piece }), rest))
            }
            _ => None,
        }
    }
}

fn encode_path(path: &Path, buffer: &mut impl BufMut) {
    buffer.put_u8(u8::try_from(path.len()).expect("a way is at most as long as trees are high"));
    path.iter().for_each(|child| buffer.put_u16_le(*child));
}

fn decode_path(bytes: &[u8]) -> Option<(Path, &[u8])> {
    let (count, rest) = bytes.split_first()?;
    if *count > HEIGHT_MAX {
        return None;
    }
    let (numbers, rest) = rest.split_at_checked(2 * usize::from(*count))?;
    let path = numbers.as_chunks().0.iter().map(|number| u16::from_le_bytes(*number)).collect();
    Some((path, rest))
}

/// For example `page 3/17`, `root page`, or `piece 2 of field 0 of page 3/17`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Top => f.write_str("top"),
            Kind::Page(path) => write_page(path, f),
            Kind::Piece { leaf, field, piece } => {
                write!(f, "piece {piece} of field {field} of ")?;
                write_page(leaf, f)
            }
        }
    }
}

fn write_page(path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some((first, others)) = path.split_first() else { return f.write_str("root page") };
    write!(f, "page {first}")?;
    others.iter().try_for_each(|child| write!(f, "/{child}"))
}
