//! Finds the files of a tar that is written piece by piece: what a [`crate::TarReader`] does of one that is read.

use std::collections::BTreeMap;

use oci::{Digest, Hasher};

use super::ChunkedError;
use super::estargz::TABLE;
use super::parts::PART;
use super::record::{Record, Times};
use crate::header::{self, BLOCK, BLOCK_SIZE, Header, is_zero};
use crate::member::{Before, Layout, Member};
use crate::pax::{self, Records};
use crate::plan::{LONGEST_PATH, shown};
use crate::read::MAX_EXTENDED;
use crate::sparse::MAX_RUNS;
use crate::{Kind, ReadError};

/// The largest GNU long name.
const MAX_NAME: u64 = LONGEST_PATH as u64 + 16;

/// What is found, in the order of the tar.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// Bytes that are no content of a file.
    Raw(&'a [u8]),
    /// An entry whose headers were the bytes before.
    Entry(Box<Record>),
    /// The next piece of the entry's content begins: its first one, or another [`PART`].
    Chunk,
    /// Content.
    Content(&'a [u8]),
    /// The content was complete.
    Digests {
        /// Of all of it.
        whole: Digest,
        /// Of its pieces, where there are several.
        chunks: Vec<Digest>,
    },
}

/// Takes events.
type Sink<'s> = &'s mut dyn FnMut(Event<'_>) -> Result<(), ChunkedError>;

/// Where in the tar the scanner stands.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    before: Before,
    times: Times,
    has_time: bool,
    /// Bytes taken.
    offset: u64,
    /// Whether the name of a table of contents is refused.
    reserved: bool,
    name: String,
}

#[derive(Debug)]
enum State {
    /// Gathering a header block.
    Header(Vec<u8>),
    /// Gathering an extended header.
    Extended { kind: u8, size: usize, bytes: Vec<u8> },
    /// In a file's content.
    Content(Box<Content>),
    /// So many bytes up to the next header.
    Padding(u64),
    /// Behind the end.
    Tail,
}

#[derive(Debug)]
struct Content {
    left: u64,
    padding: u64,
    /// Of the current piece.
    piece: u64,
    /// Of the current piece; and of the whole, where it has several.
    hasher: Hasher,
    whole: Option<Hasher>,
    chunks: Vec<Digest>,
}

impl Scanner {
    pub(super) fn new(reserved: bool) -> Scanner {
        Scanner {
            state: State::Header(Vec::new()),
            before: Before::default(),
            times: Times::default(),
            has_time: false,
            offset: 0,
            reserved,
            name: "the beginning".to_owned(),
        }
    }

    /// Takes more of the tar.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> Result<(), ChunkedError> {
        while !bytes.is_empty() {
            let taken = self.step(bytes, sink)?;
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Whether the tar may end here.
    pub(super) fn finish(&mut self) -> Result<(), ChunkedError> {
        match &self.state {
            State::Header(block) if block.is_empty() && self.before.is_empty() => Ok(()),
            State::Padding(0) | State::Tail => Ok(()),
            _ => Err(ChunkedError::Truncated(self.name.clone())),
        }
    }

    /// Takes some of `bytes`; says how many.
    fn step(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<usize, ChunkedError> {
        match &mut self.state {
            State::Header(block) => {
                let count = bytes.len().min(BLOCK - block.len());
                block.extend_from_slice(&bytes[..count]);
                if let Ok(whole) = <[u8; BLOCK]>::try_from(block.as_slice()) {
                    self.header(&whole, sink)?;
                }
                Ok(count)
            }
            State::Extended { kind, size, bytes: gathered } => {
                let padded = size.next_multiple_of(BLOCK);
                let count = bytes.len().min(padded - gathered.len());
                sink(Event::Raw(&bytes[..count]))?;
                gathered.extend_from_slice(&bytes[..count]);
                if gathered.len() == padded {
                    gathered.truncate(*size);
                    let (kind, gathered) = (*kind, std::mem::take(gathered));
                    self.extended(kind, gathered)?;
                    self.state = State::Header(Vec::with_capacity(BLOCK));
                }
                Ok(count)
            }
            State::Content(content) => {
                let count = usize::try_from(content.left).unwrap_or(usize::MAX).min(bytes.len());
                content.take(&bytes[..count], sink)?;
                if content.left == 0 {
                    let (whole, chunks) = content.digests();
                    let padding = content.padding;
                    sink(Event::Digests { whole, chunks })?;
                    self.state = after(padding);
                }
                Ok(count)
            }
            State::Padding(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                sink(Event::Raw(&bytes[..count]))?;
                *left -= count as u64;
                if *left == 0 {
                    self.state = after(0);
                }
                Ok(count)
            }
            State::Tail => sink(Event::Raw(bytes)).map(|()| bytes.len()),
        }
    }

    /// A header block is complete.
    fn header(&mut self, block: &[u8; BLOCK], sink: Sink<'_>) -> Result<(), ChunkedError> {
        let offset = self.offset.saturating_sub(BLOCK_SIZE - 1);
        sink(Event::Raw(block))?;
        if is_zero(block) {
            if !self.before.is_empty() {
                return Err(ReadError::Misplaced { offset }.into());
            }
            self.state = State::Tail;
            return Ok(());
        }
        let header = Header(block);
        let bad = |source| ReadError::Header { offset, source };
        header.check().map_err(bad)?;
        let most = match header.kind() {
            b'x' if self.before.pax.is_none() => MAX_EXTENDED as u64,
            b'g' => MAX_EXTENDED as u64,
            b'L' if self.before.gnu_path.is_none() => MAX_NAME,
            b'K' if self.before.gnu_link.is_none() => MAX_NAME,
            b'x' | b'L' | b'K' => return Err(ReadError::Misplaced { offset }.into()),
            b'V' if self.before.is_empty() => {
                self.state = after(0);
                return Ok(());
            }
            _ => return self.member(block, offset, sink),
        };
        let size = header.number(header::SIZE, "size").map_err(bad)?;
        if size > most {
            return Err(ReadError::ExtendedSize { offset, size }.into());
        }
        self.state = match usize::try_from(size).unwrap_or(0) {
            0 => {
                self.extended(header.kind(), Vec::new())?;
                after(0)
            }
            size => State::Extended { kind: header.kind(), size, bytes: Vec::new() },
        };
        Ok(())
    }

    fn extended(&mut self, kind: u8, mut bytes: Vec<u8>) -> Result<(), ChunkedError> {
        let offset = self.offset;
        let bad = |source| ReadError::Pax { offset, source };
        match kind {
            b'x' => {
                self.times(&bytes).map_err(bad)?;
                self.before.pax = Some(Records::parse(&bytes, MAX_RUNS).map_err(bad)?);
            }
            b'L' | b'K' => {
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                bytes.truncate(end);
                *(if kind == b'L' { &mut self.before.gnu_path } else { &mut self.before.gnu_link }) = Some(bytes);
            }
            _ => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (key, _) = pax::next_record(&mut rest).map_err(bad)?;
                    if pax::is_dangerous_globally(key) {
                        return Err(ReadError::Global { offset, key: shown(key) }.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Times as records have them, parts of seconds included.
    fn times(&mut self, mut rest: &[u8]) -> Result<(), pax::PaxError> {
        while !rest.is_empty() {
            let (key, value) = pax::next_record(&mut rest)?;
            let Some(time) = std::str::from_utf8(value).ok().and_then(moment) else { continue };
            match key {
                b"mtime" => (self.times.modified, self.has_time) = (time, true),
                b"atime" => self.times.accessed = Some(time),
                b"ctime" => self.times.changed = Some(time),
                _ => {}
            }
        }
        Ok(())
    }

    fn member(&mut self, block: &[u8; BLOCK], offset: u64, sink: Sink<'_>) -> Result<(), ChunkedError> {
        let header = Header(block);
        let mode = header.number(header::MODE, "mode").map_err(|source| ReadError::Header { offset, source })?;
        let member = Member::new(block, std::mem::take(&mut self.before), offset)?;
        let (stored, layout, entry) = (member.stored, member.layout, member.entry);
        if layout != Layout::Plain {
            return Err(ChunkedError::Sparse(shown(&entry.path)));
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| ChunkedError::Name(shown(bytes)));
        let mut times = std::mem::take(&mut self.times);
        if !std::mem::take(&mut self.has_time) {
            times.modified = (entry.mtime, 0);
        }
        let mut xattrs = BTreeMap::new();
        for (name, value) in entry.xattrs {
            xattrs.insert(text(&name)?, value);
        }
        let name = text(&entry.path)?;
        if self.reserved && name.trim_start_matches("./").trim_matches('/') == TABLE {
            return Err(ChunkedError::Reserved(name));
        }
        self.name.clone_from(&name);
        sink(Event::Entry(Box::new(Record {
            name,
            kind: entry.kind,
            link: text(&entry.link)?,
            mode,
            size: if entry.kind == Kind::File { stored } else { 0 },
            uid: entry.uid,
            gid: entry.gid,
            rdev: entry.rdev,
            times,
            xattrs,
            parts: Vec::new(),
            end: 0,
            digest: None,
            chunks: Vec::new(),
        })))?;
        self.state = match stored {
            0 => after(0),
            size => State::Content(Box::new(Content::new(size))),
        };
        Ok(())
    }
}

/// What follows so many bytes of padding.
fn after(padding: u64) -> State {
    if padding > 0 { State::Padding(padding) } else { State::Header(Vec::with_capacity(BLOCK)) }
}

impl Content {
    fn new(size: u64) -> Content {
        Content {
            left: size,
            padding: size.next_multiple_of(BLOCK_SIZE) - size,
            piece: 0,
            hasher: Hasher::sha256(),
            whole: (size > PART as u64).then(Hasher::sha256),
            chunks: Vec::new(),
        }
    }

    fn take(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> Result<(), ChunkedError> {
        self.left -= bytes.len() as u64;
        while !bytes.is_empty() {
            if self.piece == 0 {
                sink(Event::Chunk)?;
            }
            let room = usize::try_from(PART as u64 - self.piece).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.hasher.update(now);
            if let Some(whole) = &mut self.whole {
                whole.update(now);
            }
            sink(Event::Content(now))?;
            self.piece += now.len() as u64;
            if self.piece == PART as u64 && self.whole.is_some() {
                self.end_piece();
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_piece(&mut self) {
        self.chunks.push(std::mem::replace(&mut self.hasher, Hasher::sha256()).finish());
        self.piece = 0;
    }

    /// Of the whole, and of the pieces.
    fn digests(&mut self) -> (Digest, Vec<Digest>) {
        match self.whole.take() {
            None => (std::mem::replace(&mut self.hasher, Hasher::sha256()).finish(), Vec::new()),
            Some(whole) => {
                if self.piece > 0 {
                    self.end_piece();
                }
                (whole.finish(), std::mem::take(&mut self.chunks))
            }
        }
    }
}

/// A decimal time of a record: seconds rounded down, and nanoseconds.
fn moment(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    match whole.starts_with('-') && nanoseconds > 0 {
        true => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        false => Some((seconds, nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("12.5", Some((12, 500_000_000))),
            ("-1.25", Some((-2, 750_000_000))),
            ("1.1234567891", Some((1, 123_456_789))),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(moment(text), expected, "{text}");
        }
    }
}
