//! What containers say and hear: logs, attach, events, with real containers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::runner::Env;

/// How long something may take that takes moments.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell script in the background, and when it has ended where `ends`.
fn background(env: &Env, name: &str, options: &[&str], script: &str) {
    let all = [&["run", "-d", "--network", "none", "--name", name], options, &["busybox", "sh", "-c", script]].concat();
    env.ok(&all);
}

fn spawn(env: &Env, arguments: &[&str]) -> Child {
    let mut command = env.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait(mut child: Child) -> (i32, String) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it takes too long");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}

#[test]
fn logs_of_a_container_that_ended() {
    let Some(env) = Env::with_busybox() else { return };
    background(&env, "talker", &[], "echo err >&2; sleep 0.3; echo one; echo two; echo three");
    env.ok(&["wait", "talker"]);
    let said = env.run(&["logs", "talker"]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str(), said.code), ("one\ntwo\nthree\n", "err\n", 0));
    assert_eq!(env.ok(&["logs", "--tail", "1", "talker"]), "three\n");
    assert_eq!(env.ok(&["logs", "-f", "-n", "1", "talker"]), "three\n");
    let timed = env.ok(&["logs", "-t", "--tail=1", "talker"]);
    assert!(timed.ends_with("Z three\n") && timed.starts_with("20"), "{timed}");
    assert_eq!(env.ok(&["logs", "--until", "1h", "talker"]), "");
    assert_eq!(env.ok(&["logs", "--since", "1h", "--tail", "1", "talker"]), "three\n");
    assert!(env.run(&["logs", "nobody"]).stderr.contains("nobody"));
}

#[test]
fn logs_of_every_driver() {
    let Some(env) = Env::with_busybox() else { return };
    background(&env, "json", &["--log-driver", "json-file"], "printf 'a\\nb'");
    env.ok(&["wait", "json"]);
    assert_eq!(env.ok(&["logs", "json"]), "a\nb");
    background(&env, "mute", &["--log-driver=none"], "echo a");
    env.ok(&["wait", "mute"]);
    assert!(env.run(&["logs", "mute"]).stderr.contains("--log-driver=none"));
    let said = env.run(&["run", "--rm", "--log-driver", "syslog", "busybox", "true"]);
    assert!(said.code == 125 && said.stderr.contains("no log driver `syslog`"), "{}", said.stderr);
    let arguments = ["run", "--rm", "--network", "none", "--log-driver=passthrough", "busybox", "echo", "straight"];
    assert_eq!(env.ok(&arguments), "straight\n");
}

#[test]
fn a_follower_ends_with_the_container_and_sees_rotation() {
    let Some(env) = Env::with_busybox() else { return };
    let script =
        "i=0; while [ $i -lt 300 ]; do echo line $i of a log that is rotated; i=$((i+1)); done; sleep 1; echo end";
    background(&env, "long", &["--log-opt", "max-size=4k", "--log-opt", "max-file=9"], script);
    let (code, said) = wait(spawn(&env, &["logs", "-f", "long"]));
    assert_eq!((code, said.lines().count(), said.ends_with("end\n")), (0, 301, true));
}

