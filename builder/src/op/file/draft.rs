//! A layer in the making: what will stand over a target tree, in the order of a canonical layer.
//!
//! Paths here are relative to the root, without a leading slash, and resolved: no part of one is a symbolic link. A draft
//! holds every directory on the way to what it writes, those of the target with the attributes that they have there, so
//! that the layer is right for whoever applies it, whatever that makes of missing parents.

use std::collections::HashMap;
use std::num::NonZeroU64;

use layer::{Entry, Kind, compare_paths};
use runtime::tree::view::TreeView;

use super::place::Change;
use super::{FileError, Taken};

/// Symbolic links on the way to one path: the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Where the bytes of a file come from.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// There are none.
    None,
    /// From the Dockerfile.
    Bytes(Vec<u8>),
    /// From the file that unpacked archives were written to.
    Spool {
        /// Where they begin.
        offset: u64,
    },
    /// From the target itself: a hard link to a file of a layer below.
    Target(Box<[u8]>),
}

/// Files with the same group are one inode.
pub(crate) type LinkGroup = NonZeroU64;

/// What an entry is.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// All of it stands here; the path is empty, since it is the key.
    Own(Box<(Entry, Content)>),
    /// A member of what a COPY selected: a number is all there is to hold, as there may be many.
    Taken {
        /// Which selection.
        source: u32,
        /// Its place there.
        index: u32,
    },
}

/// One entry to be.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// What it is.
    pub(crate) body: Body,
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its inode, where it has several names.
    pub(crate) links: Option<LinkGroup>,
    /// Of a directory: nothing of the target shows through.
    pub(crate) fresh: bool,
    /// It hides a directory of the target.
    pub(crate) opaque: bool,
}

impl Planned {
    /// An entry that stands in the draft.
    pub(crate) fn own(entry: Entry, content: Content) -> Self {
        let kind = entry.kind;
        Self { body: Body::Own(Box::new((entry, content))), kind, links: None, fresh: false, opaque: false }
    }
}

/// What is to be, by path.
pub(crate) type Entries = Vec<(Box<[u8]>, Planned)>;

/// A selection, and what is changed of its members.
pub(crate) struct Source {
    /// What was selected.
    pub(crate) taken: Taken,
    /// Owner and permissions.
    pub(crate) change: Change,
}

impl Source {
    /// A member as it is written, its path aside.
    pub(crate) fn entry(&self, index: usize) -> Entry {
        let mut entry = self.taken.member(index).1.clone();
        entry.path = Vec::new();
        self.change.apply(&mut entry);
        entry
    }
}

/// What [`Draft::stat`] tells.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it points to.
    pub(crate) link: Vec<u8>,
}

/// Attributes of directories that are made on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewDir {
    /// Permissions.
    pub(crate) mode: u32,
    /// Owner and group.
    pub(crate) owner: (u32, u32),
    /// Modification time.
    pub(crate) mtime: i64,
}

/// See the module.
pub(crate) struct Draft<'t> {
    target: &'t TreeView,
    entries: HashMap<Box<[u8]>, Planned>,
    sources: Vec<Source>,
    last_group: LinkGroup,
}

impl<'t> Draft<'t> {
    /// Nothing yet, over `target`.
    pub(crate) fn new(target: &'t TreeView) -> Self {
        Self { target, entries: HashMap::new(), sources: Vec::new(), last_group: LinkGroup::MIN }
    }

