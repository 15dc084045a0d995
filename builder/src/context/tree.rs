//! The folder as it was found: listed where something asked, under the ignore rules.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use graph::pattern::{IgnoreRules, Scope};
use sys::{FileKind, Root, Stat};

use super::ContextError;

/// A walk that has met this many entries takes a second thread: one costs some 60 µs, as 60 entries do.
const SECOND_THREAD: usize = 4_000;

/// What identifies a state of a file: any write changes the ctime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ident {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime: i64,
    pub(super) ctime: i64,
    /// Kind and permissions.
    pub(super) mode: u32,
}

impl From<&Stat> for Ident {
    fn from(stat: &Stat) -> Self {
        let nanos = |time: sys::Timestamp| {
            time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanoseconds))
        };
        Self {
            dev: stat.dev,
            ino: stat.ino,
            size: stat.size,
            mtime: nanos(stat.mtime),
            ctime: nanos(stat.ctime),
            mode: stat.mode,
        }
    }
}

/// One name in a folder.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: Box<[u8]>,
    pub(super) ident: Ident,
    pub(super) rdev: (u32, u32),
    /// A folder that is left out is here when something in it may not be.
    pub(super) included: bool,
    /// Its place among the tree's folders, if it is one.
    pub(super) folder: Option<usize>,
    /// What is known of its content, once somebody asked.
    pub(super) fact: Option<u32>,
}

impl Child {
    pub(super) fn kind(&self) -> FileKind {
        FileKind::of_mode(self.ident.mode)
    }
}

/// A folder; the root is the first.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: Vec<u8>,
    scope: Scope,
    /// Sorted by name, once listed.
    pub(super) children: Option<Vec<Child>>,
}

/// The folders met so far.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) dir: PathBuf,
    pub(super) rules: IgnoreRules,
    pub(super) folders: Vec<Folder>,
}

impl Tree {
    pub(super) fn new(dir: &Path, rules: IgnoreRules) -> Self {
        let root = Folder { path: Vec::new(), scope: rules.scope(), children: None };
        Self { dir: dir.to_path_buf(), rules, folders: vec![root] }
    }

    /// Lists one folder.
    pub(super) fn list(&mut self, root: &Root, at: usize) -> Result<(), ContextError> {
        if self.folders[at].children.is_none() {
            let job = self.job(at);
            let mut listing = read(root, &self.dir, &self.rules, job)?;
            listing.number(self.folders.len());
            self.take(vec![listing]);
        }
        Ok(())
    }

    /// Lists a folder and everything below.
    pub(super) fn list_all(&mut self, root: &Root, at: usize) -> Result<(), ContextError> {
        let mut open = vec![at];
        let mut jobs = Vec::new();
        while let Some(at) = open.pop() {
            match &self.folders[at].children {
                Some(children) => open.extend(children.iter().filter_map(|child| child.folder)),
                None => jobs.push(self.job(at)),
            }
        }
        let state = State { queue: jobs, next: self.folders.len(), ..State::default() };
        let walk = Walk { root, dir: &self.dir, rules: &self.rules, state: Mutex::new(state), more: Condvar::new() };
        walk.run();
        let state = walk.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(error) => Err(error),
            None => {
                self.take(state.done);
                Ok(())
            }
        }
    }

    /// Whether the folder at `path` was listed in this build.
    pub(super) fn is_listed(&self, path: &[u8]) -> bool {
        let mut at = 0;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let Some(children) = &self.folders[at].children else { return false };
            let found = children.binary_search_by(|child| (*child.name).cmp(part)).ok();
            match found.and_then(|index| children[index].folder) {
                Some(folder) => at = folder,
                // Its parent was listed, and it was not there, or is left out now.
                None => return true,
            }
        }
        self.folders[at].children.is_some()
    }

    fn job(&self, at: usize) -> Job {
        let folder = &self.folders[at];
        Job { at, path: folder.path.clone(), scope: folder.scope.clone() }
    }

    fn take(&mut self, listings: Vec<Listing>) {
        let count = listings.iter().map(|listing| listing.below.len()).sum::<usize>();
        let blank = || Folder { path: Vec::new(), scope: self.rules.scope(), children: None };
        let mut fresh: Vec<Folder> = (0..count).map(|_| blank()).collect();
        let first = self.folders.len();
        self.folders.append(&mut fresh);
        for listing in listings {
            for job in listing.below {
                debug_assert!(job.at >= first);
                self.folders[job.at].path = job.path;
                self.folders[job.at].scope = job.scope;
            }
            self.folders[listing.at].children = Some(listing.children);
        }
    }
}

/// A folder to list.
#[derive(Debug, Clone)]
struct Job {
    at: usize,
    path: Vec<u8>,
    scope: Scope,
}

