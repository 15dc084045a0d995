//! COPY, ADD, WORKDIR, inline files: what becomes one layer without running anything.
//!
//! First a [`draft::Draft`] is laid over the target tree, in memory: headers only. Then [`write`] streams it, in the
//! order of a layer, into a [`LayerBuilder`]; each file is read once. Semantics are BuildKit's; two that surprise:
//! a destination directory that is made has mode 0755 whatever the source's is, and directories inside a source give
//! theirs to those that are there already.

pub(crate) mod archive;
pub(crate) mod chmod;
pub(crate) mod draft;
pub(crate) mod result;
pub(crate) mod owner;
pub(crate) mod place;
pub(crate) mod select;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use graph::{Copy, FileAction, FileOp};
use layer::{Entry, Kind};
use oci::Digest;
use runtime::tree::view::{TreeView, ViewError};
use runtime::tree::{BuildError, Built, LayerBuilder};

use self::draft::{Body, Content, Draft, LinkGroup, Planned, Source};
use self::select::ViewSelection;
use crate::Cancel;
use crate::context::{Context, ContextError, Placement, Selection};

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The build context.
    #[error("{source}{}", near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near:?}?")))]
    Context {
        /// Why.
        source: ContextError,
        /// What is there under a name like the one that is not.
        near: Option<String>,
    },
    /// The tree written onto cannot be read.
    #[error("read the target: {0}")]
    Target(#[source] ViewError),
    /// A tree copied from cannot be read.
    #[error("read the source: {0}")]
    Source(#[source] ViewError),
    /// A file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A source without wildcards is not there.
    #[error("{path:?} does not exist{}", near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near:?}?")))]
    NotFound {
        /// What was named.
        path: String,
        /// What is there under a name like it.
        near: Option<String>,
    },
    /// No source selects anything.
    #[error("nothing matches {}{}", patterns.join(" "), near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near:?}?")))]
    NothingMatches {
        /// The sources.
        patterns: Vec<String>,
        /// What is there under a name like one of them.
        near: Option<String>,
    },
    /// A pattern is not well formed.
    #[error(transparent)]
    Pattern(graph::pattern::PatternError),
    /// Links that lead to one another.
    #[error("too many symbolic links in {path}")]
    LinkLoop {
        /// Where.
        path: String,
    },
    /// A directory is needed where something else stands.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// Where.
        path: String,
    },
    /// A directory over something else.
    #[error("cannot copy the directory {from} over {path}, which is not one")]
    DirOverFile {
        /// The source.
        from: String,
        /// Where.
        path: String,
    },
    /// Something else over a directory.
    #[error("cannot replace the directory {path} with the file {from}")]
    FileOverDir {
        /// The source.
        from: String,
        /// Where.
        path: String,
    },
    /// Two sources, one of them a directory, for one place.
    #[error("{first} and {second} both go to {dest}, and only one of them is a directory")]
    Conflict {
        /// The earlier source.
        first: String,
        /// The later one.
        second: String,
        /// Where both go.
        dest: String,
    },
    /// Several files to what is no directory.
    #[error("several files are copied to {dest}, so it must be a directory and end with a slash")]
    SeveralToOne {
        /// The destination.
        dest: String,
    },
    /// `--chown` names nobody.
    #[error("unable to find {what} {name:?}: no such entry in {file} of the target")]
    NoSuchOwner {
        /// `user` or `group`.
        what: &'static str,
        /// As written.
        name: String,
        /// The file looked into.
        file: &'static str,
    },
    /// An archive that ADD unpacks is damaged or hostile.
    #[error("unpack {path}: {source}")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong with it.
        source: layer::ReadError,
    },
    /// An archive links to what it does not hold.
    #[error("unpack {path}: {name} is a hard link to {link}, which is not there")]
    DanglingLink {
        /// The archive.
        path: String,
        /// The entry.
        name: String,
        /// What it names.
        link: String,
    },
    /// Making the layer failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A scratch file failed.
    #[error("scratch file: {0}")]
    Spool(#[source] io::Error),
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl From<ContextError> for FileError {
    /// Of a source that is not there, looks for one that was meant.
    fn from(source: ContextError) -> Self {
        let ContextError::NotFound { path, context } = &source else { return Self::Context { source, near: None } };
        let path = Path::new(path.trim_start_matches('/'));
        let parent = path.parent().unwrap_or(Path::new(""));
        // Only for a hint: the folder is the caller's own, and what cannot be listed gives none.
        let names = std::fs::read_dir(context.join(parent)).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let near = path.file_name().and_then(|name| near(&name.to_string_lossy(), names));
        let near = near.map(|near| parent.join(near).to_string_lossy().into_owned());
        Self::Context { source, near }
    }
}

impl FileError {
    fn target(error: ViewError) -> Self {
        Self::Target(error)
    }

    fn source_tree(error: ViewError) -> Self {
        Self::Source(error)
    }
}

/// What an input of a file operation is.
#[derive(Clone)]
pub(crate) enum Input {
    /// A build context.
    Context(Context),
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
            Self::Context(context) => Taken::Context(context.clone(), context.select(copy)?),
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
    entries: Vec<(Box<[u8]>, Planned)>,
    sources: Vec<Source>,
    spool: File,
    target: Arc<TreeView>,
}

/// Lays the operation over `target`. `inputs[0]` is not looked at; `now` is the time of what is new; `spool` takes
/// the content of unpacked archives. `None`: nothing changes.
pub(crate) fn lay(op: &FileOp, target: &Arc<TreeView>, inputs: &[Option<Input>], now: i64, mut spool: File) -> Result<Option<Laid>, FileError> {
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

/// Streams what was laid. `progress` hears how many entries of how many are written.
pub(crate) fn write<W: Write + Send + 'static>(
    mut laid: Laid,
    mut builder: LayerBuilder<W>,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Built, W), FileError> {
    let entries = std::mem::take(&mut laid.entries);
    let total = entries.len() as u64;
    let mut firsts: HashMap<LinkGroup, Vec<u8>> = HashMap::new();
    for (number, (path, planned)) in entries.into_iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(FileError::Cancelled);
        }
        progress(number as u64, total);
        let path = path.into_vec();
        let mark = (planned.opaque && planned.kind == Kind::Dir).then(|| Entry::new(path.clone(), Kind::Opaque));
        let first = planned.links.and_then(|group| firsts.get(&group));
        if let Some(first) = first {
            let mut entry = laid.entry(&planned.body);
            (entry.path, entry.kind, entry.size, entry.link) = (path, Kind::Hardlink, 0, first.clone());
            builder.append(entry, &mut io::empty(), None)?;
            continue;
        }
        if let Some(group) = planned.links {
            firsts.insert(group, path.clone());
        }
        laid.append(&mut builder, path, planned.body)?;
        if let Some(mark) = mark {
            builder.append(mark, &mut io::empty(), None)?;
        }
    }
    progress(total, total);
    Ok(builder.finish()?)
}

