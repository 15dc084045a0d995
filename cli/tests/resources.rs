//! Limits of containers, what they use, and standing still: with the control groups of this machine, and without.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::runner::{Env, Said};

impl Env {
    /// What a file of its group holds, of the first of these names that there is.
    fn group(&self, name: &str, files: &[&str]) -> Option<String> {
        let state = self.state(name);
        let folders: Vec<&str> = state["groups"].as_array()?.iter().filter_map(Value::as_str).collect();
        let paths = files.iter().flat_map(|file| folders.iter().map(move |folder| format!("{folder}/{file}")));
        paths.filter_map(|path| std::fs::read_to_string(path).ok()).map(|text| text.trim().to_owned()).next()
    }

    /// A container in the background; `None` (and a skip) where it has no control group.
    fn grouped(&self, arguments: &[&str]) -> Option<Said> {
        let said = self.run(&[&["run", "-d"], arguments].concat());
        assert_eq!(said.code, 0, "{said:#?}");
        let name = arguments[arguments.iter().position(|word| *word == "--name").unwrap() + 1];
        if self.state(name)["groups"].as_array().is_none_or(Vec::is_empty) {
            fixtures::skip("no control groups can be made here");
            return None;
        }
        Some(said)
    }
}

fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

#[test]
fn limits_are_written_and_changed() {
    let Some(env) = Env::with_busybox() else { return };
    let limits = ["--memory", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "90"];
    let Some(_) = env.grouped(&[&["--name", "one"], &limits[..], &["busybox", "sleep", "300"]].concat()) else {
        return;
    };
    let memory = ["memory.max", "memory.limit_in_bytes"];
    assert_eq!(env.group("one", &memory).unwrap(), (64 << 20).to_string());
    assert_eq!(env.group("one", &["pids.max"]).unwrap(), "90");
    let quota = env.group("one", &["cpu.max", "cpu.cfs_quota_us"]).unwrap();
    assert!(quota.starts_with("50000"), "{quota}");
    // Up and down: the two limits of memory bound each other in the older version.
    for size in ["96m", "48m"] {
        env.ok(&["update", "--memory", size, "--memory-swap", size, "one"]);
    }
    assert_eq!(env.group("one", &memory).unwrap(), (48 << 20).to_string());
    env.ok(&["update", "--pids-limit", "-1", "--restart", "on-failure:3", "one"]);
    assert_eq!(env.group("one", &["pids.max"]).unwrap(), "max");
    let stats = env.ok(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "one"]);
    assert!(stats.starts_with("one ") && stats.contains("/ 48MiB"), "{stats}");
    assert!(env.fails(1, &["update", "--memory", "40m", "nobody"]).contains("nobody"));
    assert!(env.fails(125, &["update", "one"]).contains("nothing to change"));
    assert!(env.fails(125, &["update", "--memory", "1m", "one"]).contains("6m"));
}

#[test]
fn forks_are_bounded_by_default() {
    let Some(env) = Env::with_busybox() else { return };
    let Some(_) = env.grouped(&["--name", "one", "busybox", "sleep", "300"]) else { return };
    assert_eq!(env.group("one", &["pids.max"]).unwrap(), "4096");
}

#[test]
fn a_container_that_forks_without_end_and_hears_nothing_is_removed() {
    let Some(env) = Env::with_busybox() else { return };
    let script = "trap '' TERM INT; while :; do (while :; do sleep 300 & done); done 2>/dev/null";
    let Some(_) = env.grouped(&["--name", "bomb", "--pids-limit", "50", "busybox", "sh", "-c", script]) else { return };
    let pids = || env.group("bomb", &["pids.current"]).unwrap().parse::<u64>().unwrap();
    assert!(within(Duration::from_secs(20), || pids() >= 45), "{}", pids());
    assert!(pids() <= 50, "{}", pids());
    let folders = env.state("bomb")["groups"].clone();
    env.ok(&["stop", "-t", "1", "bomb"]);
    env.ok(&["rm", "bomb"]);
    for folder in folders.as_array().unwrap() {
        assert!(!std::path::Path::new(folder.as_str().unwrap()).exists(), "{folder}");
    }
}

