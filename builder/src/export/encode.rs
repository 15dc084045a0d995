//! A layer's tar into a form, and what is remembered of it.

use std::collections::BTreeMap;
use std::io::Write;

use layer::{Chunked, ChunkedForm, Compression, Contents};
use oci::{Descriptor, DiffId, Digest};
use serde::{Deserialize, Serialize};
use store::{Store, Variant};

use super::ExportError;
use super::form::Wanted;
use super::plain::Plain;
use crate::CompressForm;

/// A layer in a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Formed {
    /// Its blob.
    pub(crate) descriptor: Descriptor,
    /// Its DiffId in this form, where that is another than the tar's.
    pub(crate) stream: Option<DiffId>,
}

impl From<Descriptor> for Formed {
    fn from(descriptor: Descriptor) -> Self {
        Self { descriptor, stream: None }
    }
}

/// What is remembered of a form beside its blob; in the index it follows the form's name, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Facts {
    annotations: BTreeMap<String, String>,
    stream: Option<DiffId>,
}

/// Between a form's name and what is remembered of it.
const FACTS: char = '\n';

/// Writes a layer into `sink` in a form; gives what its descriptor is to say.
pub(crate) fn encode<W: Write + Send + 'static>(
    store: &Store,
    diff_id: &DiffId,
    plain: &Plain,
    wanted: &Wanted,
    sink: W,
) -> Result<(W, Contents), ExportError> {
    let failed = |source| ExportError::Compress { source };
    let stream = |compression: Compression, sink| -> Result<(W, Contents), ExportError> {
        let encoder = plain.write_to(store, diff_id, compression.encoder(sink, wanted.level)?)?;
        Ok((encoder.finish().map_err(failed)?, Contents::default()))
    };
    let chunked = |form, sink| -> Result<(W, Contents), ExportError> {
        let encoder = Chunked::new(form, sink, wanted.level).map_err(failed)?;
        let encoder = plain.write_to(store, diff_id, encoder)?;
        encoder.finish().map_err(|error| failed(error.into()))
    };
    match wanted.form {
        CompressForm::Uncompressed => stream(Compression::None, sink),
        CompressForm::Gzip => stream(Compression::Gzip, sink),
        CompressForm::Zstd => stream(Compression::Zstd, sink),
        CompressForm::Estargz => chunked(ChunkedForm::Estargz, sink),
        CompressForm::ZstdChunked => chunked(ChunkedForm::Zstd, sink),
    }
}

/// Remembers a form that was made.
pub(crate) fn remember(
    store: &Store,
    diff_id: &DiffId,
    wanted: &Wanted,
    contents: Contents,
    (blob, size): (Digest, u64),
) -> Result<Formed, ExportError> {
    let stream = contents.stream.map(|(diff_id, _)| diff_id);
    let mut name = wanted.remembered();
    let facts = Facts { annotations: contents.annotations, stream };
    if !facts.annotations.is_empty() || stream.is_some() {
        name.push(FACTS);
        name.push_str(&serde_json::to_string(&facts).map_err(|source| ExportError::Json { source })?);
    }
    let variant = Variant { media_type: name, blob, size };
    match stream {
        Some(_) => store.index().put_other_stream(diff_id, &variant)?,
        None => store.index().put_variant(diff_id, &variant)?,
    }
    let mut descriptor = Descriptor::new(wanted.media_type, blob, size);
    descriptor.annotations = facts.annotations;
    Ok(Formed { descriptor, stream })
}

/// What is remembered of a layer in a form.
pub(crate) fn known(store: &Store, diff_id: &DiffId, wanted: &Wanted) -> Result<Option<Formed>, store::Error> {
    let variants = match wanted.form {
        CompressForm::Estargz => store.index().other_streams(diff_id)?,
        _ => store.index().variants(diff_id)?,
    };
    Ok(among(&variants, wanted))
}

/// The form among those that are remembered.
pub(super) fn among(variants: &[Variant], wanted: &Wanted) -> Option<Formed> {
    let name = wanted.remembered();
    variants.iter().find_map(|variant| {
        let (own, facts) = variant.media_type.split_once(FACTS).unwrap_or((&variant.media_type, "{}"));
        let facts: Facts = serde_json::from_str(facts).ok().filter(|_| own == name)?;
        let mut descriptor = Descriptor::new(wanted.media_type, variant.blob, variant.size);
        descriptor.annotations = facts.annotations;
        Some(Formed { descriptor, stream: facts.stream })
    })
}
