//! Trees and tars against each other, against GNU tar, and against attacks.

mod attack;
mod peer;
mod round_trip;
mod splits;
mod views;

use std::collections::BTreeMap;
use std::path::Path;

use layer::{Entry, Kind, TarWriter};
use sys::Root;

use super::{ApplyOptions, Built, StreamOptions, apply, stream};

/// A directory for a test, and its root.
pub(super) fn directory() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

/// The tar of entries with the content of files.
pub(super) fn tar(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        let mut content = *content;
        writer.append(entry, &mut content).unwrap();
    }
    writer.finish().unwrap()
}

/// An entry that the user who runs the tests may make.
pub(super) fn entry(path: &str, kind: Kind) -> Entry {
    let mut entry = Entry::new(path, kind);
    (entry.uid, entry.gid) = ids();
    entry.mtime = 1_000_000_000;
    entry
}

pub(super) fn ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) fn file<'a>(path: &str, content: &'a str) -> (Entry, &'a [u8]) {
    let mut entry = entry(path, Kind::File);
    entry.size = content.len() as u64;
    (entry, content.as_bytes())
}

pub(super) fn dir(path: &str) -> (Entry, &'static [u8]) {
    (entry(path, Kind::Dir), b"")
}

pub(super) fn link(path: &str, kind: Kind, target: &str) -> (Entry, &'static [u8]) {
    let mut entry = entry(path, kind);
    entry.link = target.into();
    (entry, b"")
}

pub(super) fn bare(path: &str, kind: Kind) -> (Entry, &'static [u8]) {
    (if kind.is_deletion() { Entry::new(path, kind) } else { entry(path, kind) }, b"")
}

/// Applies a tar to a new directory.
pub(super) fn applied(bytes: &[u8]) -> (tempfile::TempDir, Root) {
    let (dir, root) = directory();
    apply(bytes, &root, &ApplyOptions::default()).unwrap();
    (dir, root)
}

pub(super) fn streamed(root: &Root) -> (Built, Vec<u8>) {
    stream(root, &StreamOptions::default(), Vec::new()).unwrap()
}

/// Everything under a directory: path → what it is.
pub(super) fn listing(dir: &Path) -> BTreeMap<String, String> {
    fn add(dir: &Path, base: &Path, into: &mut BTreeMap<String, String>) {
        for found in std::fs::read_dir(dir).unwrap() {
            let path = found.unwrap().path();
            let name = path.strip_prefix(base).unwrap().to_string_lossy().into_owned();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                into.insert(name, "dir".into());
                add(&path, base, into);
            } else if metadata.is_symlink() {
                into.insert(name, format!("-> {}", std::fs::read_link(&path).unwrap().display()));
            } else if metadata.is_file() {
                into.insert(name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
            } else {
                into.insert(name, "node".into());
            }
        }
    }
    let mut into = BTreeMap::new();
    add(dir, dir, &mut into);
    into
}
