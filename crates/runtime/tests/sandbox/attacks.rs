//! What hostile images and neighbours have tried on other runtimes.

use std::os::unix::fs::symlink;
use std::path::Path;

use estiba_runtime::container::{CapSet, Ids, Mount, RootFs, Source, Spec};

use super::harness::Bench;

fn replace_by_link(bench: &Bench, name: &str, target: &str) {
    let path = bench.lower().join(name);
    let _ = std::fs::remove_dir(&path);
    let _ = std::fs::remove_file(&path);
    symlink(target, path).unwrap();
}

fn hash(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// CVE-2019-5736: what an entry point of `/proc/self/exe` runs is not our binary.
#[test]
fn our_binary_is_out_of_reach() {
    let Some(bench) = Bench::root() else { return };
    let helper = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/sandbox_run");
    let before = hash(&helper);
    let script = bench.lower().join("bin/trick");
    std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    for args in [vec!["/proc/self/exe"], vec!["trick"], vec!["/proc/self/exe", "/bin/echo", "ours"]] {
        let mut spec = bench.script("");
        spec.args = args.into_iter().map(str::to_owned).collect();
        let ran = bench.run(&spec, &[]);
        // The trampoline again, which executes its arguments or nothing.
        assert!(ran.out.is_empty() || ran.out == "ours", "{ran:?}");
    }
    let text = "readlink /proc/1/exe; (exec 3<> /proc/1/exe) && echo opened; cat /proc/1/exe | wc -c; ls /proc/1/fd /proc/1/root; true";
    let mut spec = bench.script(text);
    spec.init = true;
    let ran = bench.run(&spec, &[]);
    assert!(!ran.out.contains("opened") && !ran.out.contains("sandbox_run"), "{ran:?}");
    assert_eq!(hash(&helper), before);
}

/// CVE-2024-21626: no descriptor of ours is open inside, and no working directory goes through one.
#[test]
fn descriptors_do_not_lead_out() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("ls /proc/self/fd | tr '\\n' ' '");
    for modes in [&["keep-fds"][..], &["keep-fds", "spawner"]] {
        for init in [false, true] {
            spec.init = init;
            // 3 is the listing's own.
            assert_eq!(bench.run(&spec, modes).ok(), "0 1 2 3");
        }
    }
    for number in 0..24 {
        let mut spec = bench.script("pwd; ls /etc | wc -l");
        spec.cwd = format!("/proc/self/fd/{number}");
        let ran = bench.run(&spec, &["keep-fds"]);
        assert_eq!(ran.code, 125, "{number}: {ran:?}");
    }
    replace_by_link(&bench, "out", "/proc/self/fd/7");
    let mut spec = bench.script("pwd");
    spec.cwd = "/out".to_owned();
    assert_eq!(bench.run(&spec, &["keep-fds"]).code, 125);
}

/// CVE-2025-31133, CVE-2025-62161: masks and devices don't come from the image.
#[test]
fn devices_of_the_image_are_not_used() {
    for kind in ["link", "file", "directory"] {
        let Some(bench) = Bench::root() else { return };
        let null = bench.lower().join("dev/null");
        match kind {
            "link" => symlink("/etc/passwd", null).unwrap(),
            "file" => std::fs::write(null, "not a device").unwrap(),
            _ => std::fs::create_dir(null).unwrap(),
        }
        let text = "stat -c %t:%T /dev/null /proc/interrupts; echo x > /dev/null; head -n1 /etc/passwd | cut -d: -f1";
        assert_eq!(bench.run(&bench.script(text), &[]).ok(), "1:3\n1:3\nroot");
    }
}

/// CVE-2022-0492's like: whoever may make device nodes, as root may, opens no disk of the host by one.
#[test]
fn devices_made_inside_open_nothing() {
    let Some(bench) = Bench::root() else { return };
    let given = rustix::fs::Mode::from_raw_mode(0o666);
    let zero = rustix::fs::makedev(1, 5);
    let node = bench.lower().join("given");
    rustix::fs::mknodat(rustix::fs::CWD, node, rustix::fs::FileType::CharacterDevice, given, zero).unwrap();
    let shared = bench.dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let mut spec = bench.script(
        "test -c /given && (exec 3< /given) && echo given; for at in / /dev /dev/shm /m /t; do \
         mknod $at/made c 1 5 && (exec 3< $at/made) && echo $at; done; head -c 1 /dev/zero | wc -c; echo x > /dev/null; chmod 600 /dev/full; mknod /kept c 7 7",
    );
    let mount = |target: &str, source| Mount { target: target.to_owned(), source, readonly: false };
    spec.mounts.push(mount("/m", Source::Path { path: shared, recursive: false }));
    spec.mounts.push(mount("/t", Source::Tmpfs { size: None, mode: 0o755 }));
    let ran = bench.run(&spec, &[]);
    assert_eq!((ran.code, ran.out.trim()), (0, "1"), "{ran:?}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata("/dev/full").unwrap().permissions().mode() & 0o777, 0o666, "the host's own");
    spec.privileged = true;
    spec.args[2] = "head -c 2 /given | wc -c; mknod /dev/made c 1 5 && (exec 3< /dev/made) && echo too".to_owned();
    spec.mounts.clear();
    assert_eq!(bench.run(&spec, &[]).ok(), "2\ntoo");
}

/// CVE-2019-19921, CVE-2025-52881, CVE-2025-62596: `/proc` and `/sys` that are links are refused, not followed.
#[test]
fn kernel_file_systems_are_not_redirected() {
    for (name, target) in [("proc", "/tmp"), ("proc", "../../../../tmp"), ("sys", "/var"), ("proc", "/dev")] {
        let Some(bench) = Bench::root() else { return };
        replace_by_link(&bench, name, target);
        let ran = bench.run(&bench.script("true"), &[]);
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.contains(&format!("/{name} of the image is not a directory")), "{ran:?}");
    }
    let Some(bench) = Bench::root() else { return };
    std::fs::remove_dir(bench.lower().join("dev")).unwrap();
    replace_by_link(&bench, "dev", "/var");
    assert_eq!(bench.run(&bench.script("stat -c %t:%T /var/null"), &[]).ok(), "1:3");
}

