//! The text format of `vr kv import` and `vr kv export`: one pair a line, key and value separated by a tab.
//!
//! Keys and values are bytes. In the plain format they stand as they are, so that lines other programs made go in and come
//! out unchanged: the key ends at the first tab, and a key with a tab or anything with a line feed has no line. In the escaped
//! format a tab is written `\t`, a line feed `\n`, a carriage return `\r` and a backslash `\\`, so that every pair has a line.

use std::fmt;

/// How bytes are written in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As they are.
    Plain,
    /// With `\t`, `\n`, `\r` and `\\`.
    Escaped,
}

/// Why a pair has no line, or a line no pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    NoTab,
    SecondTab,
    EmptyKey,
    Escape,
    Unwritable,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTab => "there is no tab between a key and a value",
            Self::SecondTab => "there is a second tab; in the escaped format a tab inside a value is written \\t",
            Self::EmptyKey => "the key is empty",
            Self::Escape => "a backslash is followed by something else than t, n, r or \\",
            Self::Unwritable => "a tab in the key or a line feed cannot be written in a plain line",
        })
    }
}

impl Format {
    /// Appends the line of a pair, with its line feed.
    ///
    /// # Errors
    /// When the pair has no line in this format.
    pub(crate) fn write_pair(self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match self {
            Self::Plain => {
                if key.iter().any(|byte| matches!(byte, b'\t' | b'\n')) || value.contains(&b'\n') {
                    return Err(Malformed::Unwritable);
                }
                out.extend_from_slice(key);
                out.push(b'\t');
                out.extend_from_slice(value);
            }
            Self::Escaped => {
                escape_into(out, key);
                out.push(b'\t');
                escape_into(out, value);
            }
        }
        out.push(b'\n');
        Ok(())
    }

    /// Reads a line, without its line feed.
    ///
    /// # Errors
    /// When the line is not of this format.
    pub(crate) fn read_pair(self, line: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or(Malformed::NoTab)?;
        let (key, value) = (&line[..tab], &line[tab + 1..]);
        if key.is_empty() {
            return Err(Malformed::EmptyKey);
        }
        match self {
            Self::Plain => Ok((key.to_vec(), value.to_vec())),
            Self::Escaped if value.contains(&b'\t') => Err(Malformed::SecondTab),
            Self::Escaped => Ok((unescape(key)?, unescape(value)?)),
        }
    }
}

fn escape_into(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            plain => out.push(*plain),
        }
    }
}

fn unescape(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        let plain = match byte {
            b'\\' => match rest.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'\\') => b'\\',
                _ => return Err(Malformed::Escape),
            },
            plain => *plain,
        };
        out.push(plain);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_an_escaped_line_that_reads_back_as_itself() {
        let all: Vec<u8> = (0..=255).collect();
        for (key, value) in [(&b"k"[..], &b""[..]), (b"a\tb", b"c\nd\r\\"), (&all, &all), ("ключ".as_bytes(), b"\\t")]
        {
            let mut line = Vec::new();
            Format::Escaped.write_pair(&mut line, key, value).unwrap();
            assert_eq!(line.pop(), Some(b'\n'));
            assert!(!line.contains(&b'\n'));
            assert_eq!(Format::Escaped.read_pair(&line), Ok((key.to_vec(), value.to_vec())));
        }
    }

    #[test]
    fn plain_lines_come_out_as_they_went_in() {
        for line in ["a\tb\n", "usr/lib/x\\x2dy\tadmin/z\n", "k\ta\tb\\\\\n", "k\t\n", "k\tv\r\n"] {
            let (key, value) = Format::Plain.read_pair(line.trim_end_matches('\n').as_bytes()).unwrap();
            let mut out = Vec::new();
            Format::Plain.write_pair(&mut out, &key, &value).unwrap();
            assert_eq!(out, line.as_bytes());
        }
        for (key, value) in [("a\tb", "v"), ("a\nb", "v"), ("a", "v\nw")] {
            let written = Format::Plain.write_pair(&mut Vec::new(), key.as_bytes(), value.as_bytes());
            assert_eq!(written, Err(Malformed::Unwritable));
        }
    }

    #[test]
    fn malformed_lines_are_told_apart() {
        assert_eq!(Format::Plain.read_pair(b"novalue"), Err(Malformed::NoTab));
        assert_eq!(Format::Plain.read_pair(b"\tb"), Err(Malformed::EmptyKey));
        assert_eq!(Format::Escaped.read_pair(b"a\tb\tc"), Err(Malformed::SecondTab));
        assert_eq!(Format::Escaped.read_pair(b"a\tb\\x"), Err(Malformed::Escape));
        assert_eq!(Format::Escaped.read_pair(b"a\tb\\"), Err(Malformed::Escape));
    }
}
