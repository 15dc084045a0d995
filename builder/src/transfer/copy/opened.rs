//! A place that is only looked at: its documents, its configurations, what refers to it.

use oci::{Descriptor, Digest, ImageConfig, Manifest, Platform};
use remote::Source as _;

use futures_util::StreamExt;

use super::document::{Document, MAX_DOCUMENT, Parsed};
use super::source::Source;
use super::{CopyError, Hands, Place, stored};

/// A place that is looked at.
pub struct Opened {
    form: Form,
    place: String,
}

#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
enum Form {
    Source(Source),
    /// Documents as the store has them, which is not always as it would export them.
    Store(std::sync::Arc<store::Store>, Digest),
}

/// Opens a place for looking.
///
/// # Errors
/// When it is not there.
pub async fn open(hands: &Hands<'_>, place: &Place) -> Result<Opened, CopyError> {
    let form = match place {
        Place::Store(name) => {
            let store = hands.store.ok_or_else(|| CopyError::NoStore(name.clone()))?;
            Form::Store(std::sync::Arc::clone(store), stored::find(store, name)?)
        }
        Place::DockerArchive { file, reference } => {
            let layout = super::new_archive(file, reference.as_ref()).await?.ok_or_else(|| CopyError::NoLayout {
                path: file.clone(),
                problem: "docker's older archives have no manifest".to_owned(),
            })?;
            Form::Source(Source::open(hands, &layout).await?)
        }
        other => Form::Source(Source::open(hands, other).await?),
    };
    Ok(Opened { form, place: place.to_string() })
}

/// What the store has under a digest, with a name or without.
pub(super) fn at(store: &std::sync::Arc<store::Store>, digest: Digest) -> Opened {
    Opened { form: Form::Store(std::sync::Arc::clone(store), digest), place: format!("store:{digest}") }
}

impl Opened {
    /// What the place's name points at.
    ///
    /// # Errors
    /// When it is not there, or not what its digest says.
    pub async fn top(&self) -> Result<Document, CopyError> {
        match &self.form {
            Form::Source(source) => source.top().await,
            Form::Store(store, digest) => stored::document(store, digest),
        }
    }

    /// A document that another one lists.
    ///
    /// # Errors
    /// As [`Opened::top`].
    pub async fn document(&self, descriptor: &Descriptor) -> Result<Document, CopyError> {
        match &self.form {
            Form::Source(source) => source.document(descriptor).await,
            Form::Store(store, _) => stored::document(store, &descriptor.digest),
        }
    }

    /// The image for a platform (this machine's where none is named) behind the name; an image that is no index as it is.
    ///
    /// # Errors
    /// When an index has none.
    pub async fn image(&self, platform: Option<&Platform>) -> Result<(Document, Manifest), CopyError> {
        let mut document = self.top().await?;
        loop {
            match document.parse()? {
                Parsed::Image(manifest) => return Ok((document, *manifest)),
                Parsed::Index(index) => {
                    let child = super::carry::for_platform(&index, platform, &self.place)?;
                    document = self.document(child).await?;
                }
            }
        }
    }

    /// The bytes of an image's configuration.
    ///
    /// # Errors
    /// As [`Opened::top`].
    pub async fn config(&self, manifest: &Manifest) -> Result<Vec<u8>, CopyError> {
        self.bytes(&manifest.config, MAX_DOCUMENT).await
    }

    /// The bytes of a blob of at most `limit`.
    ///
    /// # Errors
    /// As [`Opened::top`].
    pub async fn bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, CopyError> {
        let source = match &self.form {
            Form::Source(source) => source.blob(descriptor)?,
            Form::Store(store, _) => {
                return Ok(store::Blobs::read_bytes(store.blobs(), &descriptor.digest, limit)?);
            }
        };
        if descriptor.size > limit {
            return Err(CopyError::Length { digest: descriptor.digest, expected: limit, found: descriptor.size });
        }
        let failed =
            |error: remote::SourceError| CopyError::Bytes { digest: descriptor.digest, message: error.to_string() };
        let checked = super::checked::Checked::new(source, descriptor.digest, descriptor.size);
        let mut pieces = checked.open(0).await.map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(failed)?);
        }
        Ok(bytes)
    }

    /// For which platform an image is, by its configuration; `None` for an artifact.
    ///
    /// # Errors
    /// As [`Opened::config`].
    pub async fn platform(&self, manifest: &Manifest) -> Result<Option<Platform>, CopyError> {
        if !oci::media_type::is_config(&manifest.config.media_type) {
            return Ok(None);
        }
        let bytes = self.config(manifest).await?;
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|error| CopyError::Document { digest: manifest.config.digest, problem: error.to_string() })?;
        Ok(Some(config.platform()))
    }

    /// What refers to a manifest.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, CopyError> {
        match &self.form {
            Form::Source(source) => source.referrers(subject).await,
            Form::Store(..) => Ok(Vec::new()),
        }
    }
}
