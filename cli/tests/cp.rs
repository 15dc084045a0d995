//! `cp`, `diff`, `commit` and `export`: files in and out of containers that run and that do not, and attacks on that.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::runner::Env;

/// One that runs, and one that ended, with the same changes.
fn both() -> Option<Env> {
    let env = Env::with_busybox()?;
    let script =
        "mkdir -p /srv /t/deep && echo content > /t/deep/f && ln -s deep/f /t/l && ln -s /etc /t/etc && touch /vol/x";
    env.ok(&["run", "-d", "--name", "up", "-v", "/vol", "busybox", "sh", "-c", &format!("{script}; sleep 300")]);
    env.ok(&["run", "--name", "down", "-v", "/vol", "busybox", "sh", "-c", script]);
    let ready = || env.run(&["exec", "up", "test", "-f", "/vol/x"]).code == 0;
    (0..500).any(|_| {
        ready() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }
    });
    Some(env)
}

#[test]
fn files_go_both_ways() {
    let Some(env) = both() else { return };
    let read = |path: &str| fs::read_to_string(env.work().join(path)).unwrap();
    for name in ["up", "down"] {
        let at = |path: &str| format!("{name}:{path}");
        // A file to a name, into a folder; a folder to a name, into a folder, its content alone.
        env.ok(&["cp", &at("/t/deep/f"), "file"]);
        assert_eq!(read("file"), "content\n");
        fs::create_dir(env.work().join("dir")).unwrap();
        env.ok(&["cp", &at("t/deep/f"), "dir"]);
        env.ok(&["cp", &at("/t"), "dir"]);
        env.ok(&["cp", &at("/t/."), "dir/flat"]);
        env.ok(&["cp", &at("/t/deep/"), "new"]);
        for path in ["dir/f", "dir/t/deep/f", "dir/flat/deep/f", "new/f"] {
            assert_eq!(read(path), "content\n", "{path}");
        }
        assert_eq!(fs::read_link(env.work().join("dir/t/l")).unwrap().to_str(), Some("deep/f"));
        env.ok(&["cp", "-L", &at("/t/l"), "followed"]);
        assert!(fs::symlink_metadata(env.work().join("followed")).unwrap().is_file());
        // The other way, into a volume too.
        env.ok(&["cp", "dir", &at("/srv/made")]);
        env.ok(&["cp", "file", &at("/vol/")]);
        env.ok(&["cp", "dir/.", &at("/vol")]);
        env.ok(&["cp", &at("/srv/made/t/deep/f"), "back"]);
        env.ok(&["cp", &at("/vol/flat/deep/f"), "back2"]);
        assert_eq!((read("back"), read("back2")), ("content\n".to_owned(), "content\n".to_owned()));
        let tar = env.command(&["cp", &at("/t"), "-"]).output().unwrap().stdout;
        assert_eq!(env.run_with(&["cp", "-", &at("/mnt")], &tar).code, 1, "the folder has to be there");
        assert_eq!(env.run_with(&["cp", "-", &at("/srv")], &tar).code, 0);
        env.ok(&["cp", &at("/srv/t/deep/f"), "back3"]);
        assert_eq!(read("back3"), "content\n");
        for bad in [
            ["cp", &at("/none"), "x"],
            ["cp", &at("/t"), "file"],
            ["cp", "none", &at("/t")],
            ["cp", &at("/t/deep/f"), "no/"],
        ] {
            assert_ne!(env.run(&bad).code, 0, "{bad:?}");
        }
        for made in ["file", "dir", "new", "followed", "back", "back2", "back3"] {
            let path = env.work().join(made);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }
    assert_eq!(env.ok(&["exec", "up", "cat", "/srv/made/t/deep/f"]), "content\n");
    // What was copied into one that does not run is there when it does.
    env.ok(&["start", "down"]);
    assert!(env.fails(125, &["cp", "up:/t", "down:/t"]).contains("not supported"));
}

#[test]
fn the_user_of_a_container_does_not_matter() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("file", "content\n");
    env.ok(&["run", "-d", "--name", "web", "-u", "1234:1234", "busybox", "sleep", "300"]);
    env.ok(&["cp", "file", "web:/"]);
    assert_eq!(env.ok(&["exec", "web", "cat", "/file"]), "content\n");
    env.ok(&["cp", "web:/file", "back"]);
    assert_eq!(fs::read(env.work().join("back")).unwrap(), b"content\n");
    let tar = env.command(&["cp", "web:/file", "-"]).output().unwrap().stdout;
    env.ok(&["exec", "-u", "0", "web", "rm", "/file"]);
    assert_eq!(env.run_with(&["cp", "-", "web:/"], &tar).code, 0);
    assert_eq!(env.ok(&["exec", "web", "cat", "/file"]), "content\n");
}

