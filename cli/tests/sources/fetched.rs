//! ADD of files and repositories.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Site, files_with, git};
use crate::runner::Env;

/// Builds into the folder `out`.
fn out(env: &Env, dockerfile: &str, arguments: &[&str]) -> String {
    drop(fs::remove_dir_all(env.work().join("out")));
    let said = env.build(dockerfile, &[&["-o", "type=local,dest=out"], arguments].concat());
    assert_eq!(said.code, 0, "{said:#?}");
    said.stderr
}

#[test]
fn a_file_comes_once_and_is_what_its_checksum_says() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    site.write("tool", "one");
    let url = site.url("tool");
    let dockerfile = format!("FROM scratch\nADD {url}?sig=abc /bin/\n");
    out(&env, &dockerfile, &[]);
    let file = env.work().join("out/bin/tool");
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((fs::read_to_string(&file).unwrap().as_str(), metadata.mode() & 0o777), ("one", 0o600));
    assert_eq!(metadata.mtime(), 1_445_412_480);
    // It is asked for again, and not sent again.
    let said = env.run(&["build", "--progress=plain", "."]);
    assert!(said.stderr.contains("1 of 1 steps cached"), "{said:#?}");
    site.write("tool", "two");
    out(&env, &dockerfile, &[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "two");

    let digest = |text: &str| format!("sha256:{}", oci::Digest::sha256(text.as_bytes()).hex());
    let pinned = |text: &str| format!("FROM scratch\nADD --checksum={} --chmod=755 {url} /kept\n", digest(text));
    let said = env.build(&pinned("three"), &[]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.stderr.contains(&format!("{url} is {}, not {}", digest("two"), digest("three"))), "{said:#?}");
    let before = site.host.asked().len();
    out(&env, &pinned("two"), &[]);
    assert_eq!(fs::metadata(env.work().join("out/kept")).unwrap().mode() & 0o777, 0o755);
    assert_eq!(site.host.asked().len(), before, "the store had it: nobody is asked");
}

#[test]
fn archives_unpack_where_they_are_asked_to() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "d/f", &b"hi"[..]).unwrap();
    site.write("a.tar.gz", fixtures::gzip(&tar.into_inner().unwrap()).unwrap());
    let url = site.url("a.tar.gz");
    out(&env, &format!("FROM scratch\nADD {url} /a/\nADD --unpack=true {url} /b/\n"), &[]);
    assert!(env.work().join("out/a/a.tar.gz").is_file());
    assert_eq!(fs::read_to_string(env.work().join("out/b/d/f")).unwrap(), "hi");
}

#[test]
fn repositories_are_checked_out_at_what_was_named() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    let work = site.repository("r", &[("sub/f", "one"), ("top", "t")]);
    let first = git(&work, &["rev-parse", "HEAD"]);
    site.commit("r", &[("sub/f", "two")]);
    let url = site.url("git/r.git");
    out(
        &env,
        &format!(
            "FROM scratch\nADD {url}#v1:sub /tag/\nADD {url} /head\nADD {url}?ref={first}&subdir=sub /commit/\n\
             ADD --keep-git-dir {url}#main /kept\nADD --checksum={first} {url}?tag=v1 /sum/\n"
        ),
        &[],
    );
    let read = |path: &str| fs::read_to_string(env.work().join("out").join(path)).unwrap();
    assert_eq!((read("tag/f"), read("head/sub/f"), read("commit/f")), ("one".into(), "two".into(), "one".into()));
    assert_eq!(read("sum/sub/f"), "one");
    assert!(!env.work().join("out/head/.git").exists());
    let kept = env.work().join("out/kept");
    assert_eq!(git(&kept, &["status", "--porcelain"]), "");
    assert_eq!(git(&kept, &["config", "remote.origin.url"]), url);
    assert_eq!(git(&kept, &["fsck", "--strict"]), "");
    assert_eq!(fs::metadata(env.work().join("out/head/top")).unwrap().mtime(), 1_577_836_800);

    let said = env.build(&format!("FROM scratch\nADD --checksum={first} {url}#main /x\n"), &[]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains(&format!("not {first}")) && said.stderr.contains("Dockerfile:2"), "{said:#?}");
}

#[test]
fn submodules_come_along_unless_they_are_not_wanted() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    site.repository("inner", &[("deep", "deep")]);
    let work = site.repository("outer", &[("top", "t")]);
    // A relative address is the repository's sibling.
    git(&work, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &site.url("git/inner.git"), "in"]);
    fs::write(work.join(".gitmodules"), "[submodule \"in\"]\n\tpath = in\n\turl = ../inner.git\n").unwrap();
    site.commit("outer", &[]);
    let url = site.url("git/outer.git");
    out(&env, &format!("FROM scratch\nADD {url} /a\nADD {url}?submodules=false /b\n"), &[]);
    assert_eq!(fs::read_to_string(env.work().join("out/a/in/deep")).unwrap(), "deep");
    assert!(!env.work().join("out/a/in/.git").exists() && !env.work().join("out/b/in/deep").exists());
}

#[test]
fn logins_are_neither_shown_nor_kept_nor_handed_on() {
    // me:s3cretword
    let Some(site) = Site::guarded("Basic bWU6czNjcmV0d29yZA==") else { return };
    let Some(open) = Site::new() else { return };
    let env = Env::new();
    site.repository("r", &[("f", "f")]);
    site.write("file", "file");
    let with = |path: &str| site.url(path).replacen("http://", "http://me:s3cretword@", 1);
    let dockerfile = format!("FROM scratch\nADD {} /a\nADD {} /b/\n", with("git/r.git"), with("file"));
    let log = out(&env, &dockerfile, &["-t", "app", "-o", "type=image"]);
    assert!(!log.contains("s3cretword"), "{log}");
    assert!(!env.ok(&["history", "--no-trunc", "app"]).contains("s3cretword"));
    for needle in ["s3cretword", "bWU6czNjcmV0d29yZA"] {
        assert_eq!(files_with(&env.root(), needle), [""; 0], "{needle}");
    }
    // Without the login it is refused, and said where; a redirect elsewhere does not get it.
    let said = env.build(&format!("FROM scratch\nADD {} /\n", site.url("file2")), &[]);
    assert!(said.code == 1 && said.stderr.contains("401"), "{said:#?}");
    open.write("x", "x");
    let to = format!("redirect?to={}", open.url("x"));
    out(&env, &format!("FROM scratch\nADD {} /c/\n", with(&to)), &[]);
    assert!(open.host.asked().iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn tokens_are_secrets() {
    // x-access-token:t0ken
    let Some(site) = Site::guarded("Basic eC1hY2Nlc3MtdG9rZW46dDBrZW4=") else { return };
    let env = Env::new();
    site.repository("r", &[("f", "f")]);
    let token = env.write("token", "t0ken\n");
    let secret = format!("id=GIT_AUTH_TOKEN,src={}", token.display());
    let dockerfile = format!("FROM scratch\nADD {} /a\n", site.url("git/r.git"));
    let said = env.build(&dockerfile, &[]);
    assert!(said.code == 1 && said.stderr.contains("--secret id=GIT_AUTH_TOKEN"), "{said:#?}");
    out(&env, &dockerfile, &["--secret", &secret]);
    assert_eq!(files_with(&env.root(), "t0ken"), [""; 0]);
    assert_eq!(files_with(&env.root(), "eC1hY2Nlc3MtdG9rZW46dDBrZW4"), [""; 0]);
}
