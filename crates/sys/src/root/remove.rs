//! Removing whole trees, whoever filled them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, ResolveFlags};
use rustix::io::Errno;

use super::{OpenFlags, Root};
use crate::dirents::Dirents;
use crate::{Error, FileKind, Result, stat, xattr};

/// How many subdirectories of one directory are remembered at a time; the directory is listed again for more.
const PENDING: usize = 4096;

/// A directory on the way down. Its descriptor isn't kept: depth must not cost descriptors.
struct Level {
    dev: u64,
    ino: u64,
    /// Subdirectories still to be emptied; the last one is being so.
    pending: Vec<OsString>,
}

impl Root {
    /// Removes whatever `path` names, with all that is below it; fine where there is nothing.
    ///
    /// Never follows a link and never crosses into another mount (EXDEV). Directories that deny their owner access
    /// are opened up first. Depth is bounded by memory alone: two descriptors, no recursion, no long path.
    pub fn remove_all(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let at = match self.resolve_parent(path) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        remove_tree(at.dir(), at.name()).map_err(|error| error.at(path))
    }

    /// Removes all that is in this directory, but not the directory.
    pub fn empty(&self) -> Result<()> {
        let dir = self.open_dir("")?;
        // A file system may leave a name out of a listing during which others were removed: look again.
        while !is_empty(&dir)? {
            empty_dir(dir.try_clone()?.into_fd())?;
        }
        Ok(())
    }
}

fn is_empty(dir: &Root) -> Result<bool> {
    dir.read_dir("")?.next().transpose().map(|first| first.is_none())
}

fn remove_tree(parent: impl AsFd, name: &OsStr) -> Result<()> {
    if unlink(&parent, name, None)? {
        return Ok(());
    }
    while !remove_dir(&parent, name)? {
        match open_below(&parent, name) {
            Ok(dir) => empty_dir(dir)?,
            // Removed or replaced meanwhile: the next attempt tells.
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what is in `dir`: all of it, unless someone adds to it meanwhile.
fn empty_dir(mut dir: OwnedFd) -> Result<()> {
    let mut levels = vec![enter(&dir)?];
    while let Some(level) = levels.last_mut() {
        // A directory that was emptied, or that has just been entered, is listed; all but directories go at once.
        if level.pending.is_empty() {
            level.pending = sweep(&dir)?;
        }
        if let Some(child) = level.pending.last() {
            if remove_dir(&dir, child)? {
                level.pending.pop();
                continue;
            }
            match open_below(&dir, child) {
                Ok(below) => dir = below,
                // Replaced meanwhile: the next attempt to remove it tells by what.
                Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error),
            }
            levels.push(enter(&dir)?);
            continue;
        }
        levels.pop();
        if let Some(above) = levels.last() {
            dir = climb(&dir, above)?;
        }
    }
    Ok(())
}

/// Removes what isn't a directory and gives back the names of (some of) the directories.
fn sweep(dir: &OwnedFd) -> Result<Vec<OsString>> {
    let again =
        rustix::fs::openat(dir, ".", OpenFlags::RDONLY | OpenFlags::DIRECTORY | OpenFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::new("openat", ".", errno))?;
    let mut pending = Vec::new();
    for entry in Dirents::new(again) {
        let entry = entry?;
        let is_dir = entry.kind == FileKind::Dir || !unlink(dir, &entry.name, Some(dir))?;
        if is_dir {
            pending.push(entry.name);
            if pending.len() >= PENDING {
                break;
            }
        }
    }
    Ok(pending)
}

/// Removes `name` unless it is a directory; says whether it is gone.
fn unlink(dir: impl AsFd, name: &OsStr, ours: Option<&OwnedFd>) -> Result<bool> {
    let mut opened_up = false;
    loop {
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(true),
            Err(Errno::ISDIR) => return Ok(false),
            Err(Errno::ACCESS) if !opened_up && ours.is_some() => {
                opened_up = true;
                if let Some(ours) = ours {
                    open_up(ours);
                }
            }
            // Some file systems say EPERM for a directory.
            Err(Errno::PERM) if stat::at(&dir, Path::new(name)).is_ok_and(|stat| stat.is_dir()) => return Ok(false),
            Err(errno) => return Err(Error::new("unlinkat", name, errno)),
        }
    }
}

/// Removes `name` if it is an empty directory (or gone already); says whether.
fn remove_dir(dir: impl AsFd, name: &OsStr) -> Result<bool> {
    match rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        // It was replaced by something else meanwhile, which goes as well.
        Err(Errno::NOTDIR) => unlink(dir, name, None),
        Err(errno) => Err(Error::new("unlinkat", name, errno)),
    }
}

/// Opens a subdirectory for listing, giving its owner access to it first where need be.
fn open_below(dir: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    let flags = OpenFlags::RDONLY | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    let how = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let open = || rustix::fs::openat2(&dir, name, flags, Mode::empty(), how);
    let opened = match open() {
        Err(Errno::ACCESS) => {
            let _ = chmod_below(&dir, name);
            open()
        }
        other => other,
    };
    opened.map_err(|errno| Error::new("openat2", name, errno))
}

/// Gives the owner access to the directory `name`, whose mode keeps us from opening it.
fn chmod_below(dir: impl AsFd, name: &OsStr) -> std::result::Result<(), Errno> {
    if matches!(xattr::fchmodat2(dir.as_fd(), name, 0o700), Err(Errno::NOSYS | Errno::PERM)) {
        let flags = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
        let fd = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        rustix::fs::chmod(link.as_str(), Mode::from_raw_mode(0o700))?;
    }
    Ok(())
}

fn enter(dir: &OwnedFd) -> Result<Level> {
    let stat = stat::of(dir)?;
    if stat.permissions() & 0o700 != 0o700 {
        open_up(dir);
    }
    Ok(Level { dev: stat.dev, ino: stat.ino, pending: Vec::new() })
}

/// Best effort: root without the owner's id, say, needs it neither way.
fn open_up(dir: &OwnedFd) {
    let _ = rustix::fs::fchmod(dir, Mode::from_raw_mode(0o700));
}

/// Back to the directory above, which must be the one we came from: someone may have moved `dir` elsewhere.
fn climb(dir: &OwnedFd, above: &Level) -> Result<OwnedFd> {
    let flags = OpenFlags::RDONLY | OpenFlags::DIRECTORY | OpenFlags::CLOEXEC;
    let up = rustix::fs::openat(dir, "..", flags, Mode::empty()).map_err(|errno| Error::new("openat", "..", errno))?;
    let stat = stat::of(&up)?;
    if (stat.dev, stat.ino) == (above.dev, above.ino) { Ok(up) } else { Err(Error::new("openat", "..", Errno::STALE)) }
}
