//! Writing files of a log: a place to write at, rotation, and what becomes of a disk that is full.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use crate::time::Moment;

use super::record::{self, FILE_HEADER, Found, HEADER, Header, TRAILER};
use super::series::Series;
use super::{LogError, Source};

/// A file that is written, and those before it.
#[derive(Debug)]
pub(super) struct Writer {
    series: Series,
    file: File,
    /// Where the next byte goes: after the last whole record.
    at: u64,
    number: u64,
    max_size: u64,
    max_file: u32,
}

impl Writer {
    /// Goes on where the log ends.
    pub(super) fn open(series: Series, max_size: Option<u64>, max_file: u32) -> Result<Self, LogError> {
        let file = series.write()?;
        let size = file.metadata().map_err(LogError::io("stat", series.path()))?.len();
        let max_size = max_size.unwrap_or(u64::MAX);
        Ok(Self { series, file, at: size, number: 1, max_size, max_file })
    }

    /// Goes on after the last whole record; what is torn behind it is cut off.
    pub(super) fn open_records(series: Series, max_size: Option<u64>, max_file: u32) -> Result<Self, LogError> {
        let mut writer = Self::open(series, max_size, max_file)?;
        let mut head = [0; FILE_HEADER];
        let known = writer.file.read_exact_at(&mut head, 0).ok().and_then(|()| record::file_number(&head));
        match known {
            Some(number) => {
                writer.number = number;
                if !ends_whole(&writer.file, writer.at) {
                    writer.at = whole_length(&writer.file).map_err(LogError::io("read", writer.series.path()))?;
                    writer.cut();
                }
            }
            None if writer.at == 0 => writer.begin()?,
            // Torn within its first bytes, or another driver's: it is put away, not written over.
            None => writer.rotate_records()?,
        }
        Ok(writer)
    }

    /// Writes one record.
    pub(super) fn record(&mut self, source: Source, bytes: &[u8]) -> Result<(), LogError> {
        for bytes in bytes.chunks(record::MAX_LENGTH) {
            let header = Header { time: Moment::now(), source, length: bytes.len() };
            self.make_room(header.size())?;
            self.write(&[&header.encode(), bytes, &header.trailer()])?;
        }
        Ok(())
    }

    /// Writes one record of so many bytes that are in a pipe, without looking at them. Gives how many left the pipe, also where
    /// the record could not be written.
    pub(super) fn splice(
        &mut self,
        source: Source,
        pipe: BorrowedFd<'_>,
        length: usize,
    ) -> (usize, Result<(), LogError>) {
        let header = Header { time: Moment::now(), source, length };
        let before = self.make_room(header.size()).and_then(|()| {
            let start = self.at;
            self.write(&[&header.encode()]).map(|()| start)
        });
        let start = match before {
            Ok(start) => start,
            Err(error) => return (0, Err(error)),
        };
        let (moved, result) = self.move_in(pipe, length);
        let result = result.and_then(|()| self.write(&[&header.trailer()]));
        if result.is_err() {
            self.at = start;
            self.cut();
        }
        (moved, result)
    }

    fn move_in(&mut self, pipe: BorrowedFd<'_>, length: usize) -> (usize, Result<(), LogError>) {
        let mut moved = 0;
        while moved < length {
            match rustix::pipe::splice(pipe, None, &self.file, Some(&mut self.at), length - moved, SpliceFlags::MOVE) {
                Ok(0) => return (moved, Err(self.failed(Errno::PIPE))),
                Ok(more) => moved += more,
                Err(Errno::INTR) => {}
                Err(errno) => return (moved, Err(self.failed(errno))),
            }
        }
        (moved, Ok(()))
    }

