//! What an image becomes when it is pushed, from the index alone: nothing is read but rows and documents.

use bytes::Bytes;
use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Raw, media_type};
use store::{Blobs, Store};

use super::PushError;
use super::document::{Content, Document, MAX_DOCUMENT};
use crate::export::encode::{self, Formed};
use crate::export::form::{self, Choice, Wanted};
use crate::export::images;
use crate::export::layers::tar_size;
use crate::{Compress, CompressForm};

/// A blob of an image to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// As the manifest lists it.
    pub(super) own: Descriptor,
    /// What it becomes, where that is known before it is made.
    pub(super) known: Option<Descriptor>,
    /// The DiffId of what is known, where it is not the layer's own.
    pub(super) stream: Option<DiffId>,
    /// How it is made, where it must be and can be.
    pub(super) recipe: Option<(DiffId, Wanted)>,
}

impl Part {
    pub(super) fn as_it_is(own: &Descriptor) -> Self {
        Self { own: own.clone(), known: Some(own.clone()), stream: None, recipe: None }
    }

    /// What it becomes, if that is known.
    pub(super) fn formed(&self) -> Option<Formed> {
        Some(Formed { descriptor: self.known.clone()?, stream: self.stream })
    }

    /// Whether it becomes a layer of another DiffId, so that the image gets another configuration.
    pub(super) fn changes_config(&self) -> bool {
        self.stream.is_some() || self.recipe.is_some_and(|(_, wanted)| wanted.form == CompressForm::Estargz)
    }

    /// What tells it from the others of a push.
    pub(super) fn name(&self) -> Digest {
        let made = self.recipe.as_ref().map(|(diff_id, _)| *diff_id.digest());
        self.known.as_ref().map(|known| known.digest).or(made).unwrap_or(self.own.digest)
    }

    /// Layers that are fetched from where their makers say, and from no registry.
    pub(super) fn is_elsewhere(&self) -> bool {
        !self.own.urls.is_empty()
            && (self.own.media_type.contains("nondistributable") || self.own.media_type.contains("foreign"))
    }
}

/// The layers of an image, base first.
pub(super) fn layers(
    store: &Store,
    document: &Document,
    manifest: &Manifest,
    compress: &Compress,
) -> Result<Vec<Part>, PushError> {
    let as_they_are = || Ok(manifest.layers.iter().map(Part::as_it_is).collect());
    if !document.from.is_empty() || !media_type::is_config(&manifest.config.media_type) {
        return as_they_are();
    }
    let config = match store.blobs().read_bytes(&manifest.config.digest, MAX_DOCUMENT) {
        Ok(bytes) => bytes,
        Err(store::blobs::Error::Missing { .. }) => return as_they_are(),
        Err(error) => return Err(error.into()),
    };
    // What says that it is a configuration and is none belongs to somebody else's kind of artifact.
    let Ok(config) = Raw::<ImageConfig>::parse(config) else { return as_they_are() };
    let diff_ids = &config.value().rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return as_they_are();
    }
    manifest.layers.iter().zip(diff_ids).map(|(own, diff_id)| layer(store, own, *diff_id, compress)).collect()
}

fn layer(store: &Store, own: &Descriptor, diff_id: DiffId, compress: &Compress) -> Result<Part, PushError> {
    let mut variants = store.index().variants(&diff_id)?;
    let elsewhere = is_elsewhere(store, &diff_id)?;
    if !elsewhere {
        variants.retain(store::Variant::is_verified);
    }
    let pulled = form::is_plain(&own.media_type) && (elsewhere || is_pulled(store, &diff_id)?);
    let recipe =
        |descriptor: &Descriptor| form::form_of(&descriptor.media_type).map(|form| (diff_id, Wanted::of(form, None)));
    Ok(match form::choose(&own.media_type, pulled, &variants, compress, Some(CompressForm::Gzip)) {
        Choice::Keep => Part { recipe: recipe(own), ..Part::as_it_is(own) },
        Choice::Known(known) => Part { own: own.clone(), recipe: recipe(&known), known: Some(*known), stream: None },
        Choice::As(wanted) => {
            let plain = wanted.media_type == media_type::OCI_LAYER;
            let tar = |size| Descriptor::new(wanted.media_type, *diff_id.digest(), size);
            let known = match plain {
                true => tar_size(store, &diff_id)?.map(|size| Formed::from(tar(size))),
                false => encode::known(store, &diff_id, &wanted)?,
            };
            let stream = known.as_ref().and_then(|known| known.stream);
            let known = known.map(|known| known.descriptor);
            Part { own: own.clone(), known, stream, recipe: Some((diff_id, wanted)) }
        }
    })
}

