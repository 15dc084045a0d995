//! The same as an ordinary user.

use estiba_runtime::container::{Ids, Isolation, Mount, Network, RootFs, Source};
use fixtures::User;

use super::harness::{Bench, upper_listing};

#[test]
fn with_subordinate_ids() {
    let Some(bench) = Bench::of(User::subordinate()) else { return };
    let modes = &["subordinate-ids"][..];
    let text = "id -u; id -G; touch /root/f; chown app:app /root/f; stat -c %u:%g /root/f; ls /dev | wc -l; cat /etc/resolv.conf";
    let mut spec = bench.script(text);
    spec.resolv_conf = Some(b"nameserver 10.0.0.1\n".to_vec());
    for init in [false, true] {
        spec.init = init;
        spec.rootfs = bench.overlay();
        assert_eq!(bench.run(&spec, modes).ok(), "0\n0\n1000:1000\n15\nnameserver 10.0.0.1");
        assert_eq!(upper_listing(&spec.rootfs), ["root/", "root/f"]);
    }
    let mut spec = bench.script("id -u; id -g; stat -c %t:%T /dev/null; touch /sys/x /proc/sys/x");
    spec.user = "app".to_owned();
    let ran = bench.run(&spec, modes);
    assert_eq!(ran.out, "1000\n1000\n1:3", "{ran:?}");
    let mut spec = bench.script("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    spec.network = Network::None;
    assert_eq!(bench.run(&spec, modes).ok().lines().next(), Some("lo"));
}

#[test]
fn with_a_single_id() {
    let Some(bench) = Bench::of(User::plain()) else { return };
    let modes = &["single-id"][..];
    let mut spec = bench.script("id -u; touch /root/f; stat -c %u:%g /root/f; echo x > /dev/null; cat /data");
    spec.ids = Ids::Single;
    let source = Source::Data { data: b"given".to_vec(), mode: 0o644, uid: 0, gid: 0 };
    spec.mounts.push(Mount { target: "/data".to_owned(), source, readonly: true });
    for init in [false, true] {
        spec.init = init;
        assert_eq!(bench.run(&spec, modes).ok(), "0\n0:0\ngiven");
    }
    for init in [false, true] {
        let mut spec = bench.script("id -u; id -g; touch /tmp/f; stat -c %u:%g /tmp/f");
        spec.ids = Ids::Single;
        spec.user = "app".to_owned();
        spec.init = init;
        assert_eq!(bench.run(&spec, modes).ok(), "1000\n1000\n1000:1000");
    }
}

#[test]
fn our_binary_is_out_of_a_user_s_reach_too() {
    let Some(bench) = Bench::of(User::subordinate()) else { return };
    let helper = bench.dir.path().join("sandbox_run");
    bench.user.as_ref().unwrap().own(&helper).unwrap();
    let before = std::fs::read(&helper).unwrap();
    let mut spec =
        bench.script("(exec 3<> /proc/1/exe) && echo opened; cat /proc/1/exe | wc -c; ls -l /proc/1/fd; true");
    spec.init = true;
    // Even with every capability inside: the process was executed outside, and only who rules there may look.
    spec.privileged = true;
    let ran = bench.run(&spec, &["subordinate-ids"]);
    assert!(ran.out.starts_with('0') || ran.out.contains("total 0"), "{ran:?}");
    assert!(!ran.out.contains("opened"), "{ran:?}");
    assert_eq!(std::fs::read(&helper).unwrap(), before);
}

#[test]
fn by_chroot_alone() {
    let Some(bench) = Bench::root() else { return };
    std::os::unix::fs::symlink("../run/absent.conf", bench.lower().join("etc/resolv.conf")).unwrap();
    let text = "id -u; cat /etc/resolv.conf; echo x > /dev/null; stat -c %t:%T /dev/zero; pwd; cat /data; exit 5";
    for init in [false, true] {
        let mut spec = bench.script(text);
        spec.rootfs = RootFs::Dir(bench.lower());
        spec.isolation = Isolation::Chroot;
        spec.user = "app".to_owned();
        spec.cwd = "/srv/made".to_owned();
        spec.resolv_conf = Some(b"nameserver 10.0.0.1\n".to_vec());
        spec.init = init;
        let source = Source::Data { data: b"given".to_vec(), mode: 0o644, uid: 0, gid: 0 };
        spec.mounts.push(Mount { target: "/data".to_owned(), source, readonly: true });
        let ran = bench.run(&spec, &[]);
        assert_eq!(ran.out, "1000\nnameserver 10.0.0.1\n1:5\n/srv/made\ngiven", "{ran:?}");
        assert_eq!(ran.code, 5);
        for gone in ["dev/null", "data", "run"] {
            assert!(!bench.lower().join(gone).exists(), "{gone}");
        }
    }
}

/// As inside a container of others: a part of `/proc` is covered, and locked to it.
#[test]
fn where_proc_is_masked_already() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("echo $$; head -n1 /proc/version | cut -d' ' -f1; ls /proc/root 2>&1; ls /sys | wc -l");
    spec.ids = Ids::Single;
    spec.rootfs = RootFs::Dir(bench.lower());
    let helper = bench.command(&spec, &[]);
    let nested = "mount -t tmpfs none /proc/sys && exec unshare -Urm \"$@\"";
    let mut outer = std::process::Command::new("unshare");
    outer.args(["-Urm", "sh", "-c", nested, "sh"]).arg(helper.get_program()).args(helper.get_args());
    let output = outer.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare: ") {
        fixtures::skip("no user namespaces here");
        return;
    }
    assert!(out.starts_with("1\nLinux\n"), "{out} {said}");
    assert!(out.contains("No such file"), "the workshop shows: {out}");
}