#[test]
fn what_comes_out_is_the_callers() {
    let Some(env) = Env::with_busybox() else { return };
    let own = fs::metadata(env.work()).unwrap();
    for users in ["auto", "keep-id", "host"] {
        let script = "mkdir -p /t/deep && echo content > /t/deep/f && chmod 600 /t/deep/f";
        let run = env.run(&["run", "-d", "--name", "web", "--userns", users, "-u", "0", "busybox", "sleep", "300"]);
        if run.code != 0 {
            env.run(&["rm", "-f", "web"]);
            fixtures::skip(&format!("--userns {users} is refused here"));
            continue;
        }
        env.ok(&["exec", "web", "sh", "-c", script]);
        env.ok(&["cp", "web:/t/deep/f", "file"]);
        env.ok(&["cp", "web:/t", "dir"]);
        for path in ["file", "dir", "dir/deep", "dir/deep/f"] {
            let found = fs::metadata(env.work().join(path)).unwrap();
            assert_eq!((found.uid(), found.gid()), (own.uid(), own.gid()), "{users}: {path}");
        }
        assert_eq!(fs::read(env.work().join("dir/deep/f")).unwrap(), b"content\n");
        env.ok(&["rm", "-f", "web"]);
        fs::remove_dir_all(env.work().join("dir")).unwrap();
        fs::remove_file(env.work().join("file")).unwrap();
    }
}

#[test]
fn links_of_a_container_lead_nowhere_on_this_machine() {
    let Some(env) = both() else { return };
    env.write("secret", "secret");
    let work = env.work().display().to_string();
    let script = format!(
        "ln -s {work} /out; ln -s ../../../../../../../../{work} /up; ln -s {work}/secret /file; mkdir -p /evil; \
         ln -s {work} /evil/sub; ln -s {work}/secret /evil/f; mknod /evil/pipe p"
    );
    env.ok(&["exec", "up", "sh", "-c", &script]);
    for (path, to) in [("up:/out/secret", "got"), ("up:/up/secret", "got"), ("up:/file/.", "got")] {
        assert_ne!(env.run(&["cp", path, to]).code, 0, "{path}");
    }
    assert_ne!(env.run(&["cp", "-L", "up:/file", "got"]).code, 0);
    env.ok(&["cp", "up:/evil", "got"]);
    assert!(fs::symlink_metadata(env.work().join("got/f")).unwrap().is_symlink());
    // Into the container: what stands there as a link is followed inside, where it leads nowhere.
    env.write("new", "new");
    env.run(&["cp", "new", "up:/out/planted"]);
    env.run(&["cp", "new", "up:/up/planted"]);
    env.run(&["cp", "new", "up:/file"]);
    env.run(&["cp", "new", "up:/../../../../planted"]);
    assert!(!env.work().join("planted").exists());
    assert_eq!(fs::read_to_string(env.work().join("secret")).unwrap(), "secret");
    // A folder of one's own with a link in it is not written through.
    fs::create_dir_all(env.work().join("dest/evil")).unwrap();
    fs::create_dir(env.work().join("kept")).unwrap();
    symlink(env.work().join("kept"), env.work().join("dest/evil/t")).unwrap();
    env.ok(&["exec", "up", "cp", "-r", "/t", "/evil/t"]);
    assert_ne!(env.run(&["cp", "up:/evil", "dest"]).code, 0);
    assert!(fs::read_dir(env.work().join("kept")).unwrap().next().is_none());
}

