//! Manifests and indexes as they travel: exact bytes, and what they mean.

use bytes::Bytes;
use oci::{Descriptor, Digest, Hasher, Index, Manifest, media_type};
use serde::Deserialize;

use super::CopyError;

/// The largest manifest or index that is read. Registries stop at 4 MiB.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The exact bytes.
    pub bytes: Bytes,
    /// What they are.
    pub media_type: String,
    /// What they hash to.
    pub digest: Digest,
}

/// What a document means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// An image or an artifact.
    Image(Box<Manifest>),
    /// A list of them.
    Index(Box<Index>),
}

/// What tells documents apart.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Bytes that a descriptor names: compared with it.
    pub(super) fn described(bytes: Bytes, descriptor: &Descriptor) -> Result<Self, CopyError> {
        verify(&bytes, &descriptor.digest, Some(descriptor.size))?;
        Ok(Self { media_type: descriptor.media_type.clone(), digest: descriptor.digest, bytes })
    }

    /// A document that was just made.
    pub(crate) fn made(bytes: Vec<u8>, media_type: &str) -> Self {
        Self { digest: Digest::sha256(&bytes), media_type: media_type.to_owned(), bytes: Bytes::from(bytes) }
    }

    /// The descriptor with the three required fields.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }

    /// What it means.
    ///
    /// # Errors
    /// What can be read in two ways, as an image and as an index, or other than it is called, is refused.
    pub fn parse(&self) -> Result<Parsed, CopyError> {
        let wrong = |problem: String| CopyError::Document { digest: self.digest, problem };
        let shape: Shape =
            serde_json::from_slice(&self.bytes).map_err(|error| wrong(format!("no manifest: {error}")))?;
        if shape.schema_version == 1 || self.media_type.starts_with("application/vnd.docker.distribution.manifest.v1") {
            return Err(wrong("a manifest of schema 1, which registries gave up in 2019".to_owned()));
        }
        if let Some(own) = shape.media_type.filter(|own| *own != self.media_type) {
            let own: String = own.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(wrong(format!("called {}, and says to be {own}", self.media_type)));
        }
        let is_image = shape.layers.is_some() || shape.config.is_some();
        match (shape.manifests.is_some(), is_image) {
            (true, true) => Err(wrong("both an image and an index".to_owned())),
            (true, false) if media_type::is_manifest(&self.media_type) => {
                Err(wrong("called an image, and an index".to_owned()))
            }
            (false, _) if media_type::is_index(&self.media_type) => Err(wrong("called an index, and none".to_owned())),
            (true, false) => read(&self.bytes).map(Parsed::Index).map_err(wrong),
            (false, _) => read(&self.bytes).map(Parsed::Image).map_err(wrong),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<Box<T>, String> {
    serde_json::from_slice(bytes).map(Box::new).map_err(|error| error.to_string())
}

/// Compares bytes with what they should be.
pub(super) fn verify(bytes: &[u8], digest: &Digest, size: Option<u64>) -> Result<(), CopyError> {
    let found = bytes.len() as u64;
    if let Some(expected) = size.filter(|size| *size != found) {
        return Err(CopyError::Length { digest: *digest, expected, found });
    }
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(bytes);
    match hasher.finish() {
        found if found == *digest => Ok(()),
        found => Err(CopyError::Digest { expected: *digest, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let config = r#""config":{"mediaType":"x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
        for (media_type, body, expected) in [
            (OCI_MANIFEST, format!(r#"{{"schemaVersion":2,{config},"layers":[]}}"#), None),
            (OCI_MANIFEST, format!(r#"{{"schemaVersion":2,{config},"layers":[],"manifests":[]}}"#), Some("both")),
            (OCI_INDEX, r#"{"schemaVersion":2,"manifests":null}"#.to_owned(), Some("none")),
            (OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(), None),
            (OCI_INDEX, format!(r#"{{"schemaVersion":2,{config}}}"#), Some("called an index")),
            (OCI_MANIFEST, r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(), Some("called an image")),
            (
                OCI_MANIFEST,
                format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}",{config}}}"#),
                Some("says to be"),
            ),
            (DOCKER_MANIFEST, r#"{"schemaVersion":1}"#.to_owned(), Some("schema 1")),
            (OCI_MANIFEST, "<html>".to_owned(), Some("no manifest")),
        ] {
            let document = Document::made(body.clone().into_bytes(), media_type);
            match (document.parse(), expected) {
                (Ok(_), None) => {}
                (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{body}: {error}"),
                (parsed, _) => panic!("{body}: {parsed:?}"),
            }
        }
    }
}
