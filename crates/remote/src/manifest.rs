//! Manifests: small documents, read whole and compared with their digest.
//! Specification: OCI distribution-spec, "Pulling manifests".

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use oci::{Digest, Hasher, Tag, media_type};
use serde::Deserialize;

use crate::client::Repository;
use crate::error::{Error, Result};

/// The header that names a digest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// Which manifests we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept(String);

impl Accept {
    /// Given media types, in order of preference.
    pub fn these<'a>(types: impl IntoIterator<Item = &'a str>) -> Self {
        Self(types.into_iter().collect::<Vec<_>>().join(", "))
    }
}

impl Default for Accept {
    /// Images and indexes, OCI's and docker's.
    fn default() -> Self {
        use media_type::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
        Self::these([OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST])
    }
}

/// A manifest that was read: its bytes are those of its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The exact bytes.
    pub bytes: Bytes,
    /// The content type, without parameters.
    pub media_type: String,
    /// What the bytes hash to, with the algorithm of whoever asked or, for a tag, of the registry.
    pub digest: Digest,
}

/// What a `HEAD` tells. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The digest, where the registry names it.
    pub digest: Option<Digest>,
    /// The size in bytes, where it is named.
    pub size: Option<u64>,
    /// The content type, without parameters; empty where none is named.
    pub media_type: String,
}

impl Repository {
    /// Fetches a manifest by tag.
    ///
    /// # Errors
    /// See [`Error`]: also when the bytes are not those of the digest that the registry names.
    pub async fn manifest_by_tag(&self, tag: &Tag, accept: &Accept) -> Result<Fetched> {
        self.manifest(tag.as_str(), None, accept).await
    }

    /// Fetches a manifest by digest.
    ///
    /// # Errors
    /// See [`Error`]: also when the bytes are not those of the digest.
    pub async fn manifest_by_digest(&self, digest: &Digest, accept: &Accept) -> Result<Fetched> {
        self.manifest(&digest.to_string(), Some(digest), accept).await
    }

    async fn manifest(&self, reference: &str, expected: Option<&Digest>, accept: &Accept) -> Result<Fetched> {
        let what = format!("manifest {reference}");
        let url = self.url(&format!("manifests/{reference}")).await?;
        let call = || self.call_at(Method::GET, url.clone(), "pull", what.clone()).header(header::ACCEPT, &accept.0);
        let limit = self.registry.shared.options.limits.manifest;
        let (headers, bytes) = self.registry.fetch(call, &[StatusCode::OK], limit).await?;
        let (named, content_type) = (named_digest(&headers), content_type(&headers));
        let expected = expected.copied().or(named);
        let digest = match expected {
            None => Digest::sha256(&bytes),
            Some(expected) => {
                let mut hasher = Hasher::new(expected.algorithm());
                hasher.update(&bytes);
                let found = hasher.finish();
                if found != expected {
                    return Err(Error::Digest { place: self.place(), what, expected, found });
                }
                found
            }
        };
        let malformed = |problem| Error::Malformed { place: self.place(), what: what.clone(), problem };
        let media_type = agreed_type(&content_type, &bytes).map_err(malformed)?;
        Ok(Fetched { bytes, media_type, digest })
    }

    /// Asks about a manifest by tag.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn head_manifest(&self, tag: &Tag, accept: &Accept) -> Result<Known> {
        self.head(tag.as_str(), accept).await
    }

    /// Asks about a manifest by digest.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn head_manifest_by_digest(&self, digest: &Digest, accept: &Accept) -> Result<Known> {
        self.head(&digest.to_string(), accept).await
    }

    async fn head(&self, reference: &str, accept: &Accept) -> Result<Known> {
        let what = format!("manifest {reference}");
        let call = self.call(Method::HEAD, &format!("manifests/{reference}"), "pull", what).await?;
        let response = self.ask(call.header(header::ACCEPT, &accept.0), &[StatusCode::OK]).await?;
        Ok(known(response.headers()))
    }
}

pub(crate) fn known(headers: &HeaderMap) -> Known {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    Known {
        digest: named_digest(headers),
        size: length.and_then(|text| text.parse().ok()),
        media_type: content_type(headers),
    }
}

fn named_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The type on which header and document agree. A document that can be read in two ways, by its own word and by the
/// header's, or as an image and as an index, is refused (GHSA-77vh-xpmg-72qh).
fn agreed_type(content_type: &str, bytes: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(default)]
        media_type: Option<String>,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        layers: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        config: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| format!("not a manifest: {error}"))?;
    let is_image = shape.layers.is_some() || shape.config.is_some();
    if shape.manifests.is_some() && is_image {
        return Err("both an image and an index".to_owned());
    }
    let known = |name: &str| media_type::is_index(name) || media_type::is_manifest(name);
    let agreed = match shape.media_type {
        Some(own) if known(content_type) && own != content_type => {
            return Err(format!("sent as {content_type}, and says to be {}", crate::error::printable(&own)));
        }
        // Hosts of plain files send types that say nothing.
        Some(own) if !known(content_type) => own,
        _ => content_type.to_owned(),
    };
    if media_type::is_index(&agreed) && is_image || media_type::is_manifest(&agreed) && shape.manifests.is_some() {
        return Err(format!("sent as {agreed}, and is something else"));
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    #[test]
    fn header_and_document_agree() {
        for (content_type, body, expected) in [
            (
                OCI_MANIFEST,
                r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}"#,
                Some(OCI_MANIFEST),
            ),
            (OCI_MANIFEST, r#"{"config":{},"layers":[]}"#, Some(OCI_MANIFEST)),
            (
                "text/plain",
                r#"{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
                Some(OCI_INDEX),
            ),
            ("application/json", r#"{"layers":[]}"#, Some("application/json")),
            (DOCKER_MANIFEST, r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#, None),
            (OCI_MANIFEST, r#"{"layers":[],"manifests":[]}"#, None),
            (OCI_INDEX, r#"{"layers":[]}"#, None),
            (OCI_MANIFEST, r#"{"manifests":[]}"#, None),
            (OCI_MANIFEST, "<html>", None),
            (OCI_MANIFEST, "", None),
        ] {
            assert_eq!(agreed_type(content_type, body.as_bytes()).ok().as_deref(), expected, "{content_type} {body}");
        }
    }
}
