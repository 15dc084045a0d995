//! One more process in a container that runs, and what a hostile container may try on it.

use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use estiba_runtime::container::{CapSet, Ids, Mount, Source, Spec, WindowSize};

use crate::harness::{Bench, Ran};

/// A container that waits, as its first process is seen from outside. Ended when dropped.
struct Waiting {
    helper: Child,
    first: i32,
}

impl Waiting {
    fn start(bench: &Bench, spec: &Spec, modes: &[&str]) -> Self {
        let helper = bench.command(spec, modes).spawn().unwrap();
        let mut waiting = Self { helper, first: 0 };
        let until = Instant::now() + Duration::from_secs(20);
        while waiting.first == 0 {
            assert!(Instant::now() < until, "the container does not start");
            std::thread::sleep(Duration::from_millis(10));
            let list = format!("/proc/{0}/task/{0}/children", waiting.helper.id());
            let first = std::fs::read_to_string(list).unwrap_or_default();
            // It runs the program once that is no copy of the helper any more.
            let ready = first.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &i32| runs(*pid));
            waiting.first = ready.unwrap_or_default();
        }
        waiting
    }

    fn join(&self, bench: &Bench, spec: &Spec, modes: &[&str]) -> Ran {
        let file = bench.dir.path().join("guest.json");
        std::fs::write(&file, serde_json::to_vec(spec).unwrap()).unwrap();
        let mut command = bench.as_user(&bench.joiner());
        command.arg(self.first.to_string()).arg(file).args(modes);
        Ran::of(&command.output().unwrap())
    }
}

/// Whether a process, or its child where it is an init of ours, has become a program of the container.
fn runs(pid: i32) -> bool {
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let child = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let child = child.split_whitespace().next().and_then(|pid| pid.parse().ok());
    [Some(pid), child].into_iter().flatten().any(|pid| name(pid).trim() == "sleep")
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let process = if self.first == 0 { self.helper.id().to_string() } else { self.first.to_string() };
        let _ = Command::new("kill").args(["-9", &process]).status();
        let _ = self.helper.wait();
    }
}

fn sleeping(bench: &Bench) -> Spec {
    bench.script("exec sleep 60")
}

fn guest(text: &str) -> Spec {
    let rootfs = estiba_runtime::container::RootFs::Dir("/nowhere".into());
    Spec::new(rootfs, ["/bin/sh", "-c", text].map(str::to_owned).to_vec())
}

const SAME: &str = "for n in mnt pid ipc uts net cgroup; do \
    test \"$(readlink /proc/self/ns/$n)\" = \"$(readlink /proc/1/ns/$n)\" || echo other $n; done; \
    echo $(id -u):$(id -g) $(id -G) $PWD $HOME $(ls /proc/self/fd | wc -l)";

#[test]
fn a_guest_is_in_all_of_the_containers_namespaces() {
    for (bench, modes) in benches() {
        let Some(bench) = bench else { continue };
        let mut spec = sleeping(&bench);
        spec.hostname = Some("inside".to_owned());
        if modes.contains(&"single-id") {
            spec.ids = Ids::Single;
        }
        for init in [false, true] {
            spec.init = init;
            let waiting = Waiting::start(&bench, &spec, modes);
            let mut guest = guest(SAME);
            guest.ids = spec.ids;
            // The descriptor of the directory that ls lists is the fourth.
            if !init {
                assert_eq!(waiting.join(&bench, &guest, &[]).ok(), "0:0 0 / /root 4", "{modes:?}");
            }
            guest.args[2] = "hostname; exit 7".to_owned();
            let ran = waiting.join(&bench, &guest, &["keep-fds"]);
            assert_eq!((ran.code, ran.out.as_str()), (7, "inside"), "{modes:?} init={init} {ran:?}");
        }
    }
}

fn benches() -> [(Option<Bench>, &'static [&'static str]); 3] {
    [
        (Bench::root(), &[]),
        (Bench::of(fixtures::User::subordinate()), &["subordinate-ids"]),
        (Bench::of(fixtures::User::plain()), &["single-id"]),
    ]
}

