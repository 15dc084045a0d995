//! What a COPY takes from a context.
//!
//! As BuildKit does: links in a source are followed, never out of the context; a directory gives its contents; a wildcard
//! without a match gives nothing, and a path without wildcards must exist. Hard links become files of their own, since
//! what a checkout happens to share must not show in a layer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use graph::Copy;
use graph::pattern::{Glob, PatternSet, Scope};
use layer::{Entry, Kind, compare_paths};
use sys::{FileKind, Root};

use super::facts::Facts;
use super::stat_cache::StatCache;
use super::tree::{Child, Tree};
use super::{ContextError, Placement, SelectedEntry};

/// Symbolic links on the way to one path: the kernel's own limit.
const MAX_LINKS: usize = 40;
/// Mode of the context's own folder, which is the host's affair.
const ROOT_MODE: u32 = 0o755;

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// The child of a folder.
    Child(usize, usize),
}

pub(super) struct Selector<'a> {
    pub(super) root: &'a Root,
    pub(super) tree: &'a mut Tree,
    pub(super) facts: &'a mut Facts,
    pub(super) cache: Option<&'a StatCache>,
    exclude: PatternSet,
    taken: Vec<SelectedEntry>,
    /// How many things the sources named.
    matches: usize,
}

/// Which part of a directory's contents is wanted.
#[derive(Clone)]
enum Want {
    All,
    Matching(Scope),
}

impl<'a> Selector<'a> {
    pub(super) fn new(
        root: &'a Root,
        tree: &'a mut Tree,
        facts: &'a mut Facts,
        cache: Option<&'a StatCache>,
        copy: &Copy,
    ) -> Result<Self, ContextError> {
        let exclude = PatternSet::new(&copy.exclude).map_err(|(_, error)| error)?;
        Ok(Self { root, tree, facts, cache, exclude, taken: Vec::new(), matches: 0 })
    }

    pub(super) fn run(mut self, copy: &Copy) -> Result<(Vec<SelectedEntry>, Placement), ContextError> {
        for source in &copy.sources {
            if copy.parents {
                self.with_parents(source)?;
            } else {
                self.source(source)?;
            }
        }
        let single = self.matches == 1 && self.taken.len() == 1 && self.taken[0].named && !copy.parents;
        let placement = if single { Placement::Named } else { Placement::Below };
        Ok((settle(self.taken)?, placement))
    }

