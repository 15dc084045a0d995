//! The 512-byte header block: POSIX ustar, with GNU's binary numbers on reading.
//!
//! Written here and not taken from the `tar` crate, because a layer needs what that leaves out: negative times, strict
//! numbers, and one single way to write each entry.

use crate::entry::split_path;

/// The unit of a tar: headers are one block, content is padded to whole ones.
pub(crate) const BLOCK: usize = 512;
/// The size of a block, as offsets count.
pub(crate) const BLOCK_SIZE: u64 = BLOCK as u64;

/// A field of the header: where it begins and how long it is.
#[derive(Clone, Copy)]
pub(crate) struct Field(usize, usize);

pub(crate) const NAME: Field = Field(0, 100);
pub(crate) const MODE: Field = Field(100, 8);
pub(crate) const UID: Field = Field(108, 8);
pub(crate) const GID: Field = Field(116, 8);
pub(crate) const SIZE: Field = Field(124, 12);
pub(crate) const MTIME: Field = Field(136, 12);
const CHECKSUM: Field = Field(148, 8);
pub(crate) const KIND: usize = 156;
pub(crate) const LINK: Field = Field(157, 100);
const MAGIC: Field = Field(257, 8);
pub(crate) const MAJOR: Field = Field(329, 8);
pub(crate) const MINOR: Field = Field(337, 8);
const PREFIX: Field = Field(345, 155);
/// In GNU's old sparse members: whether a block with more runs follows, and the size of the file with its holes.
pub(crate) const SPARSE_MORE: usize = 482;
pub(crate) const SPARSE_SIZE: Field = Field(483, 12);
/// In GNU's old sparse members, the first four runs.
pub(crate) const SPARSE_RUNS: usize = 386;

/// The largest id that fits the header's seven octal digits.
pub(crate) const MAX_ID: u32 = 0o777_7777;
/// The largest size and time that fit eleven octal digits.
pub(crate) const MAX_LONG: u64 = 0o777_7777_7777;

/// What is wrong with a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a header, or one with flipped bits.
    #[error("the header's checksum does not match")]
    Checksum,
    /// A number that is none, is negative where that makes no sense, or is too large.
    #[error("the header's {0} is not a valid number")]
    Number(&'static str),
}

/// Whether a block has only zeros, as the end of an archive has.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// A header block as it was read.
pub(crate) struct Header<'a>(pub(crate) &'a [u8; BLOCK]);

impl<'a> Header<'a> {
    fn bytes(&self, field: Field) -> &'a [u8] {
        &self.0[field.0..field.0 + field.1]
    }

    /// The checksum is the sum of all bytes, its own field as spaces; old tools summed signed bytes.
    pub(crate) fn check(&self) -> Result<(), HeaderError> {
        let wrong = HeaderError::Checksum;
        let stored = octal(self.bytes(CHECKSUM)).ok_or(wrong)?;
        let outside = self.0[..CHECKSUM.0].iter().chain(&self.0[CHECKSUM.0 + CHECKSUM.1..]);
        let (unsigned, signed) = outside.fold((256_u64, 256_i64), |(unsigned, signed), byte| {
            (unsigned + u64::from(*byte), signed + i64::from(byte.cast_signed()))
        });
        let matches = stored == unsigned || i64::try_from(stored) == Ok(signed);
        if matches { Ok(()) } else { Err(wrong) }
    }

    /// The type flag.
    pub(crate) fn kind(&self) -> u8 {
        self.0[KIND]
    }

    /// Whether the block is POSIX ustar (so that it has a prefix) and not GNU's dialect or the older form.
    fn is_ustar(&self) -> bool {
        self.bytes(MAGIC).starts_with(b"ustar\0")
    }

    /// Whether device numbers and such exist: not in the oldest form.
    fn is_extended(&self) -> bool {
        self.bytes(MAGIC).starts_with(b"ustar")
    }

    /// A text: up to the first NUL.
    pub(crate) fn text(&self, field: Field) -> &'a [u8] {
        until_nul(self.bytes(field))
    }

    /// The path, prefix included.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = self.text(NAME);
        let prefix = if self.is_ustar() { self.text(PREFIX) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// A number that cannot be negative.
    pub(crate) fn number(&self, field: Field, what: &'static str) -> Result<u64, HeaderError> {
        let number = number(self.bytes(field)).ok_or(HeaderError::Number(what))?;
        u64::try_from(number).map_err(|_| HeaderError::Number(what))
    }

    /// A number that fits 32 bits.
    pub(crate) fn id(&self, field: Field, what: &'static str) -> Result<u32, HeaderError> {
        u32::try_from(self.number(field, what)?).map_err(|_| HeaderError::Number(what))
    }

    /// A time: negative before 1970.
    pub(crate) fn time(&self) -> Result<i64, HeaderError> {
        number(self.bytes(MTIME)).ok_or(HeaderError::Number("time"))
    }

    /// Device numbers; zero in the oldest form, which has none.
    pub(crate) fn device(&self) -> Result<(u32, u32), HeaderError> {
        if !self.is_extended() {
            return Ok((0, 0));
        }
        Ok((self.id(MAJOR, "major device number")?, self.id(MINOR, "minor device number")?))
    }
}

