//! The spawner: what it reports, and that nothing outlives it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::Bench;

#[test]
fn reports_the_same_as_a_direct_run() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("echo out; echo err >&2; exit 7");
    let ran = bench.run(&spec, &["spawner"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out", "err"));
    spec.args = vec!["no-such".to_owned()];
    let ran = bench.run(&spec, &["spawner"]);
    assert_eq!(ran.code, 127);
    assert!(ran.err.contains("no-such: executable file not found"), "{}", ran.err);
    let long = "x".repeat(300_000);
    let mut spec = bench.script("cat /data | wc -c");
    let source = estiba_runtime::container::Source::Data { data: long.into_bytes(), mode: 0o644, uid: 0, gid: 0 };
    spec.mounts.push(estiba_runtime::container::Mount { target: "/data".to_owned(), source, readonly: true });
    assert_eq!(bench.run(&spec, &["spawner"]).ok(), "300000");
}

#[test]
fn containers_die_with_who_asked_for_them() {
    let Some(bench) = Bench::root() else { return };
    for (modes, init) in [(&["spawner"][..], false), (&["spawner"], true), (&[], false), (&[], true)] {
        // A number that no other process on the machine sleeps for.
        let seconds = format!("{}.{}", 90_000 + std::process::id(), u8::from(init));
        let mut spec = bench.script(&format!("sleep {seconds}; true"));
        spec.init = init;
        let mut helper = bench.command(&spec, modes).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_sleeping(&seconds) {
            assert!(Instant::now() < deadline, "never started");
            std::thread::sleep(Duration::from_millis(10));
        }
        helper.kill().unwrap();
        helper.wait().unwrap();
        while is_sleeping(&seconds) {
            assert!(Instant::now() < deadline, "outlived its parent: {modes:?} {init}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn is_sleeping(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes()))
}
