//! Reading a log while it is written: across rotation, truncation and a torn end.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use crate::time::Moment;

use super::json;
use super::record::{self, FILE_HEADER, Found, HEADER};
use super::series::Series;
use super::settings::Driver;
use super::{LogError, Source, tail};

/// How much is read at once.
const WINDOW: usize = 256 << 10;
/// The longest line of docker's format: each byte of [`json::MAX_LINE`] may be written as `\u0000`.
const MAX_JSON: usize = 6 * json::MAX_LINE + 256;

/// Which part of a log is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    /// Nothing before it.
    pub since: Option<Moment>,
    /// Nothing after it.
    pub until: Option<Moment>,
    /// So many lines of the end alone.
    pub tail: Option<usize>,
}

/// What a container said at once: with our own format, several lines or a part of one.
#[derive(Debug)]
pub struct Entry<'e> {
    /// When.
    pub time: Moment,
    /// Where.
    pub source: Source,
    /// What.
    pub bytes: Cow<'e, [u8]>,
    /// Where it stands in its file.
    pub(super) offset: u64,
}

/// A log that is read.
#[derive(Debug)]
pub struct Reader {
    series: Series,
    format: Format,
    selection: Selection,
    cursor: Option<Cursor>,
    /// Bytes of the next entry that belong to a line before the first one that is wanted.
    skip: usize,
    done: bool,
}

/// Whose format it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Records,
    Json,
}

impl Reader {
    /// Opens the log at a path, at the first entry that is selected.
    ///
    /// # Errors
    /// [`LogError::NotKept`] for drivers that keep nothing here; what is no log.
    pub fn open(path: PathBuf, driver: Driver, selection: Selection) -> Result<Self, LogError> {
        let format = match driver {
            Driver::Local => Format::Records,
            Driver::JsonFile => Format::Json,
            Driver::Journald | Driver::None | Driver::Passthrough => return Err(LogError::NotKept(driver.name())),
        };
        let series = Series::new(path);
        let (cursor, skip) = match selection.tail {
            Some(lines) => tail::place(&series, format, lines)?,
            None => (None, 0),
        };
        Ok(Self { series, format, selection, cursor, skip, done: false })
    }

    /// Hands over what is there and was not read before. Gives whether there was anything.
    ///
    /// # Errors
    /// Of reading; and what `emit` gives.
    pub fn read<E: From<LogError>>(&mut self, mut emit: impl FnMut(&Entry<'_>) -> Result<(), E>) -> Result<bool, E> {
        let mut any = false;
        while !self.done {
            // Asked for before the file is read to its end: what is written last is written before the next file is there.
            let next = self.next_part()?;
            let Some(cursor) = &mut self.cursor else {
                match next {
                    Some(cursor) => self.cursor = Some(cursor),
                    None => return Ok(any),
                }
                continue;
            };
            while let Some(entry) = cursor.next(self.format)? {
                let skip = std::mem::take(&mut self.skip).min(entry.bytes.len());
                if self.selection.until.is_some_and(|until| entry.time > until) {
                    self.done = true;
                    return Ok(any);
                }
                if self.selection.since.is_some_and(|since| entry.time < since) {
                    continue;
                }
                any = true;
                emit(&Entry { bytes: Cow::Borrowed(&entry.bytes[skip..]), ..entry })?;
            }
            match next {
                Some(cursor) => self.cursor = Some(cursor),
                None => return Ok(any),
            }
        }
        Ok(any)
    }

    /// Whether nothing that comes can be of those selected.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The file after the one that is read; the oldest where that one is gone, or none is read yet.
    fn next_part(&self) -> Result<Option<Cursor>, LogError> {
        let parts = self.series.parts()?;
        let mut cursors = parts.into_iter().map(|part| Cursor::new(part.file, self.series.path().to_path_buf()));
        let Some(current) = &self.cursor else { return cursors.next().transpose() };
        let all = cursors.collect::<Result<Vec<_>, _>>()?;
        let after = all.iter().position(|cursor| cursor.inode == current.inode).map_or(0, |at| at + 1);
        Ok(all.into_iter().nth(after))
    }
}

/// A place in one file.
#[derive(Debug)]
pub(super) struct Cursor {
    file: File,
    inode: u64,
    /// For messages.
    path: PathBuf,
    /// Where `buffer` begins.
    start: u64,
    buffer: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
}

impl Cursor {
    pub(super) fn new(file: File, path: PathBuf) -> Result<Self, LogError> {
        let inode = file.metadata().map_err(LogError::io("stat", &path))?.ino();
        Ok(Self { file, inode, path, start: 0, buffer: Vec::new(), taken: 0 })
    }

