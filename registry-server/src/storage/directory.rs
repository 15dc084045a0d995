//! A directory whose entries can be made durable by many callers at once.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::{Error, Result};

/// An open directory. One fsync serves everybody who changed it before that fsync began.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    path: PathBuf,
    rounds: Mutex<Rounds>,
    turned: Condvar,
}

/// Rounds are numbered from 1; a round is one fsync.
#[derive(Debug, Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    /// The last round that failed, and how.
    failed: Option<(u64, i32)>,
}

impl Directory {
    /// Opens the directory at `path`, made with mode 0700 where it is missing.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(Error::call("mkdir", &path, errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| Error::call("open", &path, errno))?;
        Ok(Self { file: file.into(), path, rounds: Mutex::default(), turned: Condvar::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file `name`, which is one path component.
    pub(super) fn file(&self, name: &str, flags: OFlags) -> rustix::io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Makes every change of entries durable that was done before the call.
    pub(super) fn sync(&self) -> Result<()> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        // A round that runs already may have missed the caller's change.
        let mine = rounds.begun + 1;
        loop {
            if rounds.ended >= mine {
                return match rounds.failed {
                    Some((round, code)) if round >= mine => Err(self.failure(code)),
                    _ => Ok(()),
                };
            }
            if rounds.begun > rounds.ended {
                rounds = self.turned.wait(rounds).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.begun += 1;
            drop(rounds);
            let done = rustix::fs::fsync(&self.file);
            rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
            rounds.ended = rounds.begun;
            if let Err(errno) = done {
                rounds.failed = Some((rounds.ended, errno.raw_os_error()));
            }
            self.turned.notify_all();
        }
    }

    fn failure(&self, code: i32) -> Error {
        Error::call("fsync", &self.path, rustix::io::Errno::from_raw_os_error(code))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Error {
    /// A failed call: [`Error::Full`] where it failed for want of room.
    pub(super) fn call(call: &'static str, path: &Path, errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::NOSPC | Errno::DQUOT => Error::Full(path.to_owned()),
            errno => Error::Io { call, path: path.to_owned(), source: errno.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_share_rounds_and_each_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path().join("d")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| directory.sync().unwrap()));
            }
        });
        let rounds = directory.rounds.lock().unwrap();
        assert_eq!(rounds.begun, rounds.ended);
        assert!(rounds.begun <= 400);
    }
}
