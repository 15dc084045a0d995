//! Images that came from elsewhere: their bytes stay there until they are wanted.

use std::sync::Arc;

use builder::transfer::Step;
use builder::transfer::pull::{PullOptions, Scope};
use builder::transfer::push::{PushError, PushOptions};
use builder::{Compress, Destination, Output};
use fixtures::{Host, Image, Layer, Shelf};
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::rig::{Rig, Running, assert_whole, manifest, noise, text};

/// A host with an image of two gzip layers; the image's digest.
fn host(shelf: &Arc<Shelf>) -> (Host, String) {
    let top = Layer::new().file("noise", 0o644, &noise(400_000, 9));
    let image = Image::empty().layer(Layer::new().file("text", 0o644, &text(100_000))).layer(top);
    let digest = shelf.publish("latest", &image.made().unwrap().gzipped().unwrap()).unwrap();
    let kept = Arc::clone(shelf);
    (Host::start(move |asked| kept.answer(asked)).unwrap(), digest)
}

fn is_root() -> bool {
    if !rustix::process::geteuid().is_root() {
        fixtures::skip("only root unpacks without a sandbox");
        return false;
    }
    true
}

#[test]
fn from_one_registry_to_another_the_digest_stays() {
    let (rig, registry, shelf) = (Rig::new(), Running::start(), Arc::new(Shelf::default()));
    let (host, digest) = host(&shelf);
    for scope in [Scope::DocumentsOnly, Scope::All] {
        if scope == Scope::All && !is_root() {
            return;
        }
        let options = PullOptions { layers: scope, ..PullOptions::default() };
        let pulled = rig.pull(&format!("{}/app", host.address()), &options);
        let name = registry.name(&format!("app-{scope:?}:v1").to_lowercase());
        let pushed = rig.push(&pulled.top, &name).unwrap();
        assert_eq!(pushed.descriptor.digest.to_string(), digest);
        assert_whole(&name, &rig.config(&pulled.manifest));
    }
}

#[test]
fn a_layer_whose_origin_is_gone_is_made_again() {
    if !is_root() {
        return;
    }
    let (rig, registry, shelf) = (Rig::new(), Running::start(), Arc::new(Shelf::default()));
    let (host, digest) = host(&shelf);
    let pulled = rig.pull(&format!("{}/app", host.address()), &PullOptions::default());
    drop(host);
    let name = registry.name("app:v1");
    let pushed = rig.push(&pulled.top, &name).unwrap();
    assert_ne!(pushed.descriptor.digest.to_string(), digest);
    assert_whole(&name, &rig.config(&pulled.manifest));
    // And is known from then on.
    assert_eq!(rig.push(&pulled.top, &registry.name("app:v2")).unwrap().descriptor, pushed.descriptor);
}

#[test]
fn a_layer_that_is_nowhere_is_named() {
    let (rig, registry, shelf) = (Rig::new(), Running::start(), Arc::new(Shelf::default()));
    let (host, _) = host(&shelf);
    let options = PullOptions { layers: Scope::DocumentsOnly, ..PullOptions::default() };
    let pulled = rig.pull(&format!("{}/app", host.address()), &options);
    drop(host);
    let error = rig.push(&pulled.top, &registry.name("app:v1")).unwrap_err();
    assert!(matches!(error, PushError::Gone { what: "layer", .. }), "{error}");
}

#[test]
fn pulled_layers_mount_where_they_came_from() {
    if !is_root() {
        return;
    }
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&noise(1 << 20, 11)]);
    rig.push(&image, &registry.name("base:v1")).unwrap();
    let other = Rig::new();
    let pulled = other.pull(&registry.name("base:v1"), &PullOptions::default());
    other.steps();
    let pushed = other.push(&pulled.top, &registry.name("app:v1")).unwrap();
    assert!(pushed.moved < 2000, "{}", pushed.moved);
    assert!(other.steps().iter().any(|step| matches!(step, Step::Mounted { from: Some(from) } if from == "base")));
    assert_whole(&registry.name("app:v1"), &rig.config(&image));
}

