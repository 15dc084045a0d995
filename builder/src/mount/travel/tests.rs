//! Journeys there and back, what moves, and what lies.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use oci::Digest;
use store::Store;

use super::index::{Entry, Index, Kind, PIECE, Pack, Piece};
use super::{export, import, manifest};
use crate::cache::backend::{Backend, BackendError, Blob, Content};

/// A place in memory that counts what it is asked for.
#[derive(Default)]
struct Shelf {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    fetched: Mutex<u64>,
}

impl Backend for Shelf {
    fn place(&self) -> String {
        "a shelf".to_owned()
    }

    fn get_manifest(&self, part: Option<&str>) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.manifests.lock().unwrap().get(part.unwrap_or_default()).cloned())
    }

    fn put_manifest(&self, part: Option<&str>, _: &str, bytes: &[u8]) -> Result<Digest, BackendError> {
        self.manifests.lock().unwrap().insert(part.unwrap_or_default().to_owned(), bytes.to_vec());
        Ok(Digest::sha256(bytes))
    }

    fn has_blob(&self, blob: &Blob) -> Result<bool, BackendError> {
        Ok(self.blobs.lock().unwrap().contains_key(&blob.digest))
    }

    fn get_blob(&self, blob: &Blob, into: &mut dyn Write) -> Result<(), BackendError> {
        let blobs = self.blobs.lock().unwrap();
        let absent = || BackendError::Absent { place: self.place(), what: blob.digest.to_string() };
        let bytes = blobs.get(&blob.digest).ok_or_else(absent)?;
        *self.fetched.lock().unwrap() += bytes.len() as u64;
        into.write_all(bytes).map_err(|source| BackendError::Sink { place: self.place(), source })
    }

    fn put_blob(&self, blob: &Blob, content: Content<'_>) -> Result<u64, BackendError> {
        let Content::Bytes(bytes) = content else { unreachable!() };
        Ok(self.blobs.lock().unwrap().insert(blob.digest, bytes.to_vec()).map_or(blob.size, |_| 0))
    }
}

/// Two stores and a shelf between them.
struct World {
    _dir: tempfile::TempDir,
    here: Store,
    there: Store,
    shelf: Arc<Shelf>,
}

const ID: &str = "/root/.cache";

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let here = Store::open(dir.path().join("here")).unwrap();
        let there = Store::open(dir.path().join("there")).unwrap();
        let world = Self { _dir: dir, here, there, shelf: Arc::default() };
        for store in [&world.here, &world.there] {
            let instance = mount(store);
            fs::create_dir_all(instance.parent().unwrap()).unwrap();
            fs::write(instance.with_extension("lock"), "").unwrap();
        }
        fs::create_dir(mount(&world.here)).unwrap();
        world
    }

    fn export(&self) -> super::Moved {
        // Out of the tick in which a test wrote.
        std::thread::sleep(std::time::Duration::from_millis(25));
        export(&self.here, &[ID.to_owned()], self.shelf.as_ref()).unwrap().moved
    }

    fn import(&self) -> Result<Option<super::Moved>, super::TravelError> {
        let from: Vec<Arc<dyn Backend>> = vec![self.shelf.clone()];
        let (came, failed) = self.import_from(&from);
        failed.into_iter().next().map_or(Ok(came), Err)
    }

    fn import_from(&self, from: &[Arc<dyn Backend>]) -> (Option<super::Moved>, Vec<super::TravelError>) {
        let root = rustix::process::geteuid().is_root();
        let mut failed = Vec::new();
        let came = import(&self.there, ID, &mount(&self.there), root, from, &mut |_, error| failed.push(error));
        (came, failed)
    }

    /// Makes what is there look used at that time.
    fn used(&self, when: std::time::SystemTime) {
        let lock = fs::File::options().write(true).open(mount(&self.there).with_extension("lock")).unwrap();
        lock.set_modified(when).unwrap();
    }

    /// Makes what is there look long unused.
    fn age(&self) {
        self.used(std::time::UNIX_EPOCH);
    }

    /// What an index says, as if somebody had put it on the shelf.
    fn lie(&self, entries: Vec<Entry>, packs: Vec<(Pack, Vec<u8>)>) {
        let mut blobs = self.shelf.blobs.lock().unwrap();
        let index = Index::new(i64::MAX, entries, packs.iter().map(|(pack, _)| pack.clone()).collect());
        for (pack, bytes) in packs {
            blobs.insert(pack.digest, bytes);
        }
        drop(blobs);
        let bytes = index.encode().unwrap();
        manifest::write(self.shelf.as_ref(), &manifest::part(ID), ID, &index, &bytes).unwrap();
    }
}