/// Whether a layer came from a registry: then the store keeps what its tar holds beside the files.
fn is_pulled(store: &Store, diff_id: &DiffId) -> Result<bool, PushError> {
    let ids = store.index().layers_by_diff_id(diff_id)?;
    Ok(ids.iter().any(|id| store.layout().split(id).exists()))
}

/// Whether no byte of a layer is here: then what some place has of it is all there is.
fn is_elsewhere(store: &Store, diff_id: &DiffId) -> Result<bool, PushError> {
    let (boot, index) = (store::boot_id().map_err(store::Error::from)?, store.index());
    let mut known = false;
    for id in index.layers_by_diff_id(diff_id)? {
        match index.layer(&id)? {
            Some(row) if row.is_elsewhere() => known = true,
            Some(row) if row.clone().alive(&boot).is_some() => return Ok(false),
            _ => {}
        }
    }
    Ok(known)
}

/// A manifest as it goes out.
pub(super) struct Changed {
    /// It.
    pub(super) document: Document,
    /// Its configuration, where that is another one now.
    pub(super) config: Option<Raw<ImageConfig>>,
}

/// The manifest with these layers: its exact bytes, where they are its own.
pub(super) fn with_layers(store: &Store, document: &Document, layers: &[Formed]) -> Result<Changed, PushError> {
    let unchanged = || Changed { document: document.clone(), config: None };
    let Content::Image(manifest) = &document.content else { return Ok(unchanged()) };
    if manifest.layers.iter().map(|own| own.digest).eq(layers.iter().map(|layer| layer.descriptor.digest)) {
        return Ok(unchanged());
    }
    let config = with_streams(store, manifest, layers)?;
    let kept = manifest.layers.iter().zip(layers).map(|(own, layer)| {
        let kept = if own.digest == layer.descriptor.digest { own } else { &layer.descriptor };
        Descriptor { media_type: form::oci_layer(&kept.media_type).to_owned(), ..kept.clone() }
    });
    let own = match &config {
        Some(config) => Descriptor::new(&manifest.config.media_type, config.digest(), config.size()),
        None => manifest.config.clone(),
    };
    let mut changed = Manifest {
        artifact_type: manifest.artifact_type.clone(),
        subject: manifest.subject.clone(),
        annotations: manifest.annotations.clone(),
        ..Manifest::new(own, kept.collect())
    };
    form::settle_types(&mut changed, &document.media_type);
    Ok(Changed { document: encoded(document, Raw::encode(changed))?, config })
}

/// The configuration with the DiffIds that layers have in their forms, if any is another.
fn with_streams(store: &Store, manifest: &Manifest, layers: &[Formed]) -> Result<Option<Raw<ImageConfig>>, PushError> {
    if layers.iter().all(|layer| layer.stream.is_none()) {
        return Ok(None);
    }
    let digest = manifest.config.digest;
    let failed = |source| PushError::Document { digest, source };
    let bytes = store.blobs().read_bytes(&digest, MAX_DOCUMENT)?;
    let mut config = Raw::<ImageConfig>::parse(bytes).map_err(failed)?.into_value();
    for (diff_id, layer) in config.rootfs.diff_ids.iter_mut().zip(layers) {
        *diff_id = layer.stream.unwrap_or(*diff_id);
    }
    Raw::encode(config).map(Some).map_err(failed)
}

/// The index with these entries: its exact bytes, where they are its own.
pub(super) fn with_children(document: &Document, children: &[Descriptor]) -> Result<Document, PushError> {
    let Content::Index(index) = &document.content else { return Ok(document.clone()) };
    if index.manifests.iter().map(|own| own.digest).eq(children.iter().map(|child| child.digest)) {
        return Ok(document.clone());
    }
    let own = Raw::parse(document.bytes.to_vec());
    encoded(document, own.and_then(|own| images::with_children(own, children)))
}

fn encoded<T>(document: &Document, encoded: Result<Raw<T>, oci::RawError>) -> Result<Document, PushError> {
    let raw = encoded.map_err(|source| PushError::Document { digest: document.digest, source })?;
    Document::parse(raw.digest(), Bytes::copy_from_slice(raw.bytes()), None)
}
