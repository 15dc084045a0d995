//! The uncompressed tar of a layer, from whatever form the store has it in.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use layer::{Compression, Toc};
use oci::{DiffId, Digest, Hasher};
use runtime::tree::{assemble, replay};
use store::{Blobs, LayerId, Store};
use sys::Root;

use super::ExportError;

/// One read or write of a layer's bytes.
const CHUNK: usize = 1 << 20;

/// Where a layer's tar comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// A blob that is it: committed, so it is not hashed again.
    Blob(PathBuf),
    /// A compressed form.
    Packed(PathBuf),
    /// A tree and the record of its canonical tar.
    Canonical(LayerId),
    /// A tree and the split of the tar that it was made of.
    Foreign(LayerId),
}

/// Whether there is a tar to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// From here.
    Here(Plain),
    /// From a tree, whose files are not ours to read outside of its namespaces.
    Unreadable,
    /// No form is here.
    Nowhere,
}

impl Plain {
    /// Looks for a layer. `trees`: the files of trees can be read.
    pub(crate) fn find(store: &Store, diff_id: &DiffId, trees: bool) -> Result<Found, ExportError> {
        if store.blobs().size(diff_id.digest())?.is_some() {
            return Ok(Found::Here(Plain::Blob(store.layout().blob(diff_id.digest()))));
        }
        let boot = store::boot_id().map_err(store::Error::from)?;
        let mut unreadable = false;
        for id in store.index().layers_by_diff_id(diff_id)? {
            let Some(row) = store.index().layer(&id)?.and_then(|row| row.alive(&boot)) else { continue };
            if let Some(blob) = &row.blob
                && store.blobs().size(&blob.digest)?.is_some()
            {
                return Ok(Found::Here(Plain::Packed(store.layout().blob(&blob.digest))));
            }
            let has = |path: PathBuf| path.exists();
            let form = match row.tree.is_some() && has(store.layout().tree(&id)) {
                true if has(store.layout().toc(&id)) => Plain::Canonical(id),
                true if has(store.layout().split(&id)) => Plain::Foreign(id),
                _ => continue,
            };
            match trees {
                true => return Ok(Found::Here(form)),
                false => unreadable = true,
            }
        }
        for variant in store.index().variants(diff_id)? {
            if store.blobs().size(&variant.blob)?.is_some() {
                return Ok(Found::Here(Plain::Packed(store.layout().blob(&variant.blob))));
            }
            if let Some(path) = verified(store, &variant.blob, variant.size)? {
                return Ok(Found::Here(Plain::Packed(path)));
            }
        }
        Ok(if unreadable { Found::Unreadable } else { Found::Nowhere })
    }

    /// Writes the tar. What is not a committed blob of it is compared with `diff_id`, at the end.
    pub(crate) fn write_to<W: Write + Send + 'static>(
        &self,
        store: &Store,
        diff_id: &DiffId,
        mut sink: W,
    ) -> Result<W, ExportError> {
        let layer = *diff_id.digest();
        let (actual, sink) = match self {
            Plain::Blob(path) => {
                copy(&mut open(path)?, &mut sink, layer)?;
                return Ok(sink);
            }
            Plain::Packed(path) => {
                let file = BufReader::with_capacity(CHUNK, open(path)?);
                let (_, mut plain) = Compression::detecting(Box::new(file))?;
                let mut hashing = Hashing { inner: sink, hasher: Hasher::new(layer.algorithm()) };
                copy(&mut *plain, &mut hashing, layer)?;
                (DiffId::new(hashing.hasher.finish()), hashing.inner)
            }
            Plain::Canonical(id) => {
                let bytes = store.toc(id)?.ok_or(ExportError::Gone { layer })?;
                let toc = Toc::decode(bytes.as_slice()).map_err(|source| ExportError::Record { layer, source })?;
                let tree = Root::open(store.layout().tree(id))?;
                let (built, sink) = replay(&toc, &tree, None, sink)
                    .map_err(|source| ExportError::Tree { layer, source: Box::new(source) })?;
                (built.diff_id, sink)
            }
            Plain::Foreign(id) => {
                let record = store.split(id)?.ok_or(ExportError::Gone { layer })?;
                let tree = Root::open(store.layout().tree(id))?;
                let (actual, _, sink) =
                    assemble(record, &tree, sink).map_err(|source| ExportError::Assemble { layer, source })?;
                (actual, sink)
            }
        };
        match actual == *diff_id {
            true => Ok(sink),
            false => Err(ExportError::Changed { layer: *diff_id, actual }),
        }
    }
}

/// The file of a compressed form whose bytes are those of its digest; one that is something else is removed.
pub(crate) fn verified(store: &Store, digest: &Digest, size: u64) -> Result<Option<PathBuf>, ExportError> {
    let Some(path) = store.compressed(digest, size) else { return Ok(None) };
    let mut hashing = Hashing { inner: io::sink(), hasher: Hasher::new(digest.algorithm()) };
    copy(&mut open(&path)?, &mut hashing, *digest)?;
    if hashing.hasher.finish() == *digest {
        return Ok(Some(path));
    }
    store.remove_compressed(digest)?;
    Ok(None)
}

fn open(path: &Path) -> Result<File, ExportError> {
    File::open(path).map_err(|source| ExportError::io("open", path, source))
}

/// Hashes what it passes on.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Copies all of `from`, in large pieces.
pub(super) fn copy(from: &mut dyn Read, to: &mut dyn Write, layer: Digest) -> Result<(), ExportError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).map_err(|source| ExportError::Copy { layer, source })?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ExportError::Copy { layer, source }),
        }
    }
}
