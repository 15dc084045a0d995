//! Any tar, unpacked and put together again, is the same bytes.

use std::path::Path;
use std::process::Command;

use layer::{Kind, SplitError};
use sys::Root;

use super::{bare, dir, directory, entry, file, link, listing, tar};
use crate::tree::{ApplyOptions, AssembleError, IdPolicy, assemble, settle_implied, unpack, unpack_recorded};

/// Unpacks with a split, puts together, compares; says whether the tree had everything.
fn round_trip(bytes: &[u8]) -> bool {
    let (_dir, root) = directory();
    let (unpacked, split) = unpack_recorded(bytes, &root, &ApplyOptions::default(), Vec::new()).unwrap();
    let put_together = assemble(&split[..], &root, Vec::new());
    if !unpacked.whole {
        let error = put_together.unwrap_err();
        let known = matches!(error, AssembleError::Split(SplitError::Unfit));
        assert!(known || matches!(error, AssembleError::Changed { .. } | AssembleError::Read { .. }), "{error}");
        return false;
    }
    let (diff_id, size, made) = put_together.unwrap();
    assert!(made == bytes, "{} bytes of {}", made.len(), bytes.len());
    assert_eq!((diff_id, size), (unpacked.diff_id, unpacked.size));
    true
}

#[test]
fn our_own_tar_is_the_same_again() {
    let long = "x".repeat(150_000);
    let bytes = tar(&[
        dir("a"),
        file("a/empty", ""),
        file("a/long", &long),
        file("a/small", "content"),
        link("a/twice", Kind::Hardlink, "a/small"),
        link("a/link", Kind::Symlink, "small"),
        bare("a/gone", Kind::Whiteout),
        file("implied/below/f", "content"),
    ]);
    assert!(round_trip(&bytes));
    // Padding to whole records, and what should not be there at all.
    for tail in [vec![0; 9000], vec![7; 300_000], [vec![0; 100_000], vec![1; 1], vec![0; 77]].concat()] {
        assert!(round_trip(&[&bytes[..], &tail].concat()));
    }
    // Without an end.
    assert!(round_trip(&bytes[..bytes.len() - 1024]));
    assert!(round_trip(b""));
}

#[test]
fn many_small_files_are_the_same_again() {
    let names: Vec<_> = (0..700).map(|n| (format!("d{}/f{n}", n % 7), "c".repeat(n * 37 % 5000))).collect();
    let entries: Vec<_> = names.iter().map(|(path, content)| file(path, content)).collect();
    assert!(round_trip(&tar(&entries)));
}

#[test]
fn a_path_that_is_named_twice_is_noticed() {
    let once = file("a/f", "first");
    for second in [
        file("a/f", "other"),
        file("a", "a file where a directory was"),
        link("a/f", Kind::Symlink, "x"),
        dir("a/f"),
        file("a/f/below", "x"),
    ] {
        assert!(!round_trip(&tar(&[once.clone(), second])));
    }
    assert!(round_trip(&tar(&[dir("a"), once.clone(), dir("a")])), "a directory may be said again");
    assert!(round_trip(&tar(&[once.clone(), bare("a/f", Kind::Whiteout)])), "what a layer has stays");
    assert!(round_trip(&tar(&[once.clone(), link("l", Kind::Symlink, "a"), file("l/g", "through a link")])));
    assert!(!round_trip(&tar(&[once, link("l", Kind::Symlink, "a"), file("l/f", "through a link")])));
}

#[test]
fn what_gnu_tar_writes_is_the_same_again() {
    let (from, _) = directory();
    let path = from.path();
    std::fs::create_dir(path.join("d")).unwrap();
    std::fs::write(path.join("d/plain"), "p".repeat(10_000)).unwrap();
    std::fs::write(path.join("d").join("n".repeat(180)), "long name").unwrap();
    std::fs::hard_link(path.join("d/plain"), path.join("d/second")).unwrap();
    for (name, runs) in [("few", 3), ("many", 60)] {
        let sparse = std::fs::File::create(path.join("d").join(name)).unwrap();
        for run in 0..runs {
            std::os::unix::fs::FileExt::write_all_at(&sparse, &[run as u8 + 1; 5000], run * 65_536).unwrap();
        }
        sparse.set_len(10 << 20).unwrap();
    }
    std::fs::File::create(path.join("d/hole")).unwrap().set_len(1 << 20).unwrap();
    for format in ["v7", "oldgnu", "gnu", "ustar", "pax"] {
        for sparse in [&[][..], &["-S", "--sparse-version=0.0"], &["-S", "--sparse-version=0.1"], &["-S"]] {
            let mut command = Command::new("tar");
            command.arg("-C").arg(path).args(["-c", "-f-", "-b33", "-H", format]).args(sparse).arg("d");
            let output = command.output().unwrap();
            // Formats without long names and holes leave out a file.
            if !output.stdout.is_empty() {
                assert!(round_trip(&output.stdout), "{format} {sparse:?}");
            }
        }
    }
}

