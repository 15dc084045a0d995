//! Nothing is sent, asked or compressed twice.

use std::sync::Arc;

use builder::transfer::Step;
use fixtures::{Host, Shelf};

use crate::rig::{Rig, Running, assert_whole, noise, text};

#[test]
fn an_image_goes_out_compressed_and_whole() {
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&text(3 << 20), &noise(1 << 20, 1), b"small"]);
    let name = registry.name("app:v1");
    let pushed = rig.push(&image, &name).unwrap();
    assert_whole(&name, &rig.config(&image));
    let (manifest, digest) = crate::rig::manifest(&name);
    assert_eq!(pushed.descriptor.digest, digest);
    assert!(manifest.layers.iter().all(|layer| layer.media_type == oci::media_type::OCI_LAYER_GZIP));
    assert!(manifest.layers[0].size < 1 << 20, "text shrinks");
    assert!(manifest.layers[1].size < (1 << 20) + 8192, "noise is stored");
    assert!(pushed.moved < 3 << 20, "{}", pushed.moved);
}

#[test]
fn a_push_again_is_one_question() {
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    let kept = Arc::clone(&shelf);
    let host = Host::start(move |asked| {
        let answer = kept.answer(asked);
        match kept.named(asked.path().rsplit('/').next().unwrap()).filter(|_| asked.method == "HEAD") {
            Some(bytes) => answer.header("Docker-Content-Digest", oci::Digest::sha256(&bytes)),
            None => answer,
        }
    })
    .unwrap();
    let image = rig.image(&[&text(300_000), b"small"]);
    let name = format!("{}/app:v1", host.address());
    let first = rig.push(&image, &name).unwrap();
    let before = host.asked().len();
    // Another process: nothing is remembered but what the store holds.
    let again = Rig { client: crate::rig::client(), events: Arc::default(), ..rig };
    let second = again.push(&image, &name).unwrap();
    assert_eq!((second.descriptor, second.moved), (first.descriptor, 0));
    let asked = host.asked().split_off(before);
    let asked: Vec<_> = asked.iter().map(|asked| (asked.method.as_str(), asked.target.as_str())).collect();
    assert_eq!(asked, [("HEAD", "/v2/app/manifests/v1")]);
    assert_eq!(again.steps(), [Step::Exists]);
    // Another tag takes the manifest alone.
    let before = host.asked().len();
    let other = again.push(&image, &format!("{}/app:v2", host.address())).unwrap();
    assert!(other.moved < 2000);
    assert_eq!(host.asked().split_off(before).iter().filter(|asked| asked.method == "PUT").count(), 1);
}

#[test]
fn what_was_compressed_once_is_taken_from_the_cache() {
    let (rig, one, two) = (Rig::new(), Running::start(), Running::start());
    let image = rig.image(&[&text(2 << 20)]);
    let config = rig.config(&image);
    let first = rig.push(&image, &one.name("app:v1")).unwrap();
    // Without the plain layer nothing could be compressed.
    std::fs::remove_file(rig.store.layout().blob(config.rootfs.diff_ids[0].digest())).unwrap();
    let second = rig.push(&image, &two.name("other/app:v1")).unwrap();
    assert_eq!(first.descriptor, second.descriptor);
    assert_whole(&two.name("other/app:v1"), &config);
}

#[test]
fn other_repositories_of_a_registry_mount() {
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&noise(1 << 20, 3)]);
    rig.push(&image, &registry.name("first:v1")).unwrap();
    rig.steps();
    let second = rig.push(&image, &registry.name("second:v1")).unwrap();
    assert!(second.moved < 2000, "{}", second.moved);
    let mounted =
        rig.steps().into_iter().filter(|step| matches!(step, Step::Mounted { from: Some(from) } if from == "first"));
    assert_eq!(mounted.count(), 2, "the layer and the configuration");
    assert_whole(&registry.name("second:v1"), &rig.config(&image));
}

#[test]
fn a_layer_that_is_listed_twice_is_sent_once() {
    let (rig, registry) = (Rig::new(), Running::start());
    let noise = noise(1 << 20, 4);
    let layers = fixtures::Image::empty();
    let layer = || fixtures::Layer::new().file("same", 0o644, &noise);
    let dir = rig.dir.path().join("twice");
    layers.layer(layer()).layer(layer()).write_layout(&dir, "v1").unwrap();
    let image = builder::import::layout(&rig.store, &dir, Some("v1"), &oci::Platform::host()).unwrap();
    let pushed = rig.push(&image, &registry.name("app:v1")).unwrap();
    assert!(pushed.moved < (1 << 20) + 10_000, "{}", pushed.moved);
    assert_whole(&registry.name("app:v1"), &rig.config(&image));
}
