//! Any tar in use to entries; hostile ones to errors.
//!
//! Understood: POSIX ustar and PAX, GNU (long names, binary numbers, sparse files in all four forms), and the oldest
//! form. Where two tools in use would read an archive differently (sizes or names that disagree, content after a
//! directory, extended headers that nothing follows), it is refused: such an archive is broken or an attack.

use std::io::{self, Read};

use crate::buffer::Input;
use crate::header::{BLOCK, BLOCK_SIZE, Header, HeaderError, is_zero};
use crate::limits::{ENTRY_SIZE, Limits, WhiteoutNames};
use crate::member::{Before, Layout, Member};
use crate::pax::{self, Records};
use crate::plan::{LONGEST_PATH, shown};
use crate::read_error::ReadError;
use crate::sparse::{self, Extent, MAX_RUNS};
use crate::split::{Recorder, is_content};
use crate::{Entry, Kind};

/// The largest extended header, all its attributes included: what Go's reader, and so docker's, takes.
pub(crate) const MAX_EXTENDED: usize = 1 << 20;
/// The largest GNU long name: a longest path with room for `./` and a final NUL.
const MAX_NAME: usize = LONGEST_PATH + 16;

/// An entry and its content.
type Next<'a, R, S> = (Entry, TarEntryReader<'a, R, S>);

/// Reads a tar entry by entry. Memory is bounded, whatever the archive says.
///
/// `S` sees all bytes that are no content of a file (see [`TarReader::recording`]).
#[derive(Debug)]
pub struct TarReader<R, S = ()> {
    input: Input<R>,
    recorder: S,
    names: WhiteoutNames,
    limits: Limits,
    content: Content,
    entries: u64,
    total: u64,
    headers: u64,
    done: bool,
}

/// Where in the current member's content the reader stands.
#[derive(Debug, Default)]
struct Content {
    offset: u64,
    /// Stored bytes not taken yet.
    stored: u64,
    /// Up to the next block, after them.
    padding: u64,
    /// Of a sparse member.
    runs: Vec<Extent>,
    next_run: usize,
    /// In the file as it will be, and its size.
    position: u64,
    size: u64,
    /// Whether the recorder was told that a tree will have it.
    announced: bool,
}

/// A piece of a file's content.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// So many zeros that the archive doesn't hold.
    Hole(u64),
    /// Bytes.
    Data(&'a [u8]),
}

/// The content of the entry that was read last.
#[derive(Debug)]
pub struct TarEntryReader<'a, R, S = ()> {
    reader: &'a mut TarReader<R, S>,
    hole: u64,
}

impl<R: Read> TarReader<R> {
    /// Reads an uncompressed tar.
    pub fn new(inner: R) -> TarReader<R> {
        TarReader {
            input: Input::new(inner),
            recorder: (),
            names: WhiteoutNames::default(),
            limits: Limits::default(),
            content: Content::default(),
            entries: 0,
            total: 0,
            headers: 0,
            done: false,
        }
    }

    /// Shows `recorder` what is read from now on: to be called before anything is. Contents must be read to their ends.
    pub fn recording<S: Recorder>(self, recorder: S) -> TarReader<R, S> {
        let TarReader { input, recorder: (), names, limits, content, entries, total, headers, done } = self;
        TarReader { input, recorder, names, limits, content, entries, total, headers, done }
    }
}

