//! What builders were broken by, tried on this one: mounts of RUN that lead elsewhere, stubs that are swapped for links,
//! caches that two builds fight over, rights that nobody gave.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::runner::Env;

/// A folder of the host with one file, which no build may read or touch.
fn victim(env: &Env) -> std::path::PathBuf {
    let dir = env.root().with_file_name("victim");
    fs::create_dir_all(dir.join("b/c")).unwrap();
    fs::write(dir.join("secret"), "of the host").unwrap();
    dir
}

fn unharmed(dir: &std::path::Path) {
    assert_eq!(fs::read_to_string(dir.join("secret")).unwrap(), "of the host");
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["b", "secret"]);
    assert!(dir.join("b/c").is_dir());
}

/// CVE-2024-1753: the source of a mount is a link to `/`, or to a folder of the host.
#[test]
fn a_mount_source_that_is_a_link_stays_in_its_tree() {
    let Some(env) = Env::with_busybox() else { return };
    let victim = victim(&env);
    env.write("context/x", "x");
    symlink(&victim, env.work().join("context/out")).unwrap();
    let host = victim.display();
    env.write(
        "Dockerfile",
        format!(
            "FROM busybox AS evil\nRUN ln -s / /root-link && ln -s {host} /host-link && ln -s ../../../../../.. /up\n\
             FROM busybox\nRUN --mount=type=bind,from=evil,source=/root-link,target=/m ls /m && test -L /m/host-link\n\
             RUN --mount=type=bind,from=evil,source=/up,target=/m,rw test -L /m/host-link && echo x > /m/written\n"
        ),
    );
    env.ok(&["build", "-q", "."]);
    for line in [
        "RUN --mount=type=bind,from=evil,source=/host-link,target=/m cat /m/secret",
        "RUN --mount=type=bind,from=evil,source=/up/../..{host},target=/m cat /m/secret",
        "RUN --mount=type=cache,from=evil,source=/host-link,target=/m cat /m/secret",
    ] {
        let line = line.replace("{host}", &host.to_string());
        let said =
            env.build(&format!("FROM busybox AS evil\nRUN ln -s {host} /host-link\nFROM busybox\n{line}\n"), &[]);
        assert!(said.code == 1 && !said.stderr.contains("of the host\n"), "{line}: {said:#?}");
    }
    env.write("context/Dockerfile", "FROM busybox\nRUN --mount=type=bind,source=out,target=/m cat /m/secret\n");
    let said = env.run(&["build", "--progress=plain", "context"]);
    assert!(said.code == 1 && !said.stderr.contains("of the host\n"), "{said:#?}");
    assert!(!std::path::Path::new("/written").exists());
    unharmed(&victim);
}

/// CVE-2024-9675, CVE-2024-9407: names of caches that are paths, options that nobody checked.
#[test]
fn a_cache_s_name_is_no_path_and_unknown_options_are_refused() {
    let Some(env) = Env::with_busybox() else { return };
    let victim = victim(&env);
    let up = "../".repeat(24);
    let host = victim.display();
    for id in [format!("{up}{host}"), host.to_string(), "..".to_owned(), ".".to_owned()] {
        let run = format!("FROM busybox\nRUN --mount=type=cache,id={id},target=/m test ! -e /m/secret && touch /m/x\n");
        let said = env.build(&run, &["--no-cache"]);
        assert_eq!(said.code, 0, "{id}: {said:#?}");
    }
    for option in ["bind-propagation=shared", "bind-recursive=enabled", "relabel=shared", "U=true"] {
        let said = env.build(&format!("FROM busybox\nRUN --mount=type=bind,{option},target=/m true\n"), &[]);
        assert!(said.code == 1 && said.stderr.contains("has no option"), "{option}: {said:#?}");
    }
    unharmed(&victim);
}

