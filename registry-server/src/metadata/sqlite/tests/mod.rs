//! What is SQLite's own: opening, durability, the journal, backups.

mod disk;
mod names;
mod versions;

use tempfile::TempDir;

use super::*;
use crate::metadata::{Edge, EdgeKind, Existing};
use crate::storage::ObjectKey;

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn blob(text: &str) -> BlobRow {
    BlobRow { digest: digest(text), size: text.len() as u64, key: ObjectKey(format!("key of {text}")) }
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn image(repository: &str, text: &str, layers: &[&str], tags: &[&str], at: i64) -> NewManifest {
    let edge = |text: &&str| Edge { kind: EdgeKind::Layer, digest: digest(text), size: 1, optional: false };
    let write = |tag: &&str| TagWrite { tag: tag.parse().unwrap(), existing: Existing::Move };
    NewManifest {
        repository: name(repository),
        blob: blob(text),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        artifact_type: None,
        annotations: None,
        subject: None,
        edges: layers.iter().map(edge).collect(),
        tags: tags.iter().map(write).collect(),
        allow_sparse: false,
        quotas: Vec::new(),
        actor: "user:ann".to_owned(),
        at: Instant(at),
    }
}

fn filled(root: &TempDir) -> SqliteMetadata {
    let metadata = SqliteMetadata::open(root.path()).unwrap();
    metadata.link_blob(&name("a/b"), &blob("layer"), &[], Instant(1)).unwrap();
    metadata.put_manifest(&image("a/b", "image", &["layer"], &["v1", "v2"], 2)).unwrap();
    metadata.delete_tag(&name("a/b"), &"v2".parse().unwrap(), "user:bob", Instant(3)).unwrap();
    metadata
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let root = TempDir::new().unwrap();
    drop(filled(&root));
    let metadata = SqliteMetadata::open(root.path()).unwrap();
    assert_eq!(metadata.blob(&name("a/b"), &digest("layer")).unwrap(), Some(blob("layer")));
    let tags = metadata.tags(&name("a/b"), Page { after: None, limit: 10 }).unwrap();
    assert_eq!(tags, [TagRow { tag: "v1".parse().unwrap(), digest: digest("image"), updated: Instant(2) }]);
    let row = metadata.repository(&name("a/b")).unwrap().unwrap();
    assert_eq!((row.bytes, row.tags, row.manifests), (10, 1, 1));
}

#[test]
fn passes_the_conformance_suite() {
    crate::metadata::conformance::run(&|| {
        let root = TempDir::new().unwrap();
        (Box::new(SqliteMetadata::open(root.path()).unwrap()), Box::new(root))
    });
}