    /// Writes a line of docker's format.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), LogError> {
        self.stay_in_place(false)?;
        if self.at > 0 && self.at + line.len() as u64 > self.max_size {
            self.rotate()?;
        }
        self.write(&[line])
    }

    fn make_room(&mut self, size: usize) -> Result<(), LogError> {
        self.stay_in_place(true)?;
        if self.at > FILE_HEADER as u64 && self.at + size as u64 > self.max_size {
            self.rotate_records()
        } else {
            Ok(())
        }
    }

    /// Somebody emptied the file, or removed it, to have room again: then it begins anew.
    fn stay_in_place(&mut self, records: bool) -> Result<(), LogError> {
        let stat = rustix::fs::fstat(self.file.as_fd()).map_err(LogError::errno("stat", self.series.path()))?;
        if stat.st_nlink == 0 {
            self.file = self.series.write()?;
        } else if u64::try_from(stat.st_size).unwrap_or_default() >= self.at {
            return Ok(());
        }
        self.at = 0;
        self.cut();
        if records { self.begin() } else { Ok(()) }
    }

    fn rotate_records(&mut self) -> Result<(), LogError> {
        self.number += 1;
        self.rotate()?;
        self.begin()
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.file = self.series.rotate(self.max_file)?;
        self.at = 0;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.write(&[&record::file_header(self.number)])
    }

    /// Writes all of it, or nothing.
    fn write(&mut self, parts: &[&[u8]]) -> Result<(), LogError> {
        let start = self.at;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut done = 0;
        while done < length {
            let mut skip = done;
            let rest: Vec<IoSlice<'_>> = parts
                .iter()
                .filter_map(|part| {
                    let gone = skip.min(part.len());
                    skip -= gone;
                    (gone < part.len()).then(|| IoSlice::new(&part[gone..]))
                })
                .collect();
            match rustix::io::pwritev(&self.file, &rest, start + done as u64) {
                Ok(written) if written > 0 => done += written,
                Err(Errno::INTR) => {}
                Ok(_) => return Err(self.undo(start, Errno::NOSPC)),
                Err(errno) => return Err(self.undo(start, errno)),
            }
        }
        self.at = start + length as u64;
        Ok(())
    }

    fn undo(&mut self, start: u64, errno: Errno) -> LogError {
        self.at = start;
        self.cut();
        self.failed(errno)
    }

    /// Cuts off what stands behind the last whole record. Where that is refused, readers stop at it and the next one overwrites it.
    fn cut(&self) {
        let _ = rustix::fs::ftruncate(self.file.as_fd(), self.at);
    }

    fn failed(&self, errno: Errno) -> LogError {
        LogError::errno("write", self.series.path())(errno)
    }
}

/// Whether a whole record stands at the end, by its two lengths.
fn ends_whole(file: &File, size: u64) -> bool {
    let ends = || -> Option<bool> {
        if size == FILE_HEADER as u64 {
            return Some(true);
        }
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, size.checked_sub(TRAILER as u64)?).ok()?;
        let whole = (HEADER + TRAILER) as u64 + u64::from(u32::from_le_bytes(trailer));
        let start = size.checked_sub(whole).filter(|start| *start >= FILE_HEADER as u64)?;
        let mut bytes = vec![0; usize::try_from(whole).ok().filter(|length| *length <= record::MAX_LENGTH + 64)?];
        file.read_exact_at(&mut bytes, start).ok()?;
        Some(matches!(record::find(&bytes), Found::Record(_)))
    };
    ends().unwrap_or(false)
}

/// Where the last whole record ends, from the beginning on.
fn whole_length(file: &File) -> io::Result<u64> {
    let mut at = FILE_HEADER as u64;
    let mut bytes = vec![0; HEADER];
    loop {
        bytes.resize(HEADER, 0);
        if file.read_exact_at(&mut bytes, at).is_err() {
            return Ok(at);
        }
        let Found::Incomplete(size) = record::find(&bytes) else { return Ok(at) };
        bytes.resize(size, 0);
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) if matches!(record::find(&bytes), Found::Record(_)) => at += size as u64,
            Ok(()) => return Ok(at),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(at),
            Err(error) => return Err(error),
        }
    }
}
