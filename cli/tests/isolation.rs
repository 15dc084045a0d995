//! What a container of `run` may do, and whose users, processes and messages it has; another runtime's containers.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use fixtures::User;

use crate::rungs::Home;
use crate::runner::Env;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A script in a container with these options.
fn script(env: &Env, options: &[&str], script: &str) -> String {
    env.ok(&[&["run", "--rm", "--network", "none"], options, &["busybox", "sh", "-c", script]].concat())
}

#[test]
fn what_it_may_do_is_what_was_asked() {
    let Some(env) = Env::with_busybox() else { return };
    let caps = "grep -E 'Cap(Eff|Bnd)' /proc/self/status | cut -f2 | uniq";
    assert_eq!(script(&env, &["--cap-drop", "ALL", "--cap-add", "chown"], caps), "0000000000000001\n");
    let dropped =
        script(&env, &["--user", "1000", "--cap-add", "SYS_ADMIN"], "grep CapEff /proc/self/status | cut -f2");
    assert_eq!(dropped, "0000000000000000\n", "nothing is ambient");
    assert_eq!(
        script(&env, &["--privileged"], "grep -c . /proc/keys >/dev/null && grep Seccomp: /proc/self/status"),
        // With a single id a monitor has a filter of its own.
        if env.ok(&["info", "--format", "{{.Rung}}"]) == "single-id\n" { "Seccomp:\t2\n" } else { "Seccomp:\t0\n" }
    );
    assert_eq!(
        script(&env, &["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status"),
        "NoNewPrivs:\t1\n"
    );
    assert_eq!(script(&env, &["--security-opt", "mask=/etc/passwd"], "wc -c < /etc/passwd"), "0\n");
    assert_eq!(script(&env, &["--security-opt", "unmask=/proc/interrupts"], "grep -c CPU0 /proc/interrupts"), "1\n");
    assert_eq!(script(&env, &["--umask", "077"], "umask"), "0077\n");
    assert_eq!(script(&env, &["--domainname", "example.org"], "cat /proc/sys/kernel/domainname"), "example.org\n");
    assert_eq!(script(&env, &["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward"), "1\n");
    assert_eq!(script(&env, &["--sysctl", "kernel.msgmax=4096"], "cat /proc/sys/kernel/msgmax"), "4096\n");
    assert_eq!(script(&env, &["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn"), "100\n200\n");
    assert_eq!(script(&env, &["--group-add", "www-data", "--group-add", "77"], "id -G"), "0 33 77\n");
    assert_eq!(script(&env, &["--shm-size", "2m"], "df -k /dev/shm | tail -n1 | awk '{print $2}'"), "2048\n");
    assert_eq!(script(&env, &["--ipc", "none"], "grep -c ' /dev/shm ' /proc/self/mountinfo; true"), "0\n");
    assert_eq!(script(&env, &["--device", "/dev/zero:/dev/given/zero"], "head -c 3 /dev/given/zero | wc -c"), "3\n");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(script(&env, &["--uts", "host"], "cat /proc/sys/kernel/hostname"), format!("{host}\n"));
}

#[test]
fn what_nobody_gets_is_said_with_the_reason() {
    let Some(env) = Env::with_busybox() else { return };
    for (options, why) in [
        (&["--sysctl", "kernel.core_pattern=x"][..], "whole machine's"),
        (&["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"], "host's network"),
        (&["--device", "nvidia.com/gpu=all"], "CDI"),
        (&["--gpus", "all"], "--device /dev/nvidia0"),
        (&["--device-cgroup-rule", "c 1:3 rwm"], "--device /dev/NAME"),
        (&["--device", "/etc/passwd"], "no device"),
        (&["--device", "/dev/no-such"], "No such file"),
        (&["--cap-add", "FLY"], "FLY"),
        (&["--pid", "container:nobody"], "nobody"),
        (&["--userns", "what"], "keep-id"),
        (&["--security-opt", "apparmor=no-such-profile"], "AppArmor"),
        (&["--security-opt", "seccomp=/no/such"], "/no/such"),
        (&["--umask", "9"], "octal"),
        (&["--shm-size", "big"], "64m"),
        (&["--ulimit", "nofiles=1"], "no such limit"),
        (&["--runtime", "no-such-runtime"], "no such program"),
    ] {
        let error = env.fails(125, &[&["run", "--rm"], options, &["busybox", "true"]].concat());
        assert!(error.contains(why), "{options:?}: {error}");
    }
}

#[test]
fn what_the_kernel_prefers_to_kill_and_limits_that_are_refused() {
    let Some(env) = Env::with_busybox() else { return };
    let score = "cat /proc/self/oom_score_adj";
    assert_eq!(script(&env, &["--oom-score-adj", "700"], score), "700\n");
    assert_eq!(script(&env, &["--oom-score-adj", "700", "--init", "--user", "33"], score), "700\n");
    let run =
        ["run", "-d", "--name", "first", "--network", "none", "--oom-score-adj", "700", "busybox", "sleep", "300"];
    env.ok(&run);
    assert_eq!(env.ok(&["exec", "first", "sh", "-c", score]), "700\n");
    env.ok(&["rm", "-f", "first"]);
    // More than the kernel lets even root have; and less than anybody but root has.
    let run = ["run", "--rm", "--network", "none", "--ulimit", "nofile=4000000000", "--oom-score-adj", "-999"];
    let said = env.run(&[&run[..], &["busybox", "sh", "-c", score]].concat());
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stderr.contains("note: --ulimit nofile: it is "), "{said:#?}");
    let refused = said.stderr.contains("note: --oom-score-adj -999 is not set");
    assert!(refused != (said.stdout == "-999\n") && (refused || fixtures::is_root()), "{said:#?}");
}

#[test]
fn files_of_the_image_that_lie_do_no_harm() {
    let Some(env) = Env::with_busybox() else { return };
    for (name, lie) in [
        ("fifo", "rm /etc/passwd && mkfifo /etc/passwd"),
        ("closed", "rm /etc/passwd /etc/group && mkfifo -m 0 /etc/passwd && mkfifo -m 0 /etc/group"),
        ("folder", "rm /etc/passwd && mkdir /etc/passwd"),
        ("link", "ln -sf /proc/1/environ /etc/passwd"),
        ("loop", "ln -sf passwd /etc/passwd"),
        ("device", "rm /etc/passwd && ln -s /dev/zero /etc/passwd"),
        ("binary", "head -c 100000 /dev/urandom > /etc/passwd"),
        ("huge", "yes root:x:0:0:::/bin/sh | head -c 9000000 > /etc/passwd; yes x:x:9: | head -c 9000000 > /etc/group"),
        ("long", "head -c 8000000 /dev/zero | tr '\\0' x > /etc/passwd"),
    ] {
        let said = env.build(&format!("FROM busybox\nRUN {lie}\n"), &["-q", "-t", name]);
        assert_eq!(said.code, 0, "{said:#?}");
        let started = std::time::Instant::now();
        assert_eq!(env.ok(&["run", "--rm", "--user", "5:6", name, "stat", "-Lc", "%u", "/proc/self"]), "5\n", "{name}");
        let error = env.run(&["run", "--rm", "--user", "nosuchuser", name, "true"]);
        assert!(error.code == 125, "{name}: {error:#?}");
        assert!(started.elapsed().as_secs() < 20, "{name}");
    }
    // What stands where the kernel's files go is put aside, or refused.
    for (dockerfile, expected) in [
        ("FROM scratch\nCOPY --from=busybox /bin /bin\nCOPY --from=busybox /etc /etc\nCOPY a /dev\n", None),
        ("FROM scratch\nCOPY --from=busybox /bin /bin\nCOPY a /proc\n", Some("/proc of the image is not a directory")),
        ("FROM scratch\nCOPY --from=busybox /bin /bin\nCOPY a /sys\n", Some("/sys of the image is not a directory")),
    ] {
        env.write("a", "a file");
        let said = env.build(dockerfile, &["-q", "-t", "lies"]);
        assert_eq!(said.code, 0, "{said:#?}");
        let ran = env.run(&["run", "--rm", "lies", "true"]);
        assert_eq!(ran.code, 125, "{dockerfile}: {ran:#?}");
        assert!(expected.is_none_or(|words| ran.stderr.contains(words)), "{ran:#?}");
    }
}

/// CVE-2014-8989: where a single id is mapped, groups that keep one out of a file are not let go of, by `run` or by `exec`.
#[test]
fn groups_that_keep_out_stay() {
    use std::os::unix::fs::{PermissionsExt, chown};
    const GROUP: u32 = 4242;
    let (Some(user), Some(busybox)) = (User::plain(), fixtures::busybox()) else { return };
    let home = Home::new(user.clone(), &busybox);
    let file = home.path("kept");
    std::fs::write(&file, "secret").unwrap();
    chown(&file, Some(0), Some(GROUP)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), format!("--groups={GROUP}")]);
        command
            .args(["--inh-caps=-all", "--reset-env", "--", "env"])
            .arg(format!("ESTIBA_ROOT={}", home.path("store")));
        command.arg(home.path("estiba")).args(arguments).current_dir("/").output().unwrap()
    };
    let bind = format!("{file}:/kept:ro");
    let script = "cat /proc/self/setgroups; cat /kept; su app -c 'id -u; cat /kept'";
    // Where the user is root, another one is made believe; for others no id changes at all.
    let checked = |output: &Output, believes: bool| {
        let said = text(output);
        assert!(said.starts_with("deny\n") && said.contains("ermission denied") && !said.contains("secret"), "{said}");
        assert_eq!(said.contains("1000\n"), believes, "{said}");
    };
    let started = run(&["run", "-d", "--name", "up", "--network", "none", "-v", &bind, "busybox", "sleep", "300"]);
    assert!(started.status.success(), "{}", text(&started));
    for (extra, believes) in [(&[][..], true), (&["--group-add", "77"], true), (&["--user", "1:5"], false)] {
        let words = ["-v", &bind, "busybox", "sh", "-c", script];
        checked(&run(&[&["run", "--rm", "--network", "none"], extra, &words].concat()), believes);
        if !extra.contains(&"--group-add") {
            checked(&run(&[&["exec"], extra, &["up", "sh", "-c", script]].concat()), believes);
        }
    }
    home.ok(&["rm", "-f", "up"]);
}

