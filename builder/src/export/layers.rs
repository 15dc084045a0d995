//! The bytes of an image's layers, from whatever form the store has them in.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use layer::{Compression, Encoder, Toc};
use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, media_type};
use runtime::tree::replay;
use store::{BlobWriter, Blobs, Expected, LayerId, Store, Variant, boot_id};
use sys::Root;

use super::ExportError;
use crate::{Compress, CompressForm};

/// One read or write of a layer's bytes.
const CHUNK: usize = 1 << 20;

/// A layer as an exporter writes it.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// What it is outside.
    pub(crate) descriptor: Descriptor,
    diff_id: DiffId,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// The blob that the descriptor names.
    Blob,
    /// The canonical tar of a tree.
    Tree(LayerId),
}

/// The layers of an image, in the forms that `compress` asks for; compressed ones are made now, and kept for the next time.
pub(crate) fn prepare(
    store: &Store,
    manifest: &Manifest,
    config: &ImageConfig,
    compress: &Compress,
) -> Result<Vec<Layer>, ExportError> {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(ExportError::LayerCount { manifest: manifest.layers.len(), config: diff_ids.len() });
    }
    let pairs = manifest.layers.iter().zip(diff_ids);
    pairs.map(|(descriptor, diff_id)| Layer::find(store, descriptor, *diff_id)?.compressed(store, compress)).collect()
}

impl Layer {
    fn find(store: &Store, descriptor: &Descriptor, diff_id: DiffId) -> Result<Self, ExportError> {
        let mut layer = Self { descriptor: descriptor.clone(), diff_id, form: Form::Blob };
        if store.blobs().size(&descriptor.digest)?.is_some() {
            return Ok(layer);
        }
        let boot = boot_id().map_err(store::Error::from)?;
        for id in store.index().layers_by_diff_id(&diff_id)? {
            let Some(row) = store.index().layer(&id)?.and_then(|row| row.alive(&boot)) else { continue };
            let plain =
                row.blob.as_ref().filter(|blob| store.blobs().size(&blob.digest).is_ok_and(|size| size.is_some()));
            if let Some(blob) = plain {
                layer.descriptor = Descriptor::new(&blob.media_type, blob.digest, blob.size);
                return Ok(layer);
            }
            // A tree gives the tar only, which is what its descriptor says; but the blob of another program may be gone.
            if row.tree.is_some() && store.toc(&id)?.is_some() {
                layer.descriptor = Descriptor::new(media_type::OCI_LAYER, *diff_id.digest(), row.size);
                layer.form = Form::Tree(id);
                if let Some((_, size)) = store.index().diff_id(&row.id, None)? {
                    layer.descriptor.size = size;
                }
                return Ok(layer);
            }
        }
        Err(ExportError::Gone { layer: descriptor.digest })
    }