#[test]
fn a_log_that_is_swapped_for_a_link_is_not_followed() {
    let Some(env) = Env::with_busybox() else { return };
    background(&env, "victim", &[], "echo said");
    env.ok(&["wait", "victim"]);
    let containers = env.root().join("containers");
    let log = containers.join(fs::read_link(containers.join("names/victim")).unwrap()).join("log");
    let precious = env.write("precious", "precious");
    fs::remove_file(&log).unwrap();
    symlink(&precious, &log).unwrap();
    let said = env.run(&["logs", "victim"]);
    assert!(said.code != 0 && said.stderr.contains("is a link, not a log"), "{}", said.stderr);
    assert!(env.run(&["start", "victim"]).code != 0);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn input_output_and_the_end_of_the_foreground() {
    let Some(env) = Env::with_busybox() else { return };
    let mut child =
        spawn(&env, &["run", "-i", "--network", "none", "--name", "cat", "busybox", "sh", "-c", "cat; exit 3"]);
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    assert_eq!(wait(child), (3, "typed\n".to_owned()));
    assert_eq!(env.ok(&["logs", "cat"]), "typed\n");
    let mut again = spawn(&env, &["start", "-ai", "cat"]);
    again.stdin.take().unwrap().write_all(b"again\n").unwrap();
    assert_eq!(wait(again), (3, "again\n".to_owned()));
    let much = env.ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", "yes | head -c 3000000"]);
    assert_eq!(much.len(), 3_000_000);
    let only =
        env.run(&["run", "--rm", "--network", "none", "-a", "stderr", "busybox", "sh", "-c", "echo o; echo e >&2"]);
    assert_eq!((only.stdout.as_str(), only.stderr.as_str()), ("", "e\n"));
}

#[test]
fn several_attach_to_a_container() {
    let Some(env) = Env::with_busybox() else { return };
    background(&env, "shared", &["-i"], "read line; echo heard $line; exit 5");
    let (mut one, two) = (spawn(&env, &["attach", "shared"]), spawn(&env, &["attach", "--no-stdin", "shared"]));
    std::thread::sleep(Duration::from_millis(500));
    one.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    assert_eq!(wait(one), (5, "heard hello\n".to_owned()));
    assert_eq!(wait(two), (5, "heard hello\n".to_owned()));
    let said = env.run(&["attach", "shared"]);
    assert!(said.code == 1 && said.stderr.contains("does not run"), "{}", said.stderr);
}

#[test]
fn events_tell_a_life() {
    let Some(env) = Env::with_busybox() else { return };
    background(&env, "lived", &["--label", "tier=\u{1b}[2Jfront"], "exit 4");
    env.ok(&["wait", "lived"]);
    env.ok(&["rename", "lived", "was"]);
    env.ok(&["rm", "was"]);
    let format = ["events", "--stream=false", "--filter", "type=container", "--format", "{{.Action}}"];
    assert_eq!(env.ok(&format), "create\nstart\ndie\nrename\ndestroy\n");
    let die = env.ok(&["events", "--until", "0s", "-f", "event=die"]);
    assert!(die.contains("exitCode=4") && !die.contains('\u{1b}'), "{die}");
}

#[test]
fn the_service_manager_hears() {
    let Some(env) = Env::with_busybox() else { return };
    let path = env.work().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = env.command(&[
        "run",
        "-d",
        "--network",
        "none",
        "--sdnotify=conmon",
        "--name",
        "unit",
        "busybox",
        "sleep",
        "60",
    ]);
    assert!(command.env("NOTIFY_SOCKET", &path).output().unwrap().status.success());
    let mut bytes = [0; 256];
    let length = manager.recv(&mut bytes).unwrap();
    let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let main = said.strip_prefix("MAINPID=").and_then(|rest| rest.strip_suffix("\nREADY=1")).unwrap();
    assert!(fs::read_to_string(format!("/proc/{main}/stat")).is_ok(), "{said}");
}

/// The command by way of a shell that hands it `given` as descriptor 3, and nothing else; `names` it as a service manager does.
fn handing(env: &Env, args: &[&str], given: impl Into<Stdio>, names: bool) -> Command {
    let command = env.command(args);
    let become_it = if names { "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web" } else { "" };
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("exec 3<&0 4<&- 5<&- </dev/null; {become_it} exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))))
        .current_dir(env.work())
        .stdin(given);
    shell
}

#[test]
fn sockets_of_the_service_manager_reach_the_program_each_time_it_starts() {
    use std::os::fd::{AsRawFd as _, OwnedFd};
    const LOOK: &str =
        "readlink /proc/$$/fd/3; echo $LISTEN_FDS $LISTEN_PID=$$ $LISTEN_FDNAMES; ls /proc/$$/fd; sleep 0.6; exit 1";
    let Some(env) = Env::with_busybox() else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    let own = || OwnedFd::from(listener.try_clone().unwrap());
    let background =
        ["run", "-d", "--network", "none", "--restart=on-failure:1", "--name", "web", "busybox", "sh", "-c", LOOK];
    assert!(handing(&env, &background, own(), true).output().unwrap().status.success());
    let told = format!("{}\n1 1=1 web\n0\n1\n2\n3\n", link.display());
    // After the first start the supervisor has become small; the second is by what it kept.
    let until = Instant::now() + PATIENCE;
    while env.ok(&["logs", "web"]) != format!("{told}{told}") {
        assert!(Instant::now() < until, "{}", env.ok(&["logs", "web"]));
        std::thread::sleep(Duration::from_millis(100));
    }
    let foreground = ["run", "--rm", "--init", "--network", "none", "busybox", "sh", "-c", LOOK];
    let said = handing(&env, &foreground, own(), true).output().unwrap();
    let told = format!("{}\n1 2=2 web\n0\n1\n2\n3\n", link.display());
    assert_eq!(String::from_utf8_lossy(&said.stdout), told, "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn descriptors_are_preserved_where_it_is_asked() {
    let Some(env) = Env::with_busybox() else { return };
    fs::write(env.work().join("given"), "from outside").unwrap();
    let file = || fs::File::open(env.work().join("given")).unwrap();
    let run = |options: &[&str], program: &str| {
        let words = [&["run", "--rm", "--network", "none"], options, &["busybox", "sh", "-c", program]].concat();
        handing(&env, &words, file(), false).output().unwrap()
    };
    let said = run(&["--preserve-fds", "1"], "cat <&3; echo $LISTEN_FDS");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "from outside\n");
    let said = run(&[], "ls /proc/$$/fd; true");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "0\n1\n2\n");
    for (options, why) in
        [(["--preserve-fds", "2"], "F_DUPFD_CLOEXEC 4"), (["--preserve-fds", "33"], "more than the 32")]
    {
        let said = run(&options, "true");
        let heard = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.code() == Some(125) && heard.contains(why), "{heard}");
    }
    // A program that cannot be executed is told of over the same number.
    let said = run(&["--preserve-fds", "1", "--entrypoint", "/etc/passwd"], "true");
    assert_eq!(said.status.code(), Some(126));
}