#[test]
fn users_of_its_own_as_root() {
    let Some(env) = Env::with_busybox() else { return };
    if !fixtures::is_root() {
        fixtures::skip("only root may map any id");
        return;
    }
    let shared = env.work().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::os::unix::fs::chown(&shared, Some(400_000), Some(400_000)).unwrap();
    let volume = format!("{}:/shared", shared.display());
    let options = ["run", "--rm", "-v", &volume, "--uidmap", "0:400000:1000", "busybox", "sh", "-c"];
    let out =
        env.ok(&[&options[..], &["id -u; stat -c %u /bin/busybox /shared; touch /shared/made; chown 5 /shared/made"]]
            .concat());
    assert_eq!(out, "0\n0\n0\n");
    assert_eq!(std::fs::metadata(shared.join("made")).unwrap().uid(), 400_005);
    let map = |name: &str| {
        env.ok(&["run", "-d", "--name", name, "--userns", "auto", "busybox", "sleep", "600"]);
        let map = env.ok(&["exec", name, "cat", "/proc/self/uid_map"]);
        map.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, other) = (map("one"), map("other"));
    assert!(one[0] == "0" && one[2] == "1024" && one[1] != other[1], "{one:?} {other:?}");
    env.ok(&["rm", "-f", "one", "other"]);
}

