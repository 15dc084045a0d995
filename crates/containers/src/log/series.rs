//! The files of a log, by descriptor.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{LogError, record};

/// The most files that one log is looked for in.
pub const MAX_FILES: u32 = 1000;

/// Where a log's files are.
#[derive(Debug, Clone)]
pub struct Series {
    path: PathBuf,
}

/// One file of a log, open for reading.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub file: File,
    /// Its number: greater ones came later. Files of docker's format are numbered from their places.
    pub number: u64,
    /// What stays the same when it moves to another place.
    pub inode: u64,
}

impl Series {
    /// The log at this path.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file so many places before the one that is written.
    pub fn older(&self, place: u32) -> PathBuf {
        match place {
            0 => self.path.clone(),
            place => {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".{place}"));
                name.into()
            }
        }
    }

    /// Opens a file for reading; `None` where there is none.
    ///
    /// # Errors
    /// What is no file of its own: a link, a device, a file with several names.
    pub fn read(path: &Path) -> Result<Option<File>, LogError> {
        match rustix::fs::openat(CWD, path, flags(OFlags::RDONLY), Mode::empty()) {
            Ok(fd) => check(path, fd.into()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(LogError::Foreign { path: path.to_path_buf(), what: "a link" }),
            Err(errno) => Err(LogError::errno("open", path)(errno)),
        }
    }

    /// Opens the file that is written, and makes it where there is none.
    ///
    /// # Errors
    /// As [`Series::read`].
    pub fn write(&self) -> Result<File, LogError> {
        let mode = Mode::from_raw_mode(0o600);
        match rustix::fs::openat(CWD, &self.path, flags(OFlags::RDWR | OFlags::CREATE), mode) {
            Ok(fd) => check(&self.path, fd.into()),
            Err(Errno::LOOP) => Err(LogError::Foreign { path: self.path.clone(), what: "a link" }),
            Err(errno) => Err(LogError::errno("open", &self.path)(errno)),
        }
    }

    /// Moves every file one place on, lets go of those beyond `files`, and opens a new one.
    pub fn rotate(&self, files: u32) -> Result<File, LogError> {
        // The oldest goes; where fewer are kept than before, its elders went by an earlier turn.
        remove(&self.older(files.saturating_sub(1)))?;
        for place in (0..files.saturating_sub(1)).rev() {
            let (from, to) = (self.older(place), self.older(place + 1));
            match rustix::fs::renameat(CWD, &from, CWD, &to) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(LogError::errno("rename", &from)(errno)),
            }
        }
        let flags = flags(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL);
        rustix::fs::openat(CWD, &self.path, flags, Mode::from_raw_mode(0o600))
            .map(File::from)
            .map_err(LogError::errno("create", &self.path))
    }

    /// All files that there are, the oldest first.
    ///
    /// # Errors
    /// As [`Series::read`].
    pub fn parts(&self) -> Result<Vec<Part>, LogError> {
        let mut parts = Vec::new();
        for place in 0..MAX_FILES {
            // While we look, files move to higher places: one may be seen twice, and none is passed over.
            match Self::read(&self.older(place))? {
                Some(file) => {
                    let inode = file.metadata().map_err(LogError::io("stat", &self.path))?.ino();
                    parts.push(Part { number: number(&file, place), inode, file });
                }
                None if place == 0 => {}
                None => break,
            }
        }
        parts.sort_by_key(|part| part.number);
        parts.dedup_by_key(|part| part.inode);
        Ok(parts)
    }
}

fn remove(path: &Path) -> Result<(), LogError> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(LogError::errno("remove", path)(errno)),
    }
}

/// The number in the file's head, or one by its place.
fn number(file: &File, place: u32) -> u64 {
    let mut head = [0; record::FILE_HEADER];
    let ours = file.read_exact_at(&mut head, 0).ok().and_then(|()| record::file_number(&head));
    ours.unwrap_or_else(|| u64::from(u32::MAX - place))
}

fn flags(more: OFlags) -> OFlags {
    // NONBLOCK: whatever was put there in place of the log must not hold us.
    more | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Only a regular file with one name is a log.
fn check(path: &Path, file: File) -> Result<File, LogError> {
    let stat = rustix::fs::fstat(file.as_fd()).map_err(LogError::errno("stat", path))?;
    let foreign = |what| LogError::Foreign { path: path.to_path_buf(), what };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(foreign("not a regular file"));
    }
    // None: it was rotated away while we opened it.
    if stat.st_nlink > 1 { Err(foreign("a file with several names")) } else { Ok(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_others_in_place_of_a_log_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let series = Series::new(dir.path().join("log"));
        symlink(&victim, series.path()).unwrap();
        assert!(matches!(series.write(), Err(LogError::Foreign { .. })));
        assert!(matches!(series.parts(), Err(LogError::Foreign { .. })));
        std::fs::remove_file(series.path()).unwrap();
        std::fs::hard_link(&victim, series.path()).unwrap();
        assert!(matches!(series.write(), Err(LogError::Foreign { .. })));
        std::fs::remove_file(series.path()).unwrap();
        rustix::fs::mknodat(CWD, series.path(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(matches!(series.write(), Err(LogError::Foreign { .. })));
        assert!(matches!(Series::read(series.path()), Err(LogError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn rotation_moves_a_planted_link_and_writes_nothing_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let series = Series::new(dir.path().join("log"));
        symlink(&victim, series.path()).unwrap();
        symlink(&victim, series.older(1)).unwrap();
        series.rotate(2).unwrap().write_at(b"new", 0).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(series.path()).unwrap(), "new");
    }
}
