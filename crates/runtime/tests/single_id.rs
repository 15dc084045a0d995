//! Owners and identities for a user who has one id.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "shared with another test program, which uses all of it")]
#[path = "sandbox/harness.rs"]
mod harness;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use estiba_runtime::container::{Ids, RootFs, Spec};
use estiba_runtime::single_id;
use estiba_runtime::single_id::owner::{self, Owner, Owners};
use fixtures::User;
use harness::{Bench, Ran};
use rustix::fs::{AtFlags, StatxFlags};
use sys::Root;

/// A snapshot's folder with a monitored container on it.
struct Snapshot {
    bench: Bench,
    dir: PathBuf,
}

impl Snapshot {
    fn new() -> Option<Self> {
        let bench = Bench::of(User::plain())?;
        let dir = bench.dir.path().join("snapshot");
        for path in [dir.clone(), dir.join("fs")] {
            fs::create_dir(&path).unwrap();
            bench.user.as_ref().unwrap().own(&path).unwrap();
        }
        Some(Self { bench, dir })
    }

    fn spec(&self, script: &str) -> Spec {
        let mut spec = self.bench.script(script);
        // A new one each time: a mount that was volatile leaves one that can't be used again.
        let work = tempfile::Builder::new().prefix("work").tempdir_in(&self.dir).unwrap().keep();
        self.bench.user.as_ref().unwrap().own(&work).unwrap();
        let upper = self.dir.join("fs");
        spec.rootfs = RootFs::Overlay { lowers: vec![self.bench.lower()], upper, work };
        spec.ids = Ids::Single;
        spec.monitor = Some(self.dir.join("owners"));
        spec
    }

    fn run(&self, script: &str) -> Ran {
        self.bench.run(&self.spec(script), &["single-id"])
    }

    fn owner(&self, path: &str) -> Option<(u32, u32)> {
        let fs = self.dir.join("fs");
        let (tree, path) = (Root::open(&fs).unwrap(), Path::new(path));
        let owner = Owners::of(&fs).unwrap().get(&tree, path, &tree.stat(path).unwrap()).unwrap();
        owner.map(|Owner { uid, gid }| (uid, gid))
    }
}

#[test]
fn chown_does_what_else_it_does() {
    let Some(snapshot) = Snapshot::new() else { return };
    let ran = snapshot.run("touch f; chmod 4755 f; chown 1:1 f; stat -c %a f; chown 5:5 back; chown 5:5 f/x");
    assert_eq!(ran.out, "755", "{ran:?}");
    assert!(ran.err.contains("back: No such file"), "{ran:?}");
    assert!(ran.err.contains("f/x: Not a directory"), "{ran:?}");
}

#[test]
fn owners_are_found_again() {
    let Some(snapshot) = Snapshot::new() else { return };
    let script = "set -e; cd /root; touch file same; mkdir dir; mkfifo fifo; ln -s nowhere link; ln -s file through
         chown 33:44 file; chown 1:2 dir; chown 3:4 fifo; chown -h 5:6 link; chown 7:44 through; chown 0:8 same
         mv link moved; chown -h 9:9 /bin/sh; chown 42 /etc/passwd; chown 6:6 /dev/null /proc/self
         mkdir -p jail/in; cp /bin/busybox jail/; chroot jail /busybox chown 70:71 in/../in";
    assert_eq!(snapshot.run(script).ok(), "");
    let expected = [
        ("root/file", Some((7, 44))),
        ("root/same", Some((0, 8))),
        ("root/dir", Some((1, 2))),
        ("root/fifo", Some((3, 4))),
        ("root/moved", Some((5, 6))),
        ("root/through", None),
        ("root/jail/in", Some((70, 71))),
        ("bin/sh", Some((9, 9))),
        ("etc/passwd", Some((42, 0))),
    ];
    for (path, owner) in expected {
        assert_eq!(snapshot.owner(path), owner, "{path}");
    }
    let again = "chown 0:0 /root/file; chown -h 0:0 /root/moved";
    assert_eq!(snapshot.run(again).ok(), "");
    assert_eq!(snapshot.owner("root/file"), None);
    assert_eq!(snapshot.owner("root/moved"), Some((0, 0)));
}

#[test]
fn privileges_once_dropped_stay_dropped() {
    let Some(snapshot) = Snapshot::new() else { return };
    let ran = snapshot.run(
        "id -u; su app -c 'id; chown 0:0 /tmp && echo gave; su root -c true && echo back'
         su app -c '(sleep 0.3; id -u) & (exec setsid sh -c \"sleep 0.2; id -g\") &' | sort; sleep 0.6; id -un",
    );
    let expected = "0\nuid=1000(app) gid=1000(app) groups=1000(app)\n1000\n1000\nroot";
    assert_eq!(ran.out, expected, "{ran:?}");
    assert!(ran.err.contains("Operation not permitted"), "{ran:?}");
}