/// The part of a field before its first NUL.
fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// A number as tars hold them: octal digits amid spaces and NULs, or, with the first bit set, big-endian two's
/// complement. `None` if it is neither or doesn't fit.
pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => binary(bytes),
        _ => octal(bytes).and_then(|value| i64::try_from(value).ok()),
    }
}

fn octal(bytes: &[u8]) -> Option<u64> {
    let text = until_nul(bytes).trim_ascii();
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn binary(bytes: &[u8]) -> Option<i64> {
    // The first bit only marks the form; the second is the sign.
    let (first, rest) = bytes.split_first()?;
    let negative = first & 0x40 != 0;
    let first = if negative { *first } else { first & 0x3f };
    let mut value = i128::from(if negative { first.cast_signed() } else { first as i8 });
    for byte in rest {
        value = value.checked_mul(256)? + i128::from(*byte);
        if i64::try_from(value).is_err() {
            return None;
        }
    }
    i64::try_from(value).ok()
}

/// A header block being written: always POSIX ustar.
pub(crate) struct Block(pub(crate) [u8; BLOCK]);

impl Block {
    /// An empty block of type `kind`.
    pub(crate) fn new(kind: u8) -> Block {
        let mut block = Block([0; BLOCK]);
        block.0[KIND] = kind;
        block.put(MAGIC, b"ustar\x0000");
        block
    }

    fn put(&mut self, field: Field, bytes: &[u8]) {
        self.0[field.0..field.0 + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes `text` if it fits; says whether it did.
    pub(crate) fn text(&mut self, field: Field, text: &[u8]) -> bool {
        let fits = text.len() <= field.1;
        if fits {
            self.put(field, text);
        }
        fits
    }

    /// Writes a path, split at a slash where it is long; says whether it fitted.
    pub(crate) fn path(&mut self, path: &[u8]) -> bool {
        if self.text(NAME, path) {
            return true;
        }
        // The name takes as much as it can: the split is at the first slash that leaves 100 bytes at most.
        let earliest = path.len() - NAME.1 - 1;
        let Some(slash) = path[earliest..].iter().position(|byte| *byte == b'/') else {
            return false;
        };
        let (prefix, name) = (&path[..earliest + slash], &path[earliest + slash + 1..]);
        if name.is_empty() || prefix.is_empty() || prefix.len() > PREFIX.1 {
            return false;
        }
        self.put(PREFIX, prefix);
        self.put(NAME, name);
        true
    }

    /// Writes a number in octal, with leading zeros and one NUL at the end; the caller knows that it fits.
    pub(crate) fn number(&mut self, field: Field, value: u64) {
        let digits = field.1 - 1;
        let mut rest = value;
        for at in (field.0..field.0 + digits).rev() {
            self.0[at] = b'0' + (rest & 7) as u8;
            rest >>= 3;
        }
        debug_assert_eq!(rest, 0, "a number too large for its field");
    }

    /// The block with its checksum in place.
    pub(crate) fn sealed(mut self) -> [u8; BLOCK] {
        self.put(CHECKSUM, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        // Six digits, NUL, space: the form that every tar writes.
        let field = Field(CHECKSUM.0, 7);
        self.number(field, sum);
        self.0[CHECKSUM.0 + 6] = 0;
        self.0
    }
}

/// The name under which an extended header for `path` is stored; old tools would extract it as a file of that name.
pub(crate) fn extended_name(path: &[u8]) -> Vec<u8> {
    const ROOM: usize = 80;
    let (_, name) = split_path(path);
    [b"PaxHeaders/", &name[..name.len().min(ROOM)]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_their_forms() {
        for (bytes, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"  644 \0 ", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"777777777777", Some(0o777777777777)),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"\x80\0\0\0\0\0\x02\0", Some(512)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(bytes), value, "{bytes:?}");
        }
    }

    #[test]
    fn paths_split_where_they_must() {
        let long = |n: usize, m: usize| [vec![b'a'; n], b"/".to_vec(), vec![b'b'; m]].concat();
        for (path, fits) in [
            (vec![b'a'; 100], true),
            (vec![b'a'; 101], false),
            (long(155, 100), true),
            (long(156, 99), false),
            (long(20, 101), false),
            (long(1, 99), true),
        ] {
            let mut block = Block::new(b'0');
            assert_eq!(block.path(&path), fits, "{}", path.len());
            if fits {
                let block = block.sealed();
                let header = Header(&block);
                assert_eq!(header.check(), Ok(()));
                assert_eq!(header.path(), path);
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut block = Block::new(b'0').sealed();
        block[3] ^= 1;
        assert_eq!(Header(&block).check(), Err(HeaderError::Checksum));
    }
}