#[test]
fn a_guest_has_the_rights_that_are_given_and_no_more() {
    let Some(bench) = Bench::root() else { return };
    let waiting = Waiting::start(&bench, &sleeping(&bench), &[]);
    let mut spec = guest("grep -E 'Cap(Inh|Eff|Bnd|Amb)|Seccomp:|NoNewPrivs' /proc/self/status | tr -d '\t'");
    spec.no_new_privs = true;
    let expected = "CapInh:0000000000000000\nCapEff:00000000a80425fb\nCapBnd:00000000a80425fb\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2";
    assert_eq!(waiting.join(&bench, &spec, &[]).ok(), expected);
    spec.user = "1000:1000".to_owned();
    spec.caps = CapSet::ALL;
    let said = waiting.join(&bench, &spec, &[]).ok();
    assert!(said.contains("CapInh:0000000000000000\nCapEff:0000000000000000"), "{said}");
}

#[test]
fn what_fails_has_dockers_code_and_leaves_nothing() {
    let Some(bench) = Bench::root() else { return };
    let waiting = Waiting::start(&bench, &sleeping(&bench), &[]);
    let code = |spec: &Spec| waiting.join(&bench, spec, &[]).code;
    let mut spec = guest("");
    for (program, expected) in [("absent", 127), ("/absent", 127), ("/etc/passwd", 126), ("/etc", 126)] {
        spec.args = vec![program.to_owned()];
        assert_eq!(code(&spec), expected, "{program}");
    }
    let mut spec = guest("kill -9 $$");
    assert_eq!(code(&spec), 137);
    spec.cwd = "/absent".to_owned();
    let ran = waiting.join(&bench, &spec, &[]);
    assert!(ran.code == 125 && ran.err.contains("/absent"), "{ran:?}");
    assert_eq!(waiting.join(&bench, &guest("test ! -e /absent && echo none"), &[]).ok(), "none");
}

/// CVE-2024-21626: no path leads to what a descriptor of the host's has open, and none is open.
#[test]
fn no_working_directory_is_outside() {
    let Some(bench) = Bench::root() else { return };
    symlink("/proc/self/fd/7", bench.lower().join("trap")).unwrap();
    let waiting = Waiting::start(&bench, &sleeping(&bench), &[]);
    for number in 0..32 {
        for cwd in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../..")] {
            let mut spec = guest("ls");
            spec.cwd = cwd.clone();
            assert_eq!(waiting.join(&bench, &spec, &["keep-fds"]).code, 125, "{cwd}");
        }
    }
    for cwd in ["/trap", "/proc/1/cwd", "/proc/1/root", "/proc/self/cwd"] {
        let mut spec = guest("ls");
        spec.cwd = cwd.to_owned();
        assert_eq!(waiting.join(&bench, &spec, &["keep-fds"]).code, 125, "{cwd}");
    }
    let fds = waiting.join(&bench, &guest("ls /proc/self/fd"), &["keep-fds"]).ok();
    assert_eq!(fds, "0\n1\n2\n3");
}

/// CVE-2019-5736: a program that is `/proc/self/exe` is a page of ours that nobody can change, and no process that joins can be
/// looked into.
#[test]
fn our_binary_is_out_of_reach() {
    let Some(bench) = Bench::root() else { return };
    let before = std::fs::read(bench.joiner()).unwrap();
    std::fs::write(bench.lower().join("script"), "#!/proc/self/exe\n").unwrap();
    let mut mode = std::fs::metadata(bench.lower().join("script")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(bench.lower().join("script"), mode).unwrap();
    let mut spec = bench.script(
        "(while :; do for p in /proc/[0-9]*; do test $p = /proc/1 || { echo x > $p/exe && echo wrote $p; cat $p/exe | head -c0; }; done; done) 2>/dev/null >/tmp/log & exec sleep 60",
    );
    spec.caps = CapSet::ALL;
    let waiting = Waiting::start(&bench, &spec, &[]);
    for program in ["/proc/self/exe", "/script"] {
        let mut spec = guest("");
        spec.args = vec![program.to_owned()];
        for _ in 0..20 {
            assert_ne!(waiting.join(&bench, &spec, &[]).code, 0);
        }
    }
    assert!(std::fs::read(bench.joiner()).unwrap() == before);
}

/// The container's `/proc` is a folder that it filled itself; nothing of ours asks it.
#[test]
fn a_proc_that_lies_is_not_asked() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script(
        "mkdir -p /tmp/p/self/task/1 /tmp/p/self/task/2 /tmp/p/self/ns && mkfifo /tmp/p/self/uid_map && mount --bind /tmp/p /proc && exec sleep 60",
    );
    spec.privileged = true;
    spec.rootfs = bench.overlay();
    let waiting = Waiting::start(&bench, &spec, &[]);
    let mut guest = guest("ls -d /proc/self/uid_map && id -u");
    guest.oom_score_adj = Some(7);
    assert_eq!(waiting.join(&bench, &guest, &[]).ok(), "/proc/self/uid_map\n0");
    guest.terminal = Some(WindowSize { rows: 5, columns: 60 });
    guest.args[2] = "stty size".to_owned();
    assert_eq!(waiting.join(&bench, &guest, &[]).ok(), "5 60");
}

