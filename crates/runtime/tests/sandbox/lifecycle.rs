//! Starting, ending, exit codes, users, environment, mounts.

use estiba_runtime::container::{Mount, Network, RootFs, Source, WindowSize};

use super::harness::{Bench, upper_listing};

#[test]
fn runs_and_leaves_only_what_it_wrote() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("echo hello; echo kept > /root/file; cat /etc/resolv.conf /etc/hosts");
    spec.resolv_conf = Some(b"nameserver 10.0.0.1\n".to_vec());
    spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
    spec.hostname = Some("box".to_owned());
    assert_eq!(bench.run(&spec, &[]).ok(), "hello\nnameserver 10.0.0.1\n127.0.0.1 localhost");
    assert_eq!(upper_listing(&spec.rootfs), ["root/", "root/file"]);
}

#[test]
fn mount_points_that_the_image_lacks_are_unmade() {
    let Some(bench) = Bench::root() else { return };
    for name in ["proc", "sys", "dev", "tmp"] {
        std::fs::remove_dir(bench.lower().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("../run/resolve/stub.conf", bench.lower().join("etc/resolv.conf")).unwrap();
    let mut spec = bench.script("cat /etc/resolv.conf; ls /cache /a/b; [ -e /proc/self ] && [ -c /dev/null ]");
    spec.resolv_conf = Some(b"nameserver 10.0.0.2\n".to_vec());
    for target in ["/cache/deep", "/var/made", "/a/b/c"] {
        let source = Source::Tmpfs { size: Some(1 << 20), mode: 0o755 };
        spec.mounts.push(Mount { target: target.to_owned(), source, readonly: false });
    }
    for init in [false, true] {
        spec.init = init;
        let out = bench.run(&spec, &[]).ok();
        assert!(out.starts_with("nameserver 10.0.0.2"), "{out}");
        assert_eq!(upper_listing(&spec.rootfs), Vec::<String>::new());
    }
}

#[test]
fn exit_codes_are_docker_s() {
    let Some(bench) = Bench::root() else { return };
    let code = |args: &[&str], init| {
        let mut spec = bench.script("");
        spec.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        spec.init = init;
        let ran = bench.run(&spec, &[]);
        (ran.code, ran.err)
    };
    std::fs::write(bench.lower().join("bin/bad"), "#!/no/such\n").unwrap();
    std::fs::write(bench.lower().join("bin/data"), "no program").unwrap();
    for name in ["bad", "data"] {
        use std::os::unix::fs::PermissionsExt;
        let path = bench.lower().join("bin").join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for init in [false, true] {
        assert_eq!(code(&["sh", "-c", "exit 42"], init).0, 42);
        assert_eq!(code(&["sh", "-c", "kill -9 $$; exit 3"], init).0, if init { 137 } else { 3 });
        let (missing, words) = code(&["nothing"], init);
        assert_eq!(missing, 127);
        assert!(words.contains("nothing: executable file not found in $PATH"), "{words}");
        assert_eq!(code(&["/no/such"], init).0, 127);
        let (bad, words) = code(&["bad"], init);
        assert_eq!(bad, 127);
        assert!(words.contains("/no/such"), "{words}");
        assert_eq!(code(&["/etc/passwd"], init).0, 126);
        assert_eq!(code(&["/etc"], init).0, 126);
        let (data, words) = code(&["data"], init);
        assert_eq!(data, 126);
        assert!(words.contains("exec format error"), "{words}");
    }
    let mut spec = bench.script("true");
    spec.user = "nobody-here".to_owned();
    let ran = bench.run(&spec, &[]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("/etc/passwd"), "{}", ran.err);
}

#[test]
fn users_groups_and_home() {
    let Some(bench) = Bench::root() else { return };
    let id = |user: &str| {
        let mut spec = bench.script("id -u; id -g; id -G; echo $HOME");
        spec.user = user.to_owned();
        spec.extra_groups = vec!["daemon".to_owned()];
        bench.run(&spec, &[]).ok().replace('\n', " ")
    };
    assert_eq!(id("app"), "1000 1000 1000 1 /");
    assert_eq!(id("www-data:app"), "33 1000 1000 1 /var/www");
    assert_eq!(id("4321"), "4321 0 0 1 /");
    assert_eq!(id(""), "0 0 0 1 /root");
}

#[test]
fn the_working_directory_is_made() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("pwd; stat -c %u .");
    spec.cwd = "/srv/deep/er".to_owned();
    spec.user = "app".to_owned();
    assert_eq!(bench.run(&spec, &[]).ok(), "/srv/deep/er\n1000");
    assert_eq!(upper_listing(&spec.rootfs), ["srv/", "srv/deep/", "srv/deep/er/"]);
}

#[test]
fn process_one_reaps_and_forwards() {
    let Some(bench) = Bench::root() else { return };
    let mut spec =
        bench.script("(sleep 0.05 &) ; sleep 0.3; echo $$; cat /proc/1/comm; ps | grep -c '\\[sleep\\]'; true");
    spec.init = true;
    let out = bench.run(&spec, &[]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines[0], lines[2]), ("2", "0"), "{out}");
    let spec = bench.script("echo $$");
    assert_eq!(bench.run(&spec, &[]).ok(), "1");
}

#[test]
fn mounts_of_every_kind() {
    let Some(bench) = Bench::root() else { return };
    let host = bench.dir.path().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "from the host").unwrap();
    let text = "cat /in/file; echo; cat /one; echo; cat /data; echo; ls /tree; cat /treefile; \
                touch /in/new; echo x > /ro/y; touch /scratch/z; stat -c %a /scratch /data; mount | grep -c ' /scratch '";
    let mut spec = bench.script(text);
    let mut add = |target: &str, source, readonly| {
        spec.mounts.push(Mount { target: target.to_owned(), source, readonly });
    };
    let path = |path| Source::Path { path, recursive: false };
    let tree = |subpath: &str| {
        let rootfs = RootFs::View { lowers: vec![bench.lower(), host.clone()] };
        Source::Tree { rootfs, subpath: subpath.to_owned() }
    };
    add("/in", path(host.clone()), false);
    add("/ro", path(host.clone()), true);
    add("/one", path(host.join("file")), true);
    add("/data", Source::Data { data: b"given".to_vec(), mode: 0o640, uid: 0, gid: 0 }, true);
    add("/scratch", Source::Tmpfs { size: None, mode: 0o1777 }, false);
    add("/tree", tree("etc"), true);
    add("/treefile", tree("file"), true);
    let ran = bench.run(&spec, &[]);
    assert!(ran.err.contains("can't create /ro/y: Read-only file system"), "{ran:?}");
    assert_eq!(ran.out, "from the host\nfrom the host\ngiven\ngroup\npasswd\nfrom the host1777\n640\n1");
    assert!(host.join("new").exists() && !host.join("y").exists());
    assert_eq!(upper_listing(&spec.rootfs), Vec::<String>::new());
}

