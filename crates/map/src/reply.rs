//! What the map answers.

use bytes::{BufMut, Bytes, BytesMut};

use crate::fields::{self, Malformed, Reader};

/// The result of an [`Operation`](crate::Operation). Borrows its keys and values: from the state when it is made, from the
/// result when it is decoded.
///
/// Encoded as one byte that names the reply and then its fields in order, like those of an operation; the pairs of a page follow
/// each other up to the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply<'a> {
    /// The key was put or deleted.
    Done {
        /// Whether it had a value before.
        existed: bool,
    },
    /// The value of the key; `None`: it has none.
    Value(Option<&'a [u8]>),
    /// Some keys with their values, in order.
    Page {
        /// Key and value.
        pairs: Vec<(&'a [u8], &'a [u8])>,
        /// Whether more keys follow; they are listed after the last one here.
        more: bool,
    },
    /// The key had the value expected, and has the new one.
    Swapped,
    /// The key did not have the value expected; nothing changed.
    NotSwapped {
        /// The value it has; `None`: it has none.
        current: Option<&'a [u8]>,
    },
    /// The operation was malformed, for this reason; nothing changed.
    Invalid(&'a str),
}

const WHAT: &str = "reply";
const DONE: u8 = 1;
const VALUE: u8 = 2;
const PAGE: u8 = 3;
const SWAPPED: u8 = 4;
const NOT_SWAPPED: u8 = 5;
const INVALID: u8 = 6;

/// What a page has besides its pairs.
pub(crate) const PAGE_OVERHEAD_BYTES: usize = 2;
/// What a pair of a page has besides its key and value.
pub(crate) const PAIR_OVERHEAD_BYTES: usize = 6;

impl<'a> Reply<'a> {
    /// The reply as the result of a request.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_bytes());
        match self {
            Self::Done { existed } => out.put_slice(&[DONE, u8::from(*existed)]),
            Self::Value(value) => {
                out.put_u8(VALUE);
                fields::put_optional_value(&mut out, *value);
            }
            Self::Page { pairs, more } => {
                out.put_slice(&[PAGE, u8::from(*more)]);
                for (key, value) in pairs {
                    fields::put_key(&mut out, key);
                    fields::put_value(&mut out, value);
                }
            }
            Self::Swapped => out.put_u8(SWAPPED),
            Self::NotSwapped { current } => {
                out.put_u8(NOT_SWAPPED);
                fields::put_optional_value(&mut out, *current);
            }
            Self::Invalid(reason) => {
                out.put_u8(INVALID);
                out.put_slice(reason.as_bytes());
            }
        }
        debug_assert_eq!(out.len(), self.encoded_bytes());
        out.freeze()
    }

    /// The reply in the result of a request.
    ///
    /// # Errors
    /// What is wrong with the result.
    pub fn decode(result: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, result);
        let reply = match reader.u8()? {
            DONE => Self::Done { existed: reader.bool()? },
            VALUE => Self::Value(reader.optional_value()?),
            PAGE => {
                let more = reader.bool()?;
                let mut pairs = Vec::new();
                while !reader.is_empty() {
                    pairs.push((reader.key()?, reader.value()?));
                }
                Self::Page { pairs, more }
            }
            SWAPPED => Self::Swapped,
            NOT_SWAPPED => Self::NotSwapped { current: reader.optional_value()? },
            INVALID => Self::Invalid(std::str::from_utf8(reader.rest()).map_err(|_| Malformed::NotText(WHAT))?),
            found => return Err(reader.unknown(found)),
        };
        reader.finish()?;
        Ok(reply)
    }

    fn encoded_bytes(&self) -> usize {
        match self {
            Self::Done { .. } => 2,
            Self::Value(value) | Self::NotSwapped { current: value } => 1 + fields::optional_bytes(*value),
            Self::Page { pairs, .. } => {
                let pair_bytes = |(key, value): &(&[u8], &[u8])| PAIR_OVERHEAD_BYTES + key.len() + value.len();
                PAGE_OVERHEAD_BYTES + pairs.iter().map(pair_bytes).sum::<usize>()
            }
            Self::Swapped => 1,
            Self::Invalid(reason) => 1 + reason.len(),
        }
    }
}
