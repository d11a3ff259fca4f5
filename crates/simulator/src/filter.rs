//! Messages singled out by kind and by size, to be lost.

use std::fmt;
use std::str::FromStr;

use crate::message_kind::{KINDS, Kind};

/// All of something, in the unit of chances.
pub(crate) const ALWAYS: u32 = 65_536;

/// Which messages between replicas are lost, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those whose frame is larger, in bytes.
    pub larger_than: Option<usize>,
    /// The chance that such a message is lost, in 65,536.
    pub often: u32,
}

impl Filter {
    /// Whether a message is one of those meant; `size` is asked only if it matters.
    pub(crate) fn meets(&self, kind: Kind, size: impl FnOnce() -> usize) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind) && self.larger_than.is_none_or(|limit| size() > limit)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{}", kind.name())?;
        }
        if let Some(limit) = self.larger_than {
            write!(f, ">{limit}")?;
        }
        if self.often != ALWAYS {
            write!(f, ":{}%", Percent(self.often))?;
        }
        Ok(())
    }
}

/// A chance as people write it, without the sign: exact, so that it is read as it was written.
pub(crate) struct Percent(pub(crate) u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Thousandths of a percent are finer than 65,536 steps; the fewest digits that are read as this chance are enough.
        let thousandths = (u64::from(self.0) * 100_000).div_ceil(u64::from(ALWAYS));
        let texts = [1_000, 100, 10, 1].map(|unit| {
            let rounded = thousandths.next_multiple_of(unit);
            let text = format!("{}.{:03}", rounded / 1_000, rounded % 1_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        });
        let exact = texts.iter().find(|text| percent(text) == Some(self.0));
        f.write_str(exact.expect("thousandths are fine enough"))
    }
}

/// Reads a percentage, without the sign, as a chance in 65,536.
#[must_use]
pub fn percent(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()) && !text.is_empty();
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let fraction: u32 = format!("{fraction:0<3}").parse().ok()?;
    let thousandths = whole.parse::<u32>().ok().filter(|whole| *whole <= 100)? * 1_000 + fraction;
    u32::try_from(u64::from(thousandths) * u64::from(ALWAYS) / 100_000).ok().filter(|chance| *chance <= ALWAYS)
}

/// Why a text names no messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFilter(String);

impl fmt::Display for UnknownFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' names no messages: write a kind (PREPAREOK), a size of frames in bytes (>1024), or both (PREPARE>1024), and \
             how often they are lost if not always (PREPARE:30%)",
            self.0
        )
    }
}

impl std::error::Error for UnknownFilter {}

impl FromStr for Filter {
    type Err = UnknownFilter;

    fn from_str(text: &str) -> Result<Self, UnknownFilter> {
        let wrong = || UnknownFilter(text.to_owned());
        let (which, often) = match text.split_once(':') {
            Some((which, often)) => (which, often.strip_suffix('%').and_then(percent).ok_or_else(wrong)?),
            None => (text, ALWAYS),
        };
        let (name, limit) = match which.split_once('>') {
            Some((name, limit)) => (name, Some(limit.trim().parse().map_err(|_| wrong())?)),
            None => (which, None),
        };
        let kind = match name.trim() {
            "" => None,
            name => Some(*KINDS.iter().find(|kind| kind.name().eq_ignore_ascii_case(name)).ok_or_else(wrong)?),
        };
        if kind.is_none() && limit.is_none() {
            return Err(wrong());
        }
        Ok(Self { kind, larger_than: limit, often })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(text: &str, kind: Kind, size: usize) -> bool {
        text.parse::<Filter>().expect("a filter").meets(kind, || size)
    }

    #[test]
    fn a_filter_meets_what_it_says() {
        assert!(meets("PREPAREOK", Kind::PrepareOk, 1) && !meets("PREPAREOK", Kind::Prepare, 1));
        assert!(meets(">1024", Kind::Prepare, 1_025) && !meets(">1024", Kind::Prepare, 1_024));
        assert!(meets("prepare>64", Kind::Prepare, 65) && !meets("prepare>64", Kind::StartView, 65));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["PREPAREOK", ">1024", "PREPARE>64:30%", "STARTVIEW:0.5%", "COMMIT:99.997%"] {
            assert_eq!(text.parse::<Filter>().expect("a filter").to_string(), text);
        }
        for often in 0..=ALWAYS {
            assert_eq!(percent(&Percent(often).to_string()), Some(often));
        }
        for text in ["", "PREPARED", ">", "PREPARE>x", "PREPARE:30", "PREPARE:101%", ":30%"] {
            assert!(text.parse::<Filter>().is_err(), "'{text}'");
        }
    }
}
