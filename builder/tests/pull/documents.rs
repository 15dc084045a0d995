//! Indexes, platforms, and what is no image.

use std::sync::Arc;

use builder::transfer::pull::{PullError, PullOptions, Scope, head};
use fixtures::{Host, Image, Layer, Shelf};
use oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::rig::{Rig, run, small};

const DOCUMENTS: PullOptions =
    PullOptions { platform: None, all_platforms: false, layers: Scope::DocumentsOnly, parallel: 3, name_it: true };

/// Lays an image for a platform; gives its descriptor.
fn image_for(shelf: &Shelf, architecture: &str, variant: Option<&str>) -> Value {
    let layer = Layer::new().file("arch", 0o644, architecture.as_bytes());
    let mut made = Image::empty().layer(layer).env("FOR", architecture).made().unwrap();
    made.config["architecture"] = json!(architecture);
    let digest = shelf.publish(&format!("{architecture}{}", variant.unwrap_or_default()), &made).unwrap();
    let size = shelf.named(&digest).unwrap().len();
    let mut platform = json!({"os": "linux", "architecture": architecture});
    if let Some(variant) = variant {
        platform["variant"] = json!(variant);
    }
    json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": platform})
}

fn index(shelf: &Shelf, tag: &str, manifests: &[Value]) -> Value {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let digest = shelf.manifest(tag, OCI_INDEX, index.to_string()).unwrap();
    json!({"mediaType": OCI_INDEX, "digest": digest, "size": index.to_string().len()})
}

#[test]
fn an_index_gives_the_image_of_the_platform() {
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    let [amd64, arm64, armv6] = [("amd64", None), ("arm64", None), ("arm", Some("v6"))]
        .map(|(architecture, variant)| image_for(&shelf, architecture, variant));
    let attested = json!({"mediaType": OCI_MANIFEST, "digest": amd64["digest"], "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"}});
    let top = index(&shelf, "latest", &[attested, amd64.clone(), arm64.clone(), armv6.clone()]);
    let nested = index(&shelf, "nested", std::slice::from_ref(&top));
    index(&shelf, "deep", &[nested]);
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let name = format!("{}/app:latest", host.address());
    for (platform, expected) in [
        ("linux/amd64", Some(&amd64)),
        ("linux/arm64", Some(&arm64)),
        ("linux/arm/v7", Some(&armv6)),
        ("linux/s390x", None),
    ] {
        let options = PullOptions { platform: Some(platform.parse().unwrap()), ..DOCUMENTS };
        match (rig.pull_with(&name, &options), expected) {
            (Ok(pulled), Some(expected)) => {
                assert_eq!(json!(pulled.manifest.to_string()), expected["digest"]);
                assert_eq!(json!(pulled.top.to_string()), top["digest"]);
            }
            (Err(PullError::Platform { there, .. }), None) => assert_eq!(there.len(), 3),
            (other, _) => panic!("{platform}: {other:?}"),
        }
    }
    assert_eq!(rig.store.index().edges(&top["digest"].as_str().unwrap().parse().unwrap()).unwrap().len(), 3);
    let options = PullOptions { platform: Some("linux/arm64".parse().unwrap()), ..DOCUMENTS };
    let deep = rig.pull_with(&format!("{}/app:deep", host.address()), &options).unwrap();
    assert_eq!(json!(deep.manifest.to_string()), arm64["digest"]);
    let all = PullOptions { all_platforms: true, ..DOCUMENTS };
    rig.pull_with(&name, &all).unwrap();
    let now = run(head(&rig.client, &name.parse().unwrap())).unwrap();
    assert_eq!(json!(now.to_string()), top["digest"]);
}

#[test]
fn indexes_that_never_end_are_refused() {
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    let mut inner = image_for(&shelf, "amd64", None);
    for _ in 0..6 {
        inner = index(&shelf, "latest", &[inner]);
    }
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let error = rig.pull_with(&format!("{}/app", host.address()), &DOCUMENTS).unwrap_err();
    assert!(error.to_string().contains("nested"), "{error}");
    rig.assert_nothing();
}

#[test]
fn what_is_no_image_is_refused_in_words() {
    let artifact = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.example",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": format!("sha256:{}", "00".repeat(32)), "size": 2},
        "layers": []});
    let old = json!({"schemaVersion": 1, "name": "app", "fsLayers": [], "history": []});
    let old_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (media_type, document, word) in [
        (OCI_MANIFEST, artifact, "estiba copy"),
        (old_type, old, "schema 1"),
        (DOCKER_MANIFEST, json!({"a": 1}), "none that we know"),
    ] {
        let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
        shelf.manifest("latest", media_type, document.to_string()).unwrap();
        let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
        let error = rig.pull_with(&format!("{}/app", host.address()), &DOCUMENTS).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        rig.assert_nothing();
    }
}

#[test]
fn a_digest_is_its_own_name() {
    let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), small());
    let digest = shelf.publish("v1", &made).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    for name in [format!("{}/app@{digest}", host.address()), format!("{}/app:v9@{digest}", host.address())] {
        let pulled = rig.pull_with(&name, &DOCUMENTS).unwrap();
        assert_eq!(pulled.top.to_string(), digest);
        assert_eq!(rig.store.index().image(&pulled.name.to_string()).unwrap().unwrap().manifest, pulled.top);
    }
    assert_eq!(host.count("GET", "/manifests/"), 1, "what is named by its digest does not change");
    let other = format!("{}/app@sha256:{}", host.address(), "ee".repeat(32));
    rig.pull_with(&other, &DOCUMENTS).unwrap_err();
}

#[test]
fn documents_that_contradict_each_other_are_refused() {
    let (rig, shelf, mut made) = (Rig::new(), Arc::new(Shelf::default()), small());
    made.config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    shelf.publish("latest", &made).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let error = rig.pull_with(&format!("{}/app", host.address()), &DOCUMENTS).unwrap_err();
    assert!(error.to_string().contains("lists 2 layers"), "{error}");
    rig.assert_nothing();
}