#[test]
fn out_of_memory_is_told() {
    let Some(env) = Env::with_busybox() else { return };
    let Some(_) = env.grouped(&["--name", "probe", "busybox", "sleep", "300"]) else { return };
    // Twice as much as it may have, in one buffer.
    let hungry = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];
    let limits = ["--memory", "24m", "--memory-swap", "24m", "busybox"];
    let said = env.run(&[&["run", "--name", "greedy"], &limits[..], &hungry].concat());
    assert_eq!(said.code, 137, "{said:#?}");
    assert_eq!(env.state("greedy")["oom_killed"], Value::Bool(true));
}

#[test]
fn paused_is_paused() {
    let Some(env) = Env::with_busybox() else { return };
    let script = "i=0; while :; do i=$((i+1)); echo $i > /count; done";
    let Some(_) = env.grouped(&["--name", "one", "busybox", "sh", "-c", script]) else { return };
    assert_eq!(env.ok(&["pause", "one"]), "one\n");
    assert_eq!(env.state("one")["status"], "paused");
    let used = || env.group("one", &["cpu.stat", "cpuacct.usage"]);
    let usage = || std::fs::read_to_string(cpu_file(&env.state("one"))).unwrap();
    let before = usage();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(before, usage(), "{:?}", used());
    assert!(env.fails(1, &["pause", "one"]).contains("already"));
    env.ok(&["unpause", "--all"]);
    assert!(within(Duration::from_secs(5), || usage() != before));
    assert!(env.fails(1, &["unpause", "one"]).contains("not paused"));
    env.ok(&["pause", "one"]);
    // What stands still is ended as well, with all its patience used up at once.
    env.ok(&["rm", "-f", "one"]);
}

/// Where the processor time of a container is counted.
fn cpu_file(state: &Value) -> std::path::PathBuf {
    let folders: Vec<_> = state["groups"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let find =
        |file: &str| folders.iter().map(|folder| std::path::Path::new(folder).join(file)).find(|path| path.exists());
    // The older version has a `cpu.stat` too, in which no time is.
    find("cpuacct.usage").or_else(|| find("cpu.stat")).unwrap()
}

#[test]
fn what_cannot_be_had_is_said_and_goes_on() {
    let Some(user) = fixtures::User::plain() else { return };
    let Some(env) = Env::with_busybox() else { return };
    let Some(busybox) = fixtures::busybox() else { return };
    let dir = user.temp_dir().unwrap();
    let binary = user.install(std::path::Path::new(env!("CARGO_BIN_EXE_estiba")), dir.path()).unwrap();
    let layout = fixtures::Image::busybox(&busybox).layout_in(dir.path(), "layout").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = user.command(&binary);
        let output = command.args(arguments).env("ESTIBA_ROOT", dir.path().join("store")).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["load", "--tag", "busybox", "-i", layout.to_str().unwrap()]).0, Some(0));
    let (code, out, err) = run(&["run", "--rm", "--memory", "64m", "busybox", "echo", "went on"]);
    if code == Some(125) {
        return fixtures::skip("an ordinary user cannot run containers here");
    }
    assert_eq!((code, out.as_str()), (Some(0), "went on\n"), "{err}");
    if !err.is_empty() {
        assert!(err.contains("--memory") && err.contains("To have it"), "{err}");
    }
    drop(env);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let Some(env) = Env::with_busybox() else { return };
    let cases: [(&[&str], &str); 8] = [
        (&["--memory", "1m"], "6m"),
        (&["--memory", "x"], "512m"),
        (&["--memory", "64m", "--memory-swap", "32m"], "--memory-swap"),
        (&["--cpus", "x"], "1.5"),
        (&["--cpus", "1", "--cpu-quota", "5000"], "--cpu-quota"),
        (&["--cpuset-cpus", "one"], "0-2,4"),
        (&["--device-read-bps", "/dev/null:1mb"], "block device"),
        (&["--cgroup-parent", "../x"], ".."),
    ];
    for (options, part) in cases {
        let said = env.fails(125, &[&["run", "--rm"], options, &["busybox", "true"]].concat());
        assert!(said.contains(part), "{options:?}: {said}");
    }
}

#[test]
fn stats_of_nobody_is_a_heading() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.ok(&["stats", "--no-stream"]);
    assert!(said.starts_with("CONTAINER ID") && said.lines().count() == 1, "{said}");
}
