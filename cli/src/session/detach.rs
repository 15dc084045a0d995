//! The keys that leave a container's terminal and let it go on.

use crate::error::{Error, Result};

/// docker's.
pub(crate) const DEFAULT: &str = "ctrl-p,ctrl-q";

/// A sequence of keys, and how much of it was typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    seen: usize,
}

/// What is left of what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// To be passed on.
    Passed(Vec<u8>),
    /// To be passed on; then the user left.
    Left(Vec<u8>),
}

impl Keys {
    /// By their names, with commas between: a letter, or `ctrl-` and one of `a`–`z`, `@[\]^_`. Empty: no keys leave.
    ///
    /// # Errors
    /// Another name.
    pub(crate) fn parse(written: &str) -> Result<Self> {
        let names = written.split(',').filter(|_| !written.is_empty());
        let bytes = names.map(|name| {
            key(name).ok_or_else(|| {
                Error::usage(format!("--detach-keys {written}: {name:?} is not a key"))
                    .hint("a key is a letter, or ctrl- and a letter or one of @[\\]^_, such as ctrl-p,ctrl-q")
            })
        });
        Ok(Self { bytes: bytes.collect::<Result<_>>()?, seen: 0 })
    }

    /// Takes what was typed. The beginning of the sequence is kept back until it is known to be something else.
    pub(crate) fn take(&mut self, typed: &[u8]) -> Typed {
        let mut passed = Vec::with_capacity(typed.len() + self.seen);
        for &byte in typed {
            if self.bytes.get(self.seen) == Some(&byte) {
                self.seen += 1;
                if self.seen == self.bytes.len() {
                    self.seen = 0;
                    return Typed::Left(passed);
                }
                continue;
            }
            passed.extend_from_slice(&self.bytes[..self.seen]);
            self.seen = 0;
            if self.bytes.first() == Some(&byte) && self.bytes.len() > 1 {
                self.seen = 1;
            } else {
                passed.push(byte);
            }
        }
        Typed::Passed(passed)
    }
}

fn key(name: &str) -> Option<u8> {
    match (name.strip_prefix("ctrl-"), name.as_bytes()) {
        (Some(control), _) => match control.as_bytes() {
            [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
            [sign @ (b'@' | b'['..=b'_')] => Some(sign - b'@'),
            _ => None,
        },
        (None, [byte]) if byte.is_ascii_graphic() => Some(*byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names() {
        assert_eq!(Keys::parse(DEFAULT).unwrap().bytes, [16, 17]);
        assert_eq!(Keys::parse("ctrl-@,ctrl-],a").unwrap().bytes, [0, 29, b'a']);
        assert!(Keys::parse("").unwrap().bytes.is_empty());
        for bad in ["ctrl-", "ctrl-P", "ab", "a,,b", ",", "ctrl-1", "\u{e4}"] {
            assert!(Keys::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_the_sequence_is_passed_on() {
        let mut keys = Keys::parse(DEFAULT).unwrap();
        let passed = |bytes: &[u8]| Typed::Passed(bytes.to_vec());
        assert_eq!(keys.take(b"ab"), passed(b"ab"));
        assert_eq!(keys.take(b"\x10"), passed(b""));
        assert_eq!(keys.take(b"x"), passed(b"\x10x"));
        assert_eq!(keys.take(b"\x10\x10"), passed(b"\x10"));
        assert_eq!(keys.take(b"\x11more"), Typed::Left(Vec::new()));
        assert_eq!(keys.take(b"a\x10\x11"), Typed::Left(b"a".to_vec()));
        let mut none = Keys::parse("").unwrap();
        assert_eq!(none.take(b"\x10\x11"), passed(b"\x10\x11"));
    }
}
