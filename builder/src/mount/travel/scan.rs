//! What lies in a cache mount, read while others may change it.
//!
//! A RUN that shares the mount may swap a directory for a link at any moment. So every directory is opened by its name in the
//! one above, links not followed, and what is in it is only reached by that descriptor. A file is opened by its path inside of
//! the mount as its root, so that a link on the way leads nowhere else, and what was opened decides.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sys::{FileKind, OpenFlags, Root, Stat};

use super::TravelError;

/// Each open directory is a descriptor; what lies deeper does not travel.
const MAX_DEPTH: usize = 400;

/// By what a file is known not to have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let time = |t: sys::Timestamp| (t.seconds, t.nanoseconds);
        Self { dev: stat.dev, ino: stat.ino, size: stat.size, mtime: time(stat.mtime), ctime: time(stat.ctime) }
    }

    /// Whether a change after this moment (seconds and nanoseconds since 1970) would show.
    pub(super) fn is_settled(&self, now: (i64, u32)) -> bool {
        let nanos = |(seconds, nanos): (i64, u32)| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        nanos(now) - nanos(self.ctime) > TICK_NANOS
    }
}

/// The kernel's clock for time stamps ticks every 1 to 10 ms: what changed twice within a tick looks unchanged.
const TICK_NANOS: i128 = 20_000_000;

/// What was found at a path.
pub(super) struct Found {
    /// Relative; empty for the mount itself.
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    /// Of a symbolic link.
    pub(super) target: Option<Vec<u8>>,
    /// The path that was found before, of the same file.
    pub(super) same_as: Option<Vec<u8>>,
}

/// A listing, and what it left out.
pub(super) struct Scan {
    /// In the order of their paths.
    pub(super) found: Vec<Found>,
    /// Devices, pipes, sockets, and what lies too deep or went away.
    pub(super) left_out: u64,
}

/// A name that is still to be looked at: its directory, its path, and how deep it lies.
type Pending = (Rc<Root>, Vec<u8>, usize);

/// Lists the directory `root`.
pub(super) fn scan(root: &Root) -> Result<Scan, TravelError> {
    let mut scan = Scan { found: Vec::new(), left_out: 0 };
    let stat = sys::stat::of(root)?;
    scan.found.push(Found { path: Vec::new(), stat, target: None, same_as: None });
    let mut open: Vec<Pending> = Vec::new();
    list(&Rc::new(root.try_clone()?), &[], 0, &mut open).map_err(TravelError::Sys)?;
    while let Some((dir, path, depth)) = open.pop() {
        let seen = look(&dir, path).and_then(|(found, below)| {
            if let Some(below) = below {
                let deeper = depth + 1;
                if deeper > MAX_DEPTH || list(&Rc::new(below), &found.path, deeper, &mut open).is_err() {
                    return None;
                }
            }
            Some(found)
        });
        match seen {
            Some(found) => scan.found.push(found),
            None => scan.left_out += 1,
        }
    }
    scan.found.sort_by(|a, b| a.path.cmp(&b.path));
    link(&mut scan.found);
    Ok(scan)
}

fn list(dir: &Rc<Root>, above: &[u8], depth: usize, open: &mut Vec<Pending>) -> sys::Result<()> {
    for entry in dir.read_dir("")? {
        let name = entry?.name;
        let path = if above.is_empty() { name.into_vec() } else { [above, b"/", name.as_bytes()].concat() };
        open.push((Rc::clone(dir), path, depth));
    }
    Ok(())
}

/// One name; of a directory, the directory too. `None`: gone, or nothing that travels.
fn look(dir: &Root, path: Vec<u8>) -> Option<(Found, Option<Root>)> {
    let name = OsStr::from_bytes(path.rsplit(|byte| *byte == b'/').next()?);
    let mut stat = dir.stat(name).ok()?;
    let (mut target, mut below) = (None, None);
    match stat.kind() {
        FileKind::File => {}
        FileKind::Symlink => target = Some(dir.readlink(name).ok()?.into_vec()),
        FileKind::Dir => {
            let child = dir.open_dir_nofollow(name).ok()?;
            stat = sys::stat::of(&child).ok()?;
            below = Some(child);
        }
        _ => return None,
    }
    Some((Found { path, stat, target, same_as: None }, below))
}

/// Finds further names of files.
fn link(found: &mut [Found]) {
    let mut first: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for one in found.iter_mut().filter(|one| one.stat.is_file() && one.stat.nlink > 1) {
        let key = (one.stat.dev, one.stat.ino);
        match first.get(&key) {
            Some(path) => one.same_as = Some(path.clone()),
            None => drop(first.insert(key, one.path.clone())),
        }
    }
}

/// Opens a file of the mount, and says what was opened: maybe another than was listed, but never one outside. `None`: no
/// file is there any more.
pub(super) fn open(root: &Root, path: &[u8]) -> Option<(File, Stat)> {
    let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
    let file = root.open_file(OsStr::from_bytes(path), flags).ok()?;
    let stat = sys::stat::of(&file).ok()?;
    stat.is_file().then_some((file, stat))
}
