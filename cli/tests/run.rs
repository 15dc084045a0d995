//! `estiba run`.

use std::time::{Duration, Instant};

use crate::runner::{Env, files_below};

#[test]
fn output_input_and_codes() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.ok(&["run", "--rm", "busybox", "echo", "hi"]), "hi\n");
    assert_eq!(env.run_with(&["run", "--rm", "-i", "busybox", "cat"], b"typed").stdout, "typed");
    assert_eq!(env.run_with(&["run", "--rm", "busybox", "cat"], b"typed").stdout, "", "without -i there is no input");
    env.fails(7, &["run", "--rm", "busybox", "sh", "-c", "exit 7"]);
    // Process 1 of a namespace cannot kill itself; the child of `--init` can.
    env.fails(137, &["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$; sleep 9"]);
    assert!(env.fails(127, &["run", "--rm", "busybox", "absent"]).contains("absent"));
    env.fails(126, &["run", "--rm", "busybox", "/etc/passwd"]);
    assert!(env.fails(125, &["run", "--rm", "busybax"]).contains("did you mean `busybox`?"));
}

#[test]
fn the_environment() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("vars", "# c\nB=2\nC\n");
    let script = "echo $A $B $C $HOSTNAME $(hostname) $PWD $(id -u):$(id -g)";
    let mut command = env.command(&[
        "run",
        "--rm",
        "-e",
        "A=1",
        "--env-file",
        "vars",
        "--hostname",
        "h",
        "-w",
        "/tmp",
        "-u",
        "1000:1000",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let output = command.env("C", "3").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 2 3 h h /tmp 1000:1000\n", "{output:?}");
    assert_eq!(env.ok(&["run", "--rm", "-u", "app", "busybox", "whoami"]), "app\n");
    assert_eq!(env.ok(&["run", "--rm", "--entrypoint", "echo", "busybox", "a", "--rm"]), "a --rm\n");
}

#[test]
fn mounts() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("data/file", "content");
    assert_eq!(env.ok(&["run", "--rm", "-v", "./data:/d:ro", "busybox", "cat", "/d/file"]), "content");
    assert_ne!(env.run(&["run", "--rm", "-v", "./data:/d:ro", "busybox", "touch", "/d/x"]).code, 0);
    env.ok(&["run", "--rm", "-v", "./data:/d", "busybox", "touch", "/d/x"]);
    assert!(env.work().join("data/x").exists());
    env.ok(&[
        "run",
        "--rm",
        "--read-only",
        "--tmpfs",
        "/t",
        "busybox",
        "sh",
        "-c",
        "touch /t/x && ! touch /x 2>/dev/null",
    ]);
    env.ok(&["run", "--rm", "--mount", "type=bind,src=data,dst=/m", "busybox", "test", "-f", "/m/file"]);
}

#[test]
fn volumes_without_a_name_are_there() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.build("FROM busybox\nVOLUME /data/deep\n", &["-t", "v"]).code, 0);
    let script = "touch /data/deep/x /anon/x && echo both";
    for arguments in [&["run", "-v", "/anon"][..], &["run", "--read-only", "-v", "/anon"]] {
        assert_eq!(env.ok(&[arguments, &["v", "sh", "-c", script]].concat()), "both\n");
    }
}

#[test]
fn nothing_is_left_behind() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["run", "--rm", "busybox", "true"]);
    let before = files_below(&env.root().join("snapshots"));
    env.ok(&["run", "--rm", "busybox", "sh", "-c", "mkdir /d && touch /d/x && chmod 0 /d"]);
    assert_eq!(files_below(&env.root().join("snapshots")), before);
}

#[test]
fn privileges_are_dockers() {
    let Some(env) = Env::with_busybox() else { return };
    let caps = |arguments: &[&str]| {
        env.ok(&[&["run", "--rm"], arguments, &["busybox", "grep", "CapEff", "/proc/self/status"]].concat())
    };
    assert!(caps(&[]).trim_end().ends_with("a80425fb"));
    assert!(caps(&["--cap-drop", "ALL"]).trim_end().ends_with("0000000000000000"));
    assert!(caps(&["--cap-drop=all", "--cap-add=chown"]).trim_end().ends_with("0000000000000001"));
    let flag = env.ok(&[
        "run",
        "--rm",
        "--security-opt",
        "no-new-privileges",
        "busybox",
        "grep",
        "NoNewPrivs",
        "/proc/self/status",
    ]);
    assert!(flag.trim_end().ends_with('1'), "{flag}");
    assert!(env.fails(125, &["run", "--cap-add", "nope", "busybox"]).contains("nope"));
}

#[test]
fn signals_arrive() {
    let Some(env) = Env::with_busybox() else { return };
    let script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let child = env
        .command(&["run", "--rm", "busybox", "sh", "-c", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(800));
    let started = Instant::now();
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(3), "ready\ngot\n"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn init_reaps_and_passes_on() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.ok(&["run", "--rm", "--init", "busybox", "sh", "-c", "test $$ != 1 && echo yes"]), "yes\n");
    env.fails(5, &["run", "--rm", "--init", "busybox", "sh", "-c", "exit 5"]);
    // What was typed outside is not told inside.
    let shown =
        ["run", "--rm", "--init", "-e", "SECRET=hunter2", "busybox", "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline"];
    assert_eq!(env.ok(&shown).trim(), "");
}

#[test]
fn a_terminal_is_one() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.run(&["run", "--rm", "-t", "busybox", "sh", "-c", "tty && stty size"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stdout.starts_with("/dev/") && said.stdout.contains("24 80"), "{said:#?}");
    assert!(env.fails(125, &["run", "--rm", "-it", "busybox", "true"]).contains("the input device is not a TTY"));
}

#[test]
fn no_network_means_loopback_only() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.ok(&["run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net"]), "lo\n");
}
