//! A folder of the host as a build sees it: walked under its ignore rules, hashed once, remembered.
//!
//! Nothing is copied first. A [`Context`] walks only what some COPY can select, compares what it finds
//! with the stat cache of the last build, and so knows the content digests of unchanged files without
//! opening them. [`Context::select`] says what a COPY takes; [`Selection::digest`] says what it is.

mod content;
mod facts;
mod select;
mod stat_cache;
#[cfg(test)]
mod tests;
mod tree;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use graph::pattern::IgnoreRules;
use layer::{Entry, Kind, SelectionHasher};
use oci::Digest;
use sys::Root;

use content::{Verified, Wanted};
use facts::Facts;
use select::Selector;
pub(crate) use stat_cache::PARTIAL;
use stat_cache::StatCache;
use tree::Tree;

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

impl ContextError {
    /// A failed call of `sys`, with the path as the user knows it.
    fn sys(error: &sys::Error, path: PathBuf) -> Self {
        Self::Io { call: error.call(), path, source: error.errno().into() }
    }
}

/// A local build context. Clones share everything; threads may share it too.
#[derive(Debug, Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    root: Root,
    cache: Option<StatCache>,
    cache_file: Option<PathBuf>,
    state: Mutex<State>,
}

/// What was found so far.
#[derive(Debug)]
struct State {
    tree: Tree,
    facts: Facts,
}

/// One thing that a COPY takes.
#[derive(Debug, Clone)]
pub struct SelectedEntry {
    /// Where it lies in the context: relative, no link on the way.
    pub source: Vec<u8>,
    /// What it is. The path is relative to the COPY's destination: empty for the destination itself (a
    /// source directory's own metadata, which holds where the destination does not exist yet). Owned by 0:0.
    pub entry: Entry,
    /// What is known of a file's content.
    fact: Option<u32>,
    /// Whether a source names it itself, instead of a directory that it is in.
    named: bool,
}

impl SelectedEntry {
    /// Whether a source names this file itself (what `ADD` unpacks), instead of a directory that it is in.
    pub fn is_named(&self) -> bool {
        self.named
    }
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
pub struct Selection {
    shared: Arc<Shared>,
    entries: Arc<Vec<SelectedEntry>>,
    placement: Placement,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panicking thread left is at worst a folder not listed yet.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// A context on the folder `dir`. Nothing is walked yet. `cache` is the stat cache's file; without one, every
    /// file is hashed anew.
    ///
    /// # Errors
    /// When the folder cannot be opened. A damaged stat cache counts as empty.
    pub fn open(dir: &Path, rules: IgnoreRules, cache: Option<&Path>) -> Result<Self, ContextError> {
        let root = Root::open(dir).map_err(|error| ContextError::sys(&error, dir.to_path_buf()))?;
        let state = State { tree: Tree::new(dir, rules), facts: Facts::default() };
        let shared = Shared {
            dir: dir.to_path_buf(),
            root,
            cache: cache.and_then(StatCache::open),
            cache_file: cache.map(Path::to_path_buf),
            state: Mutex::new(state),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What a COPY takes from this context; walks what it must.
    ///
    /// # Errors
    /// When a source without wildcards is not there, or what is there cannot be read.
    pub fn select(&self, copy: &graph::Copy) -> Result<Selection, ContextError> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let State { tree, facts } = &mut *state;
        let selector = Selector::new(&shared.root, tree, facts, shared.cache.as_ref(), copy)?;
        let (entries, placement) = selector.run(copy)?;
        Ok(Selection { shared: Arc::clone(&self.shared), entries: Arc::new(entries), placement })
    }

    /// Opens a selected file. Its reader fails with [`ContextError::Changed`] (inside the I/O error) at the end of
    /// the file when it was written meanwhile.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn read(&self, selected: &SelectedEntry) -> Result<Box<dyn Read + Send>, ContextError> {
        let Some(fact) = selected.fact else { return Ok(Box::new(std::io::empty())) };
        let ident = {
            let facts = &mut self.shared.lock().facts;
            facts.reading(fact, stat_cache::now());
            facts.get(fact).kept.ident
        };
        Ok(Box::new(Verified::open(&self.shared.root, &self.shared.dir, &selected.source, &ident)?))
    }

    /// Remembers the digest of a file that the caller read whole through [`Context::read`].
    pub fn record(&self, source: &[u8], digest: Digest) {
        let facts = &mut self.shared.lock().facts;
        if let Some(fact) = facts.place(source) {
            facts.digested(fact, digest);
        }
    }

    /// Writes the stat cache, if anything in it changed; tells whether it did.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<bool, ContextError> {
        let Some(file) = &self.shared.cache_file else { return Ok(false) };
        let State { tree, facts } = &mut *self.shared.lock();
        facts.save(self.shared.cache.as_ref(), file, |folder| tree.is_listed(folder))
    }
}

/// When the newest file of a context was written, in seconds since 1970; `None` where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn newest(context: &crate::LocalContext) -> Result<Option<i64>, ContextError> {
    let opened = Context::open(&context.dir, context.rules.clone(), None)?;
    let selection = opened.select(&crate::cache::content::bind(1, "."))?;
    let files = selection.entries().iter().filter(|selected| selected.entry.kind != Kind::Dir);
    Ok(files.map(|selected| selected.entry.mtime).max())
}

impl Selection {
    /// Everything that is taken.
    pub fn entries(&self) -> &[SelectedEntry] {
        &self.entries
    }

    /// How it lies at the destination.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The digest of a file's content, if it is known without reading; `None` for all else.
    pub fn content(&self, index: usize) -> Option<Digest> {
        let fact = self.entries.get(index)?.fact?;
        self.shared.lock().facts.get(fact).kept.digest
    }

    /// Whether every file's digest is known, so that [`Selection::digest`] reads nothing.
    pub fn is_known(&self) -> bool {
        let state = self.shared.lock();
        self.entries.iter().filter_map(|entry| entry.fact).all(|fact| state.facts.get(fact).kept.digest.is_some())
    }

    /// The digest of everything that a COPY can see of the selection; never of times. Reads the files whose digests
    /// are not known, side by side.
    ///
    /// # Errors
    /// When a file cannot be read or changes meanwhile.
    pub fn digest(&self) -> Result<Digest, ContextError> {
        self.read_unknown()?;
        let state = self.shared.lock();
        let mut hasher = SelectionHasher::new();
        for selected in &*self.entries {
            let known = selected.fact.and_then(|fact| state.facts.get(fact).kept.digest.as_ref());
            debug_assert!(known.is_some() || selected.entry.kind != Kind::File);
            hasher.add(&selected.entry.path, &selected.entry, known);
        }
        Ok(hasher.finish())
    }

    fn read_unknown(&self) -> Result<(), ContextError> {
        let mut wanted: Vec<Wanted> = {
            let state = self.shared.lock();
            let facts = self.entries.iter().filter_map(|selected| selected.fact);
            let unknown = facts.map(|fact| (fact, state.facts.get(fact)));
            unknown
                .filter(|(_, fact)| fact.kept.digest.is_none())
                .map(|(at, fact)| Wanted { fact: at, source: fact.path.clone(), ident: fact.kept.ident })
                .collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        // Two sources may have taken one file to two places.
        wanted.sort_by_key(|file| file.fact);
        wanted.dedup_by_key(|file| file.fact);
        let done = content::hash(&self.shared.root, &self.shared.dir, wanted)?;
        let facts = &mut self.shared.lock().facts;
        for (fact, digest, begun) in done {
            facts.reading(fact, begun);
            facts.digested(fact, digest);
        }
        Ok(())
    }
}
