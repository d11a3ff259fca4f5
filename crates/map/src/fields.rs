//! Reading and writing the fields of operations and replies: numbers little endian, lengths first, everything bounded.

use bytes::BufMut;

use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Why bytes are no operation or no reply of the map, or an operation cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end before the fields do.
    #[error("the {what} ends {missing} bytes too early")]
    Truncated {
        /// What was to be read.
        what: &'static str,
        /// How many bytes more its next field needs.
        missing: usize,
    },
    /// The fields end before the bytes do.
    #[error("{extra} bytes follow the end of the {what}")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// How many bytes are left.
        extra: usize,
    },
    /// The first byte names no operation or reply, or a later one no choice.
    #[error("byte {found} stands for no {what} that this version of the map knows")]
    Unknown {
        /// What was to be read.
        what: &'static str,
        /// The byte found.
        found: u8,
    },
    /// The key is empty.
    #[error("the key is empty; a key has 1 to {KEY_BYTES_MAX} bytes")]
    EmptyKey,
    /// A key, a prefix or a start of a list is too long.
    #[error("the key of {0} bytes is too long; a key has 1 to {KEY_BYTES_MAX} bytes")]
    KeyTooLong(usize),
    /// The value is too long.
    #[error("the value of {0} bytes is too long; a value has at most {VALUE_BYTES_MAX} bytes")]
    ValueTooLong(usize),
    /// A text is not UTF-8.
    #[error("the text of the {0} is not UTF-8")]
    NotText(&'static str),
}

/// Takes fields off the front of bytes.
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(Malformed::Truncated { what: self.what, missing: count - self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(self.unknown(found)),
        }
    }

    /// A key or the beginning of one, which may be empty.
    pub(crate) fn prefix(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.u16()?);
        check_prefix_length(length)?;
        self.take(length)
    }

    pub(crate) fn key(&mut self) -> Result<&'a [u8], Malformed> {
        let key = self.prefix()?;
        check_key(key)?;
        Ok(key)
    }

    pub(crate) fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        check_value_length(length)?;
        self.take(length)
    }

    pub(crate) fn optional_value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.bool()? { self.value().map(Some) } else { Ok(None) }
    }

    pub(crate) fn unknown(&self, found: u8) -> Malformed {
        Malformed::Unknown { what: self.what, found }
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends the reading; nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(Malformed::Trailing { what: self.what, extra }),
        }
    }
}

pub(crate) fn check_key(key: &[u8]) -> Result<(), Malformed> {
    if key.is_empty() { Err(Malformed::EmptyKey) } else { check_prefix_length(key.len()) }
}

pub(crate) fn check_prefix_length(length: usize) -> Result<(), Malformed> {
    if length > KEY_BYTES_MAX { Err(Malformed::KeyTooLong(length)) } else { Ok(()) }
}

pub(crate) fn check_value_length(length: usize) -> Result<(), Malformed> {
    if length > VALUE_BYTES_MAX { Err(Malformed::ValueTooLong(length)) } else { Ok(()) }
}

/// Writes a key or the beginning of one, whose length was checked.
pub(crate) fn put_key(out: &mut impl BufMut, key: &[u8]) {
    out.put_u16_le(u16::try_from(key.len()).expect("at most KEY_BYTES_MAX"));
    out.put_slice(key);
}

/// Writes a value whose length was checked.
pub(crate) fn put_value(out: &mut impl BufMut, value: &[u8]) {
    out.put_u32_le(u32::try_from(value.len()).expect("at most VALUE_BYTES_MAX"));
    out.put_slice(value);
}

pub(crate) fn put_optional_value(out: &mut impl BufMut, value: Option<&[u8]>) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put_value(out, value);
    }
}

/// Room for an optional value.
pub(crate) fn optional_bytes(value: Option<&[u8]>) -> usize {
    1 + value.map_or(0, |value| 4 + value.len())
}