/// A listed folder, and the folders found in it.
#[derive(Debug)]
struct Listing {
    at: usize,
    children: Vec<Child>,
    below: Vec<Job>,
}

impl Listing {
    /// Gives the folders found their places, from `next` on.
    fn number(&mut self, next: usize) {
        let mut below = self.below.iter_mut();
        for (number, child) in self.children.iter_mut().filter(|child| child.folder.is_some()).enumerate() {
            child.folder = Some(next + number);
            if let Some(job) = below.next() {
                job.at = next + number;
            }
        }
    }
}

struct Walk<'a> {
    root: &'a Root,
    dir: &'a Path,
    rules: &'a IgnoreRules,
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    queue: Vec<Job>,
    busy: usize,
    next: usize,
    entries: usize,
    done: Vec<Listing>,
    error: Option<ContextError>,
}

impl Walk<'_> {
    fn run(&self) {
        // Alone until the tree proves large, or is done.
        self.work(true);
        let left = !self.lock().queue.is_empty();
        if left {
            std::thread::scope(|scope| {
                scope.spawn(|| self.work(false));
                self.work(false);
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, alone: bool) {
        let mut state = self.lock();
        loop {
            if state.error.is_some() || (alone && state.entries > SECOND_THREAD && state.queue.len() > 1) {
                return;
            }
            let Some(job) = state.queue.pop() else {
                if state.busy == 0 {
                    return;
                }
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.busy += 1;
            drop(state);
            let found = read(self.root, self.dir, self.rules, job);
            state = self.lock();
            state.busy -= 1;
            match found {
                Ok(mut listing) => {
                    listing.number(state.next);
                    state.next += listing.below.len();
                    state.entries += listing.children.len();
                    // Each folder is listed from its own copy of the job; the place keeps another.
                    state.queue.extend(listing.below.iter().rev().cloned());
                    state.done.push(listing);
                }
                Err(error) => state.error = Some(error),
            }
            self.more.notify_all();
        }
    }
}

/// Lists one folder: names first, then their metadata in the order of the inodes, as the disk has them.
fn read(root: &Root, dir: &Path, rules: &IgnoreRules, job: Job) -> Result<Listing, ContextError> {
    let at_path = |path: &[u8]| dir.join(OsStr::from_bytes(path));
    let fail = |error: sys::Error, path: &[u8]| ContextError::sys(&error, at_path(path));
    let relative = if job.path.is_empty() { b"." } else { &job.path[..] };
    let mut dirents = root.read_dir(OsStr::from_bytes(relative)).map_err(|error| fail(error, &job.path))?;
    let mut names: Vec<(Box<[u8]>, FileKind, u64)> = Vec::new();
    while let Some((name, kind, ino)) = dirents.next_borrowed().map_err(|error| fail(error, &job.path))? {
        names.push((name.as_bytes().into(), kind, ino));
    }
    names.sort_unstable_by_key(|(_, _, ino)| *ino);
    let mut found: Vec<(Child, Option<Scope>)> = Vec::with_capacity(names.len());
    let mut path = job.path.clone();
    if !path.is_empty() {
        path.push(b'/');
    }
    let prefix = path.len();
    for (name, kind, _) in names {
        path.truncate(prefix);
        path.extend_from_slice(&name);
        let included = rules.decision(job.scope.decide(&path)).included;
        // What is left out is not even looked at, unless it is a folder that may hold something that is not.
        if kind == FileKind::Socket || (!included && !matches!(kind, FileKind::Dir | FileKind::Unknown)) {
            continue;
        }
        let stat = match sys::stat::at(dirents.dir(), Path::new(OsStr::from_bytes(&name))) {
            // Removed since it was listed.
            Err(error) if error.is_not_found() => continue,
            other => other.map_err(|error| fail(error, &path))?,
        };
        let scope = stat.is_dir().then(|| job.scope.enter(&path));
        let skip = match &scope {
            Some(scope) => rules.skips(scope),
            None => !included || stat.kind() == FileKind::Socket,
        };
        if !skip {
            let folder = scope.is_some().then_some(0);
            let ident = Ident::from(&stat);
            found.push((Child { name, ident, rdev: stat.rdev, included, folder, fact: None }, scope));
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let mut listing = Listing { at: job.at, children: Vec::with_capacity(found.len()), below: Vec::new() };
    for (child, scope) in found {
        if let Some(scope) = scope {
            path.truncate(prefix);
            path.extend_from_slice(&child.name);
            listing.below.push(Job { at: 0, path: path.clone(), scope });
        }
        listing.children.push(child);
    }
    Ok(listing)
}