/// CVE-2021-30465, CVE-2023-27561, CVE-2024-45310: links in mount targets stay inside, and nothing is made outside.
#[test]
fn mount_targets_stay_inside() {
    let Some(bench) = Bench::root() else { return };
    let outside = bench.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    replace_by_link(&bench, "absolute", target);
    replace_by_link(&bench, "upwards", &format!("../../../../../..{target}"));
    replace_by_link(&bench, "loop", "loop");
    for link in ["absolute", "upwards"] {
        for rootfs in [bench.overlay(), RootFs::Dir(bench.lower())] {
            let args = ["/bin/sh", "-c", "ls /mnt-check; cat /$1/made/deep/f", "sh", link].map(str::to_owned).to_vec();
            let mut spec = Spec::new(rootfs, args);
            spec.args[2] = format!("cat /{link}/made/deep/f");
            let source = Source::Data { data: b"inside".to_vec(), mode: 0o644, uid: 0, gid: 0 };
            spec.mounts.push(Mount { target: format!("/{link}/made/deep/f"), source, readonly: true });
            assert_eq!(bench.run(&spec, &[]).ok(), "inside");
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
            assert!(!bench.lower().join(target.trim_start_matches('/')).exists(), "stubs stay");
        }
    }
    let mut spec = bench.script("true");
    let source = Source::Tmpfs { size: None, mode: 0o755 };
    spec.mounts.push(Mount { target: "/loop/x".to_owned(), source, readonly: false });
    assert_eq!(bench.run(&spec, &[]).code, 125);
}

/// A mount source inside a tree of layers is resolved within that tree (CVE-2024-1753, CVE-2024-9407).
#[test]
fn tree_sources_stay_inside() {
    let Some(bench) = Bench::root() else { return };
    let secret = bench.dir.path().join("secret");
    std::fs::write(&secret, "host").unwrap();
    replace_by_link(&bench, "link", secret.to_str().unwrap());
    replace_by_link(&bench, "self", "/proc/self/root");
    for subpath in ["link", "self/etc/shadow", "../../etc/shadow"] {
        let mut spec = bench.script("cat /got");
        let rootfs = RootFs::View { lowers: vec![bench.lower()] };
        let source = Source::Tree { rootfs, subpath: subpath.to_owned() };
        spec.mounts.push(Mount { target: "/got".to_owned(), source, readonly: true });
        let ran = bench.run(&spec, &[]);
        assert_eq!(ran.code, 125, "{subpath}: {ran:?}");
    }
}

/// A neighbour swaps a directory of a shared volume for a link while containers start over it.
#[test]
fn a_racing_neighbour_gains_nothing() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let Some(bench) = Bench::root() else { return };
    let outside = bench.dir.path().join("outside");
    let volume = bench.dir.path().join("volume");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(volume.join("dir")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = std::fs::rename(volume.join("dir"), volume.join("aside"));
                let _ = symlink(&outside, volume.join("dir"));
                let _ = std::fs::remove_file(volume.join("dir"));
                let _ = std::fs::rename(volume.join("aside"), volume.join("dir"));
            }
        });
        for _ in 0..40 {
            let mut spec = bench.script("true");
            let path = Source::Path { path: volume.clone(), recursive: false };
            spec.mounts.push(Mount { target: "/v".to_owned(), source: path, readonly: false });
            let source = Source::Tmpfs { size: None, mode: 0o755 };
            spec.mounts.push(Mount { target: "/v/dir/made".to_owned(), source, readonly: false });
            let _ = bench.run(&spec, &[]);
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// CVE-2022-0492, CVE-2023-25809: no control group is writable, and a new hierarchy can't be mounted.
#[test]
fn control_groups_are_out_of_reach() {
    let Some(bench) = Bench::root() else { return };
    let text = "mkdir /tmp/c; mount -t cgroup -o rdma x /tmp/c; mount -t cgroup2 x /tmp/c; \
                find /sys/fs/cgroup -name release_agent -o -name cgroup.procs | head -n1 | while read f; do echo 1 > $f && echo wrote; done; echo end";
    let ran = bench.run(&bench.script(text), &[]);
    assert_eq!(ran.out, "end", "{ran:?}");
}

/// CVE-2022-29162: nothing inheritable, whatever the caller has; and a set-user-id program of the image gains only the
/// bounding set.
#[test]
fn nothing_is_inherited() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("grep -E 'Cap(Inh|Amb)' /proc/self/status | tr -d '\\t'");
    spec.caps = CapSet::ALL;
    assert_eq!(bench.run(&spec, &[]).ok(), "CapInh:0000000000000000\nCapAmb:0000000000000000");
}

/// CVE-2014-8989: who can't be given groups can't let go of one either, and read what it is kept from by a group.
#[test]
fn groups_are_not_let_go_of() {
    let Some(bench) = Bench::of(fixtures::User::plain()) else { return };
    let mut spec = bench.script("cat /proc/self/setgroups");
    spec.ids = Ids::Single;
    assert_eq!(bench.run(&spec, &["single-id"]).ok(), "deny");
}
