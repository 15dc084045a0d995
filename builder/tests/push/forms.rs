//! The forms of layers.

use builder::transfer::push::PushOptions;
use builder::{Compress, CompressForm};
use oci::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};

use crate::rig::{Rig, Running, assert_whole, manifest, text};

fn options(form: Option<CompressForm>, level: Option<i32>, force: bool) -> PushOptions {
    PushOptions { compress: Compress { form, level, force }, ..PushOptions::default() }
}

#[test]
fn layers_go_out_as_asked() {
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&text(2 << 20), b"small"]);
    let config = rig.config(&image);
    let mut sizes = Vec::new();
    for (tag, form, level, expected) in [
        ("plain", Some(CompressForm::Uncompressed), None, OCI_LAYER),
        ("gzip", None, None, OCI_LAYER_GZIP),
        ("gzip9", Some(CompressForm::Gzip), Some(9), OCI_LAYER_GZIP),
        ("zstd", Some(CompressForm::Zstd), None, OCI_LAYER_ZSTD),
        ("zstd12", Some(CompressForm::Zstd), Some(12), OCI_LAYER_ZSTD),
        ("chunked", Some(CompressForm::ZstdChunked), None, OCI_LAYER_ZSTD),
    ] {
        let name = registry.name(&format!("app:{tag}"));
        rig.push_with(&image, &name, &options(form, level, false)).unwrap();
        assert_whole(&name, &config);
        let (manifest, _) = manifest(&name);
        assert!(manifest.layers.iter().all(|layer| layer.media_type == expected), "{tag}");
        sizes.push(manifest.layers[0].size);
        let again = rig.push_with(&image, &name, &options(form, level, false)).unwrap();
        assert_eq!(again.moved, 0, "{tag}");
    }
    assert!(sizes[2] < sizes[1] && sizes[1] < sizes[0] && sizes[3] < sizes[2], "{sizes:?}");
}

#[test]
fn what_is_compressed_stays_unless_forced() {
    if !rustix::process::geteuid().is_root() {
        fixtures::skip("only root makes and reads trees without a sandbox");
        return;
    }
    let (rig, registry) = (Rig::new(), Running::start());
    let layer = fixtures::Layer::new().file("text", 0o644, &text(100_000));
    let made = fixtures::Image::empty().layer(layer).made().unwrap().gzipped().unwrap();
    let shelf = std::sync::Arc::new(fixtures::Shelf::default());
    shelf.publish("latest", &made).unwrap();
    let host = fixtures::Host::start(move |asked| shelf.answer(asked)).unwrap();
    let pulled = rig.pull(&format!("{}/app", host.address()), &builder::transfer::pull::PullOptions::default());
    let config = rig.config(&pulled.manifest);
    let zstd = Some(CompressForm::Zstd);
    let kept = rig.push_with(&pulled.manifest, &registry.name("app:kept"), &options(zstd, None, false)).unwrap();
    assert_eq!(kept.descriptor.digest, pulled.manifest);
    assert_whole(&registry.name("app:kept"), &config);
    rig.push_with(&pulled.manifest, &registry.name("app:forced"), &options(zstd, None, true)).unwrap();
    assert_whole(&registry.name("app:forced"), &config);
    assert_eq!(manifest(&registry.name("app:forced")).0.layers[0].media_type, OCI_LAYER_ZSTD);
}

#[test]
fn skopeo_reads_them() {
    if std::process::Command::new("skopeo").arg("--version").output().is_err() {
        fixtures::skip("there is no skopeo");
        return;
    }
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&text(2 << 20), b"small"]);
    for (tag, form) in [
        ("gzip", CompressForm::Gzip),
        ("zstd", CompressForm::Zstd),
        ("plain", CompressForm::Uncompressed),
        ("estargz", CompressForm::Estargz),
        ("chunked", CompressForm::ZstdChunked),
    ] {
        let name = registry.name(&format!("app:{tag}"));
        rig.push_with(&image, &name, &options(Some(form), None, false)).unwrap();
        let to = rig.dir.path().join(tag);
        let copied = std::process::Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--src-tls-verify=false", &format!("docker://{name}")])
            .arg(format!("oci:{}:v1", to.display()))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{tag}: {}", String::from_utf8_lossy(&copied.stderr));
    }
}

/// A table of contents is announced by annotations; eStargz's is part of the tar, so that the image has another config.
#[test]
fn tables_of_contents_are_announced() {
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&text(2 << 20), b"small"]);
    let config = rig.config(&image);
    for (tag, form, annotation) in [
        ("chunked", CompressForm::ZstdChunked, "io.github.containers.zstd-chunked.manifest-checksum"),
        ("estargz", CompressForm::Estargz, "containerd.io/snapshot/stargz/toc.digest"),
    ] {
        let name = registry.name(&format!("app:{tag}"));
        let first = rig.push_with(&image, &name, &options(Some(form), None, false)).unwrap();
        let (found, _) = manifest(&name);
        assert!(found.layers.iter().all(|layer| layer.annotations.contains_key(annotation)), "{tag}");
        let pushed = super::rig::blob(&name, &found.config.digest);
        let pushed = oci::Raw::<oci::ImageConfig>::parse(pushed).unwrap().into_value();
        assert_eq!(pushed == config, form == CompressForm::ZstdChunked, "{tag}");
        let again = rig.push_with(&image, &name, &options(Some(form), None, false)).unwrap();
        assert_eq!((again.moved, again.descriptor.digest), (0, first.descriptor.digest), "{tag}");
        // What another store unpacks of it has the DiffIds that its config lists.
        assert_whole(&name, &pushed);
    }
    // The forms are none of the layer's own: they give its tar to nobody.
    let name = registry.name("app:plain");
    rig.push_with(&image, &name, &options(Some(CompressForm::Uncompressed), None, false)).unwrap();
    assert_whole(&name, &config);
}
