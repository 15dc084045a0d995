//! Files that replace their target only when they are whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat};
use store::LayerId;

use super::ExportError;

/// Where output of one stream goes.
pub(crate) type Out = Box<dyn Write + Send>;

/// A file that replaces its target only when it is whole.
///
/// It has no name before, where the file system knows files without one: a process that is killed leaves nothing.
#[derive(Debug)]
pub(crate) struct Replacing {
    partial: PathBuf,
    target: PathBuf,
    /// Whether `partial` is there.
    named: bool,
    /// Locked as long as it is written, so that others see that it is not left over.
    file: File,
}

impl Replacing {
    /// Opens a file beside `target`. What a process that died left there for the same target is removed.
    pub(crate) fn open(target: &Path) -> Result<(Self, File), ExportError> {
        let partial = Self::partial(target);
        match nameless(folder(target)) {
            Some(file) => Self::of(target, partial, file, false),
            None => Self::with_name(target, partial),
        }
    }

    fn partial(target: &Path) -> PathBuf {
        let mut stem = OsString::from(".");
        stem.push(target.file_name().unwrap_or_default());
        stem.push(".");
        sweep(folder(target), &stem);
        stem.push(format!("{}{PARTIAL}", LayerId::mint()));
        target.with_file_name(stem)
    }

    fn with_name(target: &Path, partial: PathBuf) -> Result<(Self, File), ExportError> {
        let file = File::create(&partial).map_err(|source| ExportError::io("create", &partial, source))?;
        Self::of(target, partial, file, true)
    }

    fn of(target: &Path, partial: PathBuf, file: File, named: bool) -> Result<(Self, File), ExportError> {
        let lock = file.try_clone().map_err(|source| ExportError::io("dup", &partial, source))?;
        // Where nothing can be locked, nothing is swept either.
        let _ = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        Ok((Self { partial, target: target.to_path_buf(), named, file: lock }, file))
    }

    /// Puts it in place.
    pub(crate) fn commit(mut self) -> Result<(), ExportError> {
        if !self.named {
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, own, CWD, &self.partial, AtFlags::SYMLINK_FOLLOW)
                .map_err(|error| ExportError::io("link", &self.partial, error.into()))?;
            self.named = true;
        }
        fs::rename(&self.partial, &self.target).map_err(|source| ExportError::io("rename to", &self.target, source))?;
        self.named = false;
        Ok(())
    }

    /// As [`Self::commit`], with its bytes on the disk before, and its name after.
    pub(crate) fn commit_durably(self) -> Result<(), ExportError> {
        self.file.sync_all().map_err(|source| ExportError::io("fsync", &self.partial, source))?;
        let parent = folder(&self.target).to_path_buf();
        self.commit()?;
        File::open(&parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| ExportError::io("fsync", &parent, source))
    }
}

/// A file without a name in `folder`, if it can have one later: not every file system knows them, nor does a sandbox
/// always have `/proc`.
fn nameless(folder: &Path) -> Option<File> {
    let file = rustix::fs::open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o666));
    let file = File::from(file.ok()?);
    fs::symlink_metadata(format!("/proc/self/fd/{}", file.as_raw_fd())).is_ok().then_some(file)
}

impl Drop for Replacing {
    fn drop(&mut self) {
        if self.named {
            // Nobody is left to tell.
            drop(fs::remove_file(&self.partial));
        }
    }
}

/// The end of the names of files that are not whole yet.
const PARTIAL: &str = ".partial";

fn folder(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the partial files of dead processes, as far as that works: they are in nobody's way.
fn sweep(folder: &Path, stem: &std::ffi::OsStr) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.as_encoded_bytes().strip_prefix(stem.as_encoded_bytes()) else { continue };
        let Some(id) = rest.strip_suffix(PARTIAL.as_bytes()) else { continue };
        if std::str::from_utf8(id).is_ok_and(|id| id.parse::<LayerId>().is_ok())
            && let Ok(file) = File::open(entry.path())
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_with_the_next_try() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image.tar");
        let left = dir.path().join(format!(".image.tar.{}.partial", LayerId::mint()));
        let others = [dir.path().join(".image.tar.mine.partial"), dir.path().join(".other.tar.partial")];
        for path in others.iter().chain([&left]) {
            fs::write(path, "x").unwrap();
        }
        let (alive, _file) = Replacing::with_name(&target, Replacing::partial(&target)).unwrap();
        assert!(!left.exists() && others.iter().all(|path| path.exists()));
        let (second, mut file) = Replacing::open(&target).unwrap();
        assert!(alive.partial.exists(), "one that is being written stays");
        file.write_all(b"whole").unwrap();
        second.commit_durably().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        let partial = alive.partial.clone();
        drop(alive);
        assert!(!partial.exists());
    }

    #[test]
    fn what_is_not_whole_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image.tar");
        fs::write(&target, "old").unwrap();
        let (place, mut file) = Replacing::open(&target).unwrap();
        if place.named {
            return;
        }
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a killed process would leave more");
        place.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
