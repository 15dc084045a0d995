//! `estiba exec`, `top`, and questions for health.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::runner::Env;

/// A place with a container `c1` that sleeps.
fn sleeping(options: &[&str]) -> Option<Env> {
    let env = Env::with_busybox()?;
    env.ok(&[&["run", "-d", "--name", "c1", "--network", "none"], options, &["busybox", "sleep", "600"]].concat());
    Some(env)
}

#[test]
fn a_program_runs_in_the_container() {
    let Some(env) = sleeping(&["-e", "A=1", "-w", "/tmp", "-u", "app"]) else { return };
    let script = "echo $A $B $PWD $(whoami) $(hostname | wc -c); touch /tmp/x; exit 7";
    let said = env.run(&["exec", "-e", "B=2", "c1", "sh", "-c", script]);
    assert_eq!((said.code, said.stdout.as_str()), (7, "1 2 /tmp app 13\n"), "{said:?}");
    assert_eq!(env.ok(&["exec", "-u", "root", "-w", "/", "c1", "sh", "-c", "ls -d tmp/x; id -u"]), "tmp/x\n0\n");
    assert_eq!(env.run_with(&["exec", "-i", "c1", "cat"], b"typed").stdout, "typed");
    assert_eq!(env.run_with(&["exec", "c1", "cat"], b"typed").stdout, "");
    env.fails(137, &["exec", "c1", "sh", "-c", "kill -9 $$"]);
    // Of a file the program gets no descriptor: it could open ours for writing.
    env.write("out", "");
    let out = std::fs::OpenOptions::new().write(true).open(env.work().join("out")).unwrap();
    let mut command = env.command(&["exec", "c1", "readlink", "/proc/self/fd/1"]);
    assert!(command.stdout(Stdio::from(out)).status().unwrap().success());
    assert!(std::fs::read_to_string(env.work().join("out")).unwrap().starts_with("pipe:"));
}

#[test]
fn its_rights_are_the_containers() {
    let Some(env) = sleeping(&["--cap-drop", "all", "--cap-add", "chown", "--security-opt", "no-new-privileges"])
    else {
        return;
    };
    let script = "grep -E 'Cap(Eff|Bnd|Inh)|NoNew|Seccomp:' /proc/self/status | tr -d '\\t'";
    let expected =
        "CapInh:0000000000000000\nCapEff:0000000000000001\nCapBnd:0000000000000001\nNoNewPrivs:1\nSeccomp:2\n";
    assert_eq!(env.ok(&["exec", "c1", "sh", "-c", script]), expected);
    let same = "test \"$(cat /proc/1/cgroup)\" = \"$(cat /proc/self/cgroup)\" && echo same";
    assert_eq!(env.ok(&["exec", "c1", "sh", "-c", same]), "same\n");
    // No wall stands between it and the container's other processes.
    let near = "test -n \"$(readlink /proc/1/ns/mnt)\" && test \"$(readlink /proc/1/ns/mnt)\" = \"$(readlink /proc/self/ns/mnt)\" && echo near";
    assert_eq!(env.ok(&["exec", "c1", "sh", "-c", near]), "near\n");
}

#[test]
fn what_cannot_be_run_says_why() {
    let Some(env) = sleeping(&[]) else { return };
    assert!(env.fails(127, &["exec", "c1", "absent"]).contains("absent"));
    env.fails(126, &["exec", "c1", "/etc/passwd"]);
    assert!(env.fails(126, &["exec", "-w", "/absent", "c1", "true"]).contains("/absent"));
    assert!(env.fails(126, &["exec", "-u", "nobody-here", "c1", "true"]).contains("nobody-here"));
    // CVE-2024-21626
    for number in 3..20 {
        env.fails(126, &["exec", "-w", &format!("/proc/self/fd/{number}"), "c1", "true"]);
    }
    assert!(env.fails(1, &["exec", "-it", "c1", "sh"]).contains("not a TTY"));
    assert!(env.fails(1, &["exec", "nobody", "true"]).contains("no such container"));
    env.ok(&["stop", "-t", "0", "c1"]);
    assert!(env.fails(1, &["exec", "c1", "true"]).contains("is not running"));
}

