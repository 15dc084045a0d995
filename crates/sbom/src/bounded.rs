//! Reading with a bound.

use std::io::{self, Read, SeekFrom};

use crate::{Content, Files};

/// The words of a stranger's package are cut here: no name, version or licence that anybody reads is longer.
const MAX_WORDS: usize = 4096;

/// A whole file of at most `limit` bytes; `None` where there is none.
pub(crate) fn whole(files: &dyn Files, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(content) = files.open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    content.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(damaged(format!("more than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// The first bytes of a file, `limit` at most; `None` where there is none.
pub(crate) fn start(files: &dyn Files, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(content) = files.open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    content.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// `length` bytes from `offset` on; an error where the file ends before.
pub(crate) fn at(content: &mut (impl Content + ?Sized), offset: u64, length: usize) -> io::Result<Vec<u8>> {
    content.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    content.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(damaged(format!("ends before byte {}", offset.saturating_add(length as u64))));
    }
    Ok(bytes)
}

/// Words as they may be kept: UTF-8, cut, without spaces around them; `None` where there are none.
pub(crate) fn words(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_WORDS)]);
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!text.is_empty()).then_some(text)
}

/// What is not as its format says.
pub(crate) fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// A number of a few bytes within a slice.
pub(crate) fn number(bytes: &[u8], offset: usize, length: usize, little: bool) -> io::Result<u64> {
    let end = offset.checked_add(length).ok_or_else(|| damaged("an offset out of range"))?;
    let part = bytes.get(offset..end).ok_or_else(|| damaged("ends in the middle of a number"))?;
    let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    Ok(if little { part.iter().rev().fold(0, add) } else { part.iter().fold(0, add) })
}

/// A number of four bytes within a slice.
pub(crate) fn u32_at(bytes: &[u8], offset: usize, little: bool) -> io::Result<u32> {
    number(bytes, offset, 4, little).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// A number of two bytes within a slice, as an offset.
pub(crate) fn u16_at(bytes: &[u8], offset: usize, little: bool) -> io::Result<usize> {
    number(bytes, offset, 2, little).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}