    fn source(&mut self, source: &str) -> Result<(), ContextError> {
        let glob = Glob::new(source)?;
        for (name, place) in self.find(&glob, source)? {
            match self.folder(place) {
                Some(folder) => {
                    let before = self.taken.len();
                    self.take_own(place)?;
                    self.tree.list_all(self.root, folder)?;
                    let scope = self.exclude.scope();
                    self.inside(folder, &mut Vec::new(), &Want::All, &scope)?;
                    // A folder that is left out counts only for what it holds.
                    if self.taken.len() == before + 1 && !self.included(place) {
                        self.taken.pop();
                        continue;
                    }
                    self.matches += 1;
                }
                None if !self.exclude.matches(&name) => {
                    self.matches += 1;
                    self.take(place, name, true)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// `--parents`: what lies below the pivot `/./` keeps its path.
    fn with_parents(&mut self, source: &str) -> Result<(), ContextError> {
        let (prefix, rest) = source.split_once("/./").unwrap_or(("", source));
        let rest = rest.trim_start_matches('/');
        let include = PatternSet::new(&[rest]).map_err(|(_, error)| error)?;
        let glob = Glob::new(rest)?;
        let before = self.taken.len();
        for (_, place) in self.find(&Glob::new(prefix)?, prefix)? {
            if let Some(folder) = self.folder(place) {
                if rest.contains("**") {
                    self.tree.list_all(self.root, folder)?;
                }
                let scope = self.exclude.scope();
                self.inside(folder, &mut Vec::new(), &Want::Matching(include.scope()), &scope)?;
            }
        }
        self.matches += 1;
        if self.taken.len() == before && glob.is_literal() {
            return Err(self.missing(source));
        }
        Ok(())
    }

    /// What a source names, links followed, each with the name that it is called by.
    fn find(&mut self, glob: &Glob, source: &str) -> Result<Vec<(Vec<u8>, Place)>, ContextError> {
        let base = self.resolve(glob.base().as_bytes(), source)?;
        if glob.is_literal() {
            let place = base.ok_or_else(|| self.missing(source))?;
            let name = glob.base().rsplit('/').next().unwrap_or_default().as_bytes().to_vec();
            return Ok(vec![(name, place)]);
        }
        let mut level: Vec<Place> = base.into_iter().collect();
        for depth in 0..glob.depth() {
            let mut next = Vec::new();
            for place in level {
                let Some(folder) = self.folder(place) else { continue };
                let children = self.children(folder)?.iter().enumerate();
                let matching = children.filter(|(_, child)| glob.matches_part(depth, &child.name));
                next.extend(matching.map(|(at, _)| Place::Child(folder, at)));
            }
            level = next;
        }
        let mut found = Vec::new();
        for place in level {
            let path = self.path(place);
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
            if let Some(place) = self.resolve(&path, source)? {
                found.push((name, place));
            }
        }
        Ok(found)
    }

    /// Follows `path` from the root, links within the context included.
    fn resolve(&mut self, path: &[u8], source: &str) -> Result<Option<Place>, ContextError> {
        let mut rest: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut stack: Vec<Place> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == b".." {
                stack.pop();
                continue;
            }
            let Some(folder) = self.folder(stack.last().copied().unwrap_or(Place::Root)) else {
                return Ok(None);
            };
            let children = self.children(folder)?;
            let Ok(at) = children.binary_search_by(|child| (*child.name).cmp(&part)) else {
                return Ok(None);
            };
            let place = Place::Child(folder, at);
            if children[at].kind() != FileKind::Symlink {
                stack.push(place);
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                let context = self.tree.dir.clone();
                return Err(ContextError::LinkLoop { path: source.to_owned(), context });
            }
            let target = self.readlink(&self.path(place))?;
            if target.first() == Some(&b'/') {
                stack.clear();
            }
            rest.extend(parts(&target).rev().map(<[u8]>::to_vec));
        }
        Ok(Some(stack.last().copied().unwrap_or(Place::Root)))
    }

    /// Takes what is wanted of a folder; the folders on the way come with it.
    fn inside(&mut self, folder: usize, at: &mut Vec<u8>, want: &Want, exclude: &Scope) -> Result<(), ContextError> {
        let length = at.len();
        let count = self.children(folder)?.len();
        for index in 0..count {
            let child = self.child(folder, index);
            let (included, below) = (child.included, child.folder);
            if length > 0 {
                at.push(b'/');
            }
            let name = self.tree.folders[folder].children.as_ref().map(|children| &children[index].name);
            at.extend_from_slice(name.map_or(&[], |name| name));
            let wanted = match want {
                Want::All => true,
                Want::Matching(scope) => is_positive(scope.decide(at)),
            };
            let left_out = is_positive(exclude.decide(at));
            let take = included && wanted && !left_out;
            match below {
                None if take => self.take(Place::Child(folder, index), at.clone(), false)?,
                None => {}
                Some(below) => {
                    let before = self.taken.len();
                    self.take(Place::Child(folder, index), at.clone(), false)?;
                    self.below(below, at, if wanted { &Want::All } else { want }, exclude)?;
                    // Not wanted for itself, and nothing in it was.
                    if !take && self.taken.len() == before + 1 {
                        self.taken.pop();
                    }
                }
            }
            at.truncate(length);
        }
        Ok(())
    }

    fn below(&mut self, folder: usize, at: &mut Vec<u8>, want: &Want, exclude: &Scope) -> Result<(), ContextError> {
        let exclude = exclude.enter(at);
        if is_positive(exclude.inherited()) && !exclude.is_mixed() {
            return Ok(());
        }
        let want = match want {
            Want::All => {
                self.tree.list_all(self.root, folder)?;
                Want::All
            }
            Want::Matching(scope) => {
                let scope = scope.enter(at);
                if !is_positive(scope.inherited()) && !scope.is_mixed() {
                    return Ok(());
                }
                Want::Matching(scope)
            }
        };
        self.inside(folder, at, &want, &exclude)
    }

    /// A source directory's own metadata.
    fn take_own(&mut self, place: Place) -> Result<(), ContextError> {
        if place != Place::Root {
            return self.take(place, Vec::new(), false);
        }
        let mut entry = Entry::new(Vec::new(), Kind::Dir);
        entry.mode = ROOT_MODE;
        self.taken.push(SelectedEntry { source: Vec::new(), entry, fact: None, named: false });
        Ok(())
    }

    fn take(&mut self, place: Place, path: Vec<u8>, named: bool) -> Result<(), ContextError> {
        let Place::Child(folder, at) = place else { return Ok(()) };
        let source = self.path(place);
        let child = self.child(folder, at);
        let (ident, rdev, fact) = (child.ident, child.rdev, child.fact);
        let kind = match child.kind() {
            FileKind::File => Kind::File,
            FileKind::Dir => Kind::Dir,
            FileKind::Symlink => Kind::Symlink,
            FileKind::Char => Kind::Char,
            FileKind::Block => Kind::Block,
            FileKind::Fifo => Kind::Fifo,
            // Nobody can connect to a socket in an image.
            FileKind::Socket | FileKind::Unknown => return Ok(()),
        };
        let mut entry = Entry::new(path, kind);
        entry.mtime = ident.mtime.div_euclid(1_000_000_000);
        if kind == Kind::Symlink {
            entry.link = self.readlink(&source)?;
        } else {
            entry.mode = ident.mode & 0o7777;
        }
        if matches!(kind, Kind::Char | Kind::Block) {
            entry.rdev = rdev;
        }
        let mut known = fact;
        if matches!(kind, Kind::File | Kind::Dir) {
            if known.is_none() {
                known = Some(self.facts.learn(self.cache, self.root, &self.tree.dir, &source, &ident)?);
                if let Some(children) = &mut self.tree.folders[folder].children {
                    children[at].fact = known;
                }
            }
            if let Some(fact) = known {
                entry.xattrs.clone_from(&self.facts.get(fact).kept.xattrs);
            }
        }
        if kind == Kind::File {
            entry.size = ident.size;
        }
        self.taken.push(SelectedEntry { source, entry, fact: known.filter(|_| kind == Kind::File), named });
        Ok(())
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, ContextError> {
        let path = OsStr::from_bytes(path);
        match self.root.readlink(path) {
            Ok(target) => Ok(target.into_encoded_bytes()),
            Err(error) => Err(ContextError::sys(&error, self.tree.dir.join(path))),
        }
    }

    fn children(&mut self, folder: usize) -> Result<&[Child], ContextError> {
        self.tree.list(self.root, folder)?;
        Ok(self.tree.folders[folder].children.as_deref().unwrap_or_default())
    }

    fn child(&self, folder: usize, at: usize) -> &Child {
        // Places are only ever made from listed folders.
        &self.tree.folders[folder].children.as_deref().unwrap_or_default()[at]
    }

    fn folder(&self, place: Place) -> Option<usize> {
        match place {
            Place::Root => Some(0),
            Place::Child(folder, at) => self.child(folder, at).folder,
        }
    }

    fn included(&self, place: Place) -> bool {
        match place {
            Place::Root => true,
            Place::Child(folder, at) => self.child(folder, at).included,
        }
    }

    fn path(&self, place: Place) -> Vec<u8> {
        let Place::Child(folder, at) = place else { return Vec::new() };
        let name = &self.child(folder, at).name;
        let dir = &self.tree.folders[folder].path;
        let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
        path.extend_from_slice(dir);
        if !dir.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// Why a source names nothing: it is left out, or it is not there.
    fn missing(&self, source: &str) -> ContextError {
        let clean: Vec<&[u8]> = parts(source.as_bytes()).filter(|part| *part != b"..").collect();
        let clean = clean.join(&b'/');
        let context = self.tree.dir.clone();
        let decision = self.tree.rules.matches(&clean, false);
        let there = self.root.stat(OsStr::from_bytes(&clean)).is_ok();
        match decision.rule.filter(|_| !decision.included && there) {
            Some(line) => ContextError::Ignored { path: source.to_owned(), context, line },
            None => ContextError::NotFound { path: source.to_owned(), context },
        }
    }
}

fn is_positive(decided: Option<(usize, bool)>) -> bool {
    decided.is_some_and(|(_, positive)| positive)
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// Sorts what several sources took. At one place the last file wins, and the first directory's metadata, as the later one
/// finds it there.
fn settle(taken: Vec<SelectedEntry>) -> Result<Vec<SelectedEntry>, ContextError> {
    if taken.is_sorted_by(|a, b| compare_paths(&a.entry.path, &b.entry.path).is_lt()) {
        return Ok(taken);
    }
    let mut sorted = taken;
    sorted.sort_by(|a, b| compare_paths(&a.entry.path, &b.entry.path));
    let mut settled: Vec<SelectedEntry> = Vec::with_capacity(sorted.len());
    for next in sorted {
        let Some(last) = settled.last_mut().filter(|last| last.entry.path == next.entry.path) else {
            settled.push(next);
            continue;
        };
        match (last.entry.kind == Kind::Dir, next.entry.kind == Kind::Dir) {
            (true, true) => {}
            (false, false) => *last = next,
            _ => {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Err(ContextError::Conflict {
                    first: shown(&last.source),
                    second: shown(&next.source),
                    dest: shown(&next.entry.path),
                });
            }
        }
    }
    Ok(settled)
}
