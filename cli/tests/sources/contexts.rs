//! Build contexts that are no folders.

use std::fs;

use super::Site;
use crate::runner::Env;

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_500_000_000);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

const FILES: &[(&str, &str)] = &[
    ("Dockerfile", "FROM scratch\nCOPY . /\n"),
    ("other/Dockerfile", "FROM scratch\nCOPY a /only\n"),
    ("a", "a"),
    ("b.log", "b"),
    (".dockerignore", "*.log\nDockerfile\nother\n"),
];

/// Builds a context into the folder `out`; gives what is there.
fn built(env: &Env, context: &str, arguments: &[&str], input: &[u8]) -> Vec<String> {
    drop(fs::remove_dir_all(env.work().join("out")));
    let all = [&["build", "--progress=plain", "-o", "type=local,dest=out"], arguments, &[context]].concat();
    let said = env.run_with(&all, input);
    assert_eq!(said.code, 0, "{context}: {said:#?}");
    crate::runner::files_below(&env.work().join("out"))
}

#[test]
fn standard_input_is_an_archive_or_a_dockerfile() {
    let env = Env::new();
    let tar = archive(FILES);
    let expected = [".dockerignore", "a"];
    assert_eq!(built(&env, "-", &[], &tar), expected);
    assert_eq!(built(&env, "-", &[], &fixtures::gzip(&tar).unwrap()), expected);
    assert_eq!(built(&env, "-", &["-f", "other/Dockerfile"], &tar), ["only"]);
    let said = env.run_with(&["build", "-"], b"FROM scratch\nCOPY a /\n");
    assert!(said.code == 1 && said.stderr.contains("COPY a"), "{said:#?}");
    let said = env.run_with(&["build", "-f", "nope", "-"], &tar);
    assert!(said.code == 1 && said.stderr.contains("nope in the context"), "{said:#?}");
    let cut = &fixtures::gzip(&tar).unwrap()[..60];
    let said = env.run_with(&["build", "-"], cut);
    assert!(said.code == 1 && said.stderr.contains("standard input"), "{said:#?}");
}

#[test]
fn what_an_archive_links_to_stays_in_it() {
    let env = Env::new();
    fs::write(env.work().join("secret"), "host's own").unwrap();
    let secret = env.work().join("secret");
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in [("Dockerfile", tar::EntryType::Symlink), (".dockerignore", tar::EntryType::Symlink)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, name, &secret).unwrap();
    }
    let said = env.run_with(&["build", "-"], &tar.into_inner().unwrap());
    assert!(said.code == 1 && !said.stderr.contains("host's own"), "{said:#?}");
}

#[test]
fn addresses_and_repositories_are_contexts() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    site.write("context.tar.gz", fixtures::gzip(&archive(FILES)).unwrap());
    site.write("plain", "FROM scratch\nENV A=1\nADD --chmod=600 file:///nothing /\n");
    site.repository("r", FILES);
    let url = site.url("git/r.git");
    assert_eq!(built(&env, &site.url("context.tar.gz"), &[], b""), [".dockerignore", "a"]);
    assert_eq!(built(&env, &url, &[], b""), [".dockerignore", "a"]);
    assert_eq!(built(&env, &format!("{url}#v1"), &["-f", "other/Dockerfile"], b""), ["only"]);
    let said = env.run(&["build", &site.url("plain")]);
    assert!(said.code == 1 && !said.stderr.contains("401"), "{said:#?}");
    let said = env.run(&["build", &format!("{url}#main:other")]);
    assert!(said.code == 1 && said.stderr.contains("\"a\""), "the folder is the context: {said:#?}");
    let said = env.run(&["build", &site.url("gone.tar")]);
    assert!(said.code == 1 && said.stderr.contains("404"), "{said:#?}");
    // The second build of the same commit asks for it alone.
    let before = site.host.count("POST", "git-upload-pack");
    built(&env, &url, &[], b"");
    assert_eq!(site.host.count("POST", "git-upload-pack") - before, 1, "one for ls-remote");
}

#[test]
fn named_contexts_come_from_everywhere() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    site.repository("r", &[("sub/g", "git")]);
    site.write("w", "web");
    env.write("folder/l", "local");
    env.write("Dockerfile", "FROM l AS base\nFROM base\nCOPY --from=g g /\nCOPY --from=w w /\n");
    let named =
        [format!("l={}", "folder"), format!("g={}#v1:sub", site.url("git/r.git")), format!("w={}", site.url("w"))];
    let arguments: Vec<&str> = named.iter().flat_map(|named| ["--build-context", named]).collect();
    assert_eq!(built(&env, ".", &arguments, b""), ["g", "l", "w"]);
    // One that nothing reads is not even asked for.
    env.write("Dockerfile", "FROM scratch\nCOPY folder /\n");
    let unused = ["--build-context", "x=http://127.0.0.1:1/none"];
    assert_eq!(built(&env, ".", &unused, b""), ["l"]);
}

#[test]
fn the_epoch_is_that_of_the_newest_file() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    site.repository("r", &[("Dockerfile", "FROM scratch\nCOPY f /f\nWORKDIR /made\n"), ("f", "f")]);
    let url = site.url("git/r.git");
    env.ok(&["build", "-q", "-t", "app", "--build-arg", "SOURCE_DATE_EPOCH=context", &url]);
    let created = env.ok(&["inspect", "--format", "{{.Created}}", "app"]);
    assert!(created.starts_with("2020-01-01T00:00:00"), "{created}");
}
