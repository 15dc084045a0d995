//! Layers that reach out of their tree, blow up, or end early.

use std::fs;
use std::sync::Arc;

use fixtures::{Image, Layer, Made, Shelf, gzip, sha256};
use serde_json::json;

use super::{Held, PATIENCE, PEAK_KIB, errors, honest, host, leaves_nothing, noise, refused, run, small, works};
use crate::runner::Env;

/// An image of these layers as they are sent, with the DiffIds of these tars.
fn made(layers: &[(&str, Vec<u8>, Vec<u8>)]) -> Made {
    let mut made = Image::empty().made().unwrap();
    let diff_ids: Vec<String> = layers.iter().map(|(_, _, tar)| format!("sha256:{}", sha256(tar).unwrap())).collect();
    made.config["rootfs"]["diff_ids"] = json!(diff_ids);
    made.config["history"] = json!([]);
    made.layers = layers
        .iter()
        .map(|(suffix, sent, _)| (format!("application/vnd.oci.image.layer.v1.tar{suffix}"), sent.clone()))
        .collect();
    made
}

/// Pulls an image that reaches for `target`; whether it is refused or held inside, nothing is there afterwards.
#[test]
fn layers_stay_in_their_tree() {
    use tar::EntryType as E;
    let env = Env::new();
    let outside = env.work().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    let place = outside.to_str().unwrap();
    let up = format!("../../../../../../../../../..{place}");
    let own = (0, 0);
    let file = |path: &str| Layer::new().entry(E::Regular, path, 0o644, own, "", b"evil");
    let through = |target: &str| {
        Layer::new().entry(E::Symlink, "d", 0o777, own, target, b"").entry(
            E::Regular,
            "d/evil",
            0o644,
            own,
            "",
            b"evil",
        )
    };
    let hard = |target: &str| {
        let linked = Layer::new().entry(E::Link, "h", 0o644, own, target, b"");
        linked.entry(E::Regular, "h", 0o644, own, "", b"evil")
    };
    let white = |name: &str| Layer::new().entry(E::Regular, name, 0o644, own, "", b"");
    let cases: Vec<(&str, Vec<Layer>)> = vec![
        ("a name that climbs", vec![file(&format!("{up}/evil"))]),
        ("a name that climbs in its middle", vec![file(&format!("a/b/{up}/evil"))]),
        ("an absolute name", vec![file(&format!("{place}/evil"))]),
        ("a file through an absolute link", vec![through(place)]),
        ("a file through a link that climbs", vec![through(&up)]),
        (
            "a file through a link of the layer below",
            vec![Layer::new().entry(E::Symlink, "d", 0o777, own, place, b""), file("d/evil")],
        ),
        (
            "a directory over a link of its own",
            vec![
                Layer::new()
                    .entry(E::Symlink, "d", 0o777, own, place, b"")
                    .entry(E::Directory, "d", 0o777, own, "", b"")
                    .entry(E::Regular, "d/evil", 0o644, own, "", b"evil"),
            ],
        ),
        ("a hard link that climbs", vec![hard(&format!("{up}/kept"))]),
        ("an absolute hard link", vec![hard(&format!("{place}/kept"))]),
        ("a hard link to itself", vec![Layer::new().entry(E::Link, "h", 0o644, own, "h", b"")]),
        ("a whiteout that climbs", vec![white(&format!("{up}/.wh.kept"))]),
        ("a whiteout of ..", vec![white(".wh..")]),
        ("a whiteout of the folder above", vec![white("a/.wh...")]),
        ("a whiteout of nothing", vec![white(".wh.")]),
        ("a whiteout with a path", vec![white(&format!("a/.wh.{up}"))]),
        (
            "a whiteout through a link",
            vec![Layer::new().entry(E::Symlink, "d", 0o777, own, place, b""), white("d/.wh.kept")],
        ),
        (
            "an opaque folder through a link",
            vec![Layer::new().entry(E::Symlink, "d", 0o777, own, place, b""), white("d/.wh..wh..opq")],
        ),
        ("the root as a file", vec![file("./"), file(".")]),
        (
            "the root as a link",
            vec![Layer::new().entry(E::Symlink, "./", 0o777, own, place, b"").file("evil", 0o644, b"evil")],
        ),
        ("a name of nothing", vec![file("")]),
        (
            "a device",
            vec![
                Layer::new().entry(E::Block, "sda", 0o666, own, "", b""),
                Layer::new().entry(E::Char, "mem", 0o666, own, "", b""),
            ],
        ),
        ("a pipe", vec![Layer::new().entry(E::Fifo, "p", 0o666, own, "", b"")]),
        ("a file in a file", vec![Layer::new().file("f", 0o644, b"x").file("f/g", 0o644, b"evil")]),
        ("an owner beyond numbers", vec![Layer::new().entry(E::Regular, "f", 0o644, (1 << 20, 1 << 20), "", b"x")]),
    ];
    for (number, (what, layers)) in cases.into_iter().enumerate() {
        let image = layers.into_iter().fold(Image::empty(), Image::layer).made().unwrap().gzipped().unwrap();
        let shelf = Arc::new(Shelf::default());
        shelf.publish("latest", &image).unwrap();
        let host = honest(&shelf);
        let name = format!("{}/app{number}", host.address());
        let before = Held::of(&env);
        let watched = run(&env, &["pull", &name]);
        println!("{what}: {} {}", watched.said.code, watched.said.stderr);
        if watched.said.code == 0 {
            // It can be read, and taken away again.
            drop(run(
                &env,
                &["build", "--progress=plain", "--output", "type=tar,dest=/dev/null", &context(&env, &name)],
            ));
            works(&env, &["rmi", "-f", &name]);
        } else {
            assert_eq!(watched.said.code, 1, "{what}");
            assert_eq!(errors(&watched.said.stderr), 1, "{what}: {}", watched.said.stderr);
            Held::of(&env).adds_no_image(&before, what);
        }
        let there: Vec<String> = crate::runner::files_below(&outside);
        assert_eq!(there, ["kept"], "{what}");
        assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept", "{what}");
    }
    leaves_nothing(&env);
}