#[test]
fn a_terminal_follows_and_is_left() {
    let Some(env) = sleeping(&[]) else { return };
    let said = env.run(&["exec", "-t", "c1", "sh", "-c", "tty; stty size"]);
    assert_eq!((said.code, said.stdout.replace('\r', "").as_str()), (0, "/dev/pts/0\n24 80\n"), "{said:?}");
    // `script` gives us a terminal; the keys leave the shell, which goes on.
    let binary = env.command(&[]).get_program().to_string_lossy().into_owned();
    let line = format!("{binary} exec -it c1 sh -c 'trap \"\" HUP; echo up; sleep 1; touch /left; sleep 60'");
    let mut command = std::process::Command::new("script");
    let root = env.root();
    command.args(["-qec", &line, "/dev/null"]).env("ESTIBA_ROOT", root).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        fixtures::skip("there is no `script` here to give a terminal");
        return;
    };
    std::thread::sleep(Duration::from_millis(700));
    child.stdin.as_mut().unwrap().write_all(b"\x10\x11").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stdout));
    until("what was left goes on", || env.run(&["exec", "c1", "test", "-e", "/left"]).code == 0);
}

#[test]
fn in_the_background_it_ends_with_the_container() {
    let Some(env) = sleeping(&[]) else { return };
    env.ok(&["exec", "-d", "c1", "sh", "-c", "echo $$ >/pid; exec sleep 321"]);
    until("it runs", || env.ok(&["top", "c1"]).contains("sleep 321"));
    assert!(env.ok(&["top", "c1", "-o", "pid,args"]).contains("sleep 321"));
    env.ok(&["stop", "-t", "0", "c1"]);
    until("it is gone", || {
        let found = std::process::Command::new("pgrep").args(["-f", "^sleep 321$"]).output().unwrap();
        found.stdout.is_empty()
    });
    env.fails(1, &["top", "c1"]);
}

#[test]
fn signals_are_passed_on() {
    let Some(env) = sleeping(&[]) else { return };
    let script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let child = env.command(&["exec", "c1", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(3), "ready\ngot\n"));
}

#[test]
fn health_is_asked_and_told() {
    let Some(env) =
        sleeping(&["--health-cmd", "echo asked; test -e /well", "--health-interval", "200ms", "--health-retries", "2"])
    else {
        return;
    };
    let health = || env.ok(&["inspect", "-f", "{{.State.Health.Status}}", "c1"]);
    assert_eq!(health(), "starting\n");
    assert!(env.ok(&["ps"]).contains("(health: starting)"));
    until("it is found ill", || health() == "unhealthy\n");
    assert!(env.ok(&["inspect", "c1"]).contains("asked"));
    env.ok(&["exec", "c1", "touch", "/well"]);
    until("it is found well", || health() == "healthy\n");
    assert_eq!(
        env.ok(&["ps", "--filter", "health=healthy", "--format", "{{.Names}} {{.HealthStatus}}"]),
        "c1 healthy\n"
    );
}

#[test]
fn a_question_that_takes_too_long_is_an_answer() {
    let Some(env) = sleeping(&[
        "--health-cmd",
        "sleep 60",
        "--health-interval",
        "100ms",
        "--health-timeout",
        "200ms",
        "--health-retries",
        "1",
        "--health-on-failure",
        "kill",
    ]) else {
        return;
    };
    until("it is killed", || {
        env.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1"]) == "exited 137\n"
    });
    assert!(env.ok(&["inspect", "c1"]).contains("exceeded timeout"));
}

#[test]
fn an_image_brings_its_question() {
    let Some(env) = Env::with_busybox() else { return };
    let dockerfile = "FROM busybox\nHEALTHCHECK --interval=100ms --retries=1 CMD [\"true\"]\n";
    assert_eq!(env.build(dockerfile, &["-t", "asked"]).code, 0);
    env.ok(&["run", "-d", "--name", "a1", "--network", "none", "asked", "sleep", "60"]);
    until("it is found well", || env.ok(&["inspect", "-f", "{{.State.Health.Status}}", "a1"]) == "healthy\n");
    env.ok(&["run", "-d", "--name", "b1", "--network", "none", "--no-healthcheck", "asked", "sleep", "60"]);
    assert!(!env.ok(&["inspect", "b1"]).contains("\"Health\""));
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < limit, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
