//! The life of containers: made, started, ended, started again, removed; and what they leave when what watches over them is killed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::runner::Env;

/// How long something may take that takes moments.
const PATIENCE: Duration = Duration::from_secs(60);

impl Env {
    /// Containers, pins and trees of containers that are there.
    fn left(&self) -> Vec<String> {
        let list = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(self.root().join(folder)).into_iter().flatten().flatten();
            entries.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect()
        };
        let mut left = [list("containers"), list("containers/names"), list("pins")].concat();
        left.retain(|path| path != "containers/names" && path != "containers/gate" && !path.contains("events"));
        left.extend(list("snapshots").into_iter().filter(|path| path.len() == "snapshots/".len() + 64));
        left
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn lives(pid: &Value) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn kill(pid: &Value) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_container_in_the_background() {
    let Some(env) = Env::with_busybox() else { return };
    let id = env.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "300"]);
    assert_eq!(id.trim_end().len(), 64);
    let state = env.state("web");
    assert_eq!(state["status"], "running");
    assert!(lives(&state["init"]["pid"]) && lives(&state["supervisor"]["pid"]));
    assert!(env.fails(1, &["rm", "web"]).contains("rm -f"));
    assert!(env.fails(125, &["run", "--name", "web", "busybox"]).contains("taken"));
    // By the beginning of its id, as by its name.
    assert_eq!(env.ok(&["stop", "-t", "0", &id[..6]]), format!("{}\n", &id[..6]));
    assert_eq!(
        (env.state("web")["status"].as_str(), env.state("web")["exit_code"].as_i64()),
        (Some("exited"), Some(137))
    );
    assert!(!lives(&state["init"]["pid"]));
    assert_eq!(env.ok(&["start", "web"]), "web\n");
    assert_eq!(env.ok(&["start", "web"]), "web\n", "starting it again changes nothing");
    assert_eq!(env.ok(&["rm", "-f", "web"]), "web\n");
    assert_eq!(env.left(), [""; 0]);
    assert!(env.fails(1, &["stop", "web"]).contains("no such container: web"));
}

#[test]
fn the_tree_and_the_configuration_stay() {
    let Some(env) = Env::with_busybox() else { return };
    let script = "echo x >> /kept; cat /kept | wc -l; exit 3";
    let id = env.ok(&["create", "--name", "kept", "-e", "A=1", "busybox", "sh", "-c", script]);
    for times in 1..=3 {
        let said = env.run(&["start", "--attach", "kept"]);
        assert_eq!((said.code, said.stdout.trim()), (3, times.to_string().as_str()), "{said:#?}");
    }
    // Not by the image: it may be gone.
    assert!(env.fails(1, &["rmi", "busybox"]).contains("the image of container kept"));
    env.ok(&["rmi", "-f", "busybox"]);
    env.ok(&["prune", "-af"]);
    assert_eq!(env.run(&["start", "--attach", "kept"]).stdout.trim(), "4");
    env.ok(&["rename", "kept", "kept2"]);
    assert!(env.fails(1, &["start", "kept"]).contains("did you mean `kept2`?"));
    assert_eq!(env.ok(&["wait", "kept2"]), "3\n");
    assert_eq!(env.ok(&["rm", "kept2"]), "kept2\n");
    assert_eq!(env.left(), [""; 0], "{id}");
}