    /// The tree below.
    pub(crate) fn target(&self) -> &'t TreeView {
        self.target
    }

    /// Takes a selection in; gives its number.
    pub(crate) fn add_source(&mut self, taken: Taken, change: Change) -> usize {
        self.sources.push(Source { taken, change });
        self.sources.len() - 1
    }

    /// A selection.
    pub(crate) fn source(&self, number: usize) -> &Source {
        &self.sources[number]
    }

    /// Whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is written at `path`.
    pub(crate) fn planned(&mut self, path: &[u8]) -> Option<&mut Planned> {
        self.entries.get_mut(path)
    }

    /// What stands at a path whose directory part is resolved.
    pub(crate) fn stat(&self, path: &[u8]) -> Result<Option<Seen>, FileError> {
        if path.is_empty() {
            return Ok(Some(Seen { kind: Kind::Dir, link: Vec::new() }));
        }
        if let Some(planned) = self.entries.get(path) {
            let link = match &planned.body {
                Body::Own(own) => own.0.link.clone(),
                Body::Taken { source, index } if planned.kind == Kind::Symlink => {
                    self.sources[*source as usize].taken.member(*index as usize).1.link.clone()
                }
                Body::Taken { .. } => Vec::new(),
            };
            return Ok(Some(Seen { kind: planned.kind, link }));
        }
        if !self.shows_target(path) {
            return Ok(None);
        }
        let node = self.target.lookup(path, false).map_err(FileError::target)?;
        Ok(node.map(|node| Seen { kind: node.entry().kind, link: node.entry().link.clone() }))
    }

    /// Whether the target shows at `path`, which is not itself in the draft.
    fn shows_target(&self, path: &[u8]) -> bool {
        let mut rest = path;
        while let Some(slash) = rest.iter().rposition(|&byte| byte == b'/') {
            rest = &rest[..slash];
            if let Some(planned) = self.entries.get(rest) {
                return planned.kind == Kind::Dir && !planned.fresh;
            }
        }
        true
    }

    /// Resolves every symbolic link of `path` inside the directory `top` (empty: the root), the last part too. What does
    /// not exist is taken as it is written.
    pub(crate) fn resolve(&self, top: &[u8], path: &[u8]) -> Result<Vec<u8>, FileError> {
        let mut left: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let (mut at, mut links) = (top.to_vec(), 0);
        while let Some(part) = left.pop() {
            if part == b".." {
                if at.len() > top.len() {
                    at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0).max(top.len()));
                }
                continue;
            }
            let next = join(&at, &part);
            match self.stat(&next)? {
                Some(Seen { kind: Kind::Symlink, link }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(FileError::LinkLoop { path: shown(path) });
                    }
                    if link.first() == Some(&b'/') {
                        at = top.to_vec();
                    }
                    left.extend(parts(&link).rev().map(<[u8]>::to_vec));
                }
                _ => at = next,
            }
        }
        Ok(at)
    }

    /// Makes the directory at a resolved path and all on its way that are missing; gives whether it was missing itself.
    pub(crate) fn make_dirs(&mut self, path: &[u8], new: NewDir) -> Result<bool, FileError> {
        let mut made = false;
        for end in ends(path) {
            let prefix = &path[..end];
            made = false;
            match self.stat(prefix)? {
                Some(seen) if seen.kind == Kind::Dir => {}
                Some(_) => return Err(FileError::NotADirectory { path: shown(prefix) }),
                None => {
                    let mut entry = Entry::new(Vec::new(), Kind::Dir);
                    (entry.mode, (entry.uid, entry.gid), entry.mtime) = (new.mode, new.owner, new.mtime);
                    self.put(prefix, Planned { fresh: true, ..Planned::own(entry, Content::None) })?;
                    made = true;
                }
            }
        }
        Ok(made)
    }

    /// Writes an entry at a resolved path whose directory exists, in place of what the draft has there.
    pub(crate) fn put(&mut self, path: &[u8], planned: Planned) -> Result<(), FileError> {
        self.keep_parents(path)?;
        self.entries.insert(path.into(), planned);
        Ok(())
    }

    /// Takes the target's directories on the way to `path` into the draft.
    fn keep_parents(&mut self, path: &[u8]) -> Result<(), FileError> {
        let mut missing = Vec::new();
        let mut rest = path;
        while let Some(slash) = rest.iter().rposition(|&byte| byte == b'/') {
            rest = &rest[..slash];
            if self.entries.contains_key(rest) {
                break;
            }
            missing.push(rest);
        }
        for dir in missing {
            let node = self.target.lookup(dir, false).map_err(FileError::target)?;
            let Some(node) = node.filter(|node| node.entry().kind == Kind::Dir) else {
                return Err(FileError::NotADirectory { path: shown(dir) });
            };
            let mut entry = node.entry().clone();
            entry.path = Vec::new();
            self.entries.insert(dir.into(), Planned::own(entry, Content::None));
        }
        Ok(())
    }

    /// Takes everything below and at `path` out of the draft; tells whether the target has a directory there.
    pub(crate) fn clear(&mut self, path: &[u8]) -> Result<bool, FileError> {
        let hides = match self.entries.get(path) {
            Some(planned) if planned.kind == Kind::Dir && !planned.fresh => true,
            Some(planned) => planned.opaque,
            None => self.stat(path)?.is_some_and(|seen| seen.kind == Kind::Dir),
        };
        let inside = |key: &[u8]| key.len() > path.len() && key.starts_with(path) && key[path.len()] == b'/';
        self.entries.retain(|key, _| **key != *path && !inside(key));
        Ok(hides)
    }

    /// A group that no other file has.
    pub(crate) fn new_group(&mut self) -> LinkGroup {
        self.last_group = self.last_group.saturating_add(1);
        self.last_group
    }

    /// Everything, in the order of the layer, and the selections that it speaks of.
    pub(crate) fn finish(self) -> (Entries, Vec<Source>) {
        let mut sorted: Vec<_> = self.entries.into_iter().collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| compare_paths(a, b));
        (sorted, self.sources)
    }
}

/// A path as people read it.
pub(crate) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

/// `name` in the directory `dir`.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        return name.to_vec();
    }
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// The parts of a path; empty ones and `.` say nothing.
pub(crate) fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// Where each prefix of whole parts ends: `a/b/c` gives 1, 3, 5.
fn ends(path: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let mut ends: Vec<usize> = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
    if !path.is_empty() {
        ends.push(path.len());
    }
    ends.into_iter()
}