/// An index of two images on a shelf; its digest.
fn index(shelf: &Shelf) -> String {
    let image = |architecture: &str| -> Value {
        let layer = Layer::new().file("arch", 0o644, &noise(50_000, architecture.len() as u64));
        let mut made = Image::empty().layer(layer).made().unwrap().gzipped().unwrap();
        made.config["architecture"] = json!(architecture);
        let digest = shelf.publish(architecture, &made).unwrap();
        let size = shelf.named(&digest).unwrap().len();
        let platform = json!({"os": "linux", "architecture": architecture});
        json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": platform})
    };
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image("amd64"), image("riscv64")]});
    shelf.manifest("latest", OCI_INDEX, index.to_string()).unwrap()
}

#[test]
fn an_index_takes_what_is_not_here_from_where_it_is() {
    let (rig, registry, shelf) = (Rig::new(), Running::start(), Arc::new(Shelf::default()));
    let top = index(&shelf);
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let options = PullOptions {
        platform: Some("linux/amd64".parse().unwrap()),
        layers: Scope::DocumentsOnly,
        ..PullOptions::default()
    };
    let pulled = rig.pull(&format!("{}/app", host.address()), &options);
    let name = registry.name("app:v1");
    let pushed = rig.push(&pulled.top, &name).unwrap();
    assert_eq!(pushed.descriptor.digest.to_string(), top);
    assert_eq!(rig.push(&pulled.top, &name).unwrap().moved, 0);
    let other = Rig::new();
    let all = PullOptions { all_platforms: true, layers: Scope::DocumentsOnly, ..PullOptions::default() };
    assert_eq!(other.pull(&name, &all).top.to_string(), top);
    // One platform alone.
    for (platform, fits) in [("linux/amd64", true), ("linux/riscv64", true), ("linux/s390x", false)] {
        let options = PushOptions { platform: Some(platform.parse().unwrap()), ..PushOptions::default() };
        let name = registry.name(&format!("one:{}", platform.replace('/', "-")));
        match rig.push_with(&pulled.top, &name, &options) {
            Ok(pushed) => assert!(fits && manifest(&name).1 == pushed.descriptor.digest),
            Err(error) => assert!(!fits && error.to_string().contains("linux/amd64, linux/riscv64"), "{error}"),
        }
    }
}

#[test]
fn a_pulled_image_is_saved() {
    if !is_root() {
        return;
    }
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    let (host, _) = host(&shelf);
    let pulled = rig.pull(&format!("{}/app", host.address()), &PullOptions::default());
    for (number, form) in
        [None, Some(builder::CompressForm::Gzip), Some(builder::CompressForm::Zstd)].into_iter().enumerate()
    {
        let path = rig.dir.path().join(format!("saved{number}"));
        let compression = Compress { form, ..Compress::default() };
        let output = Output::Oci { dest: Destination::Path(path.clone()), tar: false, compression, dress: None };
        builder::export::save(&rig.store, &[(vec!["app:v1".parse().unwrap()], pulled.manifest)], &output).unwrap();
        let other = Rig::new();
        let name = Some("docker.io/library/app:v1");
        let names = [name, Some("app:v1")];
        let image = names
            .iter()
            .find_map(|name| builder::import::layout(&other.store, &path, *name, &oci::Platform::host()).ok());
        assert_eq!(other.config(&image.unwrap()), rig.config(&pulled.manifest));
    }
}

#[test]
fn artifacts_go_out_as_they_are() {
    use store::Blobs as _;
    let (rig, registry) = (Rig::new(), Running::start());
    let put = |bytes: &[u8]| rig.store.blobs().put_bytes(bytes).unwrap();
    let (config, layer) = (put(b"{}"), put(b"a bill of materials"));
    let text = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-sbom",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": layer.to_string(), "size": 19}],
        "annotations": {"of": "us"}})
    .to_string();
    let artifact = put(text.as_bytes());
    let pushed = rig.push(&artifact, &registry.name("app:sbom")).unwrap();
    assert_eq!(pushed.descriptor.digest, artifact);
    assert_eq!(crate::rig::blob(&registry.name("app"), &layer), b"a bill of materials");
    let untagged = PushOptions { untagged: true, ..PushOptions::default() };
    rig.push_with(&artifact, &registry.name("other:never"), &untagged).unwrap();
    let tags = crate::rig::run(crate::rig::repository(&registry.name("other")).tags(None, None));
    assert!(tags.map_or(true, |tags| tags.tags.is_empty()));
}
