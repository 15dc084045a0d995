//! The store's layers as the operations need them: trees to mount, views to read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use layer::{Compression, Toc};
use oci::{DiffId, media_type};
use runtime::ladder::Rung;
use runtime::tree::view::{LayerSource, TreeView, ViewError};
use runtime::tree::{Allowance, ApplyError, ApplyOptions, IdPolicy, unpack};
use store::{Blobs, Expected, LayerId, LayerRow, Store, TreeForm, Variant};
use sys::Root;

use crate::cache::key::Chain;
use crate::cache::record::Records;

/// Why a layer cannot be had in the form that is needed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It was pruned under us, or torn by a crash.
    #[error("layer {0} is gone from the store")]
    Gone(LayerId),
    /// A file or directory of the store.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A kernel call on a tree.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// Its tar could not be unpacked.
    #[error("unpack layer {layer}: {source}")]
    Apply {
        /// Which.
        layer: LayerId,
        /// Why.
        source: ApplyError,
    },
    /// Its tar is damaged.
    #[error("read layer {layer}: {source}")]
    Tar {
        /// Which.
        layer: LayerId,
        /// Why.
        source: layer::ReadError,
    },
    /// A chain cannot be read.
    #[error(transparent)]
    View(Box<ViewError>),
    /// Its compression is damaged.
    #[error("decompress layer {layer}: {source}")]
    Compression {
        /// Which.
        layer: LayerId,
        /// Why.
        source: layer::CompressionError,
    },
    /// What was unpacked is not what the image says.
    #[error("layer {layer} unpacks to {found}, its image says {expected}")]
    DiffId {
        /// Which.
        layer: LayerId,
        /// What the image says.
        expected: DiffId,
        /// What it is.
        found: DiffId,
    },
}

impl LayerError {
    fn io(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { call, path, source }
    }
}

/// A record of more entries than this is read again when it is wanted again.
const MAX_HELD: usize = 16_384;

/// Layers of one store, read by one process on one rung.
pub(crate) struct Layers<'s> {
    store: &'s Store,
    records: &'s Records<'s>,
    /// Whether the kernel refuses to record owners, so that they are kept beside the trees.
    single_id: bool,
    /// Whether trees may hold what we may not read: an ordinary user's outside of the namespaces they were made in.
    outside: bool,
    tocs: Mutex<HashMap<LayerId, Arc<Toc>>>,
}

impl<'s> Layers<'s> {
    /// Layers as a process on `rung` sees them.
    pub(crate) fn new(store: &'s Store, records: &'s Records<'s>, rung: Option<&Rung>) -> Self {
        let single_id = matches!(rung, Some(Rung::SingleId));
        let outside = rung.is_none() && !rustix::process::geteuid().is_root();
        Self { store, records, single_id, outside, tocs: Mutex::default() }
    }

    /// Layers as a process sees them that is inside its rung's namespaces.
    pub(crate) fn with_owners(store: &'s Store, records: &'s Records<'s>, single_id: bool) -> Self {
        Self { store, records, single_id, outside: false, tocs: Mutex::default() }
    }

    /// Where the owners of a tree stand.
    pub(crate) fn ids(&self, tree: &Path) -> IdPolicy {
        if self.single_id { IdPolicy::Recorded(tree.to_path_buf()) } else { IdPolicy::Keep }
    }

