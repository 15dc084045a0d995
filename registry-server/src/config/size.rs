//! Numbers of bytes in the configuration: `"1GiB"`, `"500MB"`, `4096`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written with a unit (`B`, `kB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB`, `TiB`) or as a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

/// Units and their bytes.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl Size {
    /// So many mebibytes.
    pub const fn mebibytes(number: u64) -> Self {
        Self(number << 20)
    }

    /// So many gibibytes.
    pub const fn gibibytes(number: u64) -> Self {
        Self(number << 30)
    }

    /// Reads `1GiB`, upper or lower case; a bare number is bytes. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        let unit = text[digits..].strip_prefix(' ').unwrap_or(&text[digits..]);
        if unit.is_empty() {
            return Some(Self(number));
        }
        let (_, bytes) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        number.checked_mul(*bytes).filter(|bytes| i64::try_from(*bytes).is_ok()).map(Self)
    }

    /// The bytes.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = UNITS
            .iter()
            .find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes))
            .copied()
            .unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / bytes)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"1GiB\", \"500MB\" or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text)
                    .ok_or_else(|| E::custom(format!("`{text}` is not a size such as \"1GiB\" or \"500MB\"")))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::custom(format!("a size cannot be {bytes}")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        let cases = [
            ("0", Some(0), "0B"),
            ("4096", Some(4096), "4KiB"),
            ("1GiB", Some(1 << 30), "1GiB"),
            ("1 gib", Some(1 << 30), "1GiB"),
            ("500MB", Some(500_000_000), "500MB"),
            ("10kB", Some(10_000), "10kB"),
            ("", None, ""),
            ("GiB", None, ""),
            ("1G", None, ""),
            ("-1", None, ""),
            ("1.5GiB", None, ""),
            ("99999999TiB", None, ""),
        ];
        for (text, bytes, written) in cases {
            let read = Size::parse(text);
            assert_eq!(read.map(Size::get), bytes, "{text}");
            if let Some(size) = read {
                assert_eq!(size.to_string(), written);
                assert_eq!(Size::parse(written), Some(size));
            }
        }
    }
}
