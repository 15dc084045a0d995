use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use super::*;
use crate::{FileKind, Timestamp};

struct Place {
    dir: tempfile::TempDir,
    root: Root,
}

/// A directory `root` to work in, and a directory `outside` beside it with one file.
fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let root = Root::open(dir.path().join("root")).unwrap();
    Place { dir, root }
}

impl Place {
    fn inside(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn outside(&self, path: &str) -> PathBuf {
        self.dir.path().join("outside").join(path)
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside("secret")).unwrap(), "secret");
        assert_eq!(fs::read_dir(self.outside("")).unwrap().count(), 1);
    }
}

#[test]
fn links_and_dots_stay_inside() {
    let place = place();
    symlink("/etc", place.inside("absolute")).unwrap();
    symlink("../../../outside", place.inside("up")).unwrap();
    symlink(place.outside("secret"), place.inside("file")).unwrap();
    let root = &place.root;
    assert!(root.open_regular("absolute/passwd").unwrap_err().is_not_found());
    assert!(root.open_regular("up/secret").unwrap_err().is_not_found());
    assert!(root.open_regular("../outside/secret").unwrap_err().is_not_found());
    assert!(root.open_regular("file").unwrap_err().is_not_found());
    // What the links mean inside is honoured.
    root.mkdir_all("etc", 0o755).unwrap();
    root.create("absolute/new", 0o644, true).unwrap();
    assert!(place.inside("etc/new").exists());
    root.mkdir("/outside", 0o755).unwrap();
    root.mkdir_all("up/deeper/still", 0o755).unwrap();
    assert!(place.inside("outside/deeper/still").exists());
    assert_eq!(root.stat("..").unwrap().ino, root.stat("").unwrap().ino);
    assert_eq!(root.stat("etc/..").unwrap().ino, root.stat("/.").unwrap().ino);
    place.assert_outside_untouched();
}

#[test]
fn magic_links_are_refused() {
    let root = Root::open("/proc/self").unwrap();
    assert_eq!(root.open_dir("cwd").unwrap_err().errno(), Errno::LOOP);
    assert!(root.readlink("cwd").is_ok());
}