fn context(env: &Env, image: &str) -> String {
    env.write("context/Dockerfile", format!("FROM {image}\nCOPY Dockerfile /d\n"));
    env.work().join("context").display().to_string()
}

#[test]
fn layers_that_are_no_tar_are_refused() {
    let env = Env::new();
    let whole = Layer::new().file("a", 0o644, &[7; 3000]).file("b", 0o644, &[8; 3000]).finish();
    let cut = |at: usize| whole[..at].to_vec();
    let zipped = gzip(&whole).unwrap();
    let mut broken = zipped.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0x55;
    let mut checksum = zipped.clone();
    let end = checksum.len() - 8;
    checksum[end] ^= 1;
    let trailing = [&zipped[..], b"not gzip at all"].concat();
    let mut header = whole.clone();
    header[148] ^= 1;
    let mut sized = whole.clone();
    sized[124..135].copy_from_slice(b"77777777777");
    let words = b"this is no tar. ".repeat(100);
    let cases: Vec<(&str, &str, Vec<u8>, Vec<u8>)> = vec![
        ("cut in a file", "", cut(1000), cut(1000)),
        ("cut in a header", "", cut(4000), cut(4000)),
        ("cut in a file, zipped", "+gzip", gzip(&cut(1000)).unwrap(), cut(1000)),
        ("half a gzip", "+gzip", zipped[..zipped.len() / 2].to_vec(), whole.clone()),
        ("gzip without its end", "+gzip", zipped[..zipped.len() - 8].to_vec(), whole.clone()),
        ("gzip with a broken bit", "+gzip", broken, whole.clone()),
        ("gzip with another checksum", "+gzip", checksum, whole.clone()),
        ("gzip with something after it", "+gzip", trailing, [&whole[..], b"not gzip at all"].concat()),
        ("words instead of gzip", "+gzip", words.clone(), words.clone()),
        ("words instead of zstd", "+zstd", words.clone(), words.clone()),
        ("words instead of a tar", "", words.clone(), words),
        ("a header's checksum", "", header.clone(), header),
        ("a file of eight gigabytes that is not there", "", sized.clone(), sized),
    ];
    for (what, suffix, sent, tar) in cases {
        let shelf = Arc::new(Shelf::default());
        shelf.publish("latest", &made(&[(suffix, sent, tar)])).unwrap();
        let host = honest(&shelf);
        println!("{what}");
        println!("  {}", refused(&env, &["pull", &format!("{}/app", host.address())], &["sha256:"]));
    }
    leaves_nothing(&env);
}

/// What unpacks to far more than it is holds neither memory nor time; the disk is the user's affair.
#[test]
fn bombs_hold_no_memory() {
    let env = Env::new();
    // The tar ends, and 192 MB of zeros follow, which count for the DiffId.
    let mut tail = Layer::new().file("a", 0o644, b"a").finish();
    tail.resize(192 << 20, 0);
    let ending = gzip(&tail).unwrap();
    // A name of 64 MB, and extended headers of as much.
    let name = "n".repeat(64 << 20);
    let long = Layer::new().entry(tar::EntryType::GNULongName, "././@LongLink", 0o644, (0, 0), "", name.as_bytes());
    let long = long.file("x", 0o644, b"x").finish();
    let record = format!("{} path={name}\n", name.len() + 15);
    let pax = Layer::new().entry(tar::EntryType::XHeader, "PaxHeaders/x", 0o644, (0, 0), "", record.as_bytes());
    let pax = pax.file("x", 0o644, b"x").finish();
    let cases = [
        ("zeros after the end", ending, tail),
        ("a long name", gzip(&long).unwrap(), long),
        ("a long record", gzip(&pax).unwrap(), pax),
    ];
    for (what, sent, tar) in cases {
        let shelf = Arc::new(Shelf::default());
        shelf.publish("latest", &made(&[("+gzip", sent, tar)])).unwrap();
        let host = honest(&shelf);
        let watched = run(&env, &["pull", &format!("{}/app", host.address())]);
        println!("{what}: {:?} {} KiB {:#?}", watched.took, watched.peak, watched.said);
        assert!(
            watched.took < PATIENCE / 2 && watched.peak < PEAK_KIB,
            "{what}: {:?} {} KiB",
            watched.took,
            watched.peak
        );
    }
}