#[test]
fn a_tree_that_changed_is_not_taken_for_what_it_was() {
    let bytes = tar(&[dir("a"), file("a/f", "content"), file("b", "more")]);
    let spoil: [fn(&Path); 4] = [
        |tree| std::fs::write(tree.join("a/f"), "longer content").unwrap(),
        |tree| std::fs::write(tree.join("a/f"), "less").unwrap(),
        |tree| std::fs::remove_file(tree.join("a/f")).unwrap(),
        |tree| {
            std::fs::remove_file(tree.join("b")).unwrap();
            std::os::unix::fs::symlink("a/f", tree.join("b")).unwrap();
        },
    ];
    for spoil in spoil {
        let (dir, root) = directory();
        let (_, split) = unpack_recorded(&bytes[..], &root, &ApplyOptions::default(), Vec::new()).unwrap();
        spoil(dir.path());
        let error = assemble(&split[..], &root, Vec::new()).unwrap_err();
        assert!(matches!(error, AssembleError::Changed { .. } | AssembleError::Read { .. }), "{error}");
    }
}

#[test]
fn a_split_that_is_damaged_says_so() {
    let bytes = tar(&[dir("a"), file("a/f", "content")]);
    let (_dir, root) = directory();
    let (_, split) = unpack_recorded(&bytes[..], &root, &ApplyOptions::default(), Vec::new()).unwrap();
    for cut in 0..split.len() {
        assert!(assemble(&split[..cut], &root, Vec::new()).is_err(), "{cut}");
    }
    assert!(assemble(&[&split[..], b"x"].concat()[..], &root, Vec::new()).is_err());
}

/// Mode, times and owner of a directory.
fn look(path: &Path) -> (u32, i64, u32) {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().unwrap();
    (metadata.mode() & 0o7777, metadata.mtime(), metadata.uid())
}

#[test]
fn implied_directories_are_settled_when_the_lower_trees_are_there() {
    let special = |path: &str, mode| {
        let mut entry = entry(path, Kind::Dir);
        (entry.mode, entry.mtime) = (mode, 77);
        (entry, &b""[..])
    };
    let base = tar(&[special("a", 0o1777), special("a/b", 0o500), special("n", 0o700)]);
    let upper = tar(&[file("a/b/c/f", "x"), file("n/f", "x"), special("n", 0o711), file("o/f", "x")]);
    let (_lower_dir, lower) = directory();
    unpack(&base[..], &lower, &ApplyOptions::default()).unwrap();
    // At once, for comparison.
    let (at_once, root) = directory();
    let options = ApplyOptions { lowers: vec![lower.try_clone().unwrap()], ..ApplyOptions::default() };
    let known = unpack(&upper[..], &root, &options).unwrap();
    assert_eq!(known.implied, [&b"a/b/c"[..], b"o"]);
    let (later, root) = directory();
    let unpacked = unpack(&upper[..], &root, &ApplyOptions::default()).unwrap();
    assert_eq!(unpacked.implied, [&b"a"[..], b"a/b", b"a/b/c", b"o"], "what has an entry is not implied");
    settle_implied(&root, &unpacked.implied, &[lower], &IdPolicy::Keep).unwrap();
    assert_eq!(listing(at_once.path()), listing(later.path()));
    for path in ["a", "a/b", "a/b/c", "n", "o"] {
        assert_eq!(look(&later.path().join(path)), look(&at_once.path().join(path)), "{path}");
    }
    assert_eq!(look(&later.path().join("a")).0, 0o1777);
    // Nothing below: everything stays.
    let nowhere: &[Root] = &[];
    settle_implied(&root, &unpacked.implied, nowhere, &IdPolicy::Keep).unwrap();
    assert_eq!(look(&later.path().join("a")).0, 0o1777);
}
