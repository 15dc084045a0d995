//! What a container may not do.

use estiba_runtime::container::{CapSet, Rlimit, Seccomp};

use super::harness::Bench;

const STATUS: &str = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'";

#[test]
fn capabilities_are_docker_s() {
    let Some(bench) = Bench::root() else { return };
    let status = bench.run(&bench.script(STATUS), &[]).ok();
    let docker = "00000000a80425fb";
    let none = "0000000000000000";
    let expected = format!(
        "CapInh:{none}\nCapPrm:{docker}\nCapEff:{docker}\nCapBnd:{docker}\nCapAmb:{none}\nNoNewPrivs:0\nSeccomp:2"
    );
    assert_eq!(status, expected);
    let mut spec = bench.script(STATUS);
    spec.user = "app".to_owned();
    spec.no_new_privs = true;
    let status = bench.run(&spec, &[]).ok();
    assert!(status.contains(&format!("CapPrm:{none}\nCapEff:{none}\nCapBnd:{docker}")), "{status}");
    assert!(status.contains("NoNewPrivs:1\nSeccomp:2"), "{status}");
    spec.caps = CapSet::EMPTY;
    spec.user = String::new();
    let status = bench.run(&spec, &[]).ok();
    assert!(status.contains(&format!("CapPrm:{none}\nCapEff:{none}\nCapBnd:{none}")), "{status}");
}

#[test]
fn the_filter_is_on_and_can_be_chosen() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("mount -t tmpfs x /tmp && echo mounted");
    assert_ne!(bench.run(&spec, &[]).code, 0);
    spec.caps = CapSet(CapSet::docker().0 | CapSet::named("SYS_ADMIN").unwrap().0);
    assert_eq!(bench.run(&spec, &[]).ok(), "mounted");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    let mut spec = bench.script("mkdir /x");
    spec.seccomp = Seccomp::Custom(profile.to_owned());
    assert!(bench.run(&spec, &[]).err.contains("No space left"));
}

#[test]
fn kernel_files_are_hidden_or_read_only() {
    let Some(bench) = Bench::root() else { return };
    // Which of the others there are depends on the kernel; these two kinds are everywhere.
    let text = "wc -c < /proc/interrupts; ls /sys/firmware | wc -l; stat -c %t:%T /proc/interrupts; \
                echo 1 > /proc/sys/kernel/domainname; touch /sys/x; touch /proc/fs/x /proc/irq/x; \
                [ ! -e /proc/sysrq-trigger ] || echo b > /proc/sysrq-trigger; \
                for f in kcore keys timer_list sched_debug; do [ ! -e /proc/$f ] || cat /proc/$f; done; \
                mkdir /sys/fs/cgroup/y; echo end";
    let ran = bench.run(&bench.script(text), &[]);
    assert_eq!(ran.out, "0\n0\n1:3\nend", "{ran:?}");
    assert!(ran.err.contains("domainname: Read-only file system"), "{}", ran.err);
    assert!(ran.err.contains("/sys/x: Read-only file system"), "{}", ran.err);
    let mut spec = bench.script("touch /proc/sys/kernel/domainname && echo writable");
    spec.privileged = true;
    assert_eq!(bench.run(&spec, &[]).ok(), "writable");
}

#[test]
fn devices_are_the_few_and_real() {
    let Some(bench) = Bench::root() else { return };
    let text = "ls /dev | tr '\\n' ' '; echo; for d in null zero full random urandom tty; do stat -c %t:%T:%a /dev/$d; done; \
                echo x > /dev/null; dd if=/dev/zero bs=1 count=3 2>/dev/null | wc -c; stat -c %a /dev/shm; readlink /dev/ptmx; \
                ls /dev/fd/ > /dev/null && echo fd";
    let out = bench.run(&bench.script(text), &[]).ok();
    let expected = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \n\
                    1:3:666\n1:5:666\n1:7:666\n1:8:666\n1:9:666\n5:0:666\n3\n1777\npts/ptmx\nfd";
    assert_eq!(out, expected);
}

#[test]
fn limits_are_clamped_and_never_fail() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("ulimit -n; ulimit -c; cat /proc/self/oom_score_adj");
    let limit = |name: &str, soft, hard| Rlimit { name: name.to_owned(), soft, hard };
    spec.rlimits = vec![limit("nofile", Some(1 << 40), Some(1 << 40)), limit("core", Some(0), Some(0))];
    spec.oom_score_adj = Some(-1000);
    let out = bench.run(&spec, &[]).ok();
    assert_eq!(out.lines().nth(1), Some("0"), "{out}");
    spec.rlimits = vec![limit("nofile", Some(64), Some(64))];
    spec.oom_score_adj = Some(500);
    assert_eq!(bench.run(&spec, &[]).ok(), "64\n0\n500");
}

#[test]
fn namespaces_are_its_own() {
    let Some(bench) = Bench::root() else { return };
    let text = "for n in mnt pid ipc uts cgroup net user; do readlink /proc/self/ns/$n; done; hostname; ls /proc | grep -c '^[0-9]'";
    let mut spec = bench.script(text);
    spec.hostname = Some("inside".to_owned());
    let out = bench.run(&spec, &[]).ok();
    let lines: Vec<&str> = out.lines().collect();
    for (line, name) in lines.iter().zip(["mnt", "pid", "ipc", "uts", "cgroup"]) {
        let ours = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(*line, ours.to_str().unwrap());
    }
    assert_eq!(lines[7], "inside");
    assert!(lines[8].parse::<u32>().unwrap() <= 3);
}