#[test]
fn a_read_only_root_has_writable_mounts() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("touch /x; touch /tmp/y && echo yes");
    spec.readonly_rootfs = true;
    let source = Source::Tmpfs { size: None, mode: 0o1777 };
    spec.mounts.push(Mount { target: "/tmp".to_owned(), source, readonly: false });
    let ran = bench.run(&spec, &[]);
    assert!(ran.err.contains("Read-only"), "{ran:?}");
    assert_eq!(ran.ok(), "yes");
}

#[test]
fn a_terminal_of_its_own() {
    let Some(bench) = Bench::root() else { return };
    let mut spec = bench.script("tty; stty size; [ -c /dev/console ] && echo console; ls /dev/pts");
    spec.terminal = Some(WindowSize { rows: 33, columns: 101 });
    for modes in [&[][..], &["spawner"]] {
        let out = bench.run(&spec, modes).ok().replace("\r\n", "\n");
        assert!(out.starts_with("/dev/pts/0\n33 101\nconsole\n"), "{out:?}");
    }
}

#[test]
fn networks() {
    let Some(bench) = Bench::root() else { return };
    let mut spec =
        bench.script("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; cat /sys/class/net/lo/operstate");
    spec.network = Network::None;
    let out = bench.run(&spec, &[]).ok();
    assert_eq!(out.lines().next(), Some("lo"), "{out}");
}
