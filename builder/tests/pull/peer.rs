//! The same image unpacked by umoci, and pulled by us and mounted by the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fixtures::{Host, Image, Layer, Shelf};
use tar::EntryType;

use crate::rig::{Rig, diff_ids, is_root};

/// Three layers that take each other's things away in every way there is.
fn image() -> Image {
    let base = Layer::new()
        .dir("etc", 0o755)
        .entry(EntryType::Regular, "etc/kept", 0o4755, (7, 8), "", b"kept")
        .file("etc/gone", 0o644, b"gone")
        .dir("var", 0o1777)
        .dir("var/cleared", 0o750)
        .file("var/cleared/old", 0o644, b"old")
        .dir("var/cleared/deep", 0o755)
        .file("var/cleared/deep/old", 0o644, b"old")
        .entry(EntryType::Directory, "opt", 0o711, (3, 4), "", &[])
        .file("opt/file", 0o644, b"a file that becomes a directory")
        .dir("opt/dir", 0o755)
        .file("opt/dir/in", 0o644, b"in a directory that becomes a file")
        .link("link", "etc/kept");
    let middle = Layer::new()
        .file("etc/.wh.gone", 0o644, b"")
        .file("var/cleared/.wh..wh..opq", 0o644, b"")
        .file("var/cleared/new", 0o600, b"new")
        .file("opt/.wh.file", 0o644, b"")
        .dir("opt/file", 0o700)
        .file("opt/file/now", 0o644, b"now")
        .file("opt/implied/deep", 0o644, b"under what nobody made")
        .entry(EntryType::Link, "etc/twin", 0o644, (0, 0), "opt/file/now", &[]);
    let top = Layer::new()
        .file("opt/.wh.dir", 0o644, b"")
        .file("opt/dir", 0o644, b"a file now")
        .file("etc/gone", 0o640, b"back again")
        .file("var/.wh.cleared", 0o644, b"")
        .link("link", "etc/gone");
    Image::empty().layer(base).layer(middle).layer(top)
}

/// What a tree holds, by path: kind and mode, owner, size, and content or target.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let at = entry.metadata().unwrap();
        let content = match at.mode() & 0o170_000 {
            0o100_000 => format!("{:?}", fs::read(entry.path()).unwrap()),
            0o120_000 => format!("{:?}", fs::read_link(entry.path()).unwrap()),
            _ => String::new(),
        };
        let path = entry.path().strip_prefix(root).unwrap().display().to_string();
        found.insert(path, format!("{:o} {}:{} {content}", at.mode(), at.uid(), at.gid()));
    }
    found
}

#[test]
fn what_layers_take_away_is_what_umoci_takes_away() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let layout = image().layout_in(rig.dir.path(), "layout").unwrap();
    let bundle = rig.dir.path().join("bundle");
    let image_name = format!("{}:latest", layout.display());
    let umoci = Command::new("umoci").args(["unpack", "--image", &image_name]).arg(&bundle).output();
    if !umoci.is_ok_and(|output| output.status.success()) {
        return fixtures::skip("there is no umoci");
    }
    let (shelf, made) = (Arc::new(Shelf::default()), image().made().unwrap().gzipped().unwrap());
    shelf.publish("latest", &made).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    rig.pull(&format!("{}/app", host.address())).unwrap();
    let trees: Vec<_> = diff_ids(&made).iter().rev().map(|diff_id| rig.tree(diff_id).display().to_string()).collect();
    let merged = rig.dir.path().join("merged");
    fs::create_dir(&merged).unwrap();
    let options = format!("ro,lowerdir={}", trees.join(":"));
    let mount = Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]).arg(&merged).status();
    if !mount.is_ok_and(|status| status.success()) {
        return fixtures::skip("overlayfs does not mount here");
    }
    let ours = listing(&merged);
    Command::new("umount").arg(&merged).status().unwrap();
    assert_eq!(ours, listing(&bundle.join("rootfs")));
    assert!(ours.contains_key("opt/implied/deep") && !ours.contains_key("var/cleared"), "{ours:?}");
}