    /// The same file at an entry.
    pub(super) fn seek(&mut self, offset: u64) {
        (self.start, self.taken) = (offset, 0);
        self.buffer.clear();
    }

    /// Where the next entry begins.
    pub(super) fn position(&self) -> u64 {
        self.start + self.taken as u64
    }

    /// The next whole entry; `None` where there is none yet. What is incomplete is read again by the next call: a writer that came
    /// back may have put something else there.
    pub(super) fn next(&mut self, format: Format) -> Result<Option<Entry<'_>>, LogError> {
        if self.start + self.taken as u64 == 0 && format == Format::Records {
            match self.want(FILE_HEADER)? {
                true if record::file_number(&self.buffer).is_some() => self.taken = FILE_HEADER,
                _ => return Ok(self.nothing()),
            }
        }
        let offset = self.start + self.taken as u64;
        match format {
            Format::Records => self.next_record(offset),
            Format::Json => self.next_json(),
        }
    }

    fn next_record(&mut self, offset: u64) -> Result<Option<Entry<'_>>, LogError> {
        let header = loop {
            match record::find(&self.buffer[self.taken..]) {
                Found::Record(header) => break header,
                Found::Incomplete(size) if self.want(size)? => {}
                Found::Incomplete(_) | Found::Damaged => return Ok(self.nothing()),
            }
        };
        let from = self.taken + HEADER;
        self.taken += header.size();
        let bytes = Cow::Borrowed(&self.buffer[from..from + header.length]);
        Ok(Some(Entry { time: header.time, source: header.source, bytes, offset }))
    }

    fn next_json(&mut self) -> Result<Option<Entry<'_>>, LogError> {
        loop {
            let rest = &self.buffer[self.taken..];
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                let (length, enough) = (rest.len(), rest.len() + 1);
                if length > MAX_JSON {
                    self.taken += length;
                } else if !self.want(enough)? {
                    return Ok(self.nothing());
                }
                continue;
            };
            let offset = self.start + self.taken as u64;
            let decoded = json::decode(&rest[..end]);
            self.taken += end + 1;
            // A line that says nothing is passed over.
            if let Some((source, time, bytes)) = decoded {
                return Ok(Some(Entry { time, source, bytes: Cow::Owned(bytes), offset }));
            }
        }
    }

    /// Reads until so many bytes are there. Gives whether they are.
    fn want(&mut self, size: usize) -> Result<bool, LogError> {
        self.buffer.drain(..self.taken);
        self.start += self.taken as u64;
        self.taken = 0;
        let mut have = self.buffer.len();
        self.buffer.resize(size.max(WINDOW).max(have), 0);
        while have < size {
            match self.file.read_at(&mut self.buffer[have..], self.start + have as u64) {
                Ok(0) => break,
                Ok(more) => have += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LogError::io("read", &self.path)(error)),
            }
        }
        self.buffer.truncate(have);
        Ok(have >= size)
    }

    /// Forgets what was read ahead; where the file is shorter than what was taken of it, it begins anew.
    fn nothing<T>(&mut self) -> Option<T> {
        self.start += self.taken as u64;
        self.taken = 0;
        self.buffer.clear();
        if self.file.metadata().is_ok_and(|about| about.len() < self.start) {
            self.start = 0;
        }
        None
    }
}
