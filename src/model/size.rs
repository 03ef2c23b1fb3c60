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
pub enum SizeError {
    /// It has not the form of one.
    #[error(
        "`{0}` is no size; write a number and a unit, such as \"8 GB\", \"500 MiB\" or \"none\""
    )]
    Form(String),
    /// Its only separator may stand for thousands or for the decimal point, by the country. One reading is a
    /// thousand times the other, so nobody may guess.
    #[error("`{text}` can be read in two ways; write \"{large}\" or \"{small}\"")]
    TwoReadings {
        /// What was written.
        text: String,
        /// The same without the separator.
        large: String,
        /// The same with a decimal point and without the zeros behind it.
        small: String,
    },
}

/// The units that are read, in lower case: those of SI and IEC, the same without the `B`, and the French ones
/// (`o` for octet).
const UNITS: [(&str, u64); 21] = [
    ("", 1),
    ("b", 1),
    ("byte", 1),
    ("bytes", 1),
    ("o", 1),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("ko", 1_000),
    ("mo", 1_000_000),
    ("go", 1_000_000_000),
    ("to", 1_000_000_000_000),
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
    /// Reads "8 GB", "1.5 TB", "500MiB", "8 Go", "8G", "0". Case and spaces do not matter; a decimal comma is
    /// read as a point. Rounded down to whole bytes. Exactly three digits behind the only separator ("1,000 GB",
    /// "1.000 GB") are an error, unless the number begins with a zero.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let fail = || SizeError::Form(super::show(text.as_bytes()));
        let lower = text.trim().to_ascii_lowercase().replace(',', ".");
        let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(digits);
        let &(_, factor) = UNITS.iter().find(|(u, _)| *u == unit.trim()).ok_or_else(fail)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let three_digits = part.len() == 3 && !part.contains('.');
        if three_digits && !whole.is_empty() && !whole.starts_with('0') {
            let unit = text.trim()[digits..].trim();
            let small = match part.trim_end_matches('0') {
                "" => whole.to_owned(),
                part => format!("{whole}.{part}"),
            };
            return Err(SizeError::TwoReadings {
                text: super::show(text.trim().as_bytes()),
                large: format!("{whole}{part} {unit}").trim_end().to_owned(),
                small: format!("{small} {unit}").trim_end().to_owned(),
            });
        }
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
            ("1 byte", 1),
            ("8 Go", 8_000_000_000),
            ("8 Mo", 8_000_000),
            ("500 ko", 500_000),
            ("2To", 2_000_000_000_000),
            ("8G", 8_000_000_000),
            ("8GB", 8_000_000_000),
            ("500m", 500_000_000),
            ("1000 GB", 1_000_000_000_000),
            ("1.0005 TB", 1_000_500_000_000),
            ("0.500 TB", 500_000_000_000),
            ("0,250 GB", 250_000_000),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for bad in [
            "",
            "GB",
            "8 XB",
            "-1 GB",
            "1.2.3 GB",
            "99999999999 TB",
            "8 GB extra",
            ".",
            "1 000 GB",
            "1.000.000 MB",
            "1,000.5 GB",
            ".500 GB",
            "8 Ho",
        ] {
            assert_eq!(Bytes::parse(bad), Err(SizeError::Form(bad.into())), "{bad}");
        }
    }

    /// In one half of the world the comma parts thousands, in the other the point does.
    #[test]
    fn asks_about_a_number_that_can_be_read_in_two_ways() {
        for (text, large, small) in [
            ("1,000 GB", "1000 GB", "1 GB"),
            ("1.000 GB", "1000 GB", "1 GB"),
            ("1.024GB", "1024 GB", "1.024 GB"),
            ("12,500 Mo", "12500 Mo", "12.5 Mo"),
            (" 1.500\tTB ", "1500 TB", "1.5 TB"),
            ("8,000", "8000", "8"),
        ] {
            let asked = Bytes::parse(text);
            let Err(SizeError::TwoReadings { large: l, small: s, .. }) = asked else {
                panic!("{text}: {asked:?}");
            };
            assert_eq!((&*l, &*s), (large, small), "{text}");
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
