//! Takes fields off a frame. Nothing a peer sends makes it panic, or allocate more than the frame has bytes for.

use bytes::Bytes;

use super::DecodeError;

/// The largest view-, op-, epoch- or request-number, session, incarnation, timestamp and the like that is accepted: 2^63 - 1, so
/// that counting on from any number received never overflows.
pub const NUMBER_MAX: u64 = u64::MAX >> 1;

/// From this many bytes on a frame fills a good part of the buffer in which it was received, and what is decoded from it shares
/// that buffer.
pub const KEPT_FRAME_BYTES: usize = 16 << 10;

/// A frame and how far it was read.
pub(super) struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    name: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(name: &'static str, frame: &'a Bytes) -> Self {
        Self { frame, rest: frame, name }
    }

    /// The kind of frame, for errors.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over bytes that are known to be there.
    pub(super) fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated { frame: self.name, field, missing: count - self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], DecodeError> {
        Ok(self.take(field, N)?.try_into().expect("N bytes were taken"))
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(|&[byte]| byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).copied().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).copied().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).copied().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self, field: &'static str) -> Result<u128, DecodeError> {
        self.array(field).copied().map(u128::from_le_bytes)
    }

    /// A number one can count on from.
    pub(super) fn number(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let number = self.u64(field)?;
        self.bounded(field, number)
    }

    /// `number`, if one can count on from it.
    pub(super) fn bounded(&self, field: &'static str, number: u64) -> Result<u64, DecodeError> {
        if number <= NUMBER_MAX {
            return Ok(number);
        }
        Err(DecodeError::NumberTooLarge { frame: self.name, field, found: number })
    }

    pub(super) fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(self.choice(field, found)),
        }
    }

    /// A count of at most `max` items of at least `item_bytes` each: never more than are there.
    pub(super) fn count(&mut self, field: &'static str, max: usize, item_bytes: usize) -> Result<usize, DecodeError> {
        let found = self.u32(field)?;
        let max = max.min(self.remaining() / item_bytes);
        if found as usize <= max {
            return Ok(found as usize);
        }
        Err(DecodeError::TooMany { frame: self.name, field, found: u64::from(found), max })
    }

    /// The next `count` bytes, to be kept.
    pub(super) fn kept(&mut self, field: &'static str, count: usize) -> Result<Bytes, DecodeError> {
        let taken = self.take(field, count)?;
        Ok(self.detached(taken))
    }

    /// Everything that is left, as [`Self::kept`].
    pub(super) fn kept_rest(&mut self) -> Bytes {
        let rest = std::mem::take(&mut self.rest);
        self.detached(rest)
    }

    /// A copy of what is small and came in a small frame: the log keeps it for long, and must not keep with it a buffer many times
    /// its size.
    fn detached(&self, taken: &[u8]) -> Bytes {
        if taken.is_empty() {
            Bytes::new()
        } else if self.frame.len() < KEPT_FRAME_BYTES {
            Bytes::copy_from_slice(taken)
        } else {
            self.frame.slice_ref(taken)
        }
    }

    /// A text of at most `max` bytes.
    pub(super) fn text(&mut self, field: &'static str, max: usize) -> Result<String, DecodeError> {
        let length = self.u32(field)?;
        if length as usize > max {
            return Err(DecodeError::TooMany { frame: self.name, field, found: u64::from(length), max });
        }
        let bytes = self.take(field, length as usize)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotText { frame: self.name, field })?;
        Ok(text.to_owned())
    }

    /// Of a place in a state that is none.
    pub(super) fn no_place(&self, field: &'static str) -> DecodeError {
        DecodeError::NoPlace { frame: self.name, field }
    }

    pub(super) fn choice(&self, field: &'static str, found: u8) -> DecodeError {
        DecodeError::Choice { frame: self.name, field, found }
    }

    /// Refuses a field that must be zero in this kind of frame and is not.
    pub(super) fn unused(&self, field: &'static str, is_zero: bool) -> Result<(), DecodeError> {
        if is_zero { Ok(()) } else { Err(DecodeError::Unused { frame: self.name, field }) }
    }

    /// Ends the reading; nothing may be left.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { frame: self.name, extra }),
        }
    }
}
