//! COPY, ADD, WORKDIR, inline files: what becomes one layer without running anything.
//!
//! First a [`draft::Draft`] is laid over the target tree, in memory: headers only. Then [`write`] streams it, in the
//! order of a layer, into a [`runtime::tree::LayerBuilder`]; each file is read once. Semantics are BuildKit's; two that
//! surprise:
//! a destination directory that is made has mode 0755 whatever the source's is, and directories inside a source give
//! theirs to those that are there already.

mod ahead;
mod archive;
mod chmod;
mod draft;
mod error;
mod owner;
mod place;
pub(crate) mod result;
pub(crate) mod select;
mod write;

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use graph::{Copy, FileAction, FileOp};
use layer::{Entry, Kind};
use oci::Digest;
use runtime::tree::view::TreeView;

use self::draft::{Draft, Entries, Source};
pub(crate) use self::error::FileError;
use self::error::near;
use self::select::ViewSelection;
pub(crate) use self::write::write;
use crate::cache::content::Local;
use crate::context::{Context, Placement, Selection};

/// What an input of a file operation is.
#[derive(Clone)]
pub(crate) enum Input {
    /// A build context.
    Context(Local),
    /// A tree of layers.
    View(Arc<TreeView>),
}

/// What one COPY selected, by either way.
pub(crate) enum Taken {
    /// From a build context.
    Context(Context, Selection),
    /// From a tree of layers.
    View(Arc<TreeView>, ViewSelection),
}

impl Input {
    /// What `copy` takes from it.
    pub(crate) fn select(&self, copy: &Copy) -> Result<Taken, FileError> {
        Ok(match self {
            Self::Context(local) => Taken::Context(local.context().clone(), local.select(copy)?),
            Self::View(view) => Taken::View(view.clone(), select::select(view, copy)?),
        })
    }
}

impl Taken {
    fn len(&self) -> usize {
        match self {
            Self::Context(_, selection) => selection.entries().len(),
            Self::View(_, selection) => selection.entries.len(),
        }
    }

    fn placement(&self) -> Placement {
        match self {
            Self::Context(_, selection) => selection.placement(),
            Self::View(_, selection) => selection.placement,
        }
    }

    /// Where a member goes below the destination, and what it is.
    fn member(&self, index: usize) -> (&[u8], &Entry) {
        match self {
            Self::Context(_, selection) => {
                let entry = &selection.entries()[index].entry;
                (&entry.path, entry)
            }
            Self::View(_, selection) => {
                let (path, node) = &selection.entries[index];
                (path, node.entry())
            }
        }
    }

    /// The earlier member that is the same file.
    fn twin(&self, index: usize) -> Option<usize> {
        match self {
            Self::Context(..) => None,
            Self::View(_, selection) => selection.twins.get(&index).copied(),
        }
    }

    /// Where it came from, as people read it.
    fn shown(&self, index: usize) -> String {
        match self {
            Self::Context(_, selection) => String::from_utf8_lossy(&selection.entries()[index].source).into_owned(),
            Self::View(_, selection) => draft::shown(selection.entries[index].1.path()),
        }
    }

    fn open(&self, index: usize) -> Result<Box<dyn Read + Send>, FileError> {
        match self {
            Self::Context(context, selection) => Ok(context.read(&selection.entries()[index])?),
            Self::View(view, selection) => view.open(&selection.entries[index].1).map_err(FileError::Source),
        }
    }

    /// The digest of a file's content, where it is known.
    fn content(&self, index: usize) -> Option<Digest> {
        match self {
            Self::Context(_, selection) => selection.content(index),
            Self::View(view, selection) => view.content(&selection.entries[index].1).ok(),
        }
    }
}

/// Everything that is to be written.
pub(crate) struct Laid {
    /// In the order of the layer.
    entries: Entries,
    sources: Vec<Source>,
    spool: File,
    target: Arc<TreeView>,
}

/// Lays the operation over `target`. `inputs[0]` is not looked at; `now` is the time of what is new; `spool` takes
/// the content of unpacked archives. `None`: nothing changes.
pub(crate) fn lay(
    op: &FileOp,
    target: &Arc<TreeView>,
    inputs: &[Option<Input>],
    now: i64,
    mut spool: File,
) -> Result<Option<Laid>, FileError> {
    let mut draft = Draft::new(target);
    for action in &op.actions {
        match action {
            FileAction::Copy(copy) => {
                let Some(Some(input)) = inputs.get(copy.input) else {
                    return Err(FileError::NotFound { path: copy.sources.join(" "), near: None });
                };
                place::copy(&mut draft, copy, input.select(copy)?, now, &mut spool)?;
            }
            FileAction::WriteFile { path, data, mode, owner } => {
                place::file(&mut draft, path, data, mode.as_ref(), owner.as_ref(), now)?;
            }
            FileAction::MakeDir { path, mode, owner, parents } => {
                place::directory(&mut draft, path, *mode, owner.as_ref(), *parents, now)?;
            }
        }
    }
    if draft.is_empty() {
        return Ok(None);
    }
    let (entries, sources) = draft.finish();
    Ok(Some(Laid { entries, sources, spool, target: target.clone() }))
}

/// Whether an entry is a directory.
fn is_dir(entry: &Entry) -> bool {
    entry.kind == Kind::Dir
}

#[cfg(test)]
mod tests;