    /// Where its layers are results.
    pub(crate) fn records(&self) -> &Records<'s> {
        self.records
    }

    /// A usable layer.
    pub(crate) fn row(&self, id: &LayerId) -> Result<LayerRow, LayerError> {
        self.records.layer(id)?.ok_or_else(|| LayerError::Gone(id.clone()))
    }

    /// A layer that is usable, or that is known and can be fetched.
    pub(crate) fn known(&self, id: &LayerId) -> Result<LayerRow, LayerError> {
        self.records.known(id)?.ok_or_else(|| LayerError::Gone(id.clone()))
    }

    /// The tree that a chain shows, without mounting it.
    pub(crate) fn view(&self, chain: &Chain) -> Result<TreeView, LayerError> {
        let sources = chain.layers().map(|id| self.source(id)).collect::<Result<_, _>>()?;
        TreeView::new(sources).map_err(|source| LayerError::View(Box::new(source)))
    }

    fn source(&self, id: &LayerId) -> Result<LayerSource, LayerError> {
        let row = self.row(id)?;
        if row.tree.is_some() && !(self.outside && row.blob.is_some()) {
            let path = self.store.layout().tree(id);
            return Ok(LayerSource::Tree { root: Root::open(&path)?, toc: self.kept_toc(id)?, ids: self.ids(&path) });
        }
        let tar = self.tar(&row)?;
        Ok(LayerSource::Blob { toc: self.toc_of(id, &tar)?, tar })
    }

    /// The record of a layer in blob form; made anew where it was lost.
    pub(crate) fn toc_of(&self, id: &LayerId, mut tar: &File) -> Result<Arc<Toc>, LayerError> {
        if let Some(toc) = self.kept_toc(id)? {
            return Ok(toc);
        }
        let toc = Toc::scan(BufReader::with_capacity(1 << 17, tar));
        let toc = self.keep_toc(id, toc.map_err(|source| LayerError::Tar { layer: id.clone(), source })?)?;
        io::Seek::rewind(&mut tar).map_err(LayerError::io("seek", &self.store.layout().blobs()))?;
        Ok(toc)
    }

    /// A layer's record, if one is kept.
    pub(crate) fn kept_toc(&self, id: &LayerId) -> Result<Option<Arc<Toc>>, LayerError> {
        let mut tocs = self.tocs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(toc) = tocs.get(id) {
            return Ok(Some(toc.clone()));
        }
        let Some(bytes) = self.store.toc(id)? else { return Ok(None) };
        // Records of blobs are not synced: one that a power cut tore is made again, as if it had never been.
        let Ok(toc) = Toc::decode(bytes.as_slice()) else { return Ok(None) };
        let toc = Arc::new(toc);
        tocs.insert(id.clone(), toc.clone());
        Ok(Some(toc))
    }

    /// Keeps a layer's record; it is made durable with the image that names the layer.
    pub(crate) fn keep_toc(&self, id: &LayerId, toc: Toc) -> Result<Arc<Toc>, LayerError> {
        self.store.put_toc(id, false, |out| toc.encode(out).map_err(io::Error::other))?;
        let toc = Arc::new(toc);
        if toc.entries().len() <= MAX_HELD {
            self.tocs.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), toc.clone());
        }
        Ok(toc)
    }

    /// The uncompressed tar of a layer in blob form. A compressed one is decompressed once, and that form kept.
    pub(crate) fn tar(&self, row: &LayerRow) -> Result<File, LayerError> {
        let Some(blob) = &row.blob else { return Err(LayerError::Gone(row.id.clone())) };
        let layout = self.store.layout();
        let open = |path: PathBuf| File::open(&path).map_err(LayerError::io("open", &path));
        if matches!(blob.media_type.as_str(), media_type::OCI_LAYER | media_type::DOCKER_LAYER) {
            return open(layout.blob(&blob.digest));
        }
        let diff_id = self.store.index().diff_id(&row.id, None).map_err(store::Error::from)?;
        if let Some((diff_id, _)) = &diff_id {
            match File::open(layout.blob(diff_id.digest())) {
                // Never decompressed yet, or pruned.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other.map_err(LayerError::io("open", &layout.blob(diff_id.digest()))),
            }
        }
        let failed = |source| LayerError::Compression { layer: row.id.clone(), source };
        let (_, mut plain) = Compression::detecting(Box::new(open(layout.blob(&blob.digest))?)).map_err(failed)?;
        let mut writer = self.store.blobs().writer().map_err(store::Error::from)?;
        io::copy(&mut plain, &mut writer).map_err(LayerError::io("decompress", &layout.blob(&blob.digest)))?;
        let expected = diff_id.map_or_else(Expected::any, |(diff_id, _)| Expected::from(*diff_id.digest()));
        let (digest, size) = writer.commit(expected).map_err(store::Error::from)?;
        let variant = Variant { media_type: media_type::OCI_LAYER.to_owned(), blob: digest, size };
        self.store.index().put_variant(&DiffId::new(digest), &variant).map_err(store::Error::from)?;
        open(layout.blob(&digest))
    }

    /// The trees of a chain, base first. What is a blob only is unpacked, once, whoever asks.
    pub(crate) fn trees(&self, chain: &Chain) -> Result<Vec<PathBuf>, LayerError> {
        let mut trees: Vec<PathBuf> = Vec::new();
        for id in chain.layers() {
            let path = self.store.layout().tree(id);
            if self.row(id)?.tree.is_none() {
                let lock = self.store.lock_key(&format!("tree-{id}"))?;
                // Whoever held it may have done it.
                let row = self.row(id)?;
                if row.tree.is_none() {
                    self.unpack(&row, &trees)?;
                }
                drop(lock);
            }
            trees.push(path);
        }
        Ok(trees)
    }

    /// Unpacks a layer. Directories that its tar leaves out take their attributes from `lowers`, base first.
    fn unpack(&self, row: &LayerRow, lowers: &[PathBuf]) -> Result<(), LayerError> {
        let Some(blob) = &row.blob else { return Err(LayerError::Gone(row.id.clone())) };
        let layout = self.store.layout();
        let home = layout.snapshot(row.id.as_str());
        // A tree of an earlier boot may lie there, torn.
        remove(&home)?;
        let tree = home.join("fs");
        fs::create_dir_all(&tree).map_err(LayerError::io("mkdir", &tree))?;
        let ids = self.ids(&tree);
        let lowers = lowers.iter().rev().map(Root::open).collect::<Result<_, _>>()?;
        let path = layout.blob(&blob.digest);
        let file = File::open(&path).map_err(LayerError::io("open", &path))?;
        let options = ApplyOptions { ids, lowers, allowance: allowance(self.store), ..ApplyOptions::default() };
        let unpacked = unpack(file, &Root::open(&tree)?, &options)
            .map_err(|source| LayerError::Apply { layer: row.id.clone(), source })?;
        let index = self.store.index();
        match index.diff_id(&row.id, None).map_err(store::Error::from)? {
            Some((expected, _)) if expected != unpacked.diff_id => {
                remove(&home)?;
                return Err(LayerError::DiffId { layer: row.id.clone(), expected, found: unpacked.diff_id });
            }
            Some(_) => {}
            None => index.put_diff_id(&row.id, None, &unpacked.diff_id, unpacked.size).map_err(store::Error::from)?,
        }
        let tree = TreeForm { boot: Some(self.records.boot().to_owned()) };
        let row = LayerRow { tree: Some(tree), blob: None, size: unpacked.size, ..row.clone() };
        Ok(index.put_layer(&row).map_err(store::Error::from)?)
    }
}

/// Asks the store for the room that a tree takes.
pub(crate) fn allowance(store: &Store) -> Allowance {
    let room = Arc::clone(store.room());
    Allowance::new(move |bytes| Ok(room.take(bytes)?))
}

/// Removes a tree that nobody uses; links in it are not followed.
pub(crate) fn remove(home: &Path) -> Result<(), LayerError> {
    let (Some(parent), Some(name)) = (home.parent(), home.file_name()) else { return Ok(()) };
    match Root::open(parent)?.remove_all(name) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
