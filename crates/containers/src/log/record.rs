//! The format of our own driver.
//!
//! A file begins with [`MAGIC`] and its number in the series, 8 bytes each. Then come records, little-endian:
//!
//! ```text
//! u16 0xE57B | u8 stream | u8 0 | u32 length | u64 nanoseconds since 1970 | bytes | u32 length
//! ```
//!
//! The length stands at both ends, so that a writer that comes back finds in one read whether the last record is whole. One that
//! is not ends the file: whoever reads stops there, whoever writes cuts it off.

use crate::time::Moment;

use super::Source;

/// How a file begins.
pub const MAGIC: [u8; 8] = *b"estiba\x01\n";
/// Bytes before the first record.
pub const FILE_HEADER: usize = 16;
/// Bytes before a record's own.
pub const HEADER: usize = 16;
/// Bytes after them.
pub const TRAILER: usize = 4;
/// The most bytes in a record: the most that a pipe holds.
pub const MAX_LENGTH: usize = 1 << 20;

const MARK: u16 = 0xE57B;

/// What a record's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When it was read from the container.
    pub time: Moment,
    /// Where the container wrote it.
    pub source: Source,
    /// How many bytes.
    pub length: usize,
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole record: its header; its bytes begin [`HEADER`] later.
    Record(Header),
    /// The beginning of one, perhaps: so many bytes of it are needed to say.
    Incomplete(usize),
    /// Nothing that could become one.
    Damaged,
}

/// The beginning of a file.
pub fn file_header(number: u64) -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number of a file in its series; `None` when it is none of ours.
pub fn file_number(bytes: &[u8]) -> Option<u64> {
    let number = bytes.strip_prefix(&MAGIC)?.get(..8)?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

impl Header {
    /// As it is written.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&MARK.to_le_bytes());
        bytes[2] = self.source as u8;
        bytes[4..8].copy_from_slice(&self.trailer());
        bytes[8..].copy_from_slice(&self.time.0.to_le_bytes());
        bytes
    }

    /// What follows the bytes.
    pub fn trailer(&self) -> [u8; TRAILER] {
        u32::try_from(self.length).unwrap_or(u32::MAX).to_le_bytes()
    }

    /// Bytes of the whole record.
    pub fn size(&self) -> usize {
        HEADER + self.length + TRAILER
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let source = match bytes.get(2)? {
            1 => Source::Stdout,
            2 => Source::Stderr,
            _ => return None,
        };
        let mark = u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
        let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
        let time = Moment(u64::from_le_bytes(bytes.get(8..HEADER)?.try_into().ok()?));
        (mark == MARK && length <= MAX_LENGTH).then_some(Self { time, source, length })
    }
}

/// What stands at the beginning of these bytes.
pub fn find(bytes: &[u8]) -> Found {
    if bytes.len() < HEADER {
        return Found::Incomplete(HEADER);
    }
    let Some(header) = Header::decode(bytes) else { return Found::Damaged };
    match bytes.get(HEADER + header.length..header.size()) {
        None => Found::Incomplete(header.size()),
        Some(trailer) if trailer == header.trailer() => Found::Record(header),
        Some(_) => Found::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> Vec<u8> {
        let header = Header { time: Moment(7), source: Source::Stderr, length: bytes.len() };
        [&header.encode()[..], bytes, &header.trailer()].concat()
    }

    #[test]
    fn there_and_back() {
        let whole = record(b"hello");
        let header = Header { time: Moment(7), source: Source::Stderr, length: 5 };
        assert_eq!(find(&whole), Found::Record(header));
        assert_eq!(header.size(), whole.len());
        assert_eq!(file_number(&file_header(9)), Some(9));
        assert_eq!(file_number(b"estiba\x02\n12345678"), None);
    }

    #[test]
    fn what_is_cut_off_is_incomplete_and_what_is_changed_is_damaged() {
        let whole = record(b"hello");
        for length in 0..HEADER {
            assert_eq!(find(&whole[..length]), Found::Incomplete(HEADER), "{length}");
        }
        for length in HEADER..whole.len() {
            assert_eq!(find(&whole[..length]), Found::Incomplete(whole.len()), "{length}");
        }
        for at in [0, 1, 2, 4, 7, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            assert!(!matches!(find(&changed), Found::Record(_)), "byte {at}");
        }
    }
}