    /// Writes the bytes that the descriptor names, and checks them where they were made anew.
    pub(crate) fn write_to<W: Write + Send + 'static>(&self, store: &Store, mut sink: W) -> Result<W, ExportError> {
        let id = match &self.form {
            Form::Tree(id) => id,
            Form::Blob => {
                let mut file = store.blobs().open(&self.descriptor.digest)?;
                copy(&mut file, &mut sink, self.descriptor.digest)?;
                return Ok(sink);
            }
        };
        let bytes = store.toc(id)?.ok_or(ExportError::Gone { layer: self.descriptor.digest })?;
        let toc = Toc::decode(bytes.as_slice())
            .map_err(|source| ExportError::Record { layer: self.descriptor.digest, source })?;
        let tree = Root::open(store.layout().tree(id))?;
        let (built, sink) = replay(&toc, &tree, None, sink)
            .map_err(|source| ExportError::Tree { layer: self.descriptor.digest, source: Box::new(source) })?;
        if built.diff_id != self.diff_id {
            return Err(ExportError::Changed { layer: self.diff_id, actual: built.diff_id });
        }
        Ok(sink)
    }

    /// The layer in another compression, as BuildKit's `compression` and `force-compression` do: what is compressed
    /// stays as it is unless forced.
    fn compressed(self, store: &Store, compress: &Compress) -> Result<Self, ExportError> {
        let Some(form) = compress.form else { return Ok(self) };
        let plain = matches!(self.descriptor.media_type.as_str(), media_type::OCI_LAYER | media_type::DOCKER_LAYER);
        let (wanted, compression) = match form {
            CompressForm::Uncompressed => (media_type::OCI_LAYER, Compression::None),
            CompressForm::Gzip => (media_type::OCI_LAYER_GZIP, Compression::Gzip),
            CompressForm::Zstd => (media_type::OCI_LAYER_ZSTD, Compression::Zstd),
        };
        let same = self.descriptor.media_type == wanted || (plain && form == CompressForm::Uncompressed);
        if !compress.force && (same || !plain) {
            return Ok(self);
        }
        let known = store.index().variants(&self.diff_id)?;
        let known = known.into_iter().find(|known| known.media_type == wanted && compress.level.is_none());
        if let Some(known) = known
            && store.blobs().size(&known.blob)? == Some(known.size)
        {
            return Ok(self.into_blob(wanted, known.blob, known.size));
        }
        let encoder = compression.encoder(store.blobs().writer()?, compress.level)?;
        let writer = self.write_plain(store, encoder)?.finish().map_err(|source| ExportError::Compress { source })?;
        let (digest, size) = writer.commit(Expected::any())?;
        let variant = Variant { media_type: wanted.to_owned(), blob: digest, size };
        store.index().put_variant(&self.diff_id, &variant)?;
        Ok(self.into_blob(wanted, digest, size))
    }

    fn into_blob(mut self, media_type: &str, digest: Digest, size: u64) -> Self {
        self.descriptor = Descriptor::new(media_type, digest, size);
        self.form = Form::Blob;
        self
    }

    /// Writes the uncompressed tar.
    fn write_plain(&self, store: &Store, mut sink: Encoder<BlobWriter>) -> Result<Encoder<BlobWriter>, ExportError> {
        if matches!(self.form, Form::Tree(_)) {
            return self.write_to(store, sink);
        }
        let file = BufReader::with_capacity(CHUNK, store.blobs().open(&self.descriptor.digest)?);
        let (_, mut plain) = Compression::detecting(Box::new(file))?;
        copy(&mut *plain, &mut sink, self.descriptor.digest)?;
        Ok(sink)
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, layer: Digest) -> Result<(), ExportError> {
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

/// Where output of one stream goes.
pub(crate) type Out = Box<dyn Write + Send>;

/// A file that replaces its target only when it is whole.
#[derive(Debug)]
pub(crate) struct Replacing {
    partial: std::path::PathBuf,
    target: std::path::PathBuf,
    done: bool,
}

impl Replacing {
    /// Opens a file beside `target`.
    pub(crate) fn open(target: &std::path::Path) -> Result<(Self, File), ExportError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", LayerId::mint()));
        let partial = target.with_file_name(name);
        let file = File::create(&partial).map_err(|source| ExportError::io("create", &partial, source))?;
        Ok((Self { partial, target: target.to_path_buf(), done: false }, file))
    }

    /// Puts it in place.
    pub(crate) fn commit(mut self) -> Result<(), ExportError> {
        std::fs::rename(&self.partial, &self.target)
            .map_err(|source| ExportError::io("rename to", &self.target, source))?;
        self.done = true;
        Ok(())
    }
}

impl Replacing {
    /// As [`Self::commit`], with its bytes on the disk before, and its name after.
    pub(crate) fn commit_durably(self) -> Result<(), ExportError> {
        let synced = |path: &std::path::Path| {
            File::open(path).and_then(|file| file.sync_all()).map_err(|source| ExportError::io("fsync", path, source))
        };
        synced(&self.partial)?;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(std::path::Path::new(".")).to_path_buf();
        self.commit()?;
        synced(&parent)
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        if !self.done {
            // Nobody is left to tell.
            drop(std::fs::remove_file(&self.partial));
        }
    }
}
