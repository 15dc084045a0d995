//! The directories of a tree by path, with those used last kept open.

use std::sync::Arc;

use rustix::io::Errno;
use sys::Root;

use super::LinkParents;
use super::special::name;

/// How many directories stay open. Archives list a directory's content together, so that one would nearly do; a few
/// more serve those that go back up.
const OPEN: usize = 16;

/// Opens directories inside a root, each once as long as it stays in use.
#[derive(Debug)]
pub(super) struct Dirs {
    root: Arc<Root>,
    links: LinkParents,
    /// The one used last comes last.
    open: Vec<(Vec<u8>, Arc<Root>)>,
}

impl Dirs {
    pub(super) fn new(root: Root, links: LinkParents) -> Dirs {
        Dirs { root: Arc::new(root), links, open: Vec::with_capacity(OPEN) }
    }

    /// The directory at `path` (empty: the root).
    pub(super) fn open(&mut self, path: &[u8]) -> sys::Result<Arc<Root>> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(at) = self.open.iter().rposition(|(open, _)| open == path) {
            let found = Arc::clone(&self.open[at].1);
            if at + 1 != self.open.len() {
                let used = self.open.remove(at);
                self.open.push(used);
            }
            return Ok(found);
        }
        let dir = match self.links {
            LinkParents::Follow => self.root.open_dir(name(path))?,
            LinkParents::Refuse => self.open_step(path)?,
        };
        Ok(self.remember(path, dir))
    }

    /// Opens one component after another, none of which may be a link.
    fn open_step(&mut self, path: &[u8]) -> sys::Result<Root> {
        let (parent, last) = split(path);
        let parent = self.open(parent)?;
        parent.open_dir_nofollow(name(last)).map_err(|error| match error.errno() {
            // O_NOFOLLOW with O_DIRECTORY says ENOTDIR of a link; to a reader, ELOOP says more.
            Errno::NOTDIR if parent.stat(name(last)).is_ok_and(|stat| stat.is_symlink()) => {
                sys::Error::new("openat2", name(path), Errno::LOOP)
            }
            _ => error.at(name(path)),
        })
    }

    /// Keeps `dir`, which is the directory at `path`, open.
    pub(super) fn remember(&mut self, path: &[u8], dir: Root) -> Arc<Root> {
        if self.open.len() == OPEN {
            self.open.remove(0);
        }
        let dir = Arc::new(dir);
        self.open.push((path.to_vec(), Arc::clone(&dir)));
        dir
    }

    /// Forgets all, because a directory went away or was replaced.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }
}

/// Splits a path into its directory (empty for the root) and its last part.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}
