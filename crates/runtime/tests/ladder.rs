//! Each rung, stepped onto by the user that it is for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use estiba_runtime::ladder::{self, Overlay, Probe, Rung};
use fixtures::User;

/// Says to this program, run again as another user, where to probe.
const PROBE: &str = "ESTIBA_TEST_PROBE";

/// Probes when told to, and steps onto the rung, in a child as this program has threads.
#[test]
fn as_told() {
    let Some(dir) = std::env::var_os(PROBE) else { return };
    let dir = Path::new(&dir);
    let probe = ladder::probe(dir);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "the probe left something behind");
    fs::write(dir.join("probe.json"), serde_json::to_vec(&probe).unwrap()).unwrap();
    let rung = probe.rung;
    let child = sys::fork::child(move || {
        ladder::enter(&rung).unwrap();
        assert_eq!(fs::metadata("/proc/self").unwrap().uid(), 0);
        let file = sys::Root::open(dir).unwrap();
        file.create("given", 0o644, true).unwrap();
        if let Rung::SubordinateIds { .. } | Rung::Root = rung {
            file.chown("given", 65_534, 1).unwrap();
        }
        0
    });
    share(rung);
    assert_eq!(child.unwrap().wait().unwrap(), 0);
}

/// Who joins has the ids and the rights of who made the namespace, and mounts of its own.
fn share(rung: Rung) {
    if matches!(rung, Rung::Chroot | Rung::Unprivileged) {
        // There is no namespace that could be shared.
        return;
    }
    let (mut entered, enter) = std::io::pipe().unwrap();
    let owner = sys::fork::child(move || {
        ladder::enter(&rung).unwrap();
        (&enter).write_all(b"y").unwrap();
        loop {
            std::thread::park();
        }
    });
    let owner = owner.unwrap();
    entered.read_exact(&mut [0]).unwrap();
    let pid = rustix::process::Pid::from_raw(owner.pid().cast_signed()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let entry = ladder::Entry::Join(pidfd.unwrap());
    let theirs = fs::read_link(format!("/proc/{}/ns/user", owner.pid())).unwrap();
    let guest = sys::fork::child(move || {
        entry.enter().unwrap();
        assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), theirs);
        assert_eq!(fs::metadata("/proc/self").unwrap().uid(), 0);
        rustix::mount::mount_bind("/tmp", "/mnt").unwrap();
        0
    });
    assert_eq!(guest.unwrap().wait().unwrap(), 0);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    owner.wait().unwrap();
}

fn probe_as(user: &User, wrap: &[&str]) -> (Probe, tempfile::TempDir) {
    let dir = user.temp_dir().unwrap();
    let place = user.temp_dir().unwrap();
    let program = user.install(&std::env::current_exe().unwrap(), place.path()).unwrap();
    // The user's environment is clean; this one says it anew.
    let told = format!("{PROBE}={}", dir.path().display());
    let mut command = user.command("env");
    command.arg(told).args(wrap).arg(program);
    let output = command.args(["as_told", "--exact", "--nocapture"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let probe = serde_json::from_slice(&fs::read(dir.path().join("probe.json")).unwrap()).unwrap();
    (probe, dir)
}

#[test]
fn a_user_with_subordinate_ids_has_them_all() {
    let Some(user) = User::subordinate() else { return };
    let (probe, dir) = probe_as(&user, &[]);
    let Rung::SubordinateIds { uid, .. } = probe.rung else { panic!("{probe:?}") };
    assert_eq!(probe.blocked, []);
    assert_eq!(probe.overlay, Overlay::Native);
    assert_eq!(fs::metadata(dir.path().join("given")).unwrap().uid(), uid.start + 65_533);
}

#[test]
fn a_user_without_has_one_and_learns_why() {
    let Some(user) = User::plain() else { return };
    let (probe, _dir) = probe_as(&user, &[]);
    assert_eq!(probe.rung, Rung::SingleId);
    assert_eq!(probe.overlay, Overlay::Native);
    assert_eq!(probe.blocked.len(), 1);
    assert!(probe.blocked[0].fix.ends_with("estiba-plain"), "{:?}", probe.blocked);
}

#[test]
fn no_new_privs_costs_the_subordinate_ids() {
    let Some(user) = User::subordinate() else { return };
    let (probe, _dir) = probe_as(&user, &["setpriv", "--no-new-privs", "--"]);
    assert_eq!(probe.rung, Rung::SingleId);
    assert!(probe.blocked[0].why.contains("no_new_privs"), "{:?}", probe.blocked);
}

#[test]
fn root_has_everything_and_without_mounts_still_maps() {
    if !fixtures::is_root() {
        return fixtures::skip("only root can be root");
    }
    let dir = tempfile::tempdir().unwrap();
    let run = |wrap: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(wrap).arg("--").arg(std::env::current_exe().unwrap());
        let output = command.args(["as_told", "--exact", "--nocapture"]).env(PROBE, dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let probe = fs::read(dir.path().join("probe.json")).unwrap();
        sys::Root::open(dir.path()).unwrap().empty().unwrap();
        serde_json::from_slice::<Probe>(&probe).unwrap()
    };
    assert_eq!(run(&[]).rung, Rung::Root);
    let without = run(&["--bounding-set=-sys_admin"]);
    assert!(matches!(without.rung, Rung::SubordinateIds { .. }), "{without:?}");
    assert_eq!(without.blocked[0].rung, "root");
}

/// As in a container with the usual filter: root, but neither mounts nor namespaces.
#[test]
fn root_in_a_chroot_has_only_that() {
    if !fixtures::is_root() {
        return fixtures::skip("only root can change its root");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    let script = "mount --rbind / $1/root; shift; exec setpriv --bounding-set=-sys_admin -- chroot $0/root \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).args([dir.path(), dir.path()]).arg(std::env::current_exe().unwrap());
    let place = tempfile::tempdir().unwrap();
    let output = command.args(["as_told", "--exact", "--nocapture"]).env(PROBE, place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let probe: Probe = serde_json::from_slice(&fs::read(place.path().join("probe.json")).unwrap()).unwrap();
    assert_eq!(probe.rung, Rung::Chroot, "{probe:?}");
    assert!(matches!(probe.overlay, Overlay::Refused(_)), "{probe:?}");
    let names: Vec<&str> = probe.blocked.iter().map(|blocked| blocked.rung.as_str()).collect();
    assert_eq!(names, ["root", "subordinate-ids", "single-id"]);
    assert!(probe.blocked[2].fix.contains("chroot"), "{probe:?}");
}
