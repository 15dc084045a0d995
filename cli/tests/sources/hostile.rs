//! Addresses, references, folders and repositories that are up to no good.

use std::fs;

use super::{Site, git};
use crate::runner::Env;

#[test]
fn addresses_that_are_options_are_refused() {
    let env = Env::new();
    let mark = env.work().join("mark");
    let touch = format!("touch {}", mark.display());
    env.write("Dockerfile", "FROM scratch\n");
    for context in [
        format!("ssh://-oProxyCommand={}/r.git", touch.replace(' ', "%20")),
        format!("https://127.0.0.1:1/r.git#--upload-pack={touch}"),
        format!("git://127.0.0.1:1/r.git?ref=--upload-pack%3D{}", touch.replace(' ', "%20")),
        "https://127.0.0.1:1/r.git#main:../../etc".to_owned(),
        "https://127.0.0.1:1/r.git?subdir=a/../../b".to_owned(),
        "https://127.0.0.1:1/r.git#+refs/*:refs/*".to_owned(),
        "git://127.0.0.1:1/r.git?nope=1".to_owned(),
        format!("ext::sh -c {touch}"),
        "file:///etc/x.git".to_owned(),
    ] {
        let said = env.run(&["build", "--progress=plain", "--", &context]);
        assert!(matches!(said.code, 1 | 2 | 125), "{context}: {said:#?}");
        assert_eq!(said.stderr.matches("error:").count(), 1, "{context}: {said:#?}");
        let dockerfile = format!("FROM scratch\nADD [\"{context}\", \"/x\"]\n");
        let said = env.build(&dockerfile, &[]);
        assert_ne!(said.code, 0, "{context}: {said:#?}");
    }
    assert!(!mark.exists());
}

#[test]
fn submodules_reach_neither_programs_nor_files() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    let mark = env.work().join("mark");
    let inner = site.repository("inner", &[("x", "x")]);
    let commit = git(&inner, &["rev-parse", "HEAD"]);
    for (name, number, modules) in [
        ("program", 0, format!("[submodule \"m\"]\n\tpath = m\n\turl = ext::sh -c touch% {}\n", mark.display())),
        ("file", 1, format!("[submodule \"m\"]\n\tpath = m\n\turl = file://{}\n", inner.display())),
        ("path", 2, format!("[submodule \"m\"]\n\tpath = m\n\turl = {}\n", inner.display())),
        ("option", 3, format!("[submodule \"m\"]\n\tpath = m\n\turl = --upload-pack=touch {}\n", mark.display())),
        ("climb", 4, format!("[submodule \"../../m\"]\n\tpath = m\n\turl = {}\n", site.url("git/inner.git"))),
        (
            "update",
            5,
            format!(
                "[submodule \"m\"]\n\tpath = m\n\turl = {}\n\tupdate = !touch {}\n",
                site.url("git/inner.git"),
                mark.display()
            ),
        ),
    ] {
        let name = format!("{name}{number}");
        let work = site.repository(&name, &[("top", "t")]);
        fs::write(work.join(".gitmodules"), modules).unwrap();
        git(&work, &["add", ".gitmodules"]);
        git(&work, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},m")]);
        git(&work, &["commit", "-qm", "bad"]);
        site.publish(&name);
        let said = env.build(&format!("FROM scratch\nADD {} /x\n", site.url(&format!("git/{name}.git"))), &[]);
        // Git passes over a module whose name it suspects; nothing of it may be there.
        if said.code == 0 {
            assert!(name.starts_with("climb"), "{name}: {said:#?}");
        }
        assert!(!mark.exists(), "{name}: {said:#?}");
    }
}

#[test]
fn links_of_a_repository_lead_nowhere() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    let work = site.repository("r", &[("f", "f")]);
    std::os::unix::fs::symlink("/etc", work.join("etc")).unwrap();
    std::os::unix::fs::symlink("../../..", work.join("up")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", work.join("Dockerfile")).unwrap();
    site.commit("r", &[]);
    for subdir in ["etc", "up", "up/blobs"] {
        let url = format!("{}#main:{subdir}", site.url("git/r.git"));
        let said = env.build(&format!("FROM scratch\nADD {url} /x\n"), &["-o", "type=local,dest=out"]);
        assert!(said.code == 1 && said.stderr.contains("has no folder"), "{subdir}: {said:#?}");
    }
    let said = env.run(&["build", &site.url("git/r.git")]);
    assert!(said.code == 1 && !said.stderr.contains("root:"), "{said:#?}");
}

#[test]
fn redirects_do_not_leave_the_web() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://me:word@127.0.0.1/x"] {
        let url = site.url(&format!("redirect?to={to}"));
        let said = env.build(&format!("FROM scratch\nADD {url} /x\n"), &[]);
        assert!(said.code == 1 && said.stderr.contains("redirects to"), "{to}: {said:#?}");
    }
    let circle = site.url("redirect?to=redirect?to=");
    let said = env.build(&format!("FROM scratch\nADD {circle} /x\n"), &[]);
    assert_eq!(said.code, 1, "{said:#?}");
}
