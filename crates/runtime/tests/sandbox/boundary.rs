//! Walls that stand elsewhere than usual: users, shared namespaces, devices, settings, hidden paths.

use estiba_runtime::container::{Boundary, Device, Namespace, Network, Paths, Spec, Users};
use fixtures::User;
use sys::ns::IdMap;

use super::harness::{Bench, Ran};

fn row(inside: u32, outside: u32, count: u32) -> IdMap {
    IdMap { inside, outside, count }
}

/// Root and who has subordinate ids: who can map.
fn benches() -> Vec<Bench> {
    [Bench::root(), Bench::of(User::subordinate())].into_iter().flatten().collect()
}

/// Runs it on the bench's own rung.
fn run(bench: &Bench, spec: &Spec) -> Ran {
    bench.run(spec, if bench.user.is_some() { &["subordinate-ids"] } else { &[] })
}

fn bounded(bench: &Bench, text: &str, boundary: Boundary) -> Spec {
    Spec { boundary, ..bench.script(text) }
}

/// keep-id: who starts it is 1000 inside, the image's files are still root's, and set-user-id programs stay so.
#[test]
fn users_of_its_own_own_the_files() {
    for bench in benches() {
        let map = vec![row(0, 1, 1000), row(1000, 0, 1), row(1001, 1001, 2000)];
        let users = Users::Own { uids: map.clone(), gids: map };
        let boundary = Boundary { users, ..Boundary::default() };
        let text = "id -u; stat -c %u:%g /etc/passwd /; touch /made; stat -c %u /made; chown 7 /made && echo given; rm /made; \
                    grep -E 'Cap(Inh|Prm|Eff|Bnd)' /proc/self/status | cut -f2 | tr '\\n' ' '; wc -l < /proc/self/uid_map";
        let spec = bounded(&bench, text, boundary.clone());
        let caps = "0000000000000000 00000000a80425fb 00000000a80425fb 00000000a80425fb";
        let expected = format!("0\n0:0\n0:0\n0\ngiven\n{caps} 3");
        assert_eq!(run(&bench, &spec).ok(), expected);
        // Again over the same tree: given once only.
        assert_eq!(run(&bench, &spec).ok(), expected);
        let mut spec = bounded(
            &bench,
            "id -u; id -g; touch /made || echo refused; grep CapBnd /proc/self/status | cut -f2",
            boundary,
        );
        spec.user = "1000:1000".to_owned();
        assert_eq!(run(&bench, &spec).ok(), "1000\n1000\nrefused\n00000000a80425fb");
    }
}

/// What it makes belongs, outside, to ids that are neither the caller's nor anyone else's.
#[test]
fn root_inside_is_nobody_outside() {
    use std::os::unix::fs::MetadataExt;
    let Some(bench) = Bench::root() else { return };
    let users = Users::Own { uids: vec![row(0, 200_000, 1024)], gids: vec![row(0, 300_000, 1024)] };
    let spec = bounded(
        &bench,
        "echo x > /made; chown 5:6 /made; cat /proc/1/environ > /dev/null && echo own",
        Boundary { users, ..Boundary::default() },
    );
    assert_eq!(run(&bench, &spec).ok(), "own");
    let estiba_runtime::container::RootFs::Overlay { upper, .. } = &spec.rootfs else { panic!() };
    let made = std::fs::metadata(upper.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (200_005, 300_006));
}

#[test]
fn the_hosts_namespaces_can_be_shared() {
    for bench in benches() {
        let mut boundary = Boundary::default();
        let of = &mut boundary.namespaces;
        (of.pid, of.ipc, of.uts, of.cgroup) = (Namespace::Host, Namespace::Host, Namespace::Host, Namespace::Host);
        let names = ["pid", "ipc", "uts", "cgroup"];
        let text = format!("for n in {}; do readlink /proc/self/ns/$n; done", names.join(" "));
        let mut spec = bounded(&bench, &text, boundary);
        spec.hostname = Some("not-the-host".to_owned());
        let expected: Vec<_> = names
            .iter()
            .map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string())
            .collect();
        assert_eq!(run(&bench, &spec).ok(), expected.join("\n"));
        assert_ne!(rustix::system::uname().nodename().to_bytes(), b"not-the-host");
        // What it leaves behind does not stay among the host's processes.
        spec.args[2] = "sleep 4242 & exec true".to_owned();
        run(&bench, &spec).ok();
        let left = std::process::Command::new("pgrep").args(["-f", "sleep 4242"]).status().unwrap();
        assert!(!left.success(), "a process outlived its container");
    }
}

