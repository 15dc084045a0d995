//! A chain of layers as the one tree that mounting them would show, read without mounting anything.

mod content;
mod source;

use std::collections::{BTreeSet, VecDeque};
use std::io::Read;

use layer::{Entry, Kind, SelectionHasher};
use oci::{Digest, Hasher};

use super::WalkError;
use super::apply::shown;
use super::dirs::split;
use source::{Layer, Met, Place};
pub use source::{LayerSource, Seekable};

/// How many links one look-up follows: the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Why a chain cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A layer's tree could not be read.
    #[error(transparent)]
    Tree(#[from] WalkError),
    /// A call failed.
    #[error("read {path}: {source}")]
    Io {
        /// Path in the view.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Links lead to links without end.
    #[error("{0}: too many levels of symbolic links")]
    Loop(String),
    /// The content of something that isn't a file was asked for, or the names in something that isn't a directory.
    #[error("{path}: not a {wanted}")]
    Kind {
        /// Path in the view.
        path: String,
        /// What it was taken for.
        wanted: &'static str,
    },
}

/// Something in a view.
///
/// Its entry has the path in the view, every link resolved. A further name of a file shows as the file that it is.
#[derive(Debug, Clone)]
pub struct Node {
    entry: Entry,
    /// Where the entry stands, and for a file its content.
    place: Place,
    /// Of a directory, the layers that it is put together from, topmost first.
    layers: Vec<usize>,
}

impl Node {
    /// What it is.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its path in the view; empty for the root.
    pub fn path(&self) -> &[u8] {
        &self.entry.path
    }

    /// Which layer it comes from, counted from the base.
    pub fn layer(&self) -> usize {
        self.place.layer()
    }

    /// Whether it is known to be a file with another name: a hard link. Of several names, all but one at least tell.
    pub fn is_shared(&self) -> bool {
        self.place.shared().is_some()
    }

    /// What the names of one file, and of no other, have in common: the layer, and there the path of one of its names,
    /// or something that is no path and begins with a zero byte.
    pub fn inode(&self) -> (usize, &[u8]) {
        (self.layer(), self.place.shared().unwrap_or(self.path()))
    }
}

/// A chain of layers as one tree. Look-ups take `&self` and may run on many threads.
#[derive(Debug)]
pub struct TreeView {
    /// Base first.
    layers: Vec<Layer>,
}

impl TreeView {
    /// Takes layers, base first.
    pub fn new(layers: Vec<LayerSource>) -> Result<TreeView, ViewError> {
        let layers = layers.into_iter().map(Layer::new).collect::<Result<_, _>>()?;
        Ok(TreeView { layers })
    }

    /// The root directory.
    pub fn root(&self) -> Node {
        Node { entry: Entry::new("", Kind::Dir), place: Place::Nowhere, layers: (0..self.layers.len()).rev().collect() }
    }

    /// Resolves `path` from the root: links on the way are followed inside the view, the last one only if `follow`.
    /// `..` stops at the root. `None` where there is nothing, or something that isn't a directory is on the way.
    pub fn lookup(&self, path: &[u8], follow: bool) -> Result<Option<Node>, ViewError> {
        let mut at = vec![self.root()];
        let mut parts: VecDeque<Vec<u8>> = parts(path).collect();
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            if part == b".." {
                at.truncate((at.len() - 1).max(1));
                continue;
            }
            let Some(dir) = at.last() else { return Ok(None) };
            let Some(node) = self.child(dir, &part)? else { return Ok(None) };
            if node.entry.kind == Kind::Symlink && (follow || !parts.is_empty()) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(ViewError::Loop(shown(path)));
                }
                if node.entry.link.starts_with(b"/") {
                    at.truncate(1);
                }
                self::parts(&node.entry.link).rev().for_each(|part| parts.push_front(part));
                continue;
            }
            at.push(node);
        }
        Ok(at.pop())
    }

    /// What a directory holds under one name (of one component); a link as itself.
    pub fn child(&self, dir: &Node, name: &[u8]) -> Result<Option<Node>, ViewError> {
        if dir.entry.kind != Kind::Dir {
            return Ok(None);
        }
        let path = if dir.path().is_empty() { name.to_vec() } else { [dir.path(), b"/", name].concat() };
        let mut layers = Vec::new();
        let mut found: Option<(Entry, Place)> = None;
        for index in dir.layers.iter().copied() {
            match self.layers[index].meet(index, &path)? {
                Met::Absent => {}
                Met::Whiteout => break,
                Met::Implied => layers.push(index),
                Met::Dir { entry, opaque } => {
                    layers.push(index);
                    found.get_or_insert((entry, Place::Dir { layer: index }));
                    if opaque {
                        break;
                    }
                }
                Met::Other { entry, place } => {
                    // Below a directory, it is hidden; on top, it hides all.
                    if layers.is_empty() {
                        found = Some((entry, place));
                    }
                    break;
                }
            }
        }
        let implied = || layers.first().map(|layer| (Entry::new(&path[..], Kind::Dir), Place::Dir { layer: *layer }));
        let Some((entry, place)) = found.or_else(implied) else { return Ok(None) };
        Ok(Some(Node { entry, place, layers }))
    }

    /// What lies in a directory, sorted by name.
    pub fn read_dir(&self, dir: &Node) -> Result<Vec<Node>, ViewError> {
        if dir.entry.kind != Kind::Dir {
            return Err(ViewError::Kind { path: shown(dir.path()), wanted: "directory" });
        }
        let mut names = BTreeSet::new();
        for index in &dir.layers {
            self.layers[*index].names(dir.path(), &mut names)?;
        }
        let children = names.iter().map(|name| self.child(dir, name));
        children.filter_map(Result::transpose).collect()
    }

    /// The content of a file.
    pub fn open(&self, file: &Node) -> Result<Box<dyn Read + Send>, ViewError> {
        Ok(Box::new(self.open_anywhere(file)?))
    }

    /// The content of a file, to be read from any place on.
    pub fn open_anywhere(&self, file: &Node) -> Result<Box<dyn Seekable>, ViewError> {
        let opened = self.layers.get(file.layer()).and_then(|layer| layer.open(&file.place).transpose());
        match opened {
            Some(Ok(content)) => Ok(content),
            Some(Err(source)) => Err(ViewError::Io { path: shown(file.path()), source }),
            None => Err(ViewError::Kind { path: shown(file.path()), wanted: "file" }),
        }
    }

    /// SHA-256 of a file's content: from a layer's record where there is one, else computed.
    pub fn content(&self, file: &Node) -> Result<Digest, ViewError> {
        if let Some(known) = file.place.content() {
            return Ok(known);
        }
        let mut content = self.open(file)?;
        let mut hasher = Hasher::sha256();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => count,
                Err(source) if source.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ViewError::Io { path: shown(file.path()), source }),
            };
            hasher.update(&buffer[..count]);
        }
    }

    /// Calls `visit` for `top` and for all that is below it, in canonical order, each with its path relative to `top`
    /// (empty for `top` itself). `visit` says whether to go into a directory.
    pub fn visit<E: From<ViewError>>(
        &self,
        top: &Node,
        mut visit: impl FnMut(&[u8], &Node) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut left = vec![(Vec::new(), top.clone())];
        while let Some((path, node)) = left.pop() {
            if !visit(&path, &node)? || node.entry.kind != Kind::Dir {
                continue;
            }
            for child in self.read_dir(&node)?.into_iter().rev() {
                let (_, name) = split(child.path());
                let below = if path.is_empty() { name.to_vec() } else { [&path, &b"/"[..], name].concat() };
                left.push((below, child));
            }
        }
        Ok(())
    }

    /// Digests what `selected`, in that order, and all below them hold: everything that a copy of them would have, and
    /// no time.
    pub fn digest(&self, selected: &[Node]) -> Result<Digest, ViewError> {
        let mut hasher = SelectionHasher::new();
        for top in selected {
            let (_, name) = split(top.path());
            self.visit(top, |below, node| {
                let content = match node.entry.kind {
                    Kind::File => Some(self.content(node)?),
                    _ => None,
                };
                let path = if below.is_empty() { name.to_vec() } else { [name, b"/", below].concat() };
                hasher.add(&path, &node.entry, content.as_ref());
                Ok::<_, ViewError>(true)
            })?;
        }
        Ok(hasher.finish())
    }
}

/// The parts of a path or link target that mean something.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec)
}
