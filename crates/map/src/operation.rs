//! What a client can ask of the map.

use bytes::{BufMut, Bytes, BytesMut};

use crate::fields::{self, Malformed, Reader};

/// An operation on the map. Borrows its keys and values: from the caller when it is made, from the payload when it is decoded.
///
/// Encoded as one byte that names the operation and then its fields in order: a key as a 16-bit length and its bytes, a value as
/// a 32-bit length and its bytes, an optional value as a byte 0, or a byte 1 and the value; numbers are little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation<'a> {
    /// Gives a key a value. Answered by [`Reply::Done`](crate::Reply::Done).
    Put {
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
    },
    /// Asks for the value of a key. Answered by [`Reply::Value`](crate::Reply::Value).
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Removes a key. Answered by [`Reply::Done`](crate::Reply::Done).
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Asks for a page of keys with their values, in order. Answered by [`Reply::Page`](crate::Reply::Page); the last key of the
    /// page is the `after` of the next.
    List {
        /// The keys wanted start with this.
        prefix: &'a [u8],
        /// The keys wanted are larger than this; empty for all.
        after: &'a [u8],
        /// The most keys wanted; 0 for as many as fit in an answer.
        limit: u32,
    },
    /// Gives a key a value, or removes it, if it has the value expected. Answered by [`Reply::Swapped`](crate::Reply::Swapped)
    /// or [`Reply::NotSwapped`](crate::Reply::NotSwapped).
    CompareAndSwap {
        /// The key.
        key: &'a [u8],
        /// The value it must have; `None`: it must have none.
        expected: Option<&'a [u8]>,
        /// Its new value; `None` removes it.
        value: Option<&'a [u8]>,
    },
}

const WHAT: &str = "operation";
const PUT: u8 = 1;
const GET: u8 = 2;
const DELETE: u8 = 3;
const LIST: u8 = 4;
const COMPARE_AND_SWAP: u8 = 5;

impl<'a> Operation<'a> {
    /// The operation as the payload of a request.
    ///
    /// # Errors
    /// When a key is empty, or a key or a value is too long.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        self.check()?;
        let mut out = BytesMut::with_capacity(self.encoded_bytes());
        match *self {
            Self::Put { key, value } => {
                out.put_u8(PUT);
                fields::put_key(&mut out, key);
                fields::put_value(&mut out, value);
            }
            Self::Get { key } => {
                out.put_u8(GET);
                fields::put_key(&mut out, key);
            }
            Self::Delete { key } => {
                out.put_u8(DELETE);
                fields::put_key(&mut out, key);
            }
            Self::List { prefix, after, limit } => {
                out.put_u8(LIST);
                fields::put_key(&mut out, prefix);
                fields::put_key(&mut out, after);
                out.put_u32_le(limit);
            }
            Self::CompareAndSwap { key, expected, value } => {
                out.put_u8(COMPARE_AND_SWAP);
                fields::put_key(&mut out, key);
                fields::put_optional_value(&mut out, expected);
                fields::put_optional_value(&mut out, value);
            }
        }
        debug_assert_eq!(out.len(), self.encoded_bytes());
        Ok(out.freeze())
    }

    /// The operation in the payload of a request.
    ///
    /// # Errors
    /// What is wrong with the payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, payload);
        let operation = match reader.u8()? {
            PUT => Self::Put { key: reader.key()?, value: reader.value()? },
            GET => Self::Get { key: reader.key()? },
            DELETE => Self::Delete { key: reader.key()? },
            LIST => Self::List { prefix: reader.prefix()?, after: reader.prefix()?, limit: reader.u32()? },
            COMPARE_AND_SWAP => Self::CompareAndSwap {
                key: reader.key()?,
                expected: reader.optional_value()?,
                value: reader.optional_value()?,
            },
            found => return Err(reader.unknown(found)),
        };
        reader.finish()?;
        Ok(operation)
    }

    /// Whether the operation can change the map. One that cannot may also be sent as a query.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::List { .. })
    }

    fn check(&self) -> Result<(), Malformed> {
        match *self {
            Self::Put { key, value } => {
                fields::check_key(key)?;
                fields::check_value_length(value.len())
            }
            Self::Get { key } | Self::Delete { key } => fields::check_key(key),
            Self::List { prefix, after, .. } => {
                fields::check_prefix_length(prefix.len())?;
                fields::check_prefix_length(after.len())
            }
            Self::CompareAndSwap { key, expected, value } => {
                fields::check_key(key)?;
                [expected, value].into_iter().flatten().try_for_each(|value| fields::check_value_length(value.len()))
            }
        }
    }

    fn encoded_bytes(&self) -> usize {
        1 + match *self {
            Self::Put { key, value } => 2 + key.len() + 4 + value.len(),
            Self::Get { key } | Self::Delete { key } => 2 + key.len(),
            Self::List { prefix, after, .. } => 2 + prefix.len() + 2 + after.len() + 4,
            Self::CompareAndSwap { key, expected, value } => {
                2 + key.len() + fields::optional_bytes(expected) + fields::optional_bytes(value)
            }
        }
    }
}
