//! The binary form of a [`Toc`]: small enough to keep one for every layer, strict enough that damage is noticed.
//!
//! `ESTIBA-TOC\x01`, the number of entries, the entries, and the first eight bytes of the SHA-256 of all before. Numbers
//! are LEB128; a path is the length that it shares with the path before it and the rest; an entry's content lies at the
//! end of the one before unless it says otherwise.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use oci::Digest;

use crate::plan::is_normal;
use crate::selection::tag;
use crate::{Entry, Extent, Kind, Toc, TocEntry};

const MAGIC: &[u8] = b"ESTIBA-TOC\x01";
const CHECK: usize = 8;
/// The largest record that is read: four million entries of ordinary length.
const MAX_SIZE: u64 = 512 << 20;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TocError {
    /// Reading or writing failed.
    #[error("layer record: {0}")]
    Io(#[from] io::Error),
    /// It was written by another version, or is no record at all.
    #[error("layer record: not of this version")]
    Version,
    /// It is cut off or damaged.
    #[error("layer record: damaged at byte {0}")]
    Damaged(usize),
}

impl Toc {
    /// Writes the binary form.
    pub fn encode(&self, mut writer: impl Write) -> Result<(), TocError> {
        let mut out = MAGIC.to_vec();
        number(&mut out, self.entries().len() as u64);
        let mut before = Before::default();
        for entry in self.entries() {
            before.encode(&mut out, entry);
        }
        let check = Digest::sha256(&out);
        out.extend_from_slice(&check.as_bytes()[..CHECK]);
        writer.write_all(&out)?;
        Ok(())
    }

    /// Reads what [`Toc::encode`] wrote, to the end of `reader`.
    pub fn decode(reader: impl Read) -> Result<Toc, TocError> {
        let mut bytes = Vec::new();
        reader.take(MAX_SIZE).read_to_end(&mut bytes)?;
        let Some(body) = bytes.strip_prefix(MAGIC) else {
            return Err(TocError::Version);
        };
        let damaged = |at: &[u8]| TocError::Damaged(bytes.len() - CHECK.min(bytes.len()) - at.len());
        let Some((_, check)) = bytes.split_last_chunk::<CHECK>().filter(|_| body.len() >= CHECK) else {
            return Err(TocError::Damaged(bytes.len()));
        };
        if Digest::sha256(&bytes[..bytes.len() - CHECK]).as_bytes()[..CHECK] != check[..] {
            return Err(TocError::Damaged(bytes.len()));
        }
        let mut rest = &body[..body.len() - CHECK];
        let count = take_number(&mut rest).ok_or_else(|| damaged(rest))?;
        let mut before = Before::default();
        let mut entries = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(rest.len() / 8));
        for _ in 0..count {
            entries.push(before.decode(&mut rest).ok_or_else(|| damaged(rest))?);
        }
        if rest.is_empty() { Ok(Toc::new(entries)) } else { Err(damaged(rest)) }
    }
}

/// What an entry is encoded against: the one before it.
#[derive(Default)]
struct Before {
    path: Vec<u8>,
    offset: u64,
}

/// Which of the rarer parts an entry has.
const HAS_CONTENT: u8 = 0x10;
const HAS_EXTENTS: u8 = 0x20;
const HAS_XATTRS: u8 = 0x40;

impl Before {
    fn encode(&mut self, out: &mut Vec<u8>, toc: &TocEntry) {
        let entry = &toc.entry;
        // Only SHA-256 is computed for contents; another digest would be one that nobody asked for.
        let content = toc.content.as_ref().filter(|digest| digest.as_bytes().len() == 32);
        let has = |present: bool, flag| if present { flag } else { 0 };
        out.push(
            tag(entry.kind)
                | has(content.is_some(), HAS_CONTENT)
                | has(!toc.extents.is_empty(), HAS_EXTENTS)
                | has(!entry.xattrs.is_empty(), HAS_XATTRS),
        );
        let shared = self.path.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
        number(out, shared as u64);
        text(out, &entry.path[shared..]);
        for value in [entry.mode, entry.uid, entry.gid] {
            number(out, value.into());
        }
        signed(out, entry.mtime);
        number(out, entry.size);
        signed(out, toc.offset.wrapping_sub(self.offset).cast_signed());
        if matches!(entry.kind, Kind::Symlink | Kind::Hardlink) {
            text(out, &entry.link);
        }
        if matches!(entry.kind, Kind::Char | Kind::Block) {
            number(out, entry.rdev.0.into());
            number(out, entry.rdev.1.into());
        }
        rare(out, toc, content);
        self.path.clone_from(&entry.path);
        self.offset = toc.offset.wrapping_add(entry.size);
    }

    fn decode(&mut self, rest: &mut &[u8]) -> Option<TocEntry> {
        let flags = take(rest, 1)?[0];
        let kind = kind(flags & 0x0f)?;
        let shared = usize::try_from(take_number(rest)?).ok()?;
        self.path.truncate(shared.min(self.path.len()));
        if self.path.len() != shared {
            return None;
        }
        self.path.extend_from_slice(take_text(rest)?);
        let mut entry = Entry::new(self.path.clone(), kind);
        entry.mode = take_id(rest)?;
        entry.uid = take_id(rest)?;
        entry.gid = take_id(rest)?;
        entry.mtime = take_signed(rest)?;
        entry.size = take_number(rest)?;
        let offset = self.offset.wrapping_add(take_signed(rest)?.cast_unsigned());
        if matches!(kind, Kind::Symlink | Kind::Hardlink) {
            entry.link = take_text(rest)?.to_vec();
        }
        if matches!(kind, Kind::Char | Kind::Block) {
            entry.rdev = (take_id(rest)?, take_id(rest)?);
        }
        let mut toc = TocEntry { entry, offset, extents: Vec::new(), content: None };
        take_rare(rest, flags, &mut toc)?;
        // The paths are used to open files, so they are judged again, whoever wrote them.
        if !is_normal(&toc.entry.path) || kind == Kind::Hardlink && !is_normal(&toc.entry.link) {
            return None;
        }
        self.offset = offset.wrapping_add(toc.entry.size);
        Some(toc)
    }
}

