//! Statements of an image that goes out with other bytes: a push or an archive compresses its layers, so its manifest has
//! another digest there, and what is said of it must be said of that one.

use std::collections::BTreeMap;

use oci::{Descriptor, Digest, Manifest, Raw};
use serde_json::Value;
use store::{Blobs, Store};

use super::layout::{ATTESTATION, Attested, KIND, REFERENCE_DIGEST, REFERENCE_TYPE, STATEMENT};
use super::read::MAX_STATEMENT;
use crate::build::Failure;

/// Manifests are kilobytes.
const MAX_MANIFEST: u64 = 8 << 20;

/// What an image became where it went.
#[derive(Debug)]
pub(crate) struct Became {
    /// Its manifest.
    pub(crate) digest: Digest,
    /// Its layers; none of what is no image.
    pub(crate) layers: Vec<Descriptor>,
}

/// The image that an entry of an index is about, where it is statements.
pub(crate) fn refers_to(entry: &Descriptor) -> Option<Digest> {
    let is_one = entry.annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == ATTESTATION);
    entry.annotations.get(REFERENCE_DIGEST).filter(|_| is_one)?.parse().ok()
}

/// The statements of an entry, said of what the image became; `None` where it is about none of those that did, or where the
/// store does not have it whole.
pub(crate) fn retargeted(
    store: &Store,
    entry: &Descriptor,
    became: &BTreeMap<Digest, Became>,
) -> Result<Option<Attested>, Failure> {
    let Some(old) = refers_to(entry) else { return Ok(None) };
    let Some(new) = became.get(&old).filter(|new| new.digest != old) else { return Ok(None) };
    let read = |digest: &Digest, limit| match store.blobs().read_bytes(digest, limit) {
        Err(store::blobs::Error::Missing { .. }) => Ok(None),
        other => other.map(Some),
    };
    let Some(manifest) = read(&entry.digest, MAX_MANIFEST)? else { return Ok(None) };
    let manifest = Raw::<Manifest>::parse(manifest)?;
    let own = match read(&old, MAX_MANIFEST)? {
        Some(own) => Raw::<Manifest>::parse(own)?.into_value().layers,
        None => Vec::new(),
    };
    let layers = own.iter().zip(&new.layers).map(|(own, new)| (own.digest.to_string(), new)).collect();
    let mut statements = Vec::new();
    for layer in &manifest.value().layers {
        let Some(bytes) = read(&layer.digest, MAX_STATEMENT)? else { return Ok(None) };
        // What is not a statement in the clear, a signed envelope say, cannot be said of anything else.
        let statement = match layer.media_type == STATEMENT {
            true => said_of(&bytes, (&old, &new.digest), &layers),
            false => None,
        };
        let Some(statement) = statement else { return Ok(None) };
        statements.push((layer.annotations.get(KIND).cloned().unwrap_or_default(), statement));
    }
    Attested::new(new.digest, statements).map(Some)
}

/// A statement with `new` in the place of `old` among its subjects, and in the version of the image that it describes; and with
/// the layers that the image has now, each under the digest of the one it was.
fn said_of(bytes: &[u8], (old, new): (&Digest, &Digest), layers: &BTreeMap<String, &Descriptor>) -> Option<Vec<u8>> {
    let mut statement: Value = serde_json::from_slice(bytes).ok()?;
    for subject in statement.get_mut("subject")?.as_array_mut()? {
        let digest = subject.get_mut("digest")?.get_mut(old.algorithm().name())?;
        if digest.as_str() == Some(&old.hex()) {
            *digest = Value::String(new.hex());
        }
    }
    let packages = statement.get_mut("predicate").and_then(|predicate| predicate.get_mut("packages"));
    for package in packages.and_then(Value::as_array_mut).into_iter().flatten() {
        if package["versionInfo"].as_str() == Some(&old.to_string()) {
            package["versionInfo"] = Value::String(new.to_string());
        }
    }
    let listed = statement.pointer_mut("/predicate/runDetails/metadata/buildkit_metadata/layers");
    let lists = listed.and_then(Value::as_object_mut).into_iter().flat_map(|steps| steps.values_mut());
    for list in lists.filter_map(Value::as_array_mut).flatten() {
        for layer in list.as_array_mut().into_iter().flatten() {
            if let Some(new) = layer["digest"].as_str().and_then(|digest| layers.get(digest)) {
                *layer = serde_json::to_value(new).ok()?;
            }
        }
    }
    serde_json::to_vec(&statement).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_move_and_nothing_else() {
        let (old, new) = (Digest::sha256(b"old"), Digest::sha256(b"new"));
        let other = Digest::sha256(b"other");
        let text = format!(
            r#"{{"subject":[{{"name":"a","digest":{{"sha256":"{}"}}}},{{"name":"b","digest":{{"sha256":"{}"}}}}],"predicate":{{"x":"{}"}}}}"#,
            old.hex(),
            other.hex(),
            old.hex()
        );
        let moved: Value =
            serde_json::from_slice(&said_of(text.as_bytes(), (&old, &new), &BTreeMap::new()).unwrap()).unwrap();
        assert_eq!(moved["subject"][0]["digest"]["sha256"], new.hex());
        assert_eq!(moved["subject"][1]["digest"]["sha256"], other.hex().to_string());
        assert_eq!(moved["predicate"]["x"], old.hex().to_string());
        let gzip = Descriptor::new(oci::media_type::OCI_LAYER_GZIP, new, 3);
        let text = format!(
            r#"{{"subject":[],"predicate":{{"runDetails":{{"metadata":{{"buildkit_metadata":{{"layers":{{"step1:0":[[{{"digest":"{old}"}},{{"digest":"{other}"}}]]}}}}}}}}}}}}"#
        );
        let layers = BTreeMap::from([(old.to_string(), &gzip)]);
        let moved: Value = serde_json::from_slice(&said_of(text.as_bytes(), (&old, &new), &layers).unwrap()).unwrap();
        let list = &moved["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["layers"]["step1:0"][0];
        assert_eq!(list[0], serde_json::to_value(&gzip).unwrap());
        assert_eq!(list[1]["digest"], other.to_string());
        assert!(said_of(b"{}", (&old, &new), &BTreeMap::new()).is_none());
    }
}
