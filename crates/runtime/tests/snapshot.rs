//! Both snapshotters against the suite, on each rung that can be had here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use estiba_runtime::ladder::{self, Overlay};
use estiba_runtime::snapshot::{CopySnapshotter, OverlaySnapshotter, Snapshotter, conformance};
use fixtures::User;

/// Says to this program, run again as another user, where to work.
const DIR: &str = "ESTIBA_TEST_SNAPSHOTS";

fn suite(name: &str, make: fn(&Path) -> Box<dyn Snapshotter>) {
    let told = std::env::var_os(DIR);
    let temporary = tempfile::tempdir().unwrap();
    let dir = told.as_deref().map_or(temporary.path(), Path::new).join(name);
    std::fs::create_dir(&dir).unwrap();
    let probe = ladder::probe(&dir);
    if name == "overlay" && probe.overlay != Overlay::Native {
        return fixtures::skip(&format!("{:?}", probe.overlay));
    }
    let (rung, at) = (probe.rung, dir.clone());
    let child = sys::fork::child(move || {
        ladder::enter(&rung).unwrap();
        let snapshots = at.join("snapshots");
        std::fs::create_dir(&snapshots).unwrap();
        conformance::run(&*make(&snapshots), &at);
        0
    });
    assert_eq!(child.unwrap().wait().unwrap(), 0);
    sys::Root::open(dir.parent().unwrap()).unwrap().remove_all(name).unwrap();
}

#[test]
fn overlay() {
    suite("overlay", |dir| Box::new(OverlaySnapshotter::new(dir)));
}

#[test]
fn copy() {
    suite("copy", |dir| Box::new(CopySnapshotter::new(dir)));
}

fn as_user(user: Option<User>) {
    let Some(user) = user else { return };
    let (dir, place) = (user.temp_dir().unwrap(), user.temp_dir().unwrap());
    let program = user.install(&std::env::current_exe().unwrap(), place.path()).unwrap();
    let told = format!("{DIR}={}", dir.path().display());
    let mut command = user.command("env");
    let output = command.arg(told).arg(program).args(["overlay", "copy", "--exact"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn with_subordinate_ids() {
    as_user(User::subordinate());
}

#[test]
fn with_a_single_id() {
    as_user(User::plain());
}
