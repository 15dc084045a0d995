//! Volumes and mounts: what a container sees of them, what stays, what attacks on them come to.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::runner::Env;

const DOCKERFILE: &str = "FROM busybox\n\
    RUN mkdir -p /srv/data/sub && echo hi > /srv/data/f && echo x > /srv/data/sub/g && ln -s f /srv/data/l \
    && ln /srv/data/f /srv/data/h && chown -R 5:6 /srv/data/sub\n\
    VOLUME /var/vol\n";

fn env() -> Option<Env> {
    let env = Env::with_busybox()?;
    assert_eq!(env.build(DOCKERFILE, &["-t", "v"]).code, 0);
    Some(env)
}

fn names(env: &Env) -> Vec<String> {
    env.ok(&["volume", "ls", "-q"]).lines().map(str::to_owned).collect()
}

#[test]
fn a_volume_is_filled_from_the_image_once_and_kept() {
    let Some(env) = env() else { return };
    let script = "cat /d/f /d/l /d/sub/g; stat -c %u:%g /d/sub/g; stat -c %h /d/f; rm /d/f; echo new > /d/new";
    let seen = env.ok(&["run", "--rm", "-v", "data:/srv/data", "v", "sh", "-c", &script.replace("/d/", "/srv/data/")]);
    // As in the image: with a single id, containers see one owner everywhere.
    let owner = env.ok(&["run", "--rm", "v", "stat", "-c", "%u:%g", "/srv/data/sub/g"]);
    assert!(!fixtures::is_root() || owner == "5:6\n", "{owner}");
    assert_eq!(seen, format!("hi\nhi\nx\n{owner}2\n"));
    // It is not filled again, and other containers see what the first one wrote.
    let seen =
        env.ok(&["run", "--rm", "-v", "data:/srv/data:ro", "v", "sh", "-c", "ls /srv/data; touch /srv/data/x || true"]);
    assert_eq!(seen, "h\nl\nnew\nsub\n");
    assert_eq!(env.ok(&["run", "--rm", "-v", "bare:/srv/data:nocopy", "v", "ls", "/srv/data"]), "");
    // A path inside a volume, resolved there.
    let sub = "type=volume,src=data,dst=/s,volume-subpath=sub";
    assert_eq!(env.ok(&["run", "--rm", "--mount", sub, "v", "ls", "/s"]), "g\n");
    assert_eq!(names(&env), ["bare", "data"]);
    env.ok(&["volume", "rm", "data", "bare"]);
    assert!(names(&env).is_empty());
}