/// A layer of a megabyte of noise that is another's bytes, a byte short, a byte long.
#[test]
fn bodies_that_are_not_their_digests_are_refused() {
    let env = Env::new();
    let tar = Layer::new().file("noise", 0o644, &noise(1_000_000, 1)).finish();
    let image = made(&[("", tar.clone(), tar.clone())]);
    let mut other = tar.clone();
    other[700_000] ^= 1;
    let bodies = [
        ("other", other),
        ("short", tar[..tar.len() - 1].to_vec()),
        ("long", [&tar[..], b"x"].concat()),
        ("empty", Vec::new()),
    ];
    for (what, body) in bodies {
        let shelf = Arc::new(Shelf::default());
        shelf.publish("latest", &image).unwrap();
        shelf.lie(&format!("sha256:{}", sha256(&tar).unwrap()), body);
        let host = honest(&shelf);
        println!("{what}");
        println!("  {}", refused(&env, &["pull", &format!("{}/app", host.address())], &["sha256:"]));
        assert!(host.count("GET", "/blobs/") < 12, "{what}: {} tries", host.count("GET", "/blobs/"));
    }
    leaves_nothing(&env);
}

/// Where a manifest says that a layer lies elsewhere, nobody asks there.
#[test]
fn foreign_urls_are_not_followed() {
    let env = Env::new();
    let elsewhere = fixtures::Host::start(|_| fixtures::Answer::new(200, "secret")).unwrap();
    let url = format!("http://{}/layer", elsewhere.address());
    let image = small();
    let foreign = [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ];
    for kind in foreign {
        let shelf = Arc::new(Shelf::default());
        shelf
            .publish_as("latest", &image, |m| {
                m["layers"][1]["mediaType"] = json!(kind);
                m["layers"][1]["urls"] = json!([url]);
            })
            .unwrap();
        let digest = format!("sha256:{}", sha256(&image.layers[1].1).unwrap());
        let without =
            host(&shelf, move |asked| asked.target.contains(&digest).then(|| fixtures::unknown("BLOB_UNKNOWN")));
        refused(&env, &["pull", &format!("{}/app", without.address())], &["sha256:"]);
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

/// The same layer twice in one image, and at once in two images: it comes once.
#[test]
fn layers_that_collide() {
    let env = Env::new();
    let one = Layer::new().file("a", 0o644, b"one").finish();
    let two = Layer::new().file("a", 0o644, b"two").file("b", 0o644, b"b").finish();
    let zip = |tar: &Vec<u8>| ("+gzip", gzip(tar).unwrap(), tar.clone());
    let shelf = Arc::new(Shelf::default());
    // One, two, one again: the last wins.
    shelf.publish("latest", &made(&[zip(&one), zip(&two), zip(&one)])).unwrap();
    // The same twice, and its tar implies the folder it is in.
    let implied = Layer::new().file("deep/er/a", 0o644, b"x").finish();
    shelf.publish("implied", &made(&[zip(&one), zip(&implied), zip(&two), zip(&implied)])).unwrap();
    // One DiffId in two forms.
    shelf.publish("forms", &made(&[("", one.clone(), one.clone()), zip(&one), zip(&two)])).unwrap();
    let host = honest(&shelf);
    let name = format!("{}/app", host.address());
    works(&env, &["pull", &name]);
    let shown = super::tree(&env, &name);
    assert_eq!(shown.len(), 2, "{shown:?}");
    let out = env.work().join("tree.tar");
    let a = std::process::Command::new("tar").args(["-xOf", out.to_str().unwrap(), "a"]).output().unwrap();
    assert_eq!(a.stdout, b"one");
    let forms = format!("{name}:forms");
    works(&env, &["pull", &forms]);
    assert_eq!(super::tree(&env, &forms).len(), 2);
    assert!(host.count("GET", "/blobs/") <= 6, "{} fetches", host.count("GET", "/blobs/"));
    let before = host.count("GET", "/blobs/");
    let implied = format!("{name}:implied");
    works(&env, &["pull", &implied]);
    assert_eq!(host.count("GET", "/blobs/") - before, 2, "a config and one layer");
    assert_eq!(super::tree(&env, &implied).len(), 5);
    for name in [&name, &forms, &implied] {
        works(&env, &["rmi", "-f", name]);
    }
    super::leaves_nothing(&env);
}
