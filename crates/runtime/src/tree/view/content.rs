//! Reading a file's content out of a stored tar.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use layer::{Extent, TocEntry};

/// Where a file's bytes lie in a tar.
#[derive(Debug, Clone)]
pub(in crate::tree) struct Stored {
    offset: u64,
    size: u64,
    extents: Vec<Extent>,
}

impl Stored {
    pub(super) fn new(record: &TocEntry) -> Stored {
        Stored { offset: record.offset, size: record.entry.size, extents: record.extents.clone() }
    }

    pub(super) fn open(&self, tar: Arc<File>) -> StoredReader {
        StoredReader { tar, stored: self.clone(), position: 0, run: 0, taken: 0 }
    }
}

/// Reads the file, holes included.
#[derive(Debug)]
pub(super) struct StoredReader {
    tar: Arc<File>,
    stored: Stored,
    /// In the file.
    position: u64,
    /// Of a sparse file, the run being read or still ahead, and how many stored bytes were taken.
    run: usize,
    taken: u64,
}

impl StoredReader {
    /// How many bytes from here on are a hole, or, if none, how many are stored one after another.
    fn ahead(&mut self) -> (u64, u64) {
        let left = self.stored.size - self.position;
        if self.stored.extents.is_empty() {
            return (0, left);
        }
        while let Some(run) = self.stored.extents.get(self.run) {
            let end = run.offset.saturating_add(run.length);
            if self.position < run.offset {
                return (left.min(run.offset - self.position), 0);
            }
            if self.position < end {
                return (0, left.min(end - self.position));
            }
            self.run += 1;
        }
        (left, 0)
    }
}

impl Seek for StoredReader {
    /// Runs of a sparse file are passed over one by one: it has few.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(by) => (self.stored.size, by),
            SeekFrom::Current(by) => (self.position, by),
        };
        let wanted = from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        (self.position, self.run, self.taken) = (0, 0, 0);
        while self.position < wanted.min(self.stored.size) {
            let (hole, data) = self.ahead();
            let count = hole.max(data).min(wanted - self.position);
            self.position += count;
            self.taken += if hole > 0 { 0 } else { count };
        }
        self.position = wanted;
        Ok(wanted)
    }
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.stored.size {
            return Ok(0);
        }
        let (hole, data) = self.ahead();
        let room = buffer.len();
        let most = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(room);
        if hole > 0 {
            let count = most(hole);
            buffer[..count].fill(0);
            self.position += count as u64;
            return Ok(count);
        }
        let count = self.tar.read_at(&mut buffer[..most(data)], self.stored.offset + self.taken)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the layer's tar is cut off"));
        }
        self.position += count as u64;
        self.taken += count as u64;
        Ok(count)
    }
}