#[test]
fn many_at_once_fill_a_volume_once() {
    let Some(env) = env() else { return };
    let script = "cat /srv/data/f /srv/data/sub/g && echo one >> /srv/data/sub/g";
    let all: Vec<_> = (0..4)
        .map(|_| {
            let command = &mut env.command(&["run", "--rm", "-v", "data:/srv/data", "v", "sh", "-c", script]);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    let seen = env.ok(&["run", "--rm", "-v", "data:/srv/data", "v", "cat", "/srv/data/sub/g"]);
    assert_eq!(seen, "x\none\none\none\none\n");
}

#[test]
fn volumes_without_a_name_go_with_their_container() {
    let Some(env) = env() else { return };
    env.ok(&["run", "--rm", "v", "touch", "/var/vol/x"]);
    assert!(names(&env).is_empty());
    env.ok(&["create", "--name", "one", "-v", "named:/n", "v", "true"]);
    let own = names(&env);
    assert_eq!(own.len(), 2);
    // Another container uses what the first one mounts; what is in use is not removed.
    env.ok(&["run", "--rm", "--volumes-from", "one", "v", "sh", "-c", "echo 1 > /var/vol/x; echo 2 > /n/x"]);
    let read =
        ["run", "--rm", "--volumes-from", "one:ro", "v", "sh", "-c", "cat /var/vol/x /n/x; ! touch /n/y 2>/dev/null"];
    assert_eq!(env.ok(&read), "1\n2\n");
    assert!(env.fails(1, &["volume", "rm", "named"]).contains("in use"));
    env.ok(&["volume", "prune", "-af"]);
    assert_eq!(names(&env), own);
    env.ok(&["rm", "-v", "one"]);
    assert_eq!(names(&env), ["named"]);
    env.ok(&["volume", "prune", "-f"]);
    assert_eq!(names(&env), ["named"]);
    env.ok(&["volume", "prune", "-af"]);
    assert!(names(&env).is_empty());
}

#[test]
fn the_verbs_of_volume() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.ok(&["volume", "create", "--label", "a=b", "data"]), "data\n");
    env.ok(&["volume", "create", "-o", "type=tmpfs", "-o", "o=size=1m,mode=700", "mem"]);
    assert_eq!(env.ok(&["volume", "create"]).trim_end().len(), 64);
    assert_eq!(env.ok(&["volume", "ls", "-q", "--filter", "label=a=b"]), "data\n");
    assert_eq!(env.ok(&["volume", "ls", "--filter", "name=me", "--format", "{{.Name}} {{.Driver}}"]), "mem local\n");
    assert_eq!(env.ok(&["volume", "inspect", "-f", "{{.Labels.a}}", "data"]), "b\n");
    let script = "mount | grep ' /m '; stat -c %a /m";
    let seen = env.ok(&["run", "--rm", "-v", "mem:/m", "busybox", "sh", "-c", script]);
    assert!(seen.contains("tmpfs") && seen.contains("size=1024k") && seen.ends_with("700\n"), "{seen}");
    let outside = env.work().join("outside");
    fs::create_dir(&outside).unwrap();
    let device = format!("device={}", outside.display());
    env.ok(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "bound"]);
    env.ok(&["run", "--rm", "-v", "bound:/b", "busybox", "touch", "/b/x"]);
    assert!(outside.join("x").exists());
    env.ok(&["volume", "rm", "bound"]);
    assert!(outside.join("x").exists(), "a folder of the host's is nobody's to remove");
    for bad in [&["create", "../x"][..], &["create", "-d", "nfs", "data2"], &["create", "-o", "type=nfs", "data2"]] {
        assert_ne!(env.run(&[&["volume"], bad].concat()).code, 0, "{bad:?}");
    }
    assert!(env.fails(1, &["volume", "inspect", "none"]).contains("no such volume: none"));
    assert!(env.fails(1, &["volume", "rm", "none"]).contains("no such volume: none"));
    env.ok(&["volume", "rm", "-f", "none"]);
}

#[test]
fn mounts_of_every_kind() {
    let Some(env) = env() else { return };
    env.write("host/file", "content");
    let host = env.work().join("host");
    let run =
        |options: &[&str], script: &str| env.ok(&[&["run", "--rm"], options, &["v", "sh", "-c", script]].concat());
    // What is written over a folder goes away, and the folder stays.
    run(&["-v", "./host:/h:O"], "rm /h/file && echo new > /h/new");
    assert!(host.join("file").exists() && !host.join("new").exists());
    // Flags.
    let mounted = run(&["-v", "./host:/h:ro,noexec,nosuid"], "grep ' /h ' /proc/mounts");
    assert!(["ro,", "noexec", "nosuid", "nodev"].iter().all(|flag| mounted.contains(flag)), "{mounted}");
    let mounted = run(&["--tmpfs", "/t:size=1m,mode=711"], "grep ' /t ' /proc/mounts; stat -c %a /t");
    assert!(mounted.contains("noexec") && mounted.contains("size=1024k") && mounted.ends_with("711\n"), "{mounted}");
    assert_eq!(run(&["--tmpfs", "/srv/data:tmpcopyup"], "cat /srv/data/f"), "hi\n");
    // Another image.
    assert_eq!(
        run(&["--mount", "type=image,src=v,dst=/i,subpath=srv/data"], "cat /i/f; ! touch /i/x 2>/dev/null"),
        "hi\n"
    );
    assert_eq!(run(&["--mount", "type=image,src=v,dst=/i,rw=true"], "echo 1 > /i/srv/x; cat /i/srv/x"), "1\n");
    // Read-only, with and without room to work.
    run(&["--read-only", "-v", "./host:/h"], "touch /h/ok && ! touch /no 2>/dev/null && ! touch /tmp/no 2>/dev/null");
    run(&["--read-only", "--read-only-tmpfs"], "touch /tmp/ok /run/ok /var/tmp/ok && ! touch /no 2>/dev/null");
    assert!(env.fails(125, &["run", "--rm", "-v", "./host:/h", "--tmpfs", "/h/", "v", "true"]).contains("two mounts"));
}

