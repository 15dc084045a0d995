//! The layers of an image as an exporter writes them.

use std::io::Write;
use std::path::PathBuf;

use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, media_type};
use store::{Blobs, Store};

use super::ExportError;
use super::encode::{self, Formed};
use super::form::{self, Choice, Wanted};
use super::plain::{self, Found, Plain};
use crate::Compress;

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
    /// A file of the bytes that the descriptor names.
    File(PathBuf),
    /// The layer's tar, made now.
    Tar(Plain),
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
    fn find(store: &Store, own: &Descriptor, diff_id: DiffId) -> Result<Self, ExportError> {
        let of = |descriptor, form| Self { descriptor, diff_id, form };
        if store.blobs().size(&own.digest)?.is_some() {
            return Ok(of(own.clone(), Form::File(store.layout().blob(&own.digest))));
        }
        if let Some(path) = plain::verified(store, &own.digest, own.size)? {
            return Ok(of(own.clone(), Form::File(path)));
        }
        // The blob that the manifest names is not here: some other form of the layer is.
        let Found::Here(plain) = Plain::find(store, &diff_id, true)? else {
            return Err(ExportError::Gone { layer: own.digest });
        };
        if let Plain::Packed(path) = &plain
            && let Some(descriptor) = packed(store, &diff_id, path)?
        {
            return Ok(of(descriptor, Form::File(path.clone())));
        }
        let size = tar_size(store, &diff_id)?.ok_or(ExportError::Gone { layer: own.digest })?;
        let descriptor = Descriptor::new(media_type::OCI_LAYER, *diff_id.digest(), size);
        Ok(match plain {
            Plain::Blob(path) => of(descriptor, Form::File(path)),
            plain => of(descriptor, Form::Tar(plain)),
        })
    }

    /// Writes the bytes that the descriptor names, and checks them where they were made anew.
    pub(crate) fn write_to<W: Write + Send + 'static>(&self, store: &Store, sink: W) -> Result<W, ExportError> {
        match &self.form {
            Form::File(path) => Plain::Blob(path.clone()).write_to(store, &self.diff_id, sink),
            Form::Tar(plain) => plain.write_to(store, &self.diff_id, sink),
        }
    }

    /// A file of the bytes that the descriptor names; made now where there is none.
    pub(crate) fn file(&self, store: &Store) -> Result<PathBuf, ExportError> {
        if let Form::File(path) = &self.form {
            return Ok(path.clone());
        }
        let writer = self.write_to(store, store.blobs().writer()?)?;
        let (digest, _) = writer.commit(store::Expected::from(self.descriptor.digest))?;
        Ok(store.layout().blob(&digest))
    }

    /// The layer in a form that is this file.
    fn formed(self, formed: Formed, path: PathBuf) -> Self {
        let diff_id = formed.stream.unwrap_or(self.diff_id);
        Self { descriptor: formed.descriptor, diff_id, form: Form::File(path) }
    }

    /// Its DiffId in the form that goes out.
    pub(crate) fn diff_id(&self) -> DiffId {
        self.diff_id
    }

    /// The layer in another compression.
    fn compressed(self, store: &Store, compress: &Compress) -> Result<Self, ExportError> {
        let variants = store.index().variants(&self.diff_id)?;
        let wanted = match form::choose(&self.descriptor.media_type, false, &variants, compress, None) {
            Choice::Keep => return Ok(self),
            Choice::Known(_) => return Ok(self),
            Choice::As(wanted) => wanted,
        };
        if let Some(known) = encode::known(store, &self.diff_id, &wanted)? {
            let (digest, size) = (known.descriptor.digest, known.descriptor.size);
            if store.blobs().size(&digest)? == Some(size) {
                return Ok(self.formed(known, store.layout().blob(&digest)));
            }
            if let Some(path) = plain::verified(store, &digest, size)? {
                return Ok(self.formed(known, path));
            }
        }
        let plain = match &self.form {
            Form::Tar(plain) => plain.clone(),
            Form::File(path) if form::is_plain(&self.descriptor.media_type) => Plain::Blob(path.clone()),
            Form::File(path) => Plain::Packed(path.clone()),
        };
        let formed = make(store, &self.diff_id, &plain, &wanted)?;
        let path = store.layout().compressed_blob(&formed.descriptor.digest);
        Ok(self.formed(formed, path))
    }
}

/// Makes a form of a layer and keeps it.
fn make(store: &Store, diff_id: &DiffId, plain: &Plain, wanted: &Wanted) -> Result<Formed, ExportError> {
    let (writer, contents) = encode::encode(store, diff_id, plain, wanted, store.compressed_writer()?)?;
    encode::remember(store, diff_id, wanted, contents, writer.commit()?)
}

/// What the store calls the compressed file of a layer.
fn packed(store: &Store, diff_id: &DiffId, path: &std::path::Path) -> Result<Option<Descriptor>, ExportError> {
    let named = |digest: &Digest| store.layout().blob(digest) == path || store.layout().compressed_blob(digest) == path;
    for id in store.index().layers_by_diff_id(diff_id)? {
        if let Some(blob) = store.index().layer(&id)?.and_then(|row| row.blob)
            && named(&blob.digest)
        {
            return Ok(Some(Descriptor::new(blob.media_type, blob.digest, blob.size)));
        }
    }
    let variant = store.index().variants(diff_id)?.into_iter().find(|variant| named(&variant.blob));
    Ok(variant.map(|variant| {
        let media_type = variant.media_type.split([';', '\n']).next().unwrap_or_default();
        Descriptor::new(media_type, variant.blob, variant.size)
    }))
}

/// The size of a layer's tar, where a layer with this DiffId is known.
pub(crate) fn tar_size(store: &Store, diff_id: &DiffId) -> Result<Option<u64>, ExportError> {
    if let Some(size) = store.blobs().size(diff_id.digest())? {
        return Ok(Some(size));
    }
    for id in store.index().layers_by_diff_id(diff_id)? {
        if let Some((_, size)) = store.index().diff_id(&id, None)?
            && size > 0
        {
            return Ok(Some(size));
        }
    }
    Ok(None)
}