/// CVE-2024-23652: what was made for a mount is removed afterwards, though its folder has become a link by then.
#[test]
fn stubs_are_removed_in_the_layer_and_nowhere_else() {
    let Some(env) = Env::with_busybox() else { return };
    let victim = victim(&env);
    let host = victim.display();
    for mount in ["type=tmpfs", "type=cache", "type=bind,from=busybox", "type=secret,id=s"] {
        env.write("s", "a secret of no worth");
        let run = format!(
            "FROM busybox\nRUN --mount={mount},target=/a/b/c mv /a /z && ln -s {host} /a\n\
             RUN --mount={mount},target=/up/b/c mv /up /y && ln -s ../../../../../../../..{host} /up\nRUN test -L /a\n"
        );
        let said = env.build(&run, &["--secret", "id=s,src=s", "--no-cache"]);
        assert_eq!(said.code, 0, "{mount}: {said:#?}");
        unharmed(&victim);
    }
}

/// CVE-2024-23651, CVE-2024-11218: a cache whose folder becomes a link and back, all the time, while another build mounts
/// below it.
#[test]
fn a_cache_that_swaps_a_folder_for_a_link_leads_nowhere() {
    let Some(env) = Env::with_busybox() else { return };
    let victim = victim(&env);
    let host = victim.display();
    env.write(
        "swap/Dockerfile",
        format!(
            "FROM busybox\nRUN --mount=type=cache,id=shared,target=/c \
             for i in $(seq 3000); do mkdir -p /c/sub/b; rm -rf /c/sub; ln -s {host} /c/sub; rm -f /c/sub; done\n"
        ),
    );
    env.write(
        "use/Dockerfile",
        "FROM busybox AS data\nRUN mkdir -p /d && echo inside > /d/f\n\
         FROM busybox\nRUN --mount=type=cache,id=shared,target=/c --mount=type=bind,from=data,source=/d,target=/c/sub/b \
         --mount=type=tmpfs,target=/c/sub/t --mount=type=cache,id=other,target=/c/sub/b/c \
         ! cat /c/sub/secret && touch /c/sub/t/x\n",
    );
    let mut swapping = env.command(&["build", "-q", "--no-cache", "swap"]).stderr(Stdio::null()).spawn().unwrap();
    let mut tries = 0;
    while swapping.try_wait().unwrap().is_none() || tries < 3 {
        let said = env.run(&["build", "--progress=plain", "--no-cache", "use"]);
        // It may fail: the place can be gone at the wrong moment. What it may not is get out.
        assert!(!said.stderr.contains("of the host\n"), "{said:#?}");
        unharmed(&victim);
        tries += 1;
    }
    assert!(swapping.wait().unwrap().success());
}

/// CVE-2024-23653: a step without the right to it does not run with all rights, whatever stage asks.
#[test]
fn nobody_is_privileged_without_being_told() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build("FROM busybox AS a\nRUN --security=insecure id\nFROM scratch\nCOPY --from=a /bin /bin\n", &[]);
    assert!(said.code == 1 && said.stderr.contains("not allowed") && !said.stderr.contains("uid=0"), "{said:#?}");
}

/// Two RUNs of one build, side by side, that fight over one writable bind: each has a copy of its own.
#[test]
fn a_writable_bind_is_thrown_away_and_shared_with_nobody() {
    let Some(env) = Env::with_busybox() else { return };
    env.write(
        "Dockerfile",
        "FROM busybox AS data\nRUN mkdir /d && echo one > /d/f\n\
         FROM busybox AS left\nRUN --mount=type=bind,from=data,source=/d,target=/m,rw rm /m/f && ln -s / /m/f && touch /l\n\
         FROM busybox AS right\nRUN --mount=type=bind,from=data,source=/d,target=/m,rw test \"$(cat /m/f)\" = one && touch /r\n\
         FROM busybox\nCOPY --from=left /l /\nCOPY --from=right /r /\nCOPY --from=data /d/f /f\nRUN test \"$(cat /f)\" = one\n",
    );
    env.ok(&["build", "-q", "."]);
}