#[test]
fn a_folder_is_given_to_the_containers_user() {
    let Some(env) = env() else { return };
    if !fixtures::is_root() {
        return fixtures::skip("only root sees other users' files on the host");
    }
    env.write("host/deep/file", "content");
    env.write("outside", "mine");
    symlink(env.work().join("outside"), env.work().join("host/link")).unwrap();
    env.ok(&["run", "--rm", "-u", "1000:1001", "-v", "./host:/h:U", "v", "touch", "/h/deep/new"]);
    let owner = |path: &str| {
        let found = fs::symlink_metadata(env.work().join(path)).unwrap();
        (found.uid(), found.gid())
    };
    for path in ["host", "host/deep/file", "host/link"] {
        assert_eq!(owner(path), (1000, 1001), "{path}");
    }
    assert_eq!(owner("outside").0, 0, "no link is followed");
}

#[test]
fn no_mount_leads_out_of_its_tree() {
    let Some(env) = env() else { return };
    env.write("outside/secret", "secret");
    // A link in a volume, and a target that leads through it.
    let outside = env.work().join("outside").display().to_string();
    let script = format!("ln -s {outside} /d/link; ln -s / /d/root; ln -s ../../../../../../etc /d/up");
    env.ok(&["run", "--rm", "-v", "data:/d", "v", "sh", "-c", &script]);
    for sub in ["link", "root/../outside", "../volume.json", "up/../..", "link/secret"] {
        let mount = format!("type=volume,src=data,dst=/s,volume-subpath={sub}");
        let said = env.run(&[
            "run",
            "--rm",
            "--mount",
            &mount,
            "v",
            "sh",
            "-c",
            "cat /s/secret /s/volume.json /s 2>/dev/null",
        ]);
        assert!(!said.stdout.contains("secret") && !said.stdout.contains("local"), "{sub}: {said:?}");
    }
    // A mount below a link in a volume that is mounted above it: the link is followed inside.
    env.run(&["run", "--rm", "-v", "data:/d", "--tmpfs", "/d/link/sub", "v", "touch", "/d/link/sub/x"]);
    env.run(&["run", "--rm", "-v", "data:/d", "-v", "./outside:/d/link/deep/er", "v", "true"]);
    let left = crate::runner::files_below(&env.work().join("outside"));
    assert_eq!(left, ["secret"], "nothing is made on the host");
    assert!(!env.work().join("outside/deep").exists() && !env.work().join("outside/sub").exists());
    // An image whose folder is a link fills a volume with nothing of the host's.
    let dockerfile = format!("FROM busybox\nRUN ln -s {outside} /out && ln -s /../../../../..{outside} /out2\n");
    assert_eq!(env.build(&dockerfile, &["-t", "links"]).code, 0);
    for target in ["/out", "/out2"] {
        let volume = format!("v{}:{target}", target.len());
        assert_eq!(env.ok(&["run", "--rm", "-v", &volume, "links", "sh", "-c", &format!("ls -A {target}")]), "");
    }
}