impl Laid {
    fn entry(&self, body: &Body) -> Entry {
        match body {
            Body::Own(own) => own.0.clone(),
            Body::Taken { source, index } => self.sources[*source as usize].entry(*index as usize),
        }
    }

    /// Writes one entry and its content.
    fn append<W: Write + Send + 'static>(&mut self, builder: &mut LayerBuilder<W>, path: Vec<u8>, body: Body) -> Result<(), FileError> {
        match body {
            Body::Taken { source, index } => self.append_taken(builder, path, source as usize, index as usize),
            Body::Own(own) => {
                let (mut entry, content) = *own;
                entry.path = path;
                match content {
                    Content::None => builder.append(entry, &mut io::empty(), None)?,
                    Content::Bytes(bytes) => builder.append(entry, &mut bytes.as_slice(), None)?,
                    Content::Spool { offset } => {
                        self.spool.seek(SeekFrom::Start(offset)).map_err(FileError::Spool)?;
                        let size = entry.size;
                        builder.append(entry, &mut (&self.spool).take(size), None)?
                    }
                    Content::Target(path) => {
                        let node = self.target.lookup(&path, false).map_err(FileError::Target)?;
                        let node = node.ok_or_else(|| FileError::NotFound { path: draft::shown(&path), near: None })?;
                        builder.append(entry, &mut self.target.open(&node).map_err(FileError::Target)?, None)?
                    }
                };
                Ok(())
            }
        }
    }

    fn append_taken<W: Write + Send + 'static>(&self, builder: &mut LayerBuilder<W>, path: Vec<u8>, source: usize, index: usize) -> Result<(), FileError> {
        let taken = &self.sources[source].taken;
        let mut entry = self.sources[source].entry(index);
        entry.path = path;
        if entry.kind != Kind::File {
            builder.append(entry, &mut io::empty(), None)?;
            return Ok(());
        }
        let known = taken.content(index);
        let digest = builder.append(entry, &mut taken.open(index)?, known)?;
        if let (Taken::Context(context, selection), None, Some(digest)) = (taken, known, digest) {
            context.record(&selection.entries()[index].source, digest);
        }
        Ok(())
    }
}

/// The name most like `name`, if one is near.
pub(crate) fn near(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let limit = (name.chars().count() / 3).max(1);
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    names.map(|other| (distance(&other), other)).filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}

/// Whether an entry is a directory.
fn is_dir(entry: &Entry) -> bool {
    entry.kind == Kind::Dir
}

#[cfg(test)]
mod tests;