#[test]
fn a_hostile_tar_stays_in_its_folder() {
    let Some(env) = both() else { return };
    let header = |name: &str, kind: u8, link: &str, size: usize| {
        let mut block = [0u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.to_vec()
    };
    let mut content = b"evil".to_vec();
    content.resize(512, 0);
    let file = |name: &str| [header(name, b'0', "", 4), content.clone()].concat();
    let end = vec![0; 1024];
    for (what, tar) in [
        ("..", file("../../evil")),
        ("link", [header("l", b'2', "/etc", 0), file("l/evil")].concat()),
        ("hard link", header("h", b'1', "../../../etc/passwd", 0)),
        ("hard link by a link", [header("l", b'2', "/", 0), header("h", b'1', "l/etc/passwd", 0)].concat()),
    ] {
        for name in ["up", "down"] {
            env.run_with(&["cp", "-", &format!("{name}:/t/deep")], &[tar.clone(), end.clone()].concat());
            for path in ["/evil", "/t/evil", "/etc/evil"] {
                assert_ne!(env.run(&["cp", &format!("{name}:{path}"), "got"]).code, 0, "{what}: {path} of {name}");
            }
        }
    }
    assert!(!std::path::Path::new("/evil").exists() && !std::path::Path::new("/etc/evil").exists());
}

#[test]
fn changes_are_told_committed_and_exported() {
    let Some(env) = both() else { return };
    for name in ["up", "down"] {
        env.write("src/Cargo.toml", "x");
        env.ok(&["cp", "src", &format!("{name}:/src")]);
        let changes = env.ok(&["diff", name]);
        for line in ["A /t", "A /t/deep/f", "A /t/l", "A /src/Cargo.toml"] {
            assert!(changes.lines().any(|found| found == line), "{line}: {changes}");
        }
        for line in ["/vol", "/etc/hosts", "/dev", "/proc"] {
            assert!(!changes.contains(line), "{line}: {changes}");
        }
        let image = format!("{name}-image");
        env.ok(&[
            "commit",
            "-a",
            "ann",
            "-m",
            "why",
            "-c",
            "CMD [\"cat\", \"/t/deep/f\"]",
            "-c",
            "ENV A=1",
            name,
            &image,
        ]);
        assert_eq!(env.ok(&["run", "--rm", &image]), "content\n");
        assert_eq!(env.ok(&["run", "--rm", &image, "sh", "-c", "echo $A; test ! -e /vol/x"]), "1\n");
        env.ok(&["export", "-o", "tree.tar", name]);
        let layer = env.run(&["import", "tree.tar", "flat"]);
        assert_eq!(layer.code, 0, "{layer:?}");
        assert_eq!(env.ok(&["run", "--rm", "flat", "cat", "/t/deep/f"]), "content\n");
        env.ok(&["run", "--rm", "flat", "test", "!", "-e", "/vol/x"]);
    }
    // Deletions and changes.
    env.ok(&["exec", "up", "sh", "-c", "rm /etc/passwd; echo x >> /etc/group; rm -r /t"]);
    let changes = env.ok(&["diff", "up"]);
    for line in ["C /etc", "D /etc/passwd", "C /etc/group"] {
        assert!(changes.lines().any(|found| found == line), "{line}: {changes}");
    }
    assert!(!changes.contains("/t/"), "{changes}");
    env.ok(&["commit", "up", "less"]);
    env.fails(1, &["run", "--rm", "less", "test", "-e", "/etc/passwd"]);
    assert_eq!(env.ok(&["inspect", "-f", "{{.State.Status}}", "up"]), "running\n", "it goes on");
}
