//! Directory listings in few calls: getdents64 with a large buffer.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::{Error, FileKind, Result};

/// How much one call may fill: some 2,000 entries of ordinary names. The C library asks for 32 KiB.
const BUFFER: usize = 128 * 1024;
/// Where the name begins in a `linux_dirent64`.
const NAME: usize = 19;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: one component, never `.` or `..`.
    pub name: OsString,
    /// What it is; [`FileKind::Unknown`] where the file system doesn't say here.
    pub kind: FileKind,
    /// Its inode number (of what lies under a mount point, where there is one).
    pub ino: u64,
}

/// The entries of a directory, in the order the file system keeps them.
#[derive(Debug)]
pub struct Dirents {
    dir: OwnedFd,
    buffer: Vec<u8>,
    position: usize,
    filled: usize,
    done: bool,
}

impl Dirents {
    /// Lists `dir`, a directory opened for reading (not `O_PATH`), from where its offset stands.
    pub fn new(dir: OwnedFd) -> Self {
        Self::with_buffer(dir, Vec::new())
    }

    /// As [`Dirents::new`], with the buffer of an earlier listing ([`Dirents::into_buffer`]).
    pub fn with_buffer(dir: OwnedFd, mut buffer: Vec<u8>) -> Self {
        buffer.resize(BUFFER, 0);
        Self { dir, buffer, position: 0, filled: 0, done: false }
    }

    /// Gives back the buffer for the next listing.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The directory being listed.
    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// The next entry without copying its name; `None` at the end.
    pub fn next_borrowed(&mut self) -> Result<Option<(&OsStr, FileKind, u64)>> {
        loop {
            if self.position >= self.filled && !self.fill()? {
                return Ok(None);
            }
            let (start, end, kind, ino, next) = self.decode();
            self.position = next;
            let name = &self.buffer[start..end];
            if name != b"." && name != b".." {
                // Borrowed again, as the loop's own borrow would have to outlive its other branch.
                return Ok(Some((OsStr::from_bytes(&self.buffer[start..end]), kind, ino)));
            }
        }
    }

    /// Where the entry at `position` has its name, what it says, and where the next entry begins.
    fn decode(&self) -> (usize, usize, FileKind, u64, usize) {
        let at = self.position;
        let record = &self.buffer[at..self.filled];
        let ino = u64::from_ne_bytes(record[..8].try_into().unwrap_or_default());
        let length = usize::from(u16::from_ne_bytes([record[16], record[17]])).clamp(NAME, record.len());
        let name = &record[NAME..length];
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        (at + NAME, at + NAME + end, FileKind::of_dirent(record[18]), ino, at + length)
    }

    fn fill(&mut self) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        match getdents(&self.dir, &mut self.buffer) {
            // A directory that was removed while it was listed has no more entries.
            Ok(0) | Err(Errno::NOENT) => {
                self.done = true;
                Ok(false)
            }
            Ok(filled) => {
                self.filled = filled;
                self.position = 0;
                Ok(true)
            }
            Err(errno) => {
                self.done = true;
                Err(Error::new("getdents64", "", errno))
            }
        }
    }
}

impl Iterator for Dirents {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_borrowed() {
            Ok(None) => None,
            Ok(Some((name, kind, ino))) => Some(Ok(DirEntry { name: name.to_owned(), kind, ino })),
            Err(error) => Some(Err(error)),
        }
    }
}

fn getdents(dir: impl AsFd, buffer: &mut [u8]) -> std::result::Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
    let read =
        unsafe { libc::syscall(libc::SYS_getdents64, dir.as_fd().as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
    usize::try_from(read).map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
