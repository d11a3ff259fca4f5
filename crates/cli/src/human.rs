//! Durations and sizes as people write them: `350ms`, `5s`, `64KiB`, `1GiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A number of bytes, with or without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const SPAN_UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl Size {
    /// The number of bytes, as lengths in memory are counted.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nanos = scaled(text, &SPAN_UNITS).ok_or_else(|| {
            format!(
                "\"{text}\" is no duration: write a number with its unit (ns, us, ms, s, m, h), as in 350ms or 1.5s"
            )
        })?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        scaled(text, &SIZE_UNITS).map(Self).ok_or_else(|| {
            format!("\"{text}\" is no size: write a number of bytes, or one with a unit (B, kB, MB, GB, KiB, MiB, GiB), as in 64KiB")
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, scale) = SPAN_UNITS
            .iter()
            .rev()
            .find(|(_, scale)| nanos != 0 && nanos.is_multiple_of(u128::from(*scale)))
            .unwrap_or(&("s", 1));
        write!(f, "{}{unit}", nanos / u128::from(*scale))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

/// `number unit` in the smallest unit; `None` when it is neither, negative, or too large.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    let number = number.replace('_', "");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let (whole, fraction) = number.split_once('.')?;
    let whole: u64 = whole.parse().ok()?;
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    let fraction: u64 = fraction.parse().ok()?;
    let part = u128::from(fraction) * u128::from(scale) / 10_u128.pow(digits);
    whole.checked_mul(scale)?.checked_add(u64::try_from(part).ok()?)
}

/// A count with thousands separated, for people.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration rounded to three digits, for people.
pub(crate) fn rounded(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, scale) =
        SPAN_UNITS[..4].iter().rev().find(|(_, scale)| nanos >= u128::from(*scale)).unwrap_or(&("ns", 1));
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = nanos as f64 / *scale as f64;
    let decimals = if value >= 100.0 || *scale == 1 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        let cases =
            [("350ms", 350_000_000), ("1.5s", 1_500_000_000), ("2m", 120_000_000_000), ("10 us", 10_000), ("0s", 0)];
        for (text, nanos) in cases {
            assert_eq!(text.parse(), Ok(Span(Duration::from_nanos(nanos))), "{text}");
        }
        for text in ["5", "s", "", "-1s", "1.s", "1x", "99999999999h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_or_without_a_unit() {
        let cases = [
            ("17", 17),
            ("64KiB", 65_536),
            ("1 GiB", 1 << 30),
            ("2MB", 2_000_000),
            ("1.5KiB", 1_536),
            ("10_000", 10_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["x", "", "-1", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same() {
        for nanos in [0, 1, 999, 1_500, 50_000_000, 300_000_000, 5_000_000_000, 90_000_000_000, 3_600_000_000_000] {
            let span = Span(Duration::from_nanos(nanos));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for bytes in [0, 1, 1_023, 1_024, 65_536, 1 << 20, 3 << 30, 1_000] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn counts_and_latencies_are_shown_for_people() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(rounded(Duration::from_nanos(84_250)), "84.2 us");
        assert_eq!(rounded(Duration::from_millis(1_234)), "1.23 s");
        assert_eq!(rounded(Duration::from_nanos(5)), "5 ns");
    }
}
