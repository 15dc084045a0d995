//! What changed in a copied tree, found without having watched: by inode and ctime, which nobody can set.
//!
//! A name is unchanged if it leads to the inode that it led to before and that inode's ctime isn't later than the
//! stamp. Anything else that a process could do (write, chmod, rename, link, unlink) moves one or the other. A rename
//! of a directory moves neither for what is in it; but then it is a directory that wasn't there, and goes as a whole.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sys::{Root, Stat, Timestamp};

use super::copy::Baseline;
use super::{duplicate, whiteout};

/// The tree as it was: of each directory, by path, the names in it.
#[derive(Debug, Default)]
pub(super) struct Known {
    dirs: HashMap<PathBuf, HashMap<OsString, Name>>,
}

/// What a name led to. Inode numbers are used again, and soon; birth times aren't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    ino: u64,
    born: Option<Timestamp>,
    is_dir: bool,
}

impl Name {
    fn of(stat: &Stat) -> Self {
        Self { ino: stat.ino, born: stat.btime, is_dir: stat.is_dir() }
    }
}

/// One thing that a layer must say.
#[derive(Debug)]
pub(super) enum Change {
    /// A directory that was there, with what it is now.
    Dir(Stat),
    /// A file that was there, and was changed: to be moved.
    Changed,
    /// What wasn't there: to be moved, with all below it.
    New,
    /// A directory that wasn't there, where another was.
    Replaced,
    /// Something that is gone.
    Gone,
}

impl Known {
    pub(super) fn read(root: &Root) -> sys::Result<Self> {
        let mut known = Self::default();
        let mut pending = vec![PathBuf::new()];
        while let Some(dir) = pending.pop() {
            let mut names = HashMap::new();
            let at = root.open_dir(&dir)?;
            for entry in at.read_dir("")? {
                let name = entry?.name;
                let led_to = Name::of(&at.stat(&name)?);
                if led_to.is_dir {
                    pending.push(dir.join(&name));
                }
                names.insert(name, led_to);
            }
            known.dirs.insert(dir, names);
        }
        Ok(known)
    }
}

/// The changes, parents before what is in them.
pub(super) fn find(root: &Root, baseline: &Baseline) -> sys::Result<Vec<(PathBuf, Change)>> {
    let mut changes = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        let stat = root.stat(&dir)?;
        if dir.as_os_str().is_empty() || stat.ctime > baseline.stamp {
            changes.push((dir.clone(), Change::Dir(stat)));
        }
        let at = root.open_dir(&dir)?;
        let empty = HashMap::new();
        let known = baseline.known.dirs.get(&dir).unwrap_or(&empty);
        let mut met = 0;
        for entry in at.read_dir("")? {
            let name = entry?.name;
            let path = dir.join(&name);
            let stat = at.stat(&name)?;
            let before = known.get(&name).copied();
            met += usize::from(before.is_some());
            let same = before == Some(Name::of(&stat));
            match before {
                Some(_) if same && stat.is_dir() => pending.push(path),
                Some(before) if before.is_dir && stat.is_dir() => changes.push((path, Change::Replaced)),
                Some(_) if same && stat.ctime <= baseline.stamp => {}
                Some(_) if same => changes.push((path, Change::Changed)),
                _ => changes.push((path, Change::New)),
            }
        }
        // Most often nothing is gone, and nothing has to be looked for.
        if met < known.len() {
            for name in known.keys().filter(|name| at.exists(name).is_ok_and(|there| !there)) {
                changes.push((dir.join(name), Change::Gone));
            }
        }
    }
    changes.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(changes)
}

/// Makes a layer tree in `fs` of `changes`, taking files out of `root`.
pub(super) fn move_to(root: &Root, fs: &Root, changes: &[(PathBuf, Change)]) -> sys::Result<()> {
    let mut dirs: Vec<(PathBuf, Stat)> = Vec::new();
    for (path, change) in changes {
        parents(root, fs, path, &mut dirs)?;
        match change {
            Change::Dir(stat) => dir(root, fs, path, *stat, &mut dirs)?,
            Change::Changed | Change::New => root.rename_into(path, fs, path)?,
            Change::Replaced => {
                root.rename_into(path, fs, path)?;
                let stat = fs.stat(path)?;
                whiteout::make_opaque(fs, path)?;
                fs.utimens(path, stat.mtime, stat.mtime)?;
            }
            Change::Gone => whiteout::make_whiteout(fs, path)?,
        }
    }
    for (path, stat) in dirs.iter().rev() {
        fs.utimens(path, stat.mtime, stat.mtime)?;
    }
    Ok(())
}

/// Makes the directories above `path`, as they are in `root`, that no change of their own has made already.
fn parents(root: &Root, fs: &Root, path: &Path, dirs: &mut Vec<(PathBuf, Stat)>) -> sys::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if parent.as_os_str().is_empty() || fs.exists(parent)? {
        return Ok(());
    }
    // Nothing was moved out of it yet, so its times are still its own.
    dir(root, fs, parent, root.stat(parent)?, dirs)
}

fn dir(root: &Root, fs: &Root, path: &Path, stat: Stat, dirs: &mut Vec<(PathBuf, Stat)>) -> sys::Result<()> {
    if !path.as_os_str().is_empty() {
        parents(root, fs, path, dirs)?;
        fs.mkdir(path, 0o700)?;
    }
    duplicate::attributes(root, path, fs, path)?;
    dirs.push((path.to_owned(), stat));
    Ok(())
}