#[test]
fn users_of_its_own_with_subordinate_ids() {
    let (Some(user), Some(busybox)) = (User::subordinate(), fixtures::busybox()) else { return };
    let home = Home::new(user, &busybox);
    let uid = home.user.uid;
    std::fs::create_dir(home.path("mine")).unwrap();
    home.user.own(Path::new(&home.path("mine"))).unwrap();
    let volume = format!("{}:/mine", home.path("mine"));
    let script = "id -u; id -g; stat -c %u /bin/busybox /mine; touch /mine/made; touch /etc/made || echo refused";
    let out = home.ok(&["run", "--rm", "-v", &volume, "--userns", "keep-id", "busybox", "sh", "-c", script]);
    assert_eq!(out, format!("{uid}\n{}\n0\n{uid}\nrefused\n", home.user.gid));
    assert_eq!(std::fs::metadata(home.path("mine/made")).unwrap().uid(), uid, "made by who ran it");
    let kept = ["run", "--rm", "--userns", "keep-id:uid=7,gid=8", "busybox", "id", "-u"];
    assert_eq!(home.ok(&kept), "7\n");
    let none =
        home.ok(&["run", "--rm", "-v", &volume, "--userns", "nomap", "busybox", "stat", "-c", "%u", "/mine", "/etc"]);
    assert_eq!(none, "65534\n0\n", "the caller is nobody inside");
    let auto = home.ok(&["run", "--rm", "--userns", "auto:size=3000", "busybox", "cat", "/proc/self/uid_map"]);
    assert_eq!(auto.split_whitespace().nth(2), Some("3000"), "{auto}");
    let refused = home.run_in("store", &["run", "--rm", "--uidmap", "0:0:9999999", "busybox", "true"]);
    assert!(refused.status.code() == Some(125) && text(&refused).contains("are not all yours"), "{refused:?}");
}

