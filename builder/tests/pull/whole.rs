//! Images that come, once.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::sync::Arc;
use std::time::Duration;

use builder::gc::{PruneOptions, prune};
use builder::transfer::Step;
use builder::transfer::pull::{PullOptions, Scope, complete, missing, sync};
use fixtures::{Answer, Body, Host, Image, Layer, Shelf};
use oci::DiffId;
use store::Origin;

use crate::rig::{Rig, blob_gets, diff_ids, is_root, run, small};

#[test]
fn an_image_comes_whole_and_only_once() {
    if !is_root() {
        return;
    }
    let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), small());
    let digest = shelf.publish("v1", &made).unwrap();
    let named = digest.clone();
    let host = Host::start(move |asked| {
        let answer = shelf.answer(asked);
        if asked.path().ends_with("/manifests/v1") { answer.header("Docker-Content-Digest", &named) } else { answer }
    })
    .unwrap();
    let name = format!("{}/team/app:v1", host.address());
    let pulled = rig.pull(&name).unwrap();
    assert_eq!(pulled.top.to_string(), digest);
    assert_eq!(pulled.manifest, pulled.top);
    assert_eq!(pulled.fresh.len(), 2);
    assert_eq!(rig.store.index().image(&name).unwrap().unwrap().manifest, pulled.top);
    assert_eq!(missing(&rig.store, &pulled.top).unwrap(), []);

    let [base, top] = &diff_ids(&made)[..] else { panic!() };
    assert_eq!(fs::read(rig.tree(base).join("etc/base")).unwrap(), b"base");
    assert_eq!(fs::read_link(rig.tree(base).join("link")).unwrap().to_str(), Some("etc/base"));
    assert_eq!(fs::metadata(rig.tree(base).join("etc/base")).unwrap().mode() & 0o7777, 0o640);
    assert!(fs::symlink_metadata(rig.tree(top).join("etc/base")).unwrap().file_type().is_char_device());

    // Where it was seen, in which form, and what gives the tar back.
    let diff_id = DiffId::new(base.parse().unwrap());
    let variants = rig.store.index().variants(&diff_id).unwrap();
    assert_eq!(variants.len(), 1);
    assert_eq!(variants[0].media_type, oci::media_type::OCI_LAYER_GZIP);
    let origin = Origin { registry: host.address(), repository: "team/app".into() };
    assert_eq!(rig.store.index().origins(&variants[0].blob).unwrap(), [origin]);
    let id = rig.store.index().layer_by_diff_id(&diff_id).unwrap().unwrap();
    let split = rig.store.split(&id).unwrap().unwrap();
    let tree = sys::Root::open(rig.store.layout().tree(&id)).unwrap();
    let (again, _, _) = runtime::tree::assemble(split, &tree, std::io::sink()).unwrap();
    assert_eq!(again, diff_id);

    let before = host.asked().len();
    let again = rig.pull(&name).unwrap();
    assert_eq!((again.moved, again.fresh.len(), again.top), (0, 0, pulled.top));
    let later = host.asked();
    let asked: Vec<_> = later[before..].iter().filter(|asked| asked.method != "HEAD").collect();
    assert!(asked.iter().all(|asked| asked.path() == "/v2/"), "{asked:?}");
    assert_eq!(blob_gets(&later, &variants[0].blob.to_string()), 1);
}

#[test]
fn documents_come_first_and_layers_when_they_are_needed() {
    if !is_root() {
        return;
    }
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    shelf.publish("latest", &small()).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let options = PullOptions { layers: Scope::DocumentsOnly, ..PullOptions::default() };
    let pulled = rig.pull_with(&format!("{}/app", host.address()), &options).unwrap();
    assert_eq!(host.count("GET", "/blobs/"), 1, "the configuration");
    assert_eq!(missing(&rig.store, &pulled.manifest).unwrap().len(), 2);
    // A collector leaves what a name leads to, and where it can be had.
    prune(&rig.store, &PruneOptions::default()).unwrap();
    let fresh = run(complete(&rig.store, &rig.client, &pulled.manifest, None, &rig.sink())).unwrap();
    assert_eq!(fresh.len(), 2);
    assert_eq!(missing(&rig.store, &pulled.manifest).unwrap(), []);
    assert_eq!(host.count("GET", "/blobs/"), 3);
}

#[test]
fn implied_directories_look_as_below_whichever_layer_comes_first() {
    if !is_root() {
        return;
    }
    let base = Layer::new().entry(tar::EntryType::Directory, "home/a", 0o700, (5, 6), "", &[]);
    let middle = Layer::new().file("home/a/one", 0o644, b"1");
    let top = Layer::new().file("home/a/two", 0o644, b"2");
    let made = Image::empty().layer(base).layer(middle).layer(top).made().unwrap();
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    shelf.publish("latest", &made).unwrap();
    let slow = made.layers[0].1.clone();
    let slow_digest = format!("sha256:{}", fixtures::sha256(&slow).unwrap());
    let host = Host::start(move |asked| {
        if asked.is("GET", &slow_digest) {
            return Answer::with(200, Body::Dripping(slow.clone(), 256, Duration::from_millis(20)));
        }
        shelf.answer(asked)
    })
    .unwrap();
    rig.pull(&format!("{}/app", host.address())).unwrap();
    for diff_id in &diff_ids(&made)[1..] {
        let dir = fs::metadata(rig.tree(diff_id).join("home/a")).unwrap();
        assert_eq!((dir.mode() & 0o7777, dir.uid(), dir.gid()), (0o700, 5, 6));
    }
}