#[test]
fn the_last_component_is_not_followed() {
    let place = place();
    fs::write(place.inside("target"), "old").unwrap();
    fs::set_permissions(place.inside("target"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("target", place.inside("link")).unwrap();
    let root = &place.root;
    assert_eq!(root.stat("link").unwrap().kind(), FileKind::Symlink);
    assert_eq!(root.readlink("link").unwrap(), "target");
    assert_eq!(root.create("link", 0o644, false).unwrap_err().errno(), Errno::LOOP);
    assert_eq!(root.create("link", 0o644, true).unwrap_err().errno(), Errno::EXIST);
    assert_eq!(root.chmod("link", 0o777).unwrap_err().errno(), Errno::OPNOTSUPP);
    root.chmod("target", 0o4751).unwrap();
    assert_eq!(root.stat("target").unwrap().permissions(), 0o4751);
    let then = Timestamp { seconds: -5, nanoseconds: 7 };
    root.utimens("link", then, then).unwrap();
    assert_eq!(root.stat("link").unwrap().mtime, then);
    assert_ne!(root.stat("target").unwrap().mtime, then);
    root.hardlink("link", "second").unwrap();
    assert_eq!(root.stat("second").unwrap().kind(), FileKind::Symlink);
    assert_eq!(root.open_dir_nofollow("link").unwrap_err().errno(), Errno::NOTDIR);
    root.open_file("link", OpenFlags::PATH | OpenFlags::NOFOLLOW).unwrap();
    root.remove("link").unwrap();
    assert_eq!(fs::read_to_string(place.inside("target")).unwrap(), "old");
}

#[test]
fn nodes_attributes_and_listings() {
    let place = place();
    let root = &place.root;
    root.mkfifo("fifo", 0o640).unwrap();
    assert_eq!(root.stat("fifo").unwrap().kind(), FileKind::Fifo);
    assert_eq!(root.open_regular("fifo").unwrap_err().errno(), Errno::INVAL);
    root.mknod("gone", libc::S_IFCHR, (0, 0)).unwrap();
    assert_eq!(root.stat("gone").unwrap().rdev, (0, 0));
    root.create("file", 0o644, true).unwrap();
    assert_eq!(root.get_xattr("file", "user.a").unwrap(), None);
    root.set_xattr("file", "user.a", &[7; 2000]).unwrap();
    root.set_xattr("file", "user.b", b"").unwrap();
    assert_eq!(root.get_xattr("file", "user.a").unwrap(), Some(vec![7; 2000]));
    let mut names = root.list_xattrs("file").unwrap();
    names.sort();
    assert_eq!(names, ["user.a", "user.b"]);
    root.remove_xattr("file", "user.a").unwrap();
    root.remove_xattr("file", "user.a").unwrap();
    root.rename("file", "renamed").unwrap();
    for n in 0..700 {
        root.mkfifo(format!("{n:05}-{}", "x".repeat(200)), 0o600).unwrap();
    }
    let names: Vec<_> = root.read_dir("").unwrap().map(|entry| entry.unwrap().name).collect();
    assert_eq!(names.len(), 703);
    assert!(names.contains(&"renamed".into()) && !names.contains(&"..".into()));
}

#[test]
fn remove_all_does_not_follow() {
    let place = place();
    let root = &place.root;
    root.mkdir_all("tree/a/b", 0o755).unwrap();
    symlink(place.outside(""), place.inside("tree/a/link")).unwrap();
    symlink(place.outside(""), place.inside("alone")).unwrap();
    fs::hard_link(place.outside("secret"), place.inside("tree/hard")).unwrap();
    root.remove_all("alone").unwrap();
    root.remove_all("tree").unwrap();
    root.remove_all("tree").unwrap();
    root.remove_all("never/was").unwrap();
    assert_eq!(fs::read_dir(place.inside("")).unwrap().count(), 0);
    place.assert_outside_untouched();
    root.mkdir_all("x/y", 0o755).unwrap();
    root.create("f", 0o644, true).unwrap();
    root.empty().unwrap();
    assert_eq!(fs::read_dir(place.inside("")).unwrap().count(), 0);
}

#[test]
fn remove_all_goes_deeper_than_any_path() {
    let place = place();
    let mut at = place.root.try_clone().unwrap();
    let name = "d".repeat(200);
    for _ in 0..300 {
        at.mkdir(&name, 0o755).unwrap();
        at.create("file", 0o644, true).unwrap();
        at = at.open_dir(&name).unwrap();
    }
    drop(at);
    place.root.remove_all(&name).unwrap();
    assert!(!place.root.exists(&name).unwrap());
}

/// Runs this test again as an ordinary user, when root: modes stop nobody else.
#[test]
fn remove_all_opens_what_denies_access() {
    const AGAIN: &str = "ESTIBA_TEST_AS_USER";
    let place = place();
    if place.dir.path().metadata().unwrap().uid() == 0 && std::env::var_os(AGAIN).is_none() {
        // The build may lie where only root gets; a copy of this program doesn't.
        let program = place.dir.path().join("test");
        // By another process: one forked by another test meanwhile would hold the copy open for writing.
        assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
        for path in [place.dir.path(), &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let name = "root::tests::remove_all_opens_what_denies_access";
        let status = Command::new(&program).arg(name).env(AGAIN, "1").uid(54_321).gid(54_321).status().unwrap();
        assert!(status.success());
        return;
    }
    let root = &place.root;
    for mode in [0o000, 0o100, 0o200, 0o400, 0o500, 0o600] {
        root.mkdir_all("tree/closed/below", 0o755).unwrap();
        root.create("tree/closed/file", 0o644, true).unwrap();
        root.create("tree/closed/below/file", 0o644, true).unwrap();
        root.chmod("tree/closed/below", mode).unwrap();
        root.chmod("tree/closed", mode).unwrap();
        root.chmod("tree", mode).unwrap();
        root.remove_all("tree").unwrap();
        assert!(!root.exists("tree").unwrap(), "{mode:o}");
    }
}

/// One thread swaps a directory for a link that leads outside, another works in it by name.
#[test]
fn a_swapped_directory_leads_nowhere_else() {
    let place = place();
    let done = AtomicBool::new(false);
    let (real, kept) = (place.inside("d"), place.inside("kept"));
    fs::create_dir(&real).unwrap();
    symlink(place.outside(""), place.inside("link")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = fs::rename(&real, &kept);
                let _ = fs::rename(place.inside("link"), &real);
                let _ = fs::rename(&real, place.inside("link"));
                let _ = fs::rename(&kept, &real);
            }
        });
        let root = &place.root;
        let mut worked = 0;
        for _ in 0..2_000 {
            worked += usize::from(root.create("d/file", 0o644, false).is_ok());
            let _ = root.open_regular("d/secret").map(|_| panic!("read what is outside"));
            let _ = root.chmod("d/secret", 0o777).map(|()| panic!("changed what is outside"));
            let _ = root.mkdir_all("d/x/y", 0o755);
            let _ = root.hardlink("d/secret", "stolen").map(|()| panic!("linked what is outside"));
            let _ = root.rename("d/file", "d/other");
            let _ = root.remove("d/secret").map(|()| panic!("removed what is outside"));
            let _ = root.remove_all("d/x");
        }
        done.store(true, Ordering::Relaxed);
        assert!(worked > 0, "the race was never on");
    });
    for _ in 0..50 {
        let _ = place.root.remove_all("d");
    }
    place.assert_outside_untouched();
}

/// As above, while a whole tree with the swapped directory in it is removed.
#[test]
fn removing_races_with_a_swap() {
    let place = place();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = fs::create_dir_all(place.inside("t/d/e"));
                let _ = symlink(place.outside(""), place.inside("link"));
                let _ = fs::rename(place.inside("t/d"), place.inside("kept"));
                let _ = fs::rename(place.inside("link"), place.inside("t/d"));
                let _ = fs::rename(place.inside("t/d"), place.inside("link"));
                let _ = fs::rename(place.inside("kept"), place.inside("t/d"));
            }
        });
        for _ in 0..1_000 {
            let _ = place.root.remove_all("t");
        }
        done.store(true, Ordering::Relaxed);
    });
    place.assert_outside_untouched();
}
