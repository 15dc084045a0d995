//! Files that are read again when they change.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often files are looked at: a `stat` costs 2 µs, and people expect an edit to count at once.
const EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Some files, and how they were when they were last looked at.
#[derive(Debug)]
pub(crate) struct Stamps {
    paths: Vec<PathBuf>,
    seen: Mutex<(Instant, Vec<Option<Stamp>>)>,
}

impl Stamps {
    /// Files as they are now. Take it before reading them: a change in between is then seen.
    pub(crate) fn of(paths: Vec<PathBuf>) -> Self {
        let stamps = paths.iter().map(|path| Stamp::of(path)).collect();
        Self { paths, seen: Mutex::new((Instant::now(), stamps)) }
    }

    /// Whether one changed since the last call that said so. Looks at most once a second; tells one caller only.
    pub(crate) fn changed(&self) -> bool {
        // Somebody else who looks right now is told.
        let Ok(mut seen) = self.seen.try_lock() else { return false };
        if seen.0.elapsed() < EVERY {
            return false;
        }
        self.look(&mut seen)
    }

    /// As [`Self::changed`], at once: for SIGHUP and tests.
    pub(crate) fn changed_now(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut seen)
    }

    fn look(&self, seen: &mut (Instant, Vec<Option<Stamp>>)) -> bool {
        let now: Vec<_> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        seen.0 = Instant::now();
        if now == seen.1 {
            return false;
        }
        seen.1 = now;
        true
    }
}

/// Does what waits for a disk on a thread that may, where there is a reactor.
pub(crate) fn off_the_reactor(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Reads a file that must not be larger than `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
