//! Archives that want out of the directory they are applied to, or to break whoever reads them.

use std::path::Path;

use layer::{Entry, Kind};
use sys::Root;

use super::super::{ApplyOptions, LinkParents, Whiteouts, apply};
use super::{bare, dir, file, link, listing, tar};

/// A directory with a secret beside the one that archives are applied to.
struct Cell {
    above: tempfile::TempDir,
}

impl Cell {
    fn new() -> Cell {
        let above = tempfile::tempdir().unwrap();
        std::fs::create_dir(above.path().join("cell")).unwrap();
        std::fs::create_dir(above.path().join("outside")).unwrap();
        std::fs::write(above.path().join("outside/secret"), "secret").unwrap();
        Cell { above }
    }

    fn inside(&self) -> std::path::PathBuf {
        self.above.path().join("cell")
    }

    /// Applies an archive in every way; whatever comes of it, nothing outside has changed.
    fn attack(entries: impl Fn(&Path) -> Vec<(Entry, &'static [u8])>) -> Vec<Result<(), String>> {
        let mut results = Vec::new();
        for whiteouts in [Whiteouts::Overlay, Whiteouts::Remove] {
            for links in [LinkParents::Follow, LinkParents::Refuse] {
                let cell = Cell::new();
                let bytes = tar(&entries(cell.above.path()));
                let root = Root::open(cell.inside()).unwrap();
                let options = ApplyOptions { whiteouts, links, ..ApplyOptions::default() };
                let result = apply(&bytes[..], &root, &options);
                results.push(result.map(drop).map_err(|error| error.to_string()));
                let outside: Vec<_> = listing(&cell.above.path().join("outside")).into_iter().collect();
                assert_eq!(outside, [("secret".to_owned(), "secret".to_owned())], "{results:?}");
                assert_eq!(listing(cell.above.path()).keys().filter(|name| !name.starts_with("cell")).count(), 2);
            }
        }
        results
    }
}

/// A link to the directory outside, absolute and relative.
fn ways_out(above: &Path) -> [String; 2] {
    [above.join("outside").display().to_string(), "../outside".into()]
}

#[test]
fn files_through_links_stay_inside() {
    for way in 0..2 {
        let results = Cell::attack(|above| {
            vec![link("out", Kind::Symlink, &ways_out(above)[way]), file("out/secret", "changed"), file("out/new", "")]
        });
        assert!(results.iter().all(Result::is_err), "the link leads nowhere inside: {results:?}");
    }
}

#[test]
fn links_that_lead_somewhere_inside_are_followed_or_refused() {
    let results = Cell::attack(|_| {
        vec![dir("usr"), dir("usr/lib"), link("lib", Kind::Symlink, "/usr/lib"), file("lib/libc", "libc")]
    });
    let follows = |result: &Result<(), String>| result.is_ok();
    assert_eq!(results.iter().map(follows).collect::<Vec<_>>(), [true, false, true, false], "{results:?}");
    assert!(results[1].as_ref().unwrap_err().contains("symbolic link"), "{results:?}");
}

#[test]
fn hard_links_to_what_is_outside_are_refused() {
    for way in 0..2 {
        Cell::attack(|above| {
            vec![link("out", Kind::Symlink, &ways_out(above)[way]), link("stolen", Kind::Hardlink, "out/secret")]
        })
        .iter()
        .for_each(|result| assert!(result.is_err()));
    }
    // A hard link to a link is another link, not a name of what it leads to; writing to it replaces it.
    let results = Cell::attack(|above| {
        let secret = above.join("outside/secret").display().to_string();
        vec![link("a", Kind::Symlink, &secret), link("b", Kind::Hardlink, "a"), file("b", "changed")]
    });
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[test]
fn deletions_through_links_stay_inside() {
    for way in 0..2 {
        Cell::attack(|above| {
            vec![link("out", Kind::Symlink, &ways_out(above)[way]), bare("out/secret", Kind::Whiteout)]
        });
        Cell::attack(|above| vec![link("out", Kind::Symlink, &ways_out(above)[way]), bare("out", Kind::Opaque)]);
        Cell::attack(|above| vec![link("out", Kind::Symlink, &ways_out(above)[way]), bare("out", Kind::Whiteout)]);
    }
}

#[test]
fn links_are_replaced_and_never_written_through() {
    for kind in [Kind::File, Kind::Dir, Kind::Fifo] {
        let results = Cell::attack(|above| {
            let secret = above.join("outside/secret").display().to_string();
            vec![link("a", Kind::Symlink, &secret), bare("a", kind)]
        });
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    // A directory's time and mode, set at the end, when a link has taken its place.
    let results = Cell::attack(|above| {
        vec![dir("a"), file("a/x", ""), link("a", Kind::Symlink, &above.join("outside").display().to_string())]
    });
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[test]
fn a_link_named_like_the_root_is_refused() {
    // CVE-2021-29136: a link that replaces the directory itself.
    let cell = Cell::new();
    let mut bytes = tar(&[link("x", Kind::Symlink, "../outside"), file("y/secret", "changed")]);
    bytes[0] = b'.';
    let sum: u32 = bytes[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let root = Root::open(cell.inside()).unwrap();
    apply(&bytes[..], &root, &ApplyOptions::default()).unwrap();
    assert_eq!(std::fs::read(cell.above.path().join("outside/secret")).unwrap(), b"secret");
    assert!(cell.inside().join("y/secret").exists());
}

#[test]
fn marks_of_overlayfs_are_never_taken_from_a_layer() {
    let (mut marked, content) = dir("d");
    marked.xattrs.insert(b"user.note".to_vec(), b"kept".to_vec());
    let bytes = tar(&[(marked, content)]);
    // The writer leaves such attributes out, so the name is changed in the bytes.
    let at = bytes.windows(9).position(|window| window == b"user.note").unwrap();
    let mut bytes = bytes;
    // Same length: `20 SCHILY.xattr.…` stays true.
    bytes[at..at + 9].copy_from_slice(b"user.over");
    let (found, root) = super::applied(&bytes);
    assert_eq!(root.list_xattrs("d").unwrap().len(), 1, "{found:?}");
    for private in [&b"user.overlay.opaque"[..], b"trusted.overlay.redirect", b"user.estiba.owner"] {
        let mut records = b"SCHILY.xattr.".to_vec();
        records.extend_from_slice(private);
        records.extend_from_slice(b"=y\n");
        let length = records.len() + 3;
        let records = [format!("{length} ").as_bytes(), &records].concat();
        assert_eq!(records.len(), length);
        let mut archive = Vec::new();
        let mut header = ustar(b'x', "pax", records.len());
        archive.append(&mut header);
        archive.extend_from_slice(&records);
        archive.resize(1024, 0);
        archive.append(&mut ustar(b'5', "d/", 0));
        archive.resize(archive.len() + 1024, 0);
        let (_dir, root) = super::applied(&archive);
        assert!(root.stat("d").unwrap().is_dir());
        assert!(root.list_xattrs("d").unwrap().is_empty());
    }
}

/// A header block by hand.
fn ustar(kind: u8, name: &str, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size as u64);
    header.set_mode(0o755);
    let (uid, gid) = super::ids();
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_mtime(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_sparse_giant_costs_nothing_and_a_limit_stops_it() {
    let mut runs = b"GNU.sparse.major=1\n".to_vec();
    runs.insert(0, b' ');
    let record = |text: &str| {
        let body = text.len() + 2;
        let length = body + (body + 2).to_string().len();
        format!("{length} {text}\n")
    };
    let records =
        ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=giant", "GNU.sparse.realsize=1099511627776"]
            .map(record)
            .concat();
    let mut archive = ustar(b'x', "pax", records.len());
    archive.extend_from_slice(records.as_bytes());
    archive.resize(1024, 0);
    archive.extend(ustar(b'0', "giant", 512));
    archive.extend_from_slice(b"1\n1099511627776\n0\n");
    archive.resize(2048, 0);
    archive.resize(archive.len() + 1024, 0);
    let (dir, root) = super::directory();
    apply(&archive[..], &root, &ApplyOptions::default()).unwrap();
    let metadata = dir.path().join("giant").metadata().unwrap();
    assert_eq!(metadata.len(), 1 << 40);
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) < 100);
    let (_dir, root) = super::directory();
    let limits = layer::Limits { total: 1 << 30, ..layer::Limits::default() };
    let options = ApplyOptions { limits, ..ApplyOptions::default() };
    assert!(apply(&archive[..], &root, &options).unwrap_err().to_string().contains("more than"));
}
