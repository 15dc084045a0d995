//! Entries to a layer, in one pass.

use std::io::{self, Read, Write};

use layer::{Entry, Kind, TarWriter, Toc, TocEntry, WriteError, copy_exactly};
use oci::{DiffId, Digest, Hasher};
use sys::Root;

use super::allowance::Allowance;
use super::apply::shown;
use super::pipeline::Pipeline;
use super::special::name;
use super::writer::{NewFile, TreeWriter};
use super::{ApplyOptions, IdPolicy};

/// How much of a file is held at a time.
const CHUNK: usize = 256 * 1024;

/// Why a layer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An entry that no layer holds, content that cannot be read or that changed, or an archive that cannot be written.
    #[error(transparent)]
    Layer(#[from] WriteError),
    /// Whoever is asked for room refused.
    #[error(transparent)]
    Room(io::Error),
    /// The archive could not be stored.
    #[error("write layer: {0}")]
    Sink(#[source] io::Error),
    /// The tree could not be written.
    #[error("write {path}: {source}")]
    Tree {
        /// Path in the layer.
        path: String,
        /// The call that failed.
        source: sys::Error,
    },
}

/// What came out of the pass.
#[derive(Debug, Clone)]
pub struct Built {
    /// The layer's identity.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// Its headers, with the digests of all files. Times are those before clamping, offsets those of the tar.
    pub toc: Toc,
}

/// Makes a layer from entries in canonical order ([`Entry::order`]).
///
/// Each file is read once, in chunks: what is read goes to the tar (and by it to its hasher and `sink`, in a second
/// thread when there is much), to the file's own hasher, and to the tree, if there is one.
#[derive(Debug)]
pub struct LayerBuilder<W: Write + Send + 'static> {
    tar: TarWriter<Pipeline<W>>,
    tree: Option<TreeWriter<'static>>,
    allowance: Allowance,
    clamp: Option<i64>,
    entries: Vec<TocEntry>,
    buffer: Vec<u8>,
}

impl<W: Write + Send + 'static> LayerBuilder<W> {
    /// `sink` takes the tar ([`std::io::sink`] if nobody wants it).
    pub fn new(sink: W) -> LayerBuilder<W> {
        LayerBuilder::over(Pipeline::new(sink, None))
    }

    /// As [`LayerBuilder::new`], for a sink that hashes what it takes (SHA-256) and tells the digest, so that the tar is
    /// not hashed twice.
    pub fn hashed_by(sink: W, digest: fn(&W) -> Digest) -> LayerBuilder<W> {
        LayerBuilder::over(Pipeline::new(sink, Some(digest)))
    }

    fn over(pipeline: Pipeline<W>) -> LayerBuilder<W> {
        LayerBuilder {
            tar: TarWriter::new(pipeline),
            tree: None,
            allowance: Allowance::default(),
            clamp: None,
            entries: Vec::new(),
            buffer: vec![0; CHUNK],
        }
    }

    /// Fills the directory `tree`, empty as yet, with the layer's overlay form too.
    pub fn tree(mut self, tree: &Root, ids: IdPolicy) -> Result<LayerBuilder<W>, BuildError> {
        // Only this function's own options: no lower trees, so nothing is borrowed.
        let options = ApplyOptions { ids, ..ApplyOptions::default() };
        let made = TreeWriter::without_lowers(tree, &options);
        self.tree = Some(made.map_err(|source| BuildError::Tree { path: ".".into(), source })?);
        Ok(self)
    }

    /// Who is asked before files of the tree are written. (The tar's sink asks for itself.)
    #[must_use]
    pub fn allowance(mut self, allowance: Allowance) -> LayerBuilder<W> {
        self.allowance = allowance;
        self
    }

    /// No time in the tar after this one: later ones become it. (The tree and the record keep them.)
    #[must_use]
    pub fn clamp(mut self, clamp: Option<i64>) -> LayerBuilder<W> {
        self.clamp = clamp;
        self
    }

    /// How many entries there are so far: none means that the layer is empty.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Adds an entry; of a file, `content` must have exactly `entry.size` bytes. If the caller knows the content's digest,
    /// it isn't computed again. Gives back the digest of a file's content.
    pub fn append(
        &mut self,
        entry: Entry,
        content: &mut dyn Read,
        known: Option<Digest>,
    ) -> Result<Option<Digest>, BuildError> {
        let offset = match self.clamp.filter(|clamp| *clamp < entry.mtime) {
            Some(mtime) => self.tar.begin(&Entry { mtime, ..entry.clone() })?,
            None => self.tar.begin(&entry)?,
        };
        let failed = |source| BuildError::Tree { path: shown(&entry.path), source };
        let mut file = match &mut self.tree {
            Some(tree) => tree.place(&entry).map_err(failed)?,
            None => None,
        };
        let mut digest = None;
        if entry.kind == Kind::File {
            digest = Some(self.copy(&entry, content, known, file.as_mut())?);
        }
        if let (Some(tree), Some(file)) = (&mut self.tree, file) {
            tree.finish_file(file, &entry).map_err(failed)?;
        }
        self.entries.push(TocEntry { entry, offset, extents: Vec::new(), content: digest });
        Ok(digest)
    }

    fn copy(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        known: Option<Digest>,
        mut file: Option<&mut NewFile>,
    ) -> Result<Digest, BuildError> {
        let (tar, allowance) = (&mut self.tar, &self.allowance);
        let mut hasher = known.is_none().then(Hasher::sha256);
        copy_exactly(entry, content, &mut self.buffer, |bytes| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            if let Some(file) = &mut file {
                allowance.ask(bytes.len()).map_err(BuildError::Room)?;
                let failed = |error| BuildError::Tree {
                    path: shown(&entry.path),
                    source: sys::Error::from_io("write", name(&entry.path), &error),
                };
                file.content.write(bytes).map_err(failed)?;
            }
            tar.data(bytes).map_err(BuildError::from)
        })?;
        Ok(known.or_else(|| hasher.map(Hasher::finish)).unwrap_or_else(|| Digest::sha256(b"")))
    }

    /// Ends the tar, and hands the sink back.
    pub fn finish(self) -> Result<(Built, W), BuildError> {
        if let Some(tree) = self.tree {
            tree.finish().map_err(|source| BuildError::Tree { path: ".".into(), source })?;
        }
        let end = self.tar.finish()?.finish().map_err(BuildError::Sink)?;
        let built = Built { diff_id: DiffId::new(end.digest), size: end.size, toc: Toc::new(self.entries) };
        Ok((built, end.sink))
    }
}