#[test]
fn nothing_stays_of_one_that_is_to_go() {
    let Some(env) = Env::with_busybox() else { return };
    env.fails(5, &["run", "--rm", "busybox", "sh", "-c", "mkdir /d && touch /d/x && chmod 0 /d; exit 5"]);
    env.fails(127, &["run", "--rm", "busybox", "absent"]);
    assert_eq!(env.left(), [""; 0]);
    env.ok(&["run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "300"]);
    env.ok(&["stop", "-t", "0", "gone"]);
    assert_eq!(env.left(), [""; 0]);
    // One that does not start stays, and says why.
    env.fails(127, &["run", "--name", "bad", "busybox", "absent"]);
    let state = env.state("bad");
    assert_eq!((state["status"].as_str(), state["exit_code"].as_i64()), (Some("created"), Some(127)));
    assert!(state["error"].as_str().unwrap().contains("absent"));
    let pruned = env.ok(&["container", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted Containers:\n") && pruned.contains("\n\nTotal reclaimed space: "), "{pruned}");
    assert!(env.ok(&["container", "prune", "-f"]).starts_with("Total reclaimed space: 0"));
    assert_eq!(env.left(), [""; 0]);
}

#[test]
fn it_is_asked_to_end_before_it_is_killed() {
    let Some(env) = Env::with_busybox() else { return };
    let script = "trap 'exit 7' USR1; touch /ready; while :; do sleep 0.05; done";
    env.ok(&["run", "-d", "--name", "polite", "--stop-signal", "USR1", "busybox", "sh", "-c", script]);
    std::thread::sleep(Duration::from_millis(500));
    env.ok(&["stop", "polite"]);
    assert_eq!(env.state("polite")["exit_code"], 7);
    // One that ignores it is killed after its time, and not before.
    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    env.ok(&["run", "-d", "--name", "deaf", "--stop-timeout", "1", "busybox", "sh", "-c", deaf]);
    let started = Instant::now();
    env.ok(&["stop", "deaf"]);
    assert!(started.elapsed() >= Duration::from_secs(1) && started.elapsed() < Duration::from_secs(8));
    assert_eq!(env.state("deaf")["exit_code"], 137);
    assert!(env.fails(1, &["kill", "deaf"]).contains("does not run"));
    assert!(env.fails(125, &["stop", "-s", "NOPE", "deaf"]).contains("no such signal"));
    env.ok(&["restart", "-t", "0", "deaf"]);
    env.ok(&["kill", "-s", "KILL", "deaf"]);
    assert_eq!(env.ok(&["wait", "deaf"]), "137\n");
}

#[test]
fn a_kill_is_answered_when_it_has_ended() {
    let Some(env) = Env::with_busybox() else { return };
    for name in ["one", "two"] {
        env.ok(&["run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "300"]);
    }
    let first = env.state("one")["init"]["pid"].clone();
    assert_eq!(env.ok(&["kill", "one", "two"]), "one\ntwo\n");
    assert!(!lives(&first));
    assert_eq!(env.ok(&["rm", "one"]), "one\n");
    for verb in [&["start", "two"][..], &["restart", "-t", "0", "two"]] {
        env.ok(verb);
        let state = env.state("two");
        assert!(state["status"] == "running" && lives(&state["init"]["pid"]), "{state}");
        // Ended by somebody else: its supervisor may still have to hear of it.
        let killed = state["init"]["pid"].clone();
        kill(&killed);
        until("its end", || !lives(&killed));
        env.ok(verb);
        let state = env.state("two");
        assert!(state["status"] == "running" && lives(&state["init"]["pid"]), "{state}");
        env.ok(&["kill", "two"]);
    }
    env.ok(&["rm", "two"]);
    assert_eq!(env.left(), [""; 0]);
}

#[test]
fn it_is_started_again_as_its_policy_says() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&[
        "run",
        "-d",
        "--name",
        "fails",
        "--restart",
        "on-failure:2",
        "busybox",
        "sh",
        "-c",
        "echo x >> /n; exit 4",
    ]);
    until("two restarts", || env.state("fails")["status"] == "exited");
    assert_eq!((env.state("fails")["restarts"].as_i64(), env.state("fails")["exit_code"].as_i64()), (Some(2), Some(4)));
    env.ok(&["run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "300"]);
    let before = env.state("always");
    kill(&before["init"]["pid"]);
    until("a restart", || {
        let now = env.state("always");
        now["status"] == "running" && now["init"]["pid"] != before["init"]["pid"]
    });
    env.ok(&["stop", "-t", "0", "always"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(env.state("always")["status"], "exited", "who was stopped stays so");
    let started = env.ok(&["start", "--all", "--filter", "restart-policy=always"]);
    assert_eq!(started.lines().count(), 1);
    assert_eq!(env.state("always")["status"], "running");
    env.ok(&["update", "--restart", "unless-stopped", "always"]);
    env.ok(&["stop", "-t", "0", "always"]);
    assert_eq!(env.ok(&["start", "--all", "--filter", "restart-policy=unless-stopped"]), "");
    assert!(env.fails(125, &["run", "--rm", "--restart", "always", "busybox"]).contains("contradict"));
}

#[test]
fn a_killed_supervisor_leaves_nothing_that_the_next_command_cannot_clean() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["run", "-d", "--name", "orphan", "busybox", "sleep", "300"]);
    let state = env.state("orphan");
    kill(&state["supervisor"]["pid"]);
    until("the container's end", || !lives(&state["init"]["pid"]));
    assert_eq!(env.ok(&["wait", "orphan"]), "137\n");
    let state = env.state("orphan");
    assert_eq!(
        (state["status"].as_str(), state["error"].as_str()),
        (Some("exited"), Some("its supervisor was killed"))
    );
    env.ok(&["ps", "-a"]);
    let told =
        env.ok(&["events", "--until", "0s", "--filter", "event=die", "--format", "{{.Actor.Attributes.exitCode}}"]);
    assert_eq!(told, "137\n");
    env.ok(&["start", "orphan"]);
    assert_eq!(env.state("orphan")["status"], "running");
    // One that was to go goes with the next look.
    env.ok(&["run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "300"]);
    kill(&env.state("brief")["supervisor"]["pid"]);
    until("its end", || env.run(&["stop", "-t", "0", "brief"]).code == 1);
    env.ok(&["rm", "-f", "orphan"]);
    assert_eq!(env.left(), [""; 0]);
}

#[test]
fn one_that_was_to_go_and_whose_maker_was_killed_goes() {
    let Some(env) = Env::with_busybox() else { return };
    for (name, verb) in [("made", "create"), ("half", "create")] {
        env.ok(&[verb, "--rm", "--name", name, "busybox", "true"]);
    }
    // As `run` leaves it between making and starting it.
    let path = env.folder("half").join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["life"]["at_once"] = true.into();
    fs::write(&path, config.to_string()).unwrap();
    assert_eq!(env.ok(&["ps", "-a", "--format", "{{.Names}}"]), "made\n");
    // A folder that was just made, by who was killed before it had a lock.
    fs::create_dir(env.root().join("containers").join(format!(".{}", "a".repeat(64)))).unwrap();
    env.ok(&["rm", "--all"]);
    assert_eq!(env.left(), [""; 0]);
}

#[test]
fn volumes_and_networks_have_events() {
    let Some(env) = Env::with_busybox() else { return };
    for verb in ["create", "rm"] {
        env.ok(&["volume", verb, "vol"]);
        env.ok(&["network", verb, "net"]);
    }
    let told = env.ok(&["events", "--until", "0s", "--format", "{{.Type}} {{.Action}}"]);
    assert_eq!(told, "volume create\nnetwork create\nvolume destroy\nnetwork destroy\n");
}

#[test]
fn a_state_of_another_boot_is_not_believed() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["run", "-d", "--name", "old", "busybox", "sleep", "300"]);
    let mut state = env.state("old");
    env.ok(&["kill", "old"]);
    env.ok(&["wait", "old"]);
    // As a machine that went down leaves it; its number is another's by now.
    state["boot"] = "another".into();
    state["init"]["pid"] = std::process::id().into();
    fs::write(env.folder("old").join("state.json"), state.to_string()).unwrap();
    assert_eq!(env.ok(&["wait", "old"]), "137\n");
    assert_eq!(env.state("old")["error"], "the machine went down while it ran");
    env.ok(&["start", "old"]);
    assert_eq!(env.state("old")["status"], "running");
}

#[test]
fn what_is_written_about_it() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("labels", "# c\nfrom.file=1\n");
    let arguments = [
        "run",
        "-d",
        "--name",
        "told",
        "-l",
        "own=2",
        "--label-file",
        "labels",
        "--cidfile",
        "cid",
        "--pidfile",
        "pid",
    ];
    let id = env.ok(&[&arguments[..], &["busybox", "sleep", "300"]].concat());
    assert_eq!(fs::read_to_string(env.work().join("cid")).unwrap(), id.trim_end());
    assert_eq!(fs::read_to_string(env.work().join("pid")).unwrap(), env.state("told")["init"]["pid"].to_string());
    assert!(env.fails(125, &["run", "--cidfile", "cid", "busybox"]).contains("is there already"));
    env.ok(&["run", "-d", "--replace", "--name", "told", "-l", "own=3", "busybox", "sleep", "300"]);
    assert_ne!(
        fs::read_to_string(env.work().join("cid")).unwrap(),
        env.folder("told").file_name().unwrap().to_string_lossy()
    );
    assert!(env.fails(1, &["stop", "--cidfile", "cid"]).contains("no such container"));
    assert_eq!(env.ok(&["kill", "--filter", "label=own=3", "--filter", "name=tol"]).lines().count(), 1);
    for bad in ["a/b", "-x", "ä", ".."] {
        env.fails(125, &["run", &format!("--name={bad}"), "busybox"]);
    }
    env.fails(125, &["create", "--restart", "sometimes", "busybox"]);
    env.fails(125, &["create", "--stop-signal", "SIGNOPE", "busybox"]);
}

#[test]
fn many_commands_at_once_make_one_of_each() {
    let Some(env) = Env::with_busybox() else { return };
    let run = || env.command(&["run", "-d", "--name", "one", "busybox", "sleep", "300"]).output().unwrap();
    let codes = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|one| one.join().unwrap().status.code().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    env.ok(&["stop", "-t", "0", "one"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| env.run(&["start", "one"]));
        }
    });
    assert_eq!(env.state("one")["status"], "running");
    env.ok(&["rm", "-f", "one"]);
    assert_eq!(env.left(), [""; 0]);
}

#[test]
fn one_that_closes_its_terminal_is_one_like_others() {
    let Some(env) = Env::with_busybox() else { return };
    for (name, options) in [("terminal", &["-t"][..]), ("pipes", &[])] {
        let script = "echo said; exec <&- >&- 2>&-; trap '' HUP; sleep 300";
        env.ok(
            &[&["run", "-d", "--name", name, "--network", "none"], options, &["busybox", "sh", "-c", script]].concat()
        );
        until("what it said", || env.ok(&["logs", name]).trim() == "said");
        let supervisor = env.state(name)["supervisor"]["pid"].to_string();
        let ticks = || -> u64 {
            let stat = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        let before = ticks();
        std::thread::sleep(Duration::from_secs(1));
        assert!(ticks() - before < 40, "the supervisor spins");
        env.ok(&["exec", name, "true"]);
        env.ok(&["stop", "-t", "0", name]);
        assert_eq!(env.state(name)["status"], "exited");
        env.ok(&["rm", name]);
    }
    assert_eq!(env.left(), [""; 0]);
}
