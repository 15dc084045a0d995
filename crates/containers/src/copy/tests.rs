use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

/// Two roots, and a folder outside of both with one file.
fn trees() -> (tempfile::TempDir, Root, Root) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["from", "to", "outside"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let (from, to) = (Root::open(dir.path().join("from")).unwrap(), Root::open(dir.path().join("to")).unwrap());
    (dir, from, to)
}

fn run(from: &Root, source: &str, to: &Root, target: &str) -> Result<Copied> {
    let from = Place::find(from, Path::new(source), false)?;
    let to = Place::find(to, Path::new(target), true)?;
    copy(&from, &to, Owners::Caller)
}

#[test]
fn a_tree_arrives_as_it_was() {
    let (dir, from, to) = trees();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("from/t/deep")).unwrap();
    fs::write(at("from/t/deep/f"), "content").unwrap();
    fs::set_permissions(at("from/t/deep/f"), PermissionsExt::from_mode(0o4751)).unwrap();
    fs::hard_link(at("from/t/deep/f"), at("from/t/g")).unwrap();
    symlink("/outside/secret", at("from/t/link")).unwrap();
    let copied = run(&from, "t", &to, "u").unwrap();
    assert_eq!((copied.entries, copied.skipped.len()), (5, 0));
    assert_eq!(fs::read(at("to/u/deep/f")).unwrap(), b"content");
    assert_eq!(fs::metadata(at("to/u/deep/f")).unwrap().mode() & 0o7777, 0o751, "no rights of the copier's");
    assert_eq!(fs::metadata(at("to/u/deep/f")).unwrap().ino(), fs::metadata(at("to/u/g")).unwrap().ino());
    assert_eq!(fs::read_link(at("to/u/link")).unwrap(), Path::new("/outside/secret"));
    // Once more: merged.
    fs::write(at("to/u/mine"), "x").unwrap();
    run(&from, "t", &to, "u").unwrap();
    assert!(at("to/u/mine").exists());
}

#[test]
fn links_lead_nowhere_else() {
    let (dir, from, to) = trees();
    let at = |path: &str| dir.path().join(path);
    // Where a link to a folder outside stands, no folder is entered, and no file written through it.
    fs::create_dir_all(at("from/t/sub")).unwrap();
    fs::write(at("from/t/sub/secret"), "evil").unwrap();
    fs::create_dir(at("to/t")).unwrap();
    symlink(at("outside"), at("to/t/sub")).unwrap();
    assert!(run(&from, "t", &to, "t").is_err());
    symlink(at("outside/secret"), at("to/file")).unwrap();
    fs::write(at("from/file"), "evil").unwrap();
    let (source, target) = (
        Place::find(&from, Path::new("file"), false).unwrap(),
        Place { folder: to.try_clone().unwrap(), name: "file".into() },
    );
    copy(&source, &target, Owners::Caller).unwrap();
    assert_eq!(fs::read(at("outside/secret")).unwrap(), b"secret");
    // What is asked for through links and `..` is looked for inside.
    symlink("../../../outside/secret", at("from/up")).unwrap();
    for path in ["../outside/secret", "/../outside/secret", "up/x"] {
        assert!(run(&from, path, &to, "stolen").is_err(), "{path}");
    }
    let followed = Place::find(&from, Path::new("up"), true);
    assert!(followed.and_then(|place| place.stat()).is_ok_and(|found| found.is_none()) || !at("to/stolen").exists());
    assert!(!at("to/stolen").exists());
}

#[test]
fn files_and_folders_do_not_replace_each_other() {
    let (dir, from, to) = trees();
    let at = |path: &str| dir.path().join(path);
    fs::write(at("from/a"), "x").unwrap();
    fs::create_dir_all(at("to/a/kept")).unwrap();
    assert!(matches!(run(&from, "a", &to, "a"), Err(CopyError::Conflict { .. })));
    assert!(at("to/a/kept").exists());
    fs::create_dir(at("from/d")).unwrap();
    fs::write(at("to/d"), "kept").unwrap();
    assert!(matches!(run(&from, "d", &to, "d"), Err(CopyError::Conflict { .. })));
    assert_eq!(fs::read(at("to/d")).unwrap(), b"kept");
}

#[test]
fn pipes_and_sockets_hang_nobody() {
    let (dir, from, to) = trees();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("from/t")).unwrap();
    from.mkfifo("t/pipe", 0o600).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("from/t/socket")).unwrap();
    let copied = run(&from, "t", &to, "t").unwrap();
    assert_eq!(copied.skipped, [PathBuf::from("t/socket")]);
    // A pipe in the way of a file is replaced, not written to.
    fs::write(at("from/f"), "x").unwrap();
    to.mkfifo("f", 0o600).unwrap();
    run(&from, "f", &to, "f").unwrap();
    assert_eq!(fs::read(at("to/f")).unwrap(), b"x");
}
