//! Advisory locks on whole files (flock): they die with their holder, and work on every file system we meet.

use std::fs::File;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::{Error, Result};

/// A held lock; dropping it lets go.
///
/// The lock belongs to the open file description: a forked child that inherits the descriptor holds it as well.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Waits for the lock that excludes every other.
    pub fn exclusive(file: File) -> Result<Self> {
        Self::wait(file, FlockOperation::LockExclusive)
    }

    /// Waits for a lock that many may hold at once.
    pub fn shared(file: File) -> Result<Self> {
        Self::wait(file, FlockOperation::LockShared)
    }

    /// Takes the exclusive lock if nobody holds any; gives the file back otherwise.
    pub fn try_exclusive(file: File) -> Result<std::result::Result<Self, File>> {
        Self::attempt(file, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a shared lock unless someone holds the exclusive one; gives the file back otherwise.
    pub fn try_shared(file: File) -> Result<std::result::Result<Self, File>> {
        Self::attempt(file, FlockOperation::NonBlockingLockShared)
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Lets go, and gives the file back.
    pub fn unlock(self) -> Result<File> {
        match rustix::fs::flock(&self.file, FlockOperation::Unlock) {
            Ok(()) => Ok(self.file),
            Err(errno) => Err(Error::new("flock", "", errno)),
        }
    }

    fn wait(file: File, operation: FlockOperation) -> Result<Self> {
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new("flock", "", errno)),
            }
        }
    }

    fn attempt(file: File, operation: FlockOperation) -> Result<std::result::Result<Self, File>> {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => Ok(Ok(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(Err(file)),
            Err(errno) => Err(Error::new("flock", "", errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_excludes_the_other_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::options().create(true).append(true).open(&path).unwrap();
        let first = Lock::exclusive(open()).unwrap();
        assert!(Lock::try_exclusive(open()).unwrap().is_err());
        assert!(Lock::try_shared(open()).unwrap().is_err());
        drop(first);
        let shared = Lock::try_shared(open()).unwrap().unwrap();
        assert!(Lock::try_shared(open()).unwrap().is_ok());
        assert!(Lock::try_exclusive(open()).unwrap().is_err());
        drop(shared);
        assert!(Lock::try_exclusive(open()).unwrap().is_ok());
    }
}
