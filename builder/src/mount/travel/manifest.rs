//! A travelling mount at its place: a manifest of its own, so that it is replaced without the rest of the cache.
//!
//! It is an OCI image manifest: the config is the index, the layers are the packs, so that any registry keeps them.

use oci::{Digest, media_type};
use serde::{Deserialize, Serialize};

use super::TravelError;
use super::index::{Index, MAX_INDEX};
use crate::cache::backend::{Backend, Blob, Content};

const ARTIFACT: &str = "application/vnd.estiba.cache-mount.v1+json";
const INDEX: &str = "application/vnd.estiba.cache-mount.index.v1+json+zstd";
const PACK: &str = "application/vnd.estiba.cache-mount.pack.v1+zstd";
/// Under which annotation the mount's id stands.
const ID: &str = "com.estiba.cache-mount.id";
/// Compressed it is not larger than plain.
const MAX_PACKED_INDEX: u64 = MAX_INDEX as u64;

/// What is at a place.
pub(super) struct There {
    /// The index.
    pub(super) index: Blob,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    config: Part,
    layers: Vec<Part>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// The name of a mount's manifest within a cache. Ids are what users type.
pub(super) fn part(id: &str) -> String {
    format!("mount-{}", &Digest::sha256(id.as_bytes()).hex()[..32])
}

/// What is there of a mount; `None`: nothing.
pub(super) fn read(from: &dyn Backend, part: &str, id: &str) -> Result<Option<There>, TravelError> {
    let Some(bytes) = from.get_manifest(Some(part))? else { return Ok(None) };
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| TravelError::Index(error.to_string()))?;
    if document.artifact_type != ARTIFACT || document.annotations.get(ID).is_none_or(|said| said != id) {
        return Err(TravelError::Index(format!("{} holds something else under {part}", from.place())));
    }
    let Part { digest, size, .. } = document.config;
    if size > MAX_PACKED_INDEX {
        return Err(TravelError::Index(format!("its index has {size} bytes, more than {MAX_PACKED_INDEX}")));
    }
    Ok(Some(There { index: Blob { digest, size } }))
}

/// Fetches the index.
pub(super) fn index(from: &dyn Backend, there: &There) -> Result<Index, TravelError> {
    let mut bytes = Vec::new();
    from.get_blob(&there.index, &mut bytes)?;
    Index::decode(&bytes)
}

/// Writes a mount's index and manifest; its packs are there. Gives how many bytes moved.
pub(super) fn write(to: &dyn Backend, part: &str, id: &str, index: &Index, bytes: &[u8]) -> Result<u64, TravelError> {
    let blob = Blob { digest: Digest::sha256(bytes), size: bytes.len() as u64 };
    let moved = to.put_blob(&blob, Content::Bytes(bytes))?;
    let config = || Part { media_type: INDEX.to_owned(), digest: blob.digest, size: blob.size };
    let packs = index.packs.iter();
    let mut layers: Vec<Part> =
        packs.map(|pack| Part { media_type: PACK.to_owned(), digest: pack.digest, size: pack.size }).collect();
    if layers.is_empty() {
        // A manifest without layers is refused by some registries.
        layers.push(config());
    }
    let document = Document {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_owned(),
        artifact_type: ARTIFACT.to_owned(),
        config: config(),
        layers,
        annotations: [(ID.to_owned(), id.to_owned())].into(),
    };
    let document = serde_json::to_vec(&document).map_err(|error| TravelError::Index(error.to_string()))?;
    let size = document.len() as u64;
    to.put_manifest(Some(part), media_type::OCI_MANIFEST, &document)?;
    Ok(moved + size)
}