impl<R: Read, S: Recorder> TarReader<R, S> {
    /// Refuses to go beyond `limits`.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> TarReader<R, S> {
        self.limits = limits;
        self
    }

    /// Says what names with `.wh.` mean.
    #[must_use]
    pub fn whiteout_names(mut self, names: WhiteoutNames) -> TarReader<R, S> {
        self.names = names;
        self
    }

    /// The next entry and its content. What was not read of the one before is passed over.
    pub fn next_entry(&mut self) -> Result<Option<Next<'_, R, S>>, ReadError> {
        while !self.done {
            self.skip_content()?;
            let Some(mut member) = self.next_member()? else {
                self.done = true;
                break;
            };
            let placed = member.place(self.names, self.input.position() - BLOCK_SIZE)?;
            self.enter(&mut member)?;
            if placed && member.entry.kind.is_deletion() {
                // Its content, if any, means nothing.
                self.content.size = 0;
                member.entry.size = 0;
            }
            if placed {
                self.count(&member.entry)?;
                self.announce(&member.entry)?;
                return Ok(Some((member.entry, TarEntryReader { reader: self, hole: 0 })));
            }
        }
        Ok(None)
    }

    /// Reads whatever follows the archive's end, so that a verifying reader below has seen everything; gives it back.
    pub fn finish(self) -> Result<R, ReadError> {
        self.finish_recorded().map(|(inner, _)| inner)
    }

    /// As [`TarReader::finish`], and gives the recorder back too.
    pub fn finish_recorded(mut self) -> Result<(R, S), ReadError> {
        while self.next_entry()?.is_some() {}
        loop {
            match self.input.rest() {
                Ok([]) => return Ok((self.input.into_inner(), self.recorder)),
                Ok(bytes) => self.recorder.bytes(bytes).map_err(ReadError::Record)?,
                Err(source) => return Err(self.failed(source)),
            }
        }
    }

    /// The next block, recorded.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ReadError> {
        match self.input.block() {
            Ok(Some(block)) => {
                self.recorder.bytes(&block).map_err(ReadError::Record)?;
                Ok(Some(block))
            }
            Ok(None) => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Passes over `count` bytes, which are recorded.
    fn skip(&mut self, count: u64) -> Result<(), ReadError> {
        let mut left = count;
        while left > 0 {
            match self.input.slice(left) {
                Ok(bytes) => {
                    left -= bytes.len() as u64;
                    self.recorder.bytes(bytes).map_err(ReadError::Record)?;
                }
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(())
    }

    /// Tells the recorder whose content comes next.
    fn announce(&mut self, entry: &Entry) -> Result<(), ReadError> {
        let content = &mut self.content;
        if is_content(entry.kind, content.stored) {
            content.announced = true;
            self.recorder.content(&entry.path, entry.size, &content.runs).map_err(ReadError::Record)?;
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> ReadError {
        let offset = self.input.position();
        if is_end(&source) { ReadError::Truncated { offset } } else { ReadError::Io { offset, source } }
    }

    fn skip_content(&mut self) -> Result<(), ReadError> {
        let left = self.content.stored + self.content.padding;
        if self.content.announced && self.content.stored > 0 {
            self.recorder.lost();
        }
        self.content = Content::default();
        self.skip(left)
    }

    /// The next header with content of its own, extended headers gathered; `None` at the end.
    fn next_member(&mut self) -> Result<Option<Member>, ReadError> {
        let mut before = Before::default();
        loop {
            let offset = self.input.position();
            let block = match self.block()? {
                Some(block) if !is_zero(&block) => block,
                None if before.is_empty() => return Ok(None),
                Some(_) if before.is_empty() => return self.end(offset).map(|()| None),
                _ => return Err(ReadError::Misplaced { offset }),
            };
            let header = Header(&block);
            header.check().map_err(|source| ReadError::Header { offset, source })?;
            match header.kind() {
                b'x' if before.pax.is_none() => {
                    let bytes = self.extended(&header, MAX_EXTENDED, offset)?;
                    let records = Records::parse(&bytes, MAX_RUNS);
                    before.pax = Some(records.map_err(|source| ReadError::Pax { offset, source })?);
                }
                b'g' => self.global(&header, offset)?,
                b'L' if before.gnu_path.is_none() => before.gnu_path = Some(self.long_name(&header, offset)?),
                b'K' if before.gnu_link.is_none() => before.gnu_link = Some(self.long_name(&header, offset)?),
                b'x' | b'L' | b'K' => return Err(ReadError::Misplaced { offset }),
                // A volume label: nothing of the file system.
                b'V' if before.is_empty() => {}
                _ => return Member::new(&block, before, offset).map(Some),
            }
        }
    }

    /// After a block of zeros comes another, or nothing.
    fn end(&mut self, offset: u64) -> Result<(), ReadError> {
        match self.block()? {
            Some(block) if !is_zero(&block) => Err(ReadError::Header { offset, source: HeaderError::Checksum }),
            _ => Ok(()),
        }
    }

    /// The content of an extended header.
    fn extended(&mut self, header: &Header<'_>, most: usize, offset: u64) -> Result<Vec<u8>, ReadError> {
        let size = header.number(crate::header::SIZE, "size");
        let size = size.map_err(|source| ReadError::Header { offset, source })?;
        if size > most as u64 {
            return Err(ReadError::ExtendedSize { offset, size });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        let mut left = size;
        while left > 0 {
            let slice = match self.input.slice(left) {
                Ok(slice) => slice,
                Err(source) => return Err(self.failed(source)),
            };
            self.recorder.bytes(slice).map_err(ReadError::Record)?;
            bytes.extend_from_slice(slice);
            left -= slice.len() as u64;
        }
        self.skip(padding(size))?;
        Ok(bytes)
    }

    fn long_name(&mut self, header: &Header<'_>, offset: u64) -> Result<Vec<u8>, ReadError> {
        let mut name = self.extended(header, MAX_NAME, offset)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    /// Global headers say nothing that a layer keeps (a commit id, mostly), and docker ignores them; ones that would
    /// change where members lie are refused.
    fn global(&mut self, header: &Header<'_>, offset: u64) -> Result<(), ReadError> {
        let bytes = self.extended(header, MAX_EXTENDED, offset)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (key, _) = pax::next_record(&mut rest).map_err(|source| ReadError::Pax { offset, source })?;
            if pax::is_dangerous_globally(key) {
                return Err(ReadError::Global { offset, key: shown(key) });
            }
        }
        Ok(())
    }

    /// Makes `member` the current one: reads the rest of its map of holes and notes where its content is.
    fn enter(&mut self, member: &mut Member) -> Result<(), ReadError> {
        let path = member.entry.path.clone();
        let bad = || ReadError::Sparse(shown(&path));
        let stored = member.stored;
        let before = self.input.position();
        let layout = std::mem::replace(&mut member.layout, Layout::Plain);
        let (runs, size, left) = match layout {
            Layout::Plain => (Vec::new(), stored, stored),
            Layout::Runs { runs, size } => (runs, size, stored),
            Layout::OldGnu { mut runs, size, more } => {
                self.continued_runs(more, &mut runs, &path)?;
                (sparse::checked(runs, size, stored).ok_or_else(bad)?, size, stored)
            }
            Layout::Inline { size } => {
                let runs = self.inline_runs(stored, &path)?;
                let left = stored.checked_sub(self.input.position() - before).ok_or_else(bad)?;
                (sparse::checked(runs, size, left).ok_or_else(bad)?, size, left)
            }
        };
        if member.entry.kind == Kind::File {
            member.entry.size = size;
        }
        self.content = Content {
            offset: self.input.position(),
            stored: left,
            padding: padding(left),
            // A file that is one hole has no runs, but must not pass for one without holes.
            runs: if runs.is_empty() && size > left { vec![Extent { offset: size, length: 0 }] } else { runs },
            next_run: 0,
            position: 0,
            size,
            announced: false,
        };
        Ok(())
    }

    /// The blocks that continue an old GNU map.
    fn continued_runs(&mut self, mut more: bool, runs: &mut Vec<Extent>, path: &[u8]) -> Result<(), ReadError> {
        const MORE: usize = 504;
        while more {
            let Some(block) = self.block()? else {
                return Err(ReadError::Truncated { offset: self.input.position() });
            };
            let read = sparse::old_runs(&block, sparse::RUNS_IN_BLOCK, runs);
            if read.is_none() || runs.len() > MAX_RUNS {
                return Err(ReadError::Sparse(shown(path)));
            }
            more = block[MORE] != 0;
        }
        Ok(())
    }

    /// The decimal map at the beginning of a PAX 1.0 sparse member: a count, then offsets and lengths, one a line.
    fn inline_runs(&mut self, stored: u64, path: &[u8]) -> Result<Vec<Extent>, ReadError> {
        let bad = || ReadError::Sparse(shown(path));
        let mut numbers = Vec::new();
        let mut wanted = 1;
        let mut line = Vec::new();
        let mut left = stored;
        while numbers.len() < wanted {
            left = left.checked_sub(BLOCK_SIZE).ok_or_else(bad)?;
            let Some(block) = self.block()? else {
                return Err(ReadError::Truncated { offset: self.input.position() });
            };
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(bad());
                    }
                    continue;
                }
                numbers.push(pax::decimal(&line).ok_or_else(bad)?);
                line.clear();
                if let [count] = numbers[..] {
                    let runs = usize::try_from(count).ok().filter(|runs| *runs <= MAX_RUNS).ok_or_else(bad)?;
                    wanted = 1 + 2 * runs;
                }
                if numbers.len() == wanted {
                    break;
                }
            }
        }
        sparse::pairs(&numbers[1..]).ok_or_else(bad)
    }

    fn count(&mut self, entry: &Entry) -> Result<(), ReadError> {
        self.entries += 1;
        self.total = self.total.saturating_add(entry.size);
        let attributes: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let map = self.content.runs.len() * size_of::<Extent>();
        self.headers += ENTRY_SIZE + (entry.path.len() + entry.link.len() + attributes + map) as u64;
        let too_large = |limit, what| Err(ReadError::TooLarge { path: shown(&entry.path), limit, what });
        if self.entries > self.limits.entries {
            return too_large(self.limits.entries, "entries");
        }
        if self.headers > self.limits.headers {
            return too_large(self.limits.headers, "bytes of names and attributes");
        }
        if self.total > self.limits.total {
            return too_large(self.limits.total, "bytes of content");
        }
        Ok(())
    }

    /// The next piece of the current content, of data no more than `most` bytes.
    fn chunk(&mut self, most: u64) -> Result<Option<Chunk<'_>>, ReadError> {
        let content = &mut self.content;
        if content.position >= content.size {
            return Ok(None);
        }
        let mut left = content.stored;
        if !content.runs.is_empty() {
            let run = content.runs.get(content.next_run);
            let data_at = run.map_or(content.size, |run| run.offset);
            if content.position < data_at {
                let hole = data_at - content.position;
                content.position = data_at;
                return Ok(Some(Chunk::Hole(hole)));
            }
            left = run.map_or(0, |run| run.offset + run.length - content.position);
        }
        if left == 0 {
            return Ok(None);
        }
        let offset = self.input.position();
        let bytes = match self.input.slice(left.min(most)) {
            Ok(bytes) => bytes,
            Err(source) if is_end(&source) => {
                return Err(ReadError::Truncated { offset });
            }
            Err(source) => return Err(ReadError::Io { offset, source }),
        };
        let count = bytes.len() as u64;
        content.stored -= count;
        content.position += count;
        if content.runs.get(content.next_run).is_some_and(|run| content.position == run.offset + run.length) {
            content.next_run += 1;
        }
        Ok(Some(Chunk::Data(bytes)))
    }
}

/// Whether an error is our own word for the end of the stream, and not one of whoever makes it.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none()
}

/// Bytes between content of this size and the next block.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_SIZE) - size
}

impl<R: Read, S: Recorder> TarEntryReader<'_, R, S> {
    /// Where the content's stored bytes begin in the uncompressed tar.
    pub fn offset(&self) -> u64 {
        self.reader.content.offset
    }

    /// Of a sparse member, the runs that the tar holds, one after another; empty for others.
    pub fn extents(&self) -> &[Extent] {
        &self.reader.content.runs
    }

    /// The next piece, as a view of the reader's buffer; `None` at the end. Not to be mixed with [`Read`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, ReadError> {
        self.reader.chunk(u64::MAX)
    }
}

impl<R: Read, S: Recorder> Read for TarEntryReader<'_, R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.hole == 0 {
            match self.reader.chunk(buffer.len() as u64).map_err(io::Error::other)? {
                None => return Ok(0),
                Some(Chunk::Hole(hole)) => self.hole = hole,
                Some(Chunk::Data(bytes)) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    return Ok(bytes.len());
                }
            }
        }
        let count = usize::try_from(self.hole).unwrap_or(usize::MAX).min(buffer.len());
        buffer[..count].fill(0);
        self.hole -= count as u64;
        Ok(count)
    }
}