#[test]
fn devices_and_settings_are_given_one_by_one() {
    for bench in benches() {
        let devices = vec![Device { host: "/dev/null".into(), name: "given/void".to_owned() }];
        let sysctls = vec![("net.ipv4.ip_forward".to_owned(), "1".to_owned())];
        let boundary = Boundary {
            devices,
            sysctls,
            umask: Some(0o077),
            domainname: Some("example".to_owned()),
            ..Boundary::default()
        };
        let text = "stat -c %t:%T /dev/given/void; echo x > /dev/given/void; cat /proc/sys/net/ipv4/ip_forward; umask; \
                    cat /proc/sys/kernel/domainname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
        let mut spec = bounded(&bench, text, boundary);
        spec.network = Network::None;
        assert_eq!(run(&bench, &spec).ok(), "1:3\n1\n0077\nexample\n0");
        spec.boundary.sysctls = vec![("net.no.such".to_owned(), "1".to_owned())];
        let ran = run(&bench, &spec);
        assert_eq!(ran.code, 125);
        assert!(ran.err.contains("this kernel has no such setting"), "{ran:?}");
        spec.boundary.sysctls = vec![("net/../kernel/hostname".to_owned(), "up".to_owned())];
        assert_eq!(run(&bench, &spec).code, 125, "only forward names");
        spec.boundary.devices = vec![Device { host: "/etc/passwd".into(), name: "passwd".to_owned() }];
        let ran = run(&bench, &spec);
        assert!(ran.code == 125 && ran.err.contains("is not a device"), "{ran:?}");
    }
}

#[test]
fn paths_are_hidden_and_shown_as_asked() {
    for bench in benches() {
        let mut paths = Paths::default();
        paths.masked.extend(["/etc/passwd", "/no/such"].map(str::to_owned));
        paths.masked.retain(|path| path != "/proc/interrupts");
        paths.readonly.clear();
        let boundary = Boundary { paths, ..Boundary::default() };
        let text = "wc -c < /etc/passwd; grep -q CPU0 /proc/interrupts && echo shown; cat /proc/keys | wc -c; \
                    grep -c ' /proc/sys ' /proc/self/mountinfo; true";
        let out = run(&bench, &bounded(&bench, text, boundary)).ok();
        assert_eq!(out, "0\nshown\n0\n0");
    }
}

/// With the host's network come the abstract sockets of its processes; landlock keeps them out of reach (CVE-2020-15257).
#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = format!("estiba-sandbox-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for bench in benches() {
        if !std::path::Path::new("/usr/bin/python3").exists() {
            return fixtures::skip("python3 connects to abstract sockets");
        }
        let text = format!("import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('reached')");
        let mut spec = Spec::new(
            estiba_runtime::container::RootFs::View { lowers: vec!["/".into()] },
            vec!["/usr/bin/python3".to_owned(), "-c".to_owned(), text],
        );
        let open = run(&bench, &spec);
        if open.out != "reached" {
            fixtures::skip(&format!("the host's own tree is no rootfs here: {open:?}"));
            return;
        }
        spec.boundary.landlock = true;
        let shut = run(&bench, &spec);
        // Kernels before 6.12 have no scopes.
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let number: Vec<u32> = kernel.split(['.', '-']).filter_map(|part| part.parse().ok()).collect();
        if number.as_slice() >= &[6, 12] {
            assert!(shut.code != 0 && shut.err.contains("PermissionError"), "{shut:?}");
        }
    }
}