/// CVE-2025-52565 and its kin: the container put something else where a terminal, or `/dev/null`, would be taken from.
#[test]
fn terminals_and_null_are_what_they_say() {
    let Some(bench) = Bench::root() else { return };
    let victim = bench.dir.path().join("victim");
    std::fs::write(&victim, "kept").unwrap();
    let lies = [
        "mount --bind /tmp/trap /dev/pts/ptmx",
        "umount /dev/pts; ln -s /tmp /tmp/x; mkdir -p /tmp/pts; touch /tmp/pts/ptmx; mount --bind /tmp/pts /dev/pts",
        "umount /dev/pts; rmdir /dev/pts; ln -s /tmp /dev/pts",
    ];
    for lie in lies {
        let mut spec = bench.script(&format!("touch /tmp/trap; {lie}; exec sleep 60"));
        spec.privileged = true;
        let waiting = Waiting::start(&bench, &spec, &[]);
        let mut terminal = guest("true");
        terminal.terminal = Some(WindowSize { rows: 5, columns: 60 });
        let ran = waiting.join(&bench, &terminal, &[]);
        assert_eq!(ran.code, 125, "{lie}: {ran:?}");
    }
    for lie in [
        "umount /dev/null 2>/dev/null; rm -f /dev/null; ln -s /victim /dev/null",
        "umount /dev/null 2>/dev/null; rm -f /dev/null; mkfifo /dev/null",
    ] {
        let mut spec = bench.script(&format!("{lie}; exec sleep 60"));
        spec.privileged = true;
        spec.mounts.push(Mount {
            target: "/victim".to_owned(),
            source: Source::Path { path: victim.clone(), recursive: false },
            readonly: false,
        });
        let waiting = Waiting::start(&bench, &spec, &[]);
        let ran = waiting.join(&bench, &guest("echo x; cat"), &["no-stdio"]);
        assert!(ran.code == 125 && ran.err.contains("null device"), "{lie}: {ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
}

#[test]
fn a_terminal_is_the_containers_own() {
    for (bench, modes) in benches() {
        let Some(bench) = bench else { continue };
        let mut spec = sleeping(&bench);
        let mut guest = guest("tty; stty size; echo ok > /dev/tty");
        guest.terminal = Some(WindowSize { rows: 5, columns: 60 });
        if modes.contains(&"single-id") {
            spec.ids = Ids::Single;
            guest.ids = Ids::Single;
        }
        let waiting = Waiting::start(&bench, &spec, modes);
        assert_eq!(waiting.join(&bench, &guest, &[]).ok().replace('\r', ""), "/dev/pts/0\n5 60\nok", "{modes:?}");
    }
}

/// The kernel lets a container's first process go when all others were waited for: a keeper does, whatever becomes of us.
#[test]
fn a_command_that_stands_still_holds_nothing_up() {
    let Some(bench) = Bench::root() else { return };
    let mut waiting = Waiting::start(&bench, &sleeping(&bench), &[]);
    let file = bench.dir.path().join("guest.json");
    std::fs::write(&file, serde_json::to_vec(&guest("sleep 50")).unwrap()).unwrap();
    let mut joiner = bench.as_user(&bench.joiner()).arg(waiting.first.to_string()).arg(file).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let signal = |name: &str, pid: i32| Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    signal("-STOP", joiner.id().cast_signed());
    signal("-KILL", waiting.first);
    let until = Instant::now() + Duration::from_secs(5);
    while waiting.helper.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "the container does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal("-CONT", joiner.id().cast_signed());
    assert_eq!(joiner.wait().unwrap().code(), Some(137));
}
