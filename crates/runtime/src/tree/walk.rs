//! A layer tree to entries, in canonical order.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use layer::{Entry, Kind};
use sys::{FileKind, Root, xattr};

use super::IdPolicy;
use super::inode::{Found, Inodes, WalkError};
use super::special::{OPAQUE, name};
use super::view::TreeView;

/// How a tree is read.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions<'a> {
    /// Where owners stand.
    pub ids: IdPolicy,
    /// What lies below: a directory that differs from it in nothing, and holds no change, is left out. (overlayfs copies
    /// up the directories of a file that is written; directories of changes stay, as some tools need them.)
    pub lower: Option<&'a TreeView>,
}

/// Walks a layer tree in canonical order: each directory before what it holds, names by their bytes.
///
/// Sockets are left out, as no tar holds them. Of several names for one file, the first is the file and the others are
/// hard links to it.
#[derive(Debug)]
pub struct Walk<'a> {
    inodes: Inodes,
    lower: Option<&'a TreeView>,
    frames: Vec<Frame>,
    ready: VecDeque<(Entry, Option<File>)>,
    /// The first name of each file that has several.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// The buffer of the last listing.
    listing: Vec<u8>,
}

/// A directory that is being walked.
#[derive(Debug)]
struct Frame {
    dir: Root,
    path: Vec<u8>,
    /// Sorted, the next one last.
    names: Vec<(OsString, FileKind)>,
    /// Whether files may stand for deletions.
    whiteout_files: bool,
    /// Its own entries, if they come out only when something in it does.
    held: Vec<Entry>,
}

impl<'a> Walk<'a> {
    /// Begins at the root of `upper`, which itself is no entry.
    pub fn new(upper: &Root, options: WalkOptions<'a>) -> Result<Walk<'a>, WalkError> {
        let failed = |error| WalkError::new(b".", error);
        let mut walk = Walk {
            inodes: Inodes::new(upper, &options.ids).map_err(failed)?,
            lower: options.lower,
            frames: Vec::new(),
            ready: VecDeque::new(),
            seen: HashMap::new(),
            listing: Vec::new(),
        };
        let opaque = xattr::get(upper, name(OPAQUE)).map_err(failed)?;
        let top = upper.open_dir("").map_err(failed)?;
        walk.enter(top, Vec::new(), opaque.is_some(), Vec::new())?;
        Ok(walk)
    }

    /// The next entry; a file comes opened for reading.
    pub fn next_entry(&mut self) -> Result<Option<(Entry, Option<File>)>, WalkError> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let Some(frame) = self.frames.last_mut() else {
                return Ok(None);
            };
            let Some((last, kind)) = frame.names.pop() else {
                self.frames.pop();
                continue;
            };
            let path = join(&frame.path, last.as_bytes());
            self.visit(&last, kind, path)?;
        }
    }

    /// Takes up one name of the innermost directory.
    fn visit(&mut self, last: &OsString, kind: FileKind, path: Vec<u8>) -> Result<(), WalkError> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let Some(mut found) = self.inodes.read(&frame.dir, last, kind, &path, frame.whiteout_files)? else {
            return Ok(());
        };
        if found.entry.kind != Kind::Dir {
            self.link(&mut found);
            self.emit(found.entry, found.file);
            return Ok(());
        }
        let mut own = vec![found.entry];
        if found.opaque.as_deref() == Some(b"y") {
            own.push(Entry::new(path.clone(), Kind::Opaque));
        }
        let held = own.len() == 1 && self.is_unchanged(&own[0])?;
        let dir = frame.dir.open_dir_nofollow(last).map_err(|error| WalkError::new(&path, error))?;
        if !held {
            own.drain(..).for_each(|entry| self.emit(entry, None));
        }
        self.enter(dir, path, found.opaque.is_some(), own)
    }

    /// Hands an entry out, after those of the directories that were held back for want of a change.
    fn emit(&mut self, entry: Entry, file: Option<File>) {
        for frame in &mut self.frames {
            self.ready.extend(frame.held.drain(..).map(|entry| (entry, None)));
        }
        self.ready.push_back((entry, file));
    }

    fn enter(&mut self, dir: Root, path: Vec<u8>, whiteout_files: bool, held: Vec<Entry>) -> Result<(), WalkError> {
        let failed = |error| WalkError::new(&path, error);
        let listed = dir.try_clone().map_err(failed)?.into_fd();
        let mut listing = sys::dirents::Dirents::with_buffer(listed, std::mem::take(&mut self.listing));
        let mut names = Vec::new();
        while let Some((found, kind, _)) = listing.next_borrowed().map_err(failed)? {
            names.push((found.to_owned(), kind));
        }
        self.listing = listing.into_buffer();
        names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        self.frames.push(Frame { dir, path, names, whiteout_files, held });
        Ok(())
    }

    /// Whether the tree below has the same directory with the same attributes.
    fn is_unchanged(&self, entry: &Entry) -> Result<bool, WalkError> {
        let Some(lower) = self.lower else { return Ok(false) };
        let found =
            lower.lookup(&entry.path, false).map_err(|error| WalkError::new(&entry.path, io::Error::other(error)))?;
        Ok(found.is_some_and(|found| found.path() == entry.path && found.entry() == entry))
    }

    /// Turns an entry into a hard link, if its file was handed out before under another name. (The deletions that
    /// overlayfs makes are all one file.)
    fn link(&mut self, found: &mut Found) {
        let (entry, stat) = (&mut found.entry, &found.stat);
        if stat.nlink < 2 || entry.kind == Kind::Whiteout {
            return;
        }
        match self.seen.get(&(stat.dev, stat.ino)) {
            None => drop(self.seen.insert((stat.dev, stat.ino), entry.path.clone())),
            Some(first) => {
                entry.link.clone_from(first);
                (entry.kind, entry.size, entry.rdev) = (Kind::Hardlink, 0, (0, 0));
                entry.xattrs.clear();
                found.file = None;
            }
        }
    }
}

/// All entries of a layer tree, in canonical order.
pub fn diff(upper: &Root, options: WalkOptions<'_>) -> Result<Vec<Entry>, WalkError> {
    let mut walk = Walk::new(upper, options)?;
    let mut entries = Vec::new();
    while let Some((entry, _)) = walk.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn join(dir: &[u8], last: &[u8]) -> Vec<u8> {
    if dir.is_empty() { last.to_vec() } else { [dir, b"/", last].concat() }
}
