//! Both blob backends keep the promises of the trait.

use store::blobs::conformance;
use store::{MemoryBlobs, Store};

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    conformance::run(store.blobs());
    // Nothing partial stays.
    assert_eq!(std::fs::read_dir(store.layout().ingest()).unwrap().count(), 0);
}

#[test]
fn memory() {
    conformance::run(&MemoryBlobs::new());
}
