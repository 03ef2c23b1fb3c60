//! Sizes as people write and read them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of bytes.
///
/// Written with SI units (kB = 1,000) as on the drive's box; `KiB`, `MiB`, … (1,024) are read too.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size; write a number and a unit, such as \"8 GB\", \"500 MiB\" or \"none\"")]
pub struct SizeError(String);

const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("bytes", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

impl Bytes {
    /// Reads "8 GB", "1.5 TB", "500MiB", "0". Case and spaces do not matter; a decimal comma is
    /// read as a point. Rounded down to whole bytes.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let fail = || SizeError(super::show(text.as_bytes()));
        let lower = text.trim().to_ascii_lowercase().replace(',', ".");
        let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(digits);
        let &(_, factor) = UNITS.iter().find(|(u, _)| *u == unit.trim()).ok_or_else(fail)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole_bytes =
            whole.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(fail)?;
        let mut part_bytes = 0;
        if !part.is_empty() {
            // Nine places are enough to tell bytes apart in a gigabyte.
            let places: String = part.chars().take(9).collect();
            let scale = 10u128.pow(places.len() as u32);
            let value = places.parse::<u128>().map_err(|_| fail())?;
            part_bytes = u64::try_from(value * u128::from(factor) / scale).map_err(|_| fail())?;
        }
        whole_bytes.checked_add(part_bytes).map(Self).ok_or_else(fail)
    }
}

impl fmt::Display for Bytes {
    /// Two significant digits below ten, else whole: `1.3 GB`, `24 GB`, `781 kB`, `0 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" });
        }
        let mut value = self.0 as f64;
        for unit in ["", "kB", "MB", "GB", "TB", "PB", "EB"] {
            if value < 999.5 {
                return if value < 9.95 {
                    write!(f, "{value:.1} {unit}")
                } else {
                    write!(f, "{value:.0} {unit}")
                };
            }
            value /= 1_000.0;
        }
        write!(f, "{value:.0} ZB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("8 GB", 8_000_000_000),
            ("8gb", 8_000_000_000),
            ("500 MiB", 524_288_000),
            ("1.5 TB", 1_500_000_000_000),
            ("1,5 kB", 1_500),
            ("0", 0),
            (" 12 bytes ", 12),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", "GB", "8 XB", "-1 GB", "1.2.3 GB", "99999999999 TB", "8 GB extra", "."] {
            assert!(Bytes::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_what_people_read() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_300_000_000, "1.3 GB"),
            (999_600, "1.0 MB"),
            (24_000_000_000, "24 GB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
