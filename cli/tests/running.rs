//! What surrounds a RUN: names, limits, rights.

use std::fs;

use crate::runner::Env;

#[test]
fn names_are_what_was_asked_for() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN cat /etc/hosts /etc/resolv.conf /etc/hostname && hostname\n");
    let said = env.run(&[
        "build",
        "--progress=plain",
        "--add-host=db:10.1.2.3",
        "--add-host=here=host-gateway",
        "--dns=10.9.9.9",
        "--dns-search=corp.example",
        "--dns-option=ndots:3",
        ".",
    ]);
    assert_eq!(said.code, 0, "{said:#?}");
    let lines =
        ["10.1.2.3    db", "127.0.0.1    here", "nameserver 10.9.9.9", "search corp.example", "options ndots:3"];
    for line in lines {
        assert!(said.stderr.contains(line), "{line} is not in {said:#?}");
    }
    let own = "FROM busybox\nRUN echo own > /etc/hosts.new; ls -l /etc/hosts /etc/hostname /etc/resolv.conf; true\n";
    let said = env.build(own, &["--no-hosts", "--no-hostname", "--dns=none"]);
    assert!(said.code == 0 && said.stderr.matches("No such file").count() == 3, "{said:#?}");
}

#[test]
fn limits_hold() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN echo \"files=$(ulimit -Sn)/$(ulimit -Hn)\"; df -k /dev/shm\n");
    let said = env.run(&["build", "--progress=plain", "--ulimit", "nofile=100:200", "--shm-size", "3m", "."]);
    assert!(said.code == 0 && said.stderr.contains("files=100/200") && said.stderr.contains("3072"), "{said:#?}");
}

#[test]
fn memory_and_processors_are_limited_where_the_machine_lets_us() {
    let Some(env) = Env::with_busybox() else { return };
    // Twice as much as it may have, written into memory that counts.
    env.write("Dockerfile", "FROM busybox\nRUN dd if=/dev/zero of=/dev/shm/x bs=1M count=48 && echo marker=$((6*7))\n");
    let limits = ["--memory=24m", "--memory-swap=24m", "--cpu-shares=512", "--cpu-quota=90000", "--cpuset-cpus=0"];
    let said = env.run(&[&["build", "--progress=plain"], &limits[..], &["."]].concat());
    if said.stderr.contains("without limits of memory") {
        assert_eq!(said.code, 0, "{said:#?}");
        return fixtures::skip("no control groups can be made here");
    }
    assert!(said.code == 1 && !said.stderr.contains("marker=42"), "{said:#?}");
    assert!(said.stderr.contains("--memory"), "why is said: {said:#?}");
    let said = env.run(&["build", "--progress=plain", "--cpuset-cpus=4000", "."]);
    assert!(said.code == 1 && said.stderr.contains("cpuset.cpus"), "{said:#?}");
    env.ok(&["build", "-q", "--memory=200m", "--cgroup-parent=estiba-test/deep", "."]);
}

#[test]
fn rights_are_given_by_name_only() {
    let Some(env) = Env::with_busybox() else { return };
    let host = "FROM busybox\nRUN --network=host true\n";
    let said = env.build(host, &[]);
    for part in ["--network=host", "--allow network.host", "Dockerfile:2"] {
        assert!(said.code == 1 && said.stderr.contains(part), "{part} is not in {said:#?}");
    }
    assert_eq!(env.build(host, &["--allow", "network.host"]).code, 0);
    assert_eq!(env.build(host, &[]).code, 1, "what is cached is not allowed either");
    assert_eq!(env.build(host, &["--network=host"]).code, 0);
    let insecure = "FROM busybox\nRUN --security=insecure grep CapBnd /proc/self/status\n";
    let said = env.build(insecure, &["--allow=network.host"]);
    assert!(said.code == 1 && said.stderr.contains("--allow security.insecure"), "{said:#?}");
    assert_eq!(env.build(insecure, &["--allow=security.insecure"]).code, 0);
    let unreached = "FROM busybox AS no\nRUN --security=insecure true\nFROM busybox\nRUN true\n";
    assert_eq!(env.build(unreached, &[]).code, 0);
    env.write("Dockerfile", "FROM busybox\nRUN grep -e CapBnd -e NoNewPrivs /proc/self/status; id -G\n");
    let said = env.run(&[
        "build",
        "--progress=plain",
        "--cap-drop=ALL",
        "--cap-add=CHOWN",
        "--security-opt=no-new-privileges",
        "--group-add=4321",
        ".",
    ]);
    for part in ["CapBnd:    0000000000000001", "NoNewPrivs:    1", "4321"] {
        assert!(said.code == 0 && said.stderr.contains(part), "{part} is not in {said:#?}");
    }
}

#[test]
fn folders_devices_and_proxies_of_this_machine() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("shared/a", "outside\n");
    env.write(
        "Dockerfile",
        "FROM busybox\nRUN cat /mnt/a && echo back > /mnt/b && test -c /dev/mine && echo \"proxy=$HTTP_PROXY\" && cat\n",
    );
    let volume = format!("{}:/mnt", env.work().join("shared").display());
    let mut command = env.command(&["build", "--progress=plain", "-t", "app", "-v", &volume]);
    command
        .args(["--device=/dev/null:/dev/mine", "--http-proxy", "--stdin", "."])
        .env("HTTP_PROXY", "http://p.example");
    let input = env.write("input", "typed\n");
    let output = command.stdin(fs::File::open(input).unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["outside", "proxy=http://p.example", "typed"] {
        assert!(output.status.success() && said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(fs::read_to_string(env.work().join("shared/b")).unwrap(), "back\n");
    let listing = env.ok(&["run", "--rm", "app", "sh", "-c", "ls /mnt /dev/mine 2>&1; echo \"proxy=$HTTP_PROXY\""]);
    assert!(listing.contains("proxy=\n") && !listing.contains("mine\n/"), "{listing}");
}
