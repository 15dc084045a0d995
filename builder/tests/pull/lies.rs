//! What a registry that lies brings about: an error, and nothing else.

use std::sync::Arc;

use builder::transfer::pull::PullError;
use fixtures::{Answer, Body, Host, Image, Layer, Shelf, gzip, sha256, unknown};
use oci::DiffId;
use serde_json::json;

use crate::rig::{Rig, diff_ids, is_root, large, small};

fn address_of(shelf: Arc<Shelf>) -> (Host, String) {
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let name = format!("{}/app:latest", host.address());
    (host, name)
}

#[test]
fn other_bytes_leave_nothing() {
    if !is_root() {
        return;
    }
    for size in [100, 9 << 20] {
        let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), large(size));
        shelf.publish("latest", &made).unwrap();
        let digest = format!("sha256:{}", sha256(&made.layers[0].1).unwrap());
        let mut other = made.layers[0].1.clone();
        other[600] ^= 1;
        shelf.lie(&digest, other);
        let (_host, name) = address_of(shelf);
        let error = rig.pull(&name).unwrap_err();
        assert!(matches!(error, PullError::Remote(remote::Error::Digest { .. })), "{error}");
        assert!(error.to_string().contains(&digest), "{error}");
        rig.assert_nothing();
    }
}

#[test]
fn more_or_fewer_bytes_leave_nothing() {
    if !is_root() {
        return;
    }
    for change in [-1, 1] {
        let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), small());
        shelf
            .publish_as("latest", &made, |manifest| {
                let size = manifest["layers"][1]["size"].as_i64().unwrap();
                manifest["layers"][1]["size"] = json!(size + change);
            })
            .unwrap();
        let (_host, name) = address_of(shelf);
        let error = rig.pull(&name).unwrap_err();
        assert!(matches!(error, PullError::Remote(remote::Error::Length { .. })), "{error}");
        assert_eq!(rig.store.index().images().unwrap(), []);
        let diff_id = DiffId::new(diff_ids(&made)[1].parse().unwrap());
        assert_eq!(rig.store.index().layers_by_diff_id(&diff_id).unwrap(), []);
    }
}

#[test]
fn a_configuration_cannot_give_a_layer_another_name() {
    if !is_root() {
        return;
    }
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    let mut made = large(64);
    let claimed = format!("sha256:{}", "ab".repeat(32));
    made.config["rootfs"]["diff_ids"][0] = json!(claimed);
    shelf.publish("latest", &made).unwrap();
    let (_host, name) = address_of(shelf);
    let error = rig.pull(&name).unwrap_err();
    assert!(matches!(error, PullError::DiffId { .. }), "{error}");
    rig.assert_nothing();
    let claimed = DiffId::new(claimed.parse().unwrap());
    assert_eq!(rig.store.index().variants(&claimed).unwrap(), []);
}

#[test]
fn what_is_no_archive_leaves_nothing() {
    if !is_root() {
        return;
    }
    let evil = Layer::new().file("../../../outside", 0o644, b"x").finish();
    for bytes in [b"neither gzip nor tar, but long enough to be looked at ".repeat(20), gzip(b"no tar").unwrap(), evil]
    {
        let (rig, shelf, mut made) = (Rig::new(), Arc::new(Shelf::default()), large(64));
        made.layers[0].1 = bytes;
        shelf.publish("latest", &made).unwrap();
        let (_host, name) = address_of(shelf);
        rig.pull(&name).unwrap_err();
        rig.assert_nothing();
        assert!(!rig.dir.path().join("outside").exists());
    }
}

#[test]
fn layers_that_others_hand_out_are_not_fetched_from_there() {
    if !is_root() {
        return;
    }
    let elsewhere = Host::start(|_| Answer::new(200, "")).unwrap();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for there in [true, false] {
        let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), small());
        let url = format!("http://{}/layer", elsewhere.address());
        shelf
            .publish_as("latest", &made, |manifest| {
                manifest["layers"][0]["mediaType"] = json!(foreign);
                manifest["layers"][0]["urls"] = json!([url]);
            })
            .unwrap();
        let digest = format!("sha256:{}", sha256(&made.layers[0].1).unwrap());
        let host =
            Host::start(
                move |asked| {
                    if !there && asked.is("GET", &digest) { unknown("BLOB_UNKNOWN") } else { shelf.answer(asked) }
                },
            )
            .unwrap();
        let result = rig.pull(&format!("{}/app", host.address()));
        match result {
            Ok(_) => assert!(there),
            Err(error) => assert!(!there && error.to_string().contains("makers"), "{error}"),
        }
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

#[test]
fn an_endless_layer_ends() {
    if !is_root() {
        return;
    }
    let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), small());
    shelf.publish("latest", &made).unwrap();
    let digest = format!("sha256:{}", sha256(&made.layers[0].1).unwrap());
    let host =
        Host::start(
            move |asked| {
                if asked.is("GET", &digest) { Answer::with(200, Body::Endless) } else { shelf.answer(asked) }
            },
        )
        .unwrap();
    rig.pull(&format!("{}/app", host.address())).unwrap_err();
    assert_eq!(rig.store.index().images().unwrap(), []);
}

#[test]
fn a_lying_image_over_a_good_layer_harms_only_itself() {
    if !is_root() {
        return;
    }
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    let base = Layer::new().file("a", 0o644, b"a");
    let good = Image::empty().layer(base).made().unwrap();
    shelf.publish("good", &good).unwrap();
    let mut bad = good.clone();
    bad.layers.push(("application/vnd.oci.image.layer.v1.tar".to_owned(), vec![0; 100]));
    bad.config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(format!("sha256:{}", "cd".repeat(32))));
    shelf.publish("bad", &bad).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    rig.pull(&format!("{}/app:bad", host.address())).unwrap_err();
    rig.pull(&format!("{}/app:good", host.address())).unwrap();
    assert_eq!(rig.store.index().images().unwrap().len(), 1);
}
