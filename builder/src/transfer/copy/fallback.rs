//! The tag that stands in for a list of referrers where a registry keeps none.
//! Specification: OCI distribution-spec, "Referrers Tag Schema".

use bytes::Bytes;
use oci::{Descriptor, Digest, Index, Tag, media_type};
use remote::{Accept, Reference, Repository};

use super::CopyError;
use super::document::{Document, Parsed};

/// Tries, since another client may write the same tag between our reading and our writing.
const TRIES: usize = 5;

/// `sha256-<hex>`, cut to what a tag may have.
///
/// # Errors
/// Never for a digest that was parsed.
pub fn tag(subject: &Digest) -> Result<Tag, CopyError> {
    let name: String = format!("{}-{}", subject.algorithm().name(), subject.hex()).chars().take(128).collect();
    name.parse()
        .map_err(|error: oci::ReferenceError| CopyError::Document { digest: *subject, problem: error.to_string() })
}

/// The descriptor of a referrer as lists of referrers have it.
pub(crate) fn describe(document: &Document) -> Result<Descriptor, CopyError> {
    let mut descriptor = document.descriptor();
    match document.parse()? {
        Parsed::Image(manifest) => {
            descriptor.artifact_type = manifest.artifact_type.or(Some(manifest.config.media_type));
            descriptor.annotations = manifest.annotations;
        }
        Parsed::Index(index) => {
            descriptor.artifact_type = index.artifact_type;
            descriptor.annotations = index.annotations;
        }
    }
    Ok(descriptor)
}

/// Adds a referrer to the list of `subject`.
pub(crate) async fn add(repository: &Repository, subject: &Digest, document: &Document) -> Result<(), CopyError> {
    let descriptor = describe(document)?;
    change(repository, subject, |manifests| {
        let absent = !manifests.iter().any(|known| known.digest == descriptor.digest);
        if absent {
            manifests.push(descriptor.clone());
        }
        absent
    })
    .await
}

/// Takes a referrer out of the list of `subject`.
///
/// # Errors
/// See [`CopyError`].
pub async fn remove(repository: &Repository, subject: &Digest, referrer: &Digest) -> Result<(), CopyError> {
    change(repository, subject, |manifests| {
        let before = manifests.len();
        manifests.retain(|known| known.digest != *referrer);
        manifests.len() != before
    })
    .await
}

/// Reads, changes and writes the list until what was to change has changed.
async fn change(
    repository: &Repository,
    subject: &Digest,
    edit: impl Fn(&mut Vec<Descriptor>) -> bool,
) -> Result<(), CopyError> {
    let tag = tag(subject)?;
    for _ in 0..TRIES {
        let mut index = match repository.manifest_by_tag(&tag, &Accept::these([media_type::OCI_INDEX])).await {
            Ok(fetched) => serde_json::from_slice::<Index>(&fetched.bytes)
                .map_err(|error| CopyError::Document { digest: fetched.digest, problem: error.to_string() })?,
            Err(error) if error.is_not_found() => Index::new(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if !edit(&mut index.manifests) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&index)
            .map_err(|error| CopyError::Document { digest: *subject, problem: error.to_string() })?;
        repository.put_manifest(&Reference::Tag(&tag), media_type::OCI_INDEX, Bytes::from(bytes)).await?;
    }
    Err(CopyError::Document {
        digest: *subject,
        problem: "its list of referrers is changed by others all the time".to_owned(),
    })
}