#[test]
fn users_of_its_own_with_a_single_id() {
    let (Some(user), Some(busybox)) = (User::plain(), fixtures::busybox()) else { return };
    let home = Home::new(user, &busybox);
    let out = home.ok(&["run", "--rm", "--userns", "keep-id", "busybox", "id", "-u"]);
    assert_eq!(out, format!("{}\n", home.user.uid));
    for mode in ["auto", "nomap"] {
        let refused = home.run_in("store", &["run", "--rm", "--userns", mode, "busybox", "true"]);
        assert!(refused.status.code() == Some(125) && text(&refused).contains("estiba doctor"), "{refused:?}");
    }
}

/// One container sees what another has, as root and without.
#[test]
fn namespaces_of_another_container() {
    let Some(busybox) = fixtures::busybox() else { return };
    if let Some(env) = Env::with_busybox() {
        share(&|arguments| env.ok(arguments));
    }
    for user in [User::subordinate(), User::plain()].into_iter().flatten() {
        let home = Home::new(user, &busybox);
        share(&|arguments| home.ok(arguments));
    }
}

fn share(ok: &dyn Fn(&[&str]) -> String) {
    let lend = "echo shared > /dev/shm/file; exec sleep 6543";
    ok(&["run", "-d", "--name", "lender", "--hostname", "lender", "--network", "none", "busybox", "sh", "-c", lend]);
    let borrow = |options: &[&str], script: &str| {
        ok(&[&["run", "--rm", "--network", "none"], options, &["busybox", "sh", "-c", script]].concat())
    };
    assert_eq!(borrow(&["--pid", "container:lender"], "ps | grep -c '[s]leep 6543'"), "1\n");
    assert_eq!(borrow(&["--ipc", "container:lender"], "cat /dev/shm/file"), "shared\n");
    assert_eq!(borrow(&["--uts", "container:lender"], "cat /proc/sys/kernel/hostname"), "lender\n");
    assert_eq!(borrow(&["--userns", "container:lender"], "echo in"), "in\n");
    assert_eq!(borrow(&[], "ps | grep -c '[s]leep 6543'; cat /dev/shm/file 2>/dev/null; true"), "0\n");
    ok(&["rm", "-f", "lender"]);
}

