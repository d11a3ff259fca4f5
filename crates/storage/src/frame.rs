//! The frame that the small files share: magic, version, length, content, checksum. It is the same in all versions, so that a file
//! of a later release is told from a damaged one.

/// Magic, version and length.
pub(crate) const HEADER_BYTES: usize = 16;

/// The checksum at the end.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// Why bytes are not the file they should be, or something does not fit into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is something else.
    #[error("it does not begin as such a file does")]
    Foreign,
    /// It is shorter or longer than it says.
    #[error("it has {found} bytes instead of {expected}")]
    Length {
        /// The bytes there should be.
        expected: usize,
        /// The bytes there are.
        found: usize,
    },
    /// The checksum does not match.
    #[error("its checksum does not match its content")]
    Checksum,
    /// A later release wrote it.
    #[error("it has version {found}, and this release reads up to {newest}")]
    Newer {
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        newest: u32,
    },
    /// A field has an impossible value.
    #[error("its {0} makes no sense")]
    Field(&'static str),
    /// A list or a text does not fit.
    #[error("its {0} is too long")]
    TooLong(&'static str),
}

/// One kind of file.
pub(crate) struct Frame {
    /// How every file of this kind begins.
    pub(crate) magic: [u8; 8],
    /// The version written, and the newest one read.
    pub(crate) version: u32,
}

impl Frame {
    /// Magic, version and a length to be filled in; the content is appended.
    pub(crate) fn begin(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    /// Fills in the length and appends the checksum.
    pub(crate) fn seal(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        assert!(bytes.starts_with(&self.magic), "it was begun with the same frame");
        let length = u32::try_from(bytes.len() - HEADER_BYTES).expect("such files are small");
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The content of a file that is nothing else.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Result<Fields<'a>, FileError> {
        let (content, rest) = self.open_prefix(bytes)?;
        match rest.len() {
            0 => Ok(content),
            more => Err(FileError::Length { expected: bytes.len() - more, found: bytes.len() }),
        }
    }

    /// The content of a frame at the beginning of `bytes`, and what follows it.
    pub(crate) fn open_prefix<'a>(&self, bytes: &'a [u8]) -> Result<(Fields<'a>, &'a [u8]), FileError> {
        if !bytes.starts_with(&self.magic) {
            return Err(FileError::Foreign);
        }
        let length = Fields { rest: bytes.get(12..).unwrap_or_default() }.u32("length")?;
        let expected = (length as usize).saturating_add(HEADER_BYTES + CHECKSUM_BYTES);
        let too_short = FileError::Length { expected, found: bytes.len() };
        let (frame, rest) = bytes.split_at_checked(expected).ok_or(too_short)?;
        let (content, checksum) = frame.split_at(expected - CHECKSUM_BYTES);
        if crc32c::crc32c(content).to_le_bytes() != checksum {
            return Err(FileError::Checksum);
        }
        match (Fields { rest: &content[8..] }).u32("version")? {
            0 => Err(FileError::Field("version")),
            found if found > self.version => Err(FileError::Newer { found, newest: self.version }),
            _ => Ok((Fields { rest: &content[HEADER_BYTES..] }, rest)),
        }
    }
}

/// Takes fields off the front of a byte string; the name is for the error.
pub(crate) struct Fields<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize, name: &'static str) -> Result<&'a [u8], FileError> {
        let (field, rest) = self.rest.split_at_checked(count).ok_or(FileError::Field(name))?;
        self.rest = rest;
        Ok(field)
    }

    pub(crate) fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], FileError> {
        Ok(self.bytes(N, name)?.try_into().expect("N bytes"))
    }

    pub(crate) fn u8(&mut self, name: &'static str) -> Result<u8, FileError> {
        Ok(u8::from_le_bytes(self.array(name)?))
    }

    pub(crate) fn u16(&mut self, name: &'static str) -> Result<u16, FileError> {
        Ok(u16::from_le_bytes(self.array(name)?))
    }

    pub(crate) fn u32(&mut self, name: &'static str) -> Result<u32, FileError> {
        Ok(u32::from_le_bytes(self.array(name)?))
    }

    pub(crate) fn u64(&mut self, name: &'static str) -> Result<u64, FileError> {
        Ok(u64::from_le_bytes(self.array(name)?))
    }

    pub(crate) fn u128(&mut self, name: &'static str) -> Result<u128, FileError> {
        Ok(u128::from_le_bytes(self.array(name)?))
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), FileError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FileError::Field("length")) }
    }
}