fn rare(out: &mut Vec<u8>, toc: &TocEntry, content: Option<&Digest>) {
    if !toc.entry.xattrs.is_empty() {
        number(out, toc.entry.xattrs.len() as u64);
        for (name, value) in &toc.entry.xattrs {
            text(out, name);
            text(out, value);
        }
    }
    if !toc.extents.is_empty() {
        number(out, toc.extents.len() as u64);
        for run in &toc.extents {
            number(out, run.offset);
            number(out, run.length);
        }
    }
    if let Some(content) = content {
        out.extend_from_slice(content.as_bytes());
    }
}

fn take_rare(rest: &mut &[u8], flags: u8, toc: &mut TocEntry) -> Option<()> {
    if flags & HAS_XATTRS != 0 {
        let mut xattrs = BTreeMap::new();
        for _ in 0..take_number(rest)? {
            xattrs.insert(take_text(rest)?.to_vec(), take_text(rest)?.to_vec());
        }
        toc.entry.xattrs = xattrs;
    }
    if flags & HAS_EXTENTS != 0 {
        for _ in 0..take_number(rest)? {
            toc.extents.push(Extent { offset: take_number(rest)?, length: take_number(rest)? });
        }
    }
    if flags & HAS_CONTENT != 0 {
        let raw = take(rest, 32)?.try_into().ok()?;
        toc.content = Some(Digest::from_sha256_bytes(raw));
    }
    Some(())
}

fn kind(number: u8) -> Option<Kind> {
    use Kind::{Block, Char, Dir, Fifo, File, Hardlink, Opaque, Symlink, Whiteout};
    let kinds = [File, Dir, Symlink, Hardlink, Char, Block, Fifo, Whiteout, Opaque];
    kinds.into_iter().find(|kind| tag(*kind) == number)
}

pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign are short: 0, -1, 1, -2, …
fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, (value << 1 ^ value >> 63).cast_unsigned());
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_id(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_number(rest)?).ok()
}

fn take_signed(rest: &mut &[u8]) -> Option<i64> {
    let value = take_number(rest)?;
    Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    take(rest, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Toc {
        let mut entries = Vec::new();
        let mut push = |entry: Entry, offset, content: bool| {
            let content = content.then(|| Digest::sha256(&entry.path));
            entries.push(TocEntry { entry, offset, extents: Vec::new(), content });
        };
        push(Entry::new("bin", Kind::Dir), 512, false);
        let mut file = Entry::new(b"bin/\xffsh".to_vec(), Kind::File);
        (file.size, file.mtime, file.uid) = (1 << 40, -7, u32::MAX);
        file.xattrs.insert(b"security.capability".to_vec(), vec![0; 20]);
        push(file, 2048, true);
        let mut link = Entry::new("bin/ls", Kind::Hardlink);
        link.link = b"bin/sh".to_vec();
        push(link, u64::MAX - 3, false);
        let mut device = Entry::new("dev/null", Kind::Char);
        device.rdev = (1, 3);
        push(device, 0, false);
        push(Entry::new("gone", Kind::Whiteout), i64::MAX as u64, false);
        entries[1].extents = vec![Extent { offset: 0, length: 9 }, Extent { offset: 1 << 39, length: 1 }];
        Toc::new(entries)
    }

    #[test]
    fn what_is_written_is_read() {
        for toc in [Toc::default(), sample()] {
            let mut bytes = Vec::new();
            toc.encode(&mut bytes).unwrap();
            assert_eq!(Toc::decode(&bytes[..]).unwrap(), toc);
        }
    }

    #[test]
    fn damage_is_noticed() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes).unwrap();
        for length in 0..bytes.len() {
            assert!(Toc::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert!(Toc::decode(&damaged[..]).is_err(), "damaged at {at}");
        }
    }

    #[test]
    fn a_record_that_lies_with_a_right_checksum_is_refused_too() {
        let reseal = |mut body: Vec<u8>| {
            let check = Digest::sha256(&body);
            body.extend_from_slice(&check.as_bytes()[..CHECK]);
            Toc::decode(&body[..])
        };
        let mut escaping = Toc::new(vec![TocEntry {
            entry: Entry::new("a", Kind::File),
            offset: 0,
            extents: Vec::new(),
            content: None,
        }]);
        for path in ["../a", "/a", "a//b", "", "a/."] {
            let mut entries = escaping.entries().to_vec();
            entries[0].entry.path = path.into();
            escaping = Toc::new(entries);
            let mut bytes = Vec::new();
            escaping.encode(&mut bytes).unwrap();
            assert!(Toc::decode(&bytes[..]).is_err(), "{path}");
        }
        let mut bomb = MAGIC.to_vec();
        number(&mut bomb, u64::MAX);
        assert!(reseal(bomb).is_err());
    }
}