#[test]
fn the_configuration_is_the_specifications() {
    let Some(env) = Env::with_busybox() else { return };
    let out = env.ok(&[
        "run",
        "--print-spec",
        "--network",
        "none",
        "--user",
        "app",
        "--group-add",
        "33",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "KILL",
        "--read-only",
        "-v",
        "/tmp:/t:ro",
        "--tmpfs",
        "/s:size=1m",
        "--device",
        "/dev/null:/dev/void",
        "--ulimit",
        "nofile=9:10",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--hostname",
        "h",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "--annotation",
        "a=b",
        "busybox",
        "echo",
        "x",
    ]);
    let spec: serde_json::Value = serde_json::from_str(&out).unwrap();
    for (pointer, expected) in [
        ("/process/args", serde_json::json!(["echo", "x"])),
        ("/process/user/uid", 1000.into()),
        ("/process/user/additionalGids", serde_json::json!([1000, 33])),
        ("/process/cwd", "/tmp".into()),
        ("/process/capabilities/bounding", serde_json::json!(["CAP_KILL"])),
        ("/process/capabilities/effective", serde_json::json!([])),
        ("/process/rlimits/0/type", "RLIMIT_NOFILE".into()),
        ("/root/readonly", true.into()),
        ("/hostname", "h".into()),
        ("/annotations/a", "b".into()),
        ("/linux/sysctl/net.ipv4.ip_forward", "1".into()),
        ("/linux/devices/0/path", "/dev/void".into()),
        ("/linux/seccomp/defaultAction", "SCMP_ACT_ERRNO".into()),
    ] {
        assert_eq!(spec.pointer(pointer), Some(&expected), "{pointer} of {out}");
    }
    let targets: Vec<_> =
        spec["mounts"].as_array().unwrap().iter().filter_map(|mount| mount["destination"].as_str()).collect();
    assert!(["/proc", "/dev", "/sys", "/t", "/s"].iter().all(|target| targets.contains(target)), "{targets:?}");
    assert_eq!(env.ok(&["ps", "-aq"]), "", "nothing stays");
}

#[test]
fn another_runtime_runs_it() {
    let Some(busybox) = fixtures::busybox() else { return };
    for runtime in ["crun", "runc"] {
        let there = ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(runtime).exists());
        if !there {
            fixtures::skip(&format!("{runtime} is not installed"));
            continue;
        }
        if let Some(env) = Env::with_busybox() {
            run_by(runtime, &|arguments| env.command(arguments).output().unwrap());
        }
        if let Some(user) = User::subordinate() {
            let home = Home::new(user, &busybox);
            run_by(runtime, &|arguments| home.run_in("store", arguments));
        }
    }
}

fn run_by(runtime: &str, run: &dyn Fn(&[&str]) -> Output) {
    let ran =
        |options: &[&str], command: &[&str]| {
            let output =
                run(&[&["run", "--rm", "--network", "none", "--runtime", runtime], options, &["busybox"], command]
                    .concat());
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), text(&output))
        };
    let (code, out, all) = ran(
        &["--hostname", "h", "-e", "A=1"],
        &["sh", "-c", "echo $A $(hostname) $(id -u) $$; grep Seccomp: /proc/self/status"],
    );
    // What crun says of machines with both versions of control groups.
    if code != Some(0) && all.contains("hybrid mode not supported") {
        fixtures::skip(&format!("{runtime} refuses the control groups of this machine"));
        return;
    }
    assert_eq!((code, out.as_str()), (Some(0), "1 h 0 1\nSeccomp:\t2\n"), "{runtime}: {all}");
    assert_eq!(ran(&[], &["sh", "-c", "exit 7"]).0, Some(7), "{runtime}");
    let (code, _, all) = ran(&[], &["no-such-program"]);
    assert_eq!(code, Some(127), "{runtime}: {all}");
    run(&["run", "-d", "--name", "foreign", "--network", "none", "--runtime", runtime, "busybox", "sleep", "600"]);
    let inside = run(&["exec", "foreign", "cat", "/proc/1/cmdline"]);
    assert!(text(&inside).contains("sleep"), "{runtime}: {}", text(&inside));
    let removed = run(&["rm", "-f", "foreign"]);
    assert!(removed.status.success(), "{runtime}: {}", text(&removed));
}
