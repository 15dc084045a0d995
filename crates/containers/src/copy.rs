//! `cp`: files from one tree into another, each below a [`Root`] that no path and no link leads out of.
//!
//! Trees are walked by descriptor, a name at a time: whoever renames things in one of them meanwhile may change what is copied, never
//! from where or to where. Links are copied, not followed; devices and sockets are left out.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::{FileKind, OpenFlags, Root, Stat};

/// How many links one path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;
/// Deeper trees than this are nobody's files; each level costs descriptors while it is copied.
const MAX_DEPTH: usize = 400;

/// Why something was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file or folder.
    #[error("{0}")]
    Sys(#[from] sys::Error),
    /// What is there cannot be what is copied.
    #[error("{path}: {why}")]
    Conflict {
        /// Where.
        path: String,
        /// Why.
        why: &'static str,
    },
}

type Result<T, E = CopyError> = std::result::Result<T, E>;

fn conflict<T>(path: impl AsRef<Path>, why: &'static str) -> Result<T> {
    Err(CopyError::Conflict { path: path.as_ref().display().to_string(), why })
}

/// Whose the copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Who copies; inside, root.
    Caller,
    /// As they were.
    Kept,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, folders, links and pipes.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Devices and sockets that were left out.
    pub skipped: Vec<PathBuf>,
}

/// A place in a tree: the folder, by descriptor, and the name in it.
#[derive(Debug)]
pub struct Place {
    /// The folder that it is in.
    pub folder: Root,
    /// Its name there; `.` is the folder itself.
    pub name: OsString,
}

impl Place {
    /// What a path leads to, links on the way followed within the root; the last one too, if `follow`.
    ///
    /// # Errors
    /// When a folder on the way is not there, or links lead in a circle.
    pub fn find(root: &Root, path: &Path, follow: bool) -> Result<Self> {
        let mut path = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            let (Some(name), parent) = (path.file_name().map(OsStr::to_owned), path.parent()) else {
                return Ok(Self { folder: root.open_dir(&path)?, name: ".".into() });
            };
            let parent = parent.unwrap_or(Path::new("")).to_path_buf();
            let folder = root.open_dir(&parent)?;
            match folder.readlink(&name) {
                Ok(link) if follow => path = parent.join(link),
                _ => return Ok(Self { folder, name }),
            }
        }
        Err(sys::Error::new("open", &path, Errno::LOOP).into())
    }

    /// What is there; `None` where nothing is.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn stat(&self) -> Result<Option<Stat>> {
        match self.folder.stat(&self.name) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Copies what is at `from` to `to`, whose name says what it is called there. A folder is merged with one that is there.
///
/// # Errors
/// What cannot be read or written; a folder where a file comes, or the other way.
pub fn copy(from: &Place, to: &Place, owners: Owners) -> Result<Copied> {
    let Some(stat) = from.stat()? else {
        return Err(sys::Error::new("open", Path::new(&from.name), Errno::NOENT).into());
    };
    let mut work = Work { owners, top: to.folder.try_clone()?, links: HashMap::new(), copied: Copied::default() };
    match stat.kind() {
        FileKind::Dir => work.tree(&from.folder, &from.name, &to.folder, &to.name)?,
        FileKind::Char | FileKind::Block | FileKind::Socket => {
            return conflict(Path::new(&from.name), "a device or socket is not copied");
        }
        _ => work.entry(&from.folder, &from.name, &stat, &to.folder, &to.name, Path::new(&to.name))?,
    }
    Ok(work.copied)
}

struct Work {
    owners: Owners,
    /// The folder that everything is made below.
    top: Root,
    /// Where the first name of a file with several went, below the top.
    links: HashMap<(u64, u64), PathBuf>,
    copied: Copied,
}

/// A folder that is being copied.
struct Frame {
    from: Root,
    to: Root,
    path: PathBuf,
    names: Vec<OsString>,
    stat: Stat,
}

impl Work {
    fn tree(&mut self, from: &Root, name: &OsStr, to: &Root, called: &OsStr) -> Result<()> {
        let mut frames = vec![self.enter(from, name, to, called, PathBuf::from(called))?];
        while let Some(frame) = frames.last_mut() {
            let Some(name) = frame.names.pop() else {
                self.leave(frame)?;
                frames.pop();
                continue;
            };
            // What is gone meanwhile is gone.
            let Some(stat) = present(frame.from.stat(&name))? else { continue };
            let path = frame.path.join(&name);
            if stat.is_dir() {
                if frames.len() > MAX_DEPTH {
                    return conflict(path, "folders are nested too deeply");
                }
                let Some(frame) = frames.last() else { break };
                let next = self.enter(&frame.from, &name, &frame.to, &name, path)?;
                frames.push(next);
            } else {
                self.entry(&frame.from, &name, &stat, &frame.to, &name, &path)?;
            }
        }
        Ok(())
    }

