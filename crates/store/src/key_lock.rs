//! One process runs a cache key; the others wait for it, and take over if it dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A held lock. Dropping it, or dying, lets the next one in.
#[derive(Debug)]
pub struct KeyLock {
    file: File,
    path: PathBuf,
}

impl KeyLock {
    /// Waits for the lock on `path`.
    pub(crate) fn wait(path: &Path) -> Result<Self, Failure> {
        loop {
            let file = open(path)?;
            retry(|| flock(&file, FlockOperation::LockExclusive)).map_err(|error| ("flock", error.into()))?;
            if let Some(lock) = Self::still_named(file, path)? {
                return Ok(lock);
            }
        }
    }

    /// The lock on `path`, unless somebody holds it.
    pub(crate) fn attempt(path: &Path) -> Result<Option<Self>, Failure> {
        loop {
            let file = open(path)?;
            match retry(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => other.map_err(|error| ("flock", error.into()))?,
            }
            if let Some(lock) = Self::still_named(file, path)? {
                return Ok(Some(lock));
            }
        }
    }

    /// The holder before us removed the name while we waited: then what we hold locks nothing.
    fn still_named(file: File, path: &Path) -> Result<Option<Self>, Failure> {
        let held = file.metadata().map_err(|error| ("stat", error))?;
        let same = match std::fs::symlink_metadata(path) {
            Ok(named) => named.ino() == held.ino() && named.dev() == held.dev(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(("stat", error)),
        };
        Ok(same.then(|| Self { file, path: path.to_path_buf() }))
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Removed while locked: whoever waits on the old file sees that its name is gone and tries anew.
        drop(std::fs::remove_file(&self.path));
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// A failed call and its error.
pub(crate) type Failure = (&'static str, io::Error);

fn open(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(|error| ("open", error))
}

/// Signals interrupt a wait; it goes on.
pub(crate) fn retry(call: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(call)
}