#[test]
fn a_shared_volume_that_races_leads_nowhere() {
    let Some(env) = env() else { return };
    env.write("outside/secret", "secret");
    let outside = env.work().join("outside").display().to_string();
    let swap = format!("while :; do mkdir -p /d/x; rm -rf /d/x; ln -s {outside} /d/x; rm -f /d/x; done");
    env.ok(&["run", "-d", "--name", "racer", "-v", "data:/d", "v", "sh", "-c", &swap]);
    for _ in 0..12 {
        let said = env.run(&["run", "--rm", "-v", "data:/d", "--tmpfs", "/d/x/y", "v", "sh", "-c", "ls /d/x /d/x/y"]);
        assert!(!said.stdout.contains("secret"), "{said:?}");
    }
    assert_eq!(crate::runner::files_below(&env.work().join("outside")), ["secret"]);
    assert!(!env.work().join("outside/y").exists());
}

#[test]
fn what_the_host_mounts_later_shows_where_that_is_asked_for() {
    let Some(env) = Env::with_busybox() else { return };
    if !fixtures::is_root() {
        return fixtures::skip("only root mounts on the host");
    }
    let host = env.work().join("host");
    fs::create_dir_all(host.join("below")).unwrap();
    let shell =
        |script: &str| std::process::Command::new("sh").args(["-c", script]).current_dir(env.work()).status().unwrap();
    if !shell("mount --bind host host && mount --make-shared host").success() {
        fixtures::skip("mounts of the host: they are refused");
        return;
    }
    for (name, how) in [("private", "rprivate"), ("slave", "rslave"), ("shared", "rshared")] {
        env.ok(&["run", "-d", "--name", name, "-v", &format!("./host:/h:{how}"), "busybox", "sleep", "300"]);
    }
    let mounted = shell("mount -t tmpfs later host/below && touch host/below/new").success();
    let seen = |name: &str| env.run(&["exec", name, "test", "-f", "/h/below/new"]).code == 0;
    let found = ["private", "slave", "shared"].map(seen);
    shell("umount host/below; umount host");
    assert!(mounted);
    assert_eq!(found, [false, true, true]);
}

/// Volumes, `cp`, `diff`, `commit` and `export`, as each kind of user.
#[test]
fn every_user_has_volumes() {
    let Some(busybox) = fixtures::busybox() else { return };
    for user in [fixtures::User::subordinate(), fixtures::User::plain()].into_iter().flatten() {
        let dir = user.temp_dir().unwrap();
        let binary = user.install(std::path::Path::new(env!("CARGO_BIN_EXE_estiba")), dir.path()).unwrap();
        fixtures::Image::busybox(&busybox).layout_in(dir.path(), "layout").unwrap();
        let script = "set -e; cd \"$1\"; export ESTIBA_ROOT=\"$1/store\"\n\
            estiba=$2; e() { \"$estiba\" \"$@\"; }\n\
            e load -q --tag busybox -i layout >/dev/null\n\
            mkdir c; printf 'FROM busybox\\nRUN mkdir -p /d && echo hi > /d/f && chown 5:6 /d/f\\nVOLUME /vol\\n' > c/Dockerfile\n\
            e build -q -t v c >/dev/null\n\
            test \"$(e run --rm -v data:/d v cat /d/f)\" = hi\n\
            e run -d --name up v sh -c 'touch /vol/x; echo c > /t; exec sleep 300' >/dev/null\n\
            e run --name down v sh -c 'touch /vol/x; echo c > /t'\n\
            for one in up down; do\n\
              for try in 1 2 3 4 5 6 7 8 9; do e cp $one:/t out 2>/dev/null && break; sleep 0.1; done\n\
              test \"$(cat out)\" = c; echo back > in; e cp in $one:/vol/in; e cp $one:/vol/in again; cmp in again\n\
              e diff $one | grep -qx 'A /t'; e commit $one i-$one >/dev/null 2>&1; test \"$(e run --rm i-$one cat /t)\" = c\n\
              e export $one | tar t | grep -qx t\n\
            done\n\
            e rm -fv up down >/dev/null; e volume rm data >/dev/null; test -z \"$(e volume ls -q)\"\n\
            rm -rf out again c\n";
        let output = user.command("sh").args(["-c", script, "sh"]).arg(dir.path()).arg(&binary).output().unwrap();
        assert!(output.status.success(), "{}: {output:#?}", user.name);
    }
}