    /// Makes a folder, or takes the one that is there, which is no link.
    fn enter(&mut self, from: &Root, name: &OsStr, to: &Root, called: &OsStr, path: PathBuf) -> Result<Frame> {
        let source = from.open_dir_nofollow(name)?;
        let stat = source.stat("")?;
        match if called == "." { Ok(()) } else { to.mkdir(called, 0o700) } {
            Err(error) if error.errno() == Errno::EXIST => match to.stat(called)? {
                there if there.is_dir() => {}
                _ => return conflict(path, "there is a file where a folder is to come"),
            },
            other => other?,
        }
        let made = to.open_dir_nofollow(called)?;
        let mut names = source.read_dir("")?.map(|entry| Ok(entry?.name)).collect::<sys::Result<Vec<_>>>()?;
        names.sort_unstable_by(|a, b| b.cmp(a));
        self.copied.entries += 1;
        Ok(Frame { from: source, to: made, path, names, stat })
    }

    /// Once all in it is there, writing to it changes neither its time nor needs its permission.
    fn leave(&self, frame: &Frame) -> Result<()> {
        self.dress(&frame.to, OsStr::new(""), &frame.stat)
    }

    fn entry(&mut self, from: &Root, name: &OsStr, stat: &Stat, to: &Root, called: &OsStr, path: &Path) -> Result<()> {
        if matches!(stat.kind(), FileKind::Char | FileKind::Block | FileKind::Socket | FileKind::Unknown) {
            self.copied.skipped.push(path.to_owned());
            return Ok(());
        }
        let there = present(to.stat(called))?;
        if there.is_some_and(|there| there.is_dir()) {
            return conflict(path, "there is a folder where a file is to come");
        }
        if stat.nlink > 1
            && let Some(first) = self.links.get(&(stat.dev, stat.ino))
        {
            gone(to.remove(called))?;
            let linked = self.top.hardlink(first, path);
            self.copied.entries += 1;
            return Ok(linked?);
        }
        match stat.kind() {
            FileKind::File => {
                let Some(source) = open_file(from, name)? else { return Ok(()) };
                let (target, bytes) = (new_file(to, called)?, stat.size);
                sys::reflink::copy_file(&source, &target).map_err(|error| error.at(path))?;
                self.copied.bytes += bytes;
            }
            FileKind::Symlink => {
                let link = from.readlink(name)?;
                gone(to.remove(called))?;
                to.symlink(link, called)?;
            }
            _ => {
                gone(to.remove(called))?;
                to.mkfifo(called, 0o600)?;
            }
        }
        if stat.nlink > 1 {
            self.links.insert((stat.dev, stat.ino), path.to_owned());
        }
        self.copied.entries += 1;
        self.dress(to, called, stat)
    }

    /// Owner, mode and time.
    fn dress(&self, to: &Root, name: &OsStr, stat: &Stat) -> Result<()> {
        let (uid, gid) = match self.owners {
            Owners::Kept => (stat.uid, stat.gid),
            Owners::Caller => (0, 0),
        };
        let now = to.stat(name)?;
        // Where there is one id only, all is that one's.
        if (now.uid, now.gid) != (uid, gid) && (self.owners == Owners::Kept || rustix::process::geteuid().is_root()) {
            match to.chown(name, uid, gid) {
                Err(error) if matches!(error.errno(), Errno::PERM | Errno::INVAL) => {}
                other => other?,
            }
        }
        if !now.is_symlink() {
            // A program that gains rights would, of another's file, gain the caller's.
            let mask = if self.owners == Owners::Kept { 0o7777 } else { 0o1777 };
            to.chmod(name, stat.permissions() & mask)?;
        }
        Ok(to.utimens(name, stat.mtime, stat.mtime)?)
    }
}

/// A regular file; `None` where it is another thing by now.
fn open_file(from: &Root, name: &OsStr) -> Result<Option<File>> {
    let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK | OpenFlags::CLOEXEC;
    let file = match from.open_file(name, flags) {
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        other => other?,
    };
    Ok(sys::stat::of(&file)?.is_file().then_some(file))
}

/// A new file in place of what is there. What something is mounted on cannot be replaced: it is written to.
fn new_file(to: &Root, name: &OsStr) -> Result<File> {
    match gone(to.remove(name)) {
        Err(CopyError::Sys(error)) if error.errno() == Errno::BUSY => {
            let flags = OpenFlags::WRONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK | OpenFlags::CLOEXEC;
            let file = to.open_file(name, flags)?;
            if !sys::stat::of(&file)?.is_file() {
                return conflict(Path::new(name), "a device is mounted there");
            }
            file.set_len(0).map_err(|error| sys::Error::from_io("ftruncate", Path::new(name), &error))?;
            Ok(file)
        }
        other => {
            other?;
            Ok(to.create(name, 0o600, true)?)
        }
    }
}

fn gone(removed: sys::Result<()>) -> Result<()> {
    match removed {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

fn present(found: sys::Result<Stat>) -> Result<Option<Stat>> {
    match found {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
