//! Reading files of a context, and noticing when somebody writes them meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::{Digest, Hasher};
use sys::{OpenFlags, Root};

use super::ContextError;
use super::stat_cache::now;
use super::tree::Ident;

/// One read of a file that is being hashed.
const BUFFER: usize = 256 * 1024;
/// More files than this, or more bytes than [`MANY_BYTES`], are hashed side by side.
const MANY_FILES: usize = 64;
/// See [`MANY_FILES`].
const MANY_BYTES: u64 = 4 << 20;
/// Readers beyond the cores hide the disk's latency when many small files are not in the page cache.
const READERS: usize = 4;

/// A file that is read once, from its start to its end. At the end it fails if the file is no longer what it was.
pub(super) struct Verified {
    file: File,
    path: PathBuf,
    before: Ident,
    left: u64,
}

impl Verified {
    /// Opens the file at `source`, which was found as `ident`.
    pub(super) fn open(root: &Root, dir: &Path, source: &[u8], ident: &Ident) -> Result<Self, ContextError> {
        let path = dir.join(OsStr::from_bytes(source));
        // A fifo that took the file's place must not hang us.
        let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
        let file = root
            .open_file(OsStr::from_bytes(source), flags)
            .map_err(|error| ContextError::sys(&error, path.clone()))?;
        // Whether it is still what was walked is seen at its end: one look tells of every change since.
        Ok(Self { file, path, before: *ident, left: ident.size })
    }

    fn unchanged(&self) -> io::Result<bool> {
        Ok(Ident::from(&sys::stat::of(&self.file)?) == self.before)
    }

    fn io(&self, call: &'static str, source: io::Error) -> ContextError {
        ContextError::Io { call, path: self.path.clone(), source }
    }

    fn changed(&self) -> io::Error {
        io::Error::other(ContextError::Changed { path: self.path.clone() })
    }

    /// The digest of the content.
    pub(super) fn digest(mut self, buffer: &mut Vec<u8>) -> Result<Digest, ContextError> {
        buffer.resize(BUFFER, 0);
        let mut hasher = Hasher::sha256();
        loop {
            match self.read(buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) => {
                    return Err(error.downcast().unwrap_or_else(|source| self.io("read", source)));
                }
            }
        }
    }
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        match self.left.checked_sub(count as u64) {
            Some(left) if count > 0 => {
                self.left = left;
                // Told before the last bytes are handed out: a caller that knows the size may stop there.
                if left == 0 && !self.unchanged()? {
                    return Err(self.changed());
                }
                Ok(count)
            }
            Some(0) if self.unchanged()? => Ok(0),
            _ => Err(self.changed()),
        }
    }
}

/// A file to hash: its place among the facts, where it lies, and what it was found as.
pub(super) struct Wanted {
    pub(super) fact: u32,
    pub(super) source: Box<[u8]>,
    pub(super) ident: Ident,
}

/// Hashes files; gives each one's place, digest, and when its reading began. The largest go first, so that no thread is
/// left with one at the end.
pub(super) fn hash(root: &Root, dir: &Path, mut wanted: Vec<Wanted>) -> Result<Vec<(u32, Digest, i64)>, ContextError> {
    wanted.sort_by_key(|file| std::cmp::Reverse(file.ident.size));
    let bytes: u64 = wanted.iter().map(|file| file.ident.size).sum();
    let next = AtomicUsize::new(0);
    let error = Mutex::new(None);
    let work = || {
        let mut buffer = Vec::new();
        let mut done = Vec::new();
        while let Some(file) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = now();
            let digest = Verified::open(root, dir, &file.source, &file.ident).and_then(|open| open.digest(&mut buffer));
            match digest {
                Ok(digest) => done.push((file.fact, digest, begun)),
                Err(failure) => {
                    next.store(wanted.len(), Ordering::Relaxed);
                    error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(failure);
                }
            }
        }
        done
    };
    let threads = if wanted.len() > MANY_FILES || bytes > MANY_BYTES { READERS.min(wanted.len()) } else { 1 };
    let done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_default());
        }
        done
    });
    match error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(done),
    }
}
