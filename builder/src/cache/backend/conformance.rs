//! What every backend keeps to.

use super::*;
use oci::media_type;

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::sha256(bytes), size: bytes.len() as u64 }
}

/// Calls every method of an empty cache.
pub(super) fn run(backend: &dyn Backend) {
    let bytes = vec![7; 300_000];
    let named = blob(&bytes);
    assert_eq!(backend.get_manifest(None).unwrap(), None);
    assert!(!backend.has_blob(&named).unwrap());
    assert!(backend.get_blob(&named, &mut io::sink()).unwrap_err().is_absent());
    assert_eq!(backend.put_blob(&named, Content::Bytes(&bytes)).unwrap(), 300_000);
    assert_eq!(backend.put_blob(&named, Content::Bytes(&bytes)).unwrap(), 0);
    assert!(backend.has_blob(&named).unwrap());
    let mut back = Vec::new();
    backend.get_blob(&named, &mut back).unwrap();
    assert_eq!(back, bytes);
    let config = b"{}";
    backend.put_blob(&blob(config), Content::Bytes(config)).unwrap();
    for (part, text) in [(None, "a"), (Some("mounts"), "b"), (None, "c")] {
        let config = oci::Descriptor::new("application/vnd.estiba.test", blob(config).digest, 2);
        let mut manifest = oci::Manifest::new(config, vec![oci::Descriptor::new("x/y", named.digest, named.size)]);
        manifest.annotations.insert("text".to_owned(), text.to_owned());
        let encoded = oci::Raw::encode(manifest).unwrap();
        let digest = backend.put_manifest(part, media_type::OCI_MANIFEST, encoded.bytes()).unwrap();
        assert_eq!(digest, encoded.digest());
        assert_eq!(backend.get_manifest(part).unwrap().unwrap(), encoded.bytes());
    }
}

#[test]
fn a_folder() {
    let dir = tempfile::tempdir().unwrap();
    run(&Local::new(&dir.path().join("new"), None, None));
}

#[test]
fn a_damaged_blob_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::new(dir.path(), None, None);
    let named = blob(b"right");
    local.put_blob(&named, Content::Bytes(b"right")).unwrap();
    let path = dir.path().join("blobs/sha256").join(named.digest.hex());
    for (text, expected) in
        [("wrong", "hashes to"), ("righ", "4 bytes instead of 5"), ("right and more", "instead of 5")]
    {
        std::fs::write(&path, text).unwrap();
        let error = local.get_blob(&named, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
