//! Files that replace their target only when they are whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use store::LayerId;

use super::ExportError;

/// Where output of one stream goes.
pub(crate) type Out = Box<dyn Write + Send>;

/// A file that replaces its target only when it is whole.
#[derive(Debug)]
pub(crate) struct Replacing {
    partial: PathBuf,
    target: PathBuf,
    done: bool,
    /// Locked as long as it is written, so that others see that it is not left over.
    _lock: File,
}

impl Replacing {
    /// Opens a file beside `target`. What a process that died left there for the same target is removed.
    pub(crate) fn open(target: &Path) -> Result<(Self, File), ExportError> {
        let mut stem = OsString::from(".");
        stem.push(target.file_name().unwrap_or_default());
        stem.push(".");
        sweep(folder(target), &stem);
        let mut name = stem;
        name.push(format!("{}{PARTIAL}", LayerId::mint()));
        let partial = target.with_file_name(name);
        let failed = |call| {
            let partial = partial.clone();
            move |source| ExportError::io(call, &partial, source)
        };
        let file = File::create(&partial).map_err(failed("create"))?;
        let lock = file.try_clone().map_err(failed("dup"))?;
        // Where nothing can be locked, nothing is swept either.
        let _ = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        Ok((Self { partial, target: target.to_path_buf(), done: false, _lock: lock }, file))
    }

    /// Puts it in place.
    pub(crate) fn commit(mut self) -> Result<(), ExportError> {
        fs::rename(&self.partial, &self.target).map_err(|source| ExportError::io("rename to", &self.target, source))?;
        self.done = true;
        Ok(())
    }

    /// As [`Self::commit`], with its bytes on the disk before, and its name after.
    pub(crate) fn commit_durably(self) -> Result<(), ExportError> {
        let synced = |path: &Path| {
            File::open(path).and_then(|file| file.sync_all()).map_err(|source| ExportError::io("fsync", path, source))
        };
        synced(&self.partial)?;
        let parent = folder(&self.target).to_path_buf();
        self.commit()?;
        synced(&parent)
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        if !self.done {
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
        let (alive, _file) = Replacing::open(&target).unwrap();
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
}