#[test]
fn the_same_layer_twice_comes_once() {
    if !is_root() {
        return;
    }
    let twin = || Layer::new().file("a/b", 0o644, b"implies a");
    let made = Image::empty().layer(twin()).layer(twin()).made().unwrap();
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    shelf.publish("latest", &made).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let pulled = rig.pull(&format!("{}/app", host.address())).unwrap();
    assert_eq!(pulled.fresh.len(), 1);
    assert_eq!(fs::read_dir(rig.store.layout().snapshots()).unwrap().count(), 1);
    assert_eq!(host.count("GET", "/blobs/"), 2);
}

#[test]
fn two_who_want_the_same_layer_fetch_it_once() {
    if !is_root() {
        return;
    }
    let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), small());
    shelf.publish("latest", &made).unwrap();
    let slow = made.layers[0].1.clone();
    let digest = format!("sha256:{}", fixtures::sha256(&slow).unwrap());
    let wanted = digest.clone();
    let host = Host::start(move |asked| {
        if asked.is("GET", &wanted) {
            return Answer::with(200, Body::Dripping(slow.clone(), 64, Duration::from_millis(30)));
        }
        shelf.answer(asked)
    })
    .unwrap();
    let name = format!("{}/app", host.address());
    // Locks are of open files: a second store is as good as a second process.
    let other = Rig { store: Arc::new(store::Store::open(rig.store.root()).unwrap()), ..Rig::new() };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| rig.pull(&name).unwrap());
        let second = scope.spawn(|| other.pull(&name).unwrap());
        first.join().unwrap();
        second.join().unwrap();
    });
    assert_eq!(blob_gets(&host.asked(), &digest), 1);
    let waited = [rig.steps(), other.steps()].concat();
    assert!(waited.contains(&Step::Waiting) && waited.contains(&Step::Exists), "{waited:?}");
}

#[test]
fn pulled_layers_are_synced_and_collected() {
    if !is_root() {
        return;
    }
    let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
    shelf.publish("latest", &small()).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let name = format!("{}/app:latest", host.address());
    let pulled = rig.pull(&name).unwrap();
    let synced = |rig: &Rig| {
        let rows = rig.store.index().layers().unwrap();
        rows.iter().map(|row| row.tree.as_ref().unwrap().boot.is_none()).collect::<Vec<_>>()
    };
    assert_eq!(synced(&rig), [false, false]);
    sync(&rig.store, &pulled.fresh).unwrap();
    assert_eq!(synced(&rig), [true, true]);
    prune(&rig.store, &PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(missing(&rig.store, &pulled.manifest).unwrap(), [], "a name leads to it");
    prune(&rig.store, &PruneOptions { forget: vec![name], ..PruneOptions::default() }).unwrap();
    rig.assert_nothing();
    assert_eq!(rig.store.index().blobs_with_origins().unwrap(), []);
}

#[test]
fn every_form_of_a_layer_comes() {
    if !is_root() {
        return;
    }
    use oci::media_type as kinds;
    let tar = Layer::new().file("form", 0o644, b"the same in every form").finish();
    let compressed = |compression: layer::Compression| {
        let mut encoder = compression.encoder(Vec::new(), None).unwrap();
        std::io::Write::write_all(&mut encoder, &tar).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = compressed(layer::Compression::Gzip);
    let zstd = compressed(layer::Compression::Zstd);
    // What zstd:chunked writes behind the layer: a frame to be skipped.
    let chunked = [&zstd[..], &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0], b"toc!"].concat();
    for (kind, bytes, recorded) in [
        (kinds::OCI_LAYER, &tar, kinds::OCI_LAYER),
        (kinds::DOCKER_LAYER, &tar, kinds::OCI_LAYER),
        (kinds::OCI_LAYER_GZIP, &gzip, kinds::OCI_LAYER_GZIP),
        (kinds::DOCKER_LAYER_GZIP, &gzip, kinds::OCI_LAYER_GZIP),
        (kinds::OCI_LAYER_ZSTD, &zstd, kinds::OCI_LAYER_ZSTD),
        (kinds::DOCKER_LAYER_ZSTD, &chunked, kinds::OCI_LAYER_ZSTD),
        // A name that lies about the compression: the bytes count.
        (kinds::OCI_LAYER_ZSTD, &gzip, kinds::OCI_LAYER_GZIP),
    ] {
        let mut made =
            Image::empty().layer(Layer::new().file("form", 0o644, b"the same in every form")).made().unwrap();
        made.layers[0] = (kind.to_owned(), bytes.clone());
        let (rig, shelf) = (Rig::new(), Arc::new(Shelf::default()));
        shelf.publish("latest", &made).unwrap();
        let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
        rig.pull(&format!("{}/app", host.address())).unwrap();
        let diff_id = &diff_ids(&made)[0];
        assert_eq!(fs::read(rig.tree(diff_id).join("form")).unwrap(), b"the same in every form", "{kind}");
        let variants = rig.store.index().variants(&DiffId::new(diff_id.parse().unwrap())).unwrap();
        assert_eq!(variants[0].media_type, recorded, "{kind}");
    }
}
