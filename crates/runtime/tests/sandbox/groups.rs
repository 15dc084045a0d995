//! Control groups of containers: bounded, stopped, counted, ended. Of the version that this machine has.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use estiba_runtime::cgroup::{Group, Limits, Place, Wanted};

use super::harness::Bench;

/// A place for a group of this name; `None` (and a skip) where none can be made.
fn place(name: &str, limits: &Limits) -> Option<Place> {
    let wanted = Wanted { limits, parent: None, name, split: false, ask: true };
    match Place::of_container(&wanted) {
        Ok(found) if found.lost.is_empty() => Some(found.place),
        other => {
            fixtures::skip(&format!("no control groups can be made here: {other:?}"));
            None
        }
    }
}

fn name(of: &str) -> String {
    format!("test-{of}-{}", std::process::id())
}

/// A container that has said its first line.
fn started(bench: &Bench, text: &str, place: Place) -> Child {
    let mut spec = bench.script(&format!("echo up; {text}"));
    spec.cgroup = Some(place);
    let mut child = bench.command(&spec, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut word = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"up\n");
    child
}

fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn a_container_stands_still_and_goes_on() {
    let Some(bench) = Bench::root() else { return };
    let name = name("still");
    let Some(place) = place(&name, &Limits::default()) else { return };
    let mut child = started(&bench, "while :; do :; done", place);
    let group = Place::leftovers(&name);
    group.freeze().unwrap();
    let before = group.sample().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let after = group.sample().unwrap();
    assert!(group.is_frozen() && before.cpu == after.cpu, "{before:?} {after:?}");
    group.thaw().unwrap();
    assert!(within(Duration::from_secs(5), || group.sample().unwrap().cpu > after.cpu));
    group.limit(&Limits { pids: Some(7), ..Limits::default() }).unwrap();
    assert_eq!(group.sample().unwrap().pids_limit, Some(7));
    group.freeze().unwrap();
    // Who stands still is killed as well.
    group.kill();
    child.wait().unwrap();
    assert!(Place::leftovers(&name).is_none());
}

#[test]
fn forks_without_end_end() {
    let Some(bench) = Bench::root() else { return };
    let name = name("forks");
    let Some(place) = place(&name, &Limits { pids: Some(40), ..Limits::default() }) else { return };
    let mut child =
        started(&bench, "trap '' TERM; while :; do (while :; do sleep 300 & done); done 2>/dev/null", place);
    let group = Place::leftovers(&name);
    let pids = || group.sample().unwrap().pids.unwrap();
    assert!(within(Duration::from_secs(20), || pids() >= 35) && pids() <= 40, "{}", pids());
    group.kill();
    child.wait().unwrap();
    assert!(Place::leftovers(&name).is_none(), "it was removed");
}

#[test]
fn a_name_is_its_containers_alone() {
    let Some(bench) = Bench::root() else { return };
    let name = name("again");
    let Some(place) = place(&name, &Limits::default()) else { return };
    let mut first = started(&bench, "sleep 600", place.clone());
    // Its starter was killed: another start finds what is left, and ends it.
    let mut second = started(&bench, "sleep 600", place);
    assert!(within(Duration::from_secs(5), || first.try_wait().unwrap().is_some()));
    let group = Place::leftovers(&name);
    assert!(!group.processes().is_empty());
    Group::at(group.folders().to_vec()).kill();
    second.wait().unwrap();
    assert!(Place::leftovers(&name).is_none());
}
