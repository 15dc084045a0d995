//! A folder of the host as a build sees it: walked under its ignore rules, hashed once, remembered.
//!
//! Nothing is copied first. A [`Context`] walks only what some COPY can select, compares what it finds
//! with the stat cache of the last build, and so knows the content digests of unchanged files without
//! opening them. [`Context::select`] says what a COPY takes; [`Selection::digest`] says what it is.

use std::path::{Path, PathBuf};

use graph::pattern::IgnoreRules;
use layer::Entry;
use oci::Digest;

/// What can go wrong with a context.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A COPY names something that is not there.
    #[error("{path:?} is not in the build context {context}")]
    NotFound {
        /// What it names.
        path: String,
        /// The context's folder.
        context: PathBuf,
    },
    /// A COPY names something that the ignore file leaves out.
    #[error("{path:?} is in the build context {context}, but line {line} of its ignore file leaves it out")]
    Ignored {
        /// What it names.
        path: String,
        /// The context's folder.
        context: PathBuf,
        /// The line of the rule.
        line: u32,
    },
    /// A file was written while it was being read.
    #[error("{path} changed while it was being read")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Links that lead to one another.
    #[error("too many symbolic links in {path:?} of the build context {context}")]
    LinkLoop {
        /// What a COPY names.
        path: String,
        /// The context's folder.
        context: PathBuf,
    },
    /// A pattern is not well formed.
    #[error("{0}")]
    Pattern(#[from] graph::pattern::PatternError),
    /// Two sources put a file and a directory at one place.
    #[error("{first:?} and {second:?} both go to {dest:?}, and only one of them is a directory")]
    Conflict {
        /// The earlier source.
        first: String,
        /// The later source.
        second: String,
        /// Where both go.
        dest: String,
    },
}

/// A local build context. Clones share everything; threads may share it too.
#[derive(Debug, Clone)]
pub struct Context {}

/// One thing that a COPY takes.
#[derive(Debug, Clone)]
pub struct SelectedEntry {
    /// Where it lies in the context: relative, no link on the way.
    pub source: Vec<u8>,
    /// What it is. The path is relative to the COPY's destination: empty for the destination itself (a
    /// source directory's own metadata, which holds where the destination does not exist yet). Owned by 0:0.
    pub entry: Entry,
}

/// How a selection lies at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The destination is a directory; every entry goes to its path below it.
    Below,
    /// There is one entry, a file or link: the destination names it, unless it is a directory in the target, in
    /// which case the entry's path below it does.
    Named,
}

/// What a COPY takes, sorted in the order of a canonical layer, each destination path once.
#[derive(Debug, Clone)]
pub struct Selection {}

#[expect(clippy::todo, unused, reason = "being laid")]
impl Context {
    /// A context on the folder `dir`. Nothing is walked yet. `cache` is the stat cache's file; without one, every
    /// file is hashed anew.
    ///
    /// # Errors
    /// When the folder cannot be opened. A damaged stat cache counts as empty.
    pub fn open(dir: &Path, rules: IgnoreRules, cache: Option<&Path>) -> Result<Self, ContextError> {
        todo!()
    }

    /// What a COPY takes from this context; walks what it must.
    ///
    /// # Errors
    /// When a source without wildcards is not there, or what is there cannot be read.
    pub fn select(&self, copy: &graph::Copy) -> Result<Selection, ContextError> {
        todo!()
    }

    /// Opens a selected file. Its reader fails with [`ContextError::Changed`] (inside the I/O error) at the end of
    /// the file when it was written meanwhile.
    ///
    /// # Errors
    /// When it cannot be opened, or is no longer what was walked.
    pub fn read(&self, selected: &SelectedEntry) -> Result<Box<dyn std::io::Read + Send>, ContextError> {
        todo!()
    }

    /// Remembers the digest of a file that the caller read whole through [`Context::read`].
    pub fn record(&self, source: &[u8], digest: Digest) {
        todo!()
    }

    /// Writes the stat cache, if anything in it changed; tells whether it did.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<bool, ContextError> {
        todo!()
    }
}

#[expect(clippy::todo, unused, reason = "being laid")]
impl Selection {
    /// Everything that is taken.
    pub fn entries(&self) -> &[SelectedEntry] {
        todo!()
    }

    /// How it lies at the destination.
    pub fn placement(&self) -> Placement {
        todo!()
    }

    /// The digest of a file's content, if it is known without reading; `None` for all else.
    pub fn content(&self, index: usize) -> Option<Digest> {
        todo!()
    }

    /// Whether every file's digest is known, so that [`Selection::digest`] reads nothing.
    pub fn is_known(&self) -> bool {
        todo!()
    }

    /// The digest of everything that a COPY can see of the selection; never of times. Reads the files whose digests
    /// are not known, side by side.
    ///
    /// # Errors
    /// When a file cannot be read or changes meanwhile.
    pub fn digest(&self) -> Result<Digest, ContextError> {
        todo!()
    }
}