/// PAM sets all limits anew at each su, and one of them carries who a process is.
#[test]
fn limits_are_set_without_forgetting_who_is_who() {
    let Some(snapshot) = Snapshot::new() else { return };
    let ran = snapshot.run("su app -c 'ulimit -n 50; ulimit -R 7; (id -u; ulimit -n)'");
    assert_eq!(ran.out, "1000\n50", "{ran:?}");
}

#[test]
fn a_set_user_id_file_gives_its_owner() {
    let Some(snapshot) = Snapshot::new() else { return };
    // su says whether it has root's effective id: without, it must be suid; with, it asks for a password.
    let ran = snapshot.run(
        "cp /bin/busybox /root/; chmod 755 /root; su app -c '/root/busybox su root -c true </dev/null'; echo --- >&2
         chmod 4755 /root/busybox; su app -c '/root/busybox su root -c true </dev/null'",
    );
    let (without, with) = ran.err.split_once("---").unwrap();
    assert!(without.contains("must be suid"), "{ran:?}");
    assert!(!with.contains("must be suid") && with.contains("assword"), "{ran:?}");
}

/// By hand, as no tool at hand calls fstat and tells: this program under the filter, and a monitor.
#[test]
fn open_files_show_their_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (file, table) = (dir.path().join("fs/file"), dir.path().join("owners"));
    fs::create_dir(dir.path().join("fs")).unwrap();
    fs::write(&file, "").unwrap();
    let tree = Root::open(dir.path().join("fs")).unwrap();
    tree.set_xattr("file", owner::XATTR, b"33:42").unwrap();
    let (mut number, mut tell) = std::io::pipe().unwrap();
    let (mut watched, mut go) = std::io::pipe().unwrap();
    let caller = sys::fork::child(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let listener = sys::notify::install(&single_id::filter()).unwrap();
        tell.write_all(&listener.as_raw_fd().to_ne_bytes()).unwrap();
        watched.read_exact(&mut [0]).unwrap();
        drop(listener);
        let opened = fs::File::open(&file).unwrap();
        let stat = rustix::fs::fstat(&opened).unwrap();
        assert_eq!((stat.st_uid, stat.st_gid, stat.st_ino), (33, 42, fs::metadata(&file).unwrap().ino()));
        let stat = rustix::fs::statx(&opened, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).unwrap();
        assert_eq!((stat.stx_uid, stat.stx_gid), (33, 42));
        let stat = rustix::fs::fstat(std::io::stdin()).unwrap();
        assert_eq!(stat.st_ino, fs::metadata("/proc/self/fd/0").unwrap().ino());
        0
    })
    .unwrap();
    let mut bytes = [0; 4];
    number.read_exact(&mut bytes).unwrap();
    let pid = rustix::process::Pid::from_raw(caller.pid().cast_signed()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    let flags = rustix::process::PidfdGetfdFlags::empty();
    let listener = rustix::process::pidfd_getfd(&pidfd, i32::from_ne_bytes(bytes), flags).unwrap();
    let first = caller.pid();
    let monitor = sys::fork::child(move || single_id::monitor(listener, first, table, vec![0])).unwrap();
    go.write_all(b"g").unwrap();
    assert_eq!(caller.wait().unwrap(), 0);
    assert_eq!(monitor.wait().unwrap(), 0);
}

#[test]
fn what_another_user_makes_is_its_own() {
    let Some(snapshot) = Snapshot::new() else { return };
    let before = snapshot.run("chown 5:5 /etc/passwd; mkdir -m 777 /data; chmod 666 /etc/group").ok();
    assert_eq!(before, "");
    let mut spec =
        snapshot.spec("id -u; echo x >> /etc/group; touch /data/f; ln -s f /data/l; mkdir /data/d; stat -c %u /data/f");
    spec.user = "app".to_owned();
    assert_eq!(snapshot.bench.run(&spec, &["single-id"]).ok(), "1000\n1000");
    for path in ["data/f", "data/l", "data/d"] {
        assert_eq!(snapshot.owner(path), Some((1000, 1000)), "{path}");
    }
    assert_eq!(snapshot.owner("etc/passwd"), Some((5, 5)));
    assert_eq!(snapshot.owner("etc/group"), None);
}