fn mount(store: &Store) -> PathBuf {
    store.layout().cache_mount(ID).join("0")
}

/// Everything that travels of a tree, for comparison.
fn picture(root: &Path) -> BTreeMap<PathBuf, (u32, i64, u64, Vec<u8>)> {
    let mut picture = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let content = match metadata.file_type() {
            kind if kind.is_file() => fs::read(entry.path()).unwrap(),
            kind if kind.is_symlink() => fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        let links = if metadata.is_file() { metadata.nlink() } else { 0 };
        let path = entry.path().strip_prefix(root).unwrap().to_path_buf();
        picture.insert(path, (metadata.mode(), metadata.mtime(), links, content));
    }
    picture
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn a_mount_goes_and_comes_as_it_was() {
    let world = World::new();
    let from = mount(&world.here);
    fs::create_dir_all(from.join("deep/er")).unwrap();
    fs::write(from.join("deep/er/file"), "content").unwrap();
    fs::write(from.join("empty"), "").unwrap();
    fs::write(from.join("big"), noise(7, 2 * PIECE as usize + 5)).unwrap();
    fs::write(from.join("tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(from.join("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(from.join("tool"), from.join("tool-again")).unwrap();
    symlink("/etc/passwd", from.join("outside")).unwrap();
    symlink("deep", from.join("inside")).unwrap();
    fs::set_permissions(from.join("deep"), fs::Permissions::from_mode(0o500)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let went = world.export();
    assert_eq!((went.files, went.left_out), (10, 1));
    let again = world.export();
    assert_eq!((again.bytes, again.read), (0, 0), "nothing changed, nothing read");
    let came = world.import().unwrap().unwrap();
    assert_eq!(came.files, 10);
    fs::remove_file(from.join("pipe")).unwrap();
    assert_eq!(picture(&mount(&world.there)), picture(&from));
    assert!(world.import().unwrap().is_none(), "nothing new");
}

#[test]
fn only_what_changed_moves() {
    let world = World::new();
    let from = mount(&world.here);
    for at in 0..300 {
        fs::write(from.join(format!("f{at:03}")), noise(at + 1, 40_000)).unwrap();
    }
    let first = world.export();
    assert!(first.bytes > 300 * 40_000);
    world.import().unwrap().unwrap();
    fs::write(from.join("f007"), noise(9999, 40_000)).unwrap();
    fs::remove_file(from.join("f008")).unwrap();
    let second = world.export();
    assert_eq!(second.read, 40_000, "one file is read");
    assert!(second.bytes < 120_000, "{second:?}");
    world.used(std::time::SystemTime::now() + std::time::Duration::from_secs(60));
    assert!(world.import().unwrap().is_none(), "what was used since stays");
    world.age();
    *world.shelf.fetched.lock().unwrap() = 0;
    let inode = fs::metadata(mount(&world.there).join("f100")).unwrap().ino();
    let came = world.import().unwrap().unwrap();
    assert!(came.bytes < 60_000 && *world.shelf.fetched.lock().unwrap() < 120_000, "{came:?}");
    assert_eq!(picture(&mount(&world.there)), picture(&from));
    assert_eq!(fs::metadata(mount(&world.there).join("f100")).unwrap().ino(), inode, "taken over");
    // The other side goes on from there, and reads only what it changes.
    fs::write(mount(&world.there).join("f200"), "changed there").unwrap();
    let back = export(&world.there, &[ID.to_owned()], world.shelf.as_ref()).unwrap().moved;
    assert!(back.read <= 40_000 && back.bytes < 120_000, "{back:?}");
}

#[test]
fn dead_packs_are_made_anew() {
    let world = World::new();
    let from = mount(&world.here);
    for at in 0..64 {
        fs::write(from.join(format!("f{at:02}")), noise(at + 1, 500_000)).unwrap();
    }
    world.export();
    let packs = |world: &World| {
        let there = manifest::read(world.shelf.as_ref(), &manifest::part(ID), ID).unwrap().unwrap();
        manifest::index(world.shelf.as_ref(), &there).unwrap().packs.iter().map(|pack| pack.raw).sum::<u64>()
    };
    assert_eq!(packs(&world), 32_000_000);
    for at in (0..64).filter(|at| at % 9 != 0) {
        fs::remove_file(from.join(format!("f{at:02}"))).unwrap();
    }
    world.export();
    assert!(packs(&world) <= 2 * 8 * 500_000, "{}", packs(&world));
    world.import().unwrap().unwrap();
    assert_eq!(picture(&mount(&world.there)), picture(&from));
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let world = World::new();
    let from = mount(&world.here);
    let outside = world._dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for at in 0..200 {
        fs::write(outside.join(format!("s{at}")), "a secret of the host").unwrap();
    }
    fs::create_dir(from.join("swap")).unwrap();
    for at in 0..200 {
        fs::write(from.join(format!("swap/s{at}")), "harmless").unwrap();
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (stop, from, outside) = (stop.clone(), from.clone(), outside.clone());
        move || {
            let (dir, aside) = (from.join("swap"), from.join("aside"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::rename(&dir, &aside).unwrap();
                symlink(&outside, &dir).unwrap();
                fs::remove_file(&dir).unwrap();
                fs::rename(&aside, &dir).unwrap();
            }
        }
    });
    for _ in 0..30 {
        export(&world.here, &[ID.to_owned()], world.shelf.as_ref()).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
    for bytes in world.shelf.blobs.lock().unwrap().values() {
        let plain = zstd::stream::decode_all(bytes.as_slice()).unwrap();
        assert!(!plain.windows(8).any(|window| window == b"a secret"));
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: path.into(), mode: 0o755, owner: (0, 0), mtime: (0, 0), kind }
}

fn packed(bytes: &[u8]) -> (Pack, Vec<u8>) {
    let packed = zstd::bulk::compress(bytes, 3).unwrap();
    let pack = Pack { digest: Digest::sha256(&packed), size: packed.len() as u64, raw: bytes.len() as u64 };
    (pack, packed)
}

#[test]
fn what_lies_makes_nothing_and_leaves_what_was_here() {
    let world = World::new();
    fs::create_dir(mount(&world.there)).unwrap();
    fs::write(mount(&world.there).join("kept"), "kept").unwrap();
    world.age();
    let evil = b"evil".as_slice();
    let piece = |digest: &[u8]| Kind::File(vec![Piece(Digest::sha256(digest), 4, 0, 0)]);
    let dir = || entry("", Kind::Dir);
    let mut short = packed(evil);
    short.0.raw = 3;
    let mut bomb = packed(&vec![0; 1 << 20]);
    bomb.0.raw = 4;
    let cases = [
        (vec![dir(), entry("../../escaped", piece(evil))], packed(evil)),
        (vec![dir(), entry("link", Kind::Symlink("/tmp".into())), entry("link/x", piece(evil))], packed(evil)),
        (vec![dir(), entry("hard", Kind::Hardlink("/etc/passwd".into()))], packed(evil)),
        (vec![dir(), entry("f", piece(b"other"))], packed(evil)),
        (vec![dir(), entry("f", piece(evil))], short),
        (vec![dir(), entry("f", piece(evil))], bomb),
    ];
    for (number, (entries, pack)) in cases.into_iter().enumerate() {
        world.lie(entries, vec![pack]);
        assert!(world.import().is_err(), "case {number}");
        assert_eq!(fs::read_to_string(mount(&world.there).join("kept")).unwrap(), "kept");
        assert!(!mount(&world.there).with_extension("new").exists());
    }
    // Bytes that are not those of their digest.
    world.lie(vec![dir(), entry("f", piece(evil))], vec![packed(evil)]);
    for bytes in world.shelf.blobs.lock().unwrap().values_mut() {
        bytes.reverse();
    }
    assert!(world.import().is_err());
    // A manifest of another mount under this one's name.
    let other = world.shelf.get_manifest(Some(&manifest::part(ID))).unwrap().unwrap();
    let other = String::from_utf8(other).unwrap().replace("/root/.cache", "/root/.other");
    world.shelf.put_manifest(Some(&manifest::part(ID)), "", other.as_bytes()).unwrap();
    assert!(world.import().unwrap_err().to_string().contains("something else"));
}

#[test]
fn a_mount_that_is_larger_than_the_limit_does_not_come() {
    let world = World::new();
    fs::write(mount(&world.here).join("big"), vec![1; 6 << 20]).unwrap();
    world.export();
    world.there.room().set_limit(Some(4 << 20));
    assert!(world.import().unwrap_err().to_string().contains("limit"));
    assert!(!mount(&world.there).exists() && !mount(&world.there).with_extension("new").exists());
}

#[test]
fn a_place_that_fails_does_not_end_the_search() {
    let world = World::new();
    fs::write(mount(&world.here).join("f"), "content").unwrap();
    world.export();
    let broken = World::new();
    fs::write(mount(&broken.here).join("f"), "other").unwrap();
    broken.export();
    for bytes in broken.shelf.blobs.lock().unwrap().values_mut() {
        bytes.reverse();
    }
    let (came, failed) = world.import_from(&[broken.shelf.clone(), world.shelf.clone()]);
    assert!(came.is_some() && failed.len() == 1, "{failed:?}");
    assert_eq!(fs::read_to_string(mount(&world.there).join("f")).unwrap(), "content");
}
