//! GNU tar reads what we write and writes what we read. Skipped where it isn't installed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use layer::Kind;

use super::super::{ApplyOptions, apply, diff};
use super::{applied, dir, directory, file, link, streamed, tar};

fn has_gnu_tar() -> bool {
    let version = Command::new("tar").arg("--version").output();
    version.is_ok_and(|output| output.stdout.starts_with(b"tar (GNU tar)"))
}

/// A tree with what GNU tar can hold.
fn sample() -> tempfile::TempDir {
    let mut deep = "deep".to_owned();
    let mut entries = vec![dir("deep")];
    for _ in 0..8 {
        deep += "/a-directory-with-a-long-name";
        entries.push(dir(&deep));
    }
    entries.push(file(&format!("{deep}/file"), "deep"));
    entries.push(link("hard", Kind::Hardlink, "deep"));
    entries.pop();
    entries.push(file("file", "content"));
    entries.push(link("hard", Kind::Hardlink, "file"));
    entries.push(link("soft", Kind::Symlink, &"x".repeat(300)));
    let mut strange = file("strange", "strange");
    strange.0.path = b"str\xe4nge \xff".to_vec();
    entries.push(strange);
    let (directory, _) = applied(&tar(&entries));
    let sparse = std::fs::File::create(directory.path().join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"first", 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"last", 40 << 20).unwrap();
    sparse.set_len((40 << 20) + 123_456).unwrap();
    directory
}

fn gnu_tar(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(arguments).arg("-C").arg(dir).args(["-cf", "-", "."]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn extract(bytes: &[u8], into: &Path) {
    use std::io::Write;
    let mut child =
        Command::new("tar").arg("-C").arg(into).args(["--xattrs", "-xpf", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_gnu_tar_writes_is_read_in_all_its_formats() {
    if !has_gnu_tar() {
        return;
    }
    let source = sample();
    let root = sys::Root::open(source.path()).unwrap();
    let expected = diff(&root, Default::default()).unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=posix"],
        &["--format=gnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=posix", "--xattrs", "--numeric-owner"],
    ] {
        let bytes = gnu_tar(source.path(), arguments);
        let (found, root) = directory();
        apply(&bytes[..], &root, &ApplyOptions::default()).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert_eq!(diff(&root, Default::default()).unwrap(), expected, "{arguments:?}");
        assert_eq!(streamed(&root).1, streamed(&sys::Root::open(source.path()).unwrap()).1, "{arguments:?}");
        let sparse = found.path().join("sparse").metadata().unwrap();
        assert!(sparse.blocks() * 512 < 1 << 20, "{arguments:?}: {} blocks", sparse.blocks());
    }
}

#[test]
fn what_we_write_is_read_by_gnu_tar() {
    if !has_gnu_tar() {
        return;
    }
    let source = sample();
    let root = sys::Root::open(source.path()).unwrap();
    let (_, bytes) = streamed(&root);
    let (_into, extracted) = directory();
    extract(&bytes, _into.path());
    assert_eq!(streamed(&extracted).1, bytes);
}
