//! `estiba lock`, `build --locked`, `estiba ignore`.

use std::fs;

use super::Site;
use crate::runner::Env;

#[test]
fn a_locked_build_keeps_to_what_was_found() {
    let Some(site) = Site::new() else { return };
    let env = Env::new();
    site.repository("r", &[("f", "one")]);
    site.write("w", "one");
    let (git, web) = (site.url("git/r.git"), site.url("w"));
    env.write("Dockerfile", format!("FROM scratch\nADD {git} /g\nADD {web} /w/\n"));
    let build = &["build", "--locked", "--progress=plain", "-o", "type=local,dest=out", "."];
    assert!(env.fails(1, build).contains("estiba lock"));
    assert!(env.fails(1, &["lock", "--check", "."]).contains("no lock file"));
    let said = env.ok(&["lock", "."]);
    assert!(said.contains(&format!("+ {git} ")) && said.contains(&format!("+ {web} sha256:")), "{said}");
    env.ok(&["lock", "--check", "."]);

    site.commit("r", &[("f", "two")]);
    site.write("w", "two");
    env.ok(build);
    assert_eq!(fs::read_to_string(env.work().join("out/w/w")).unwrap(), "one", "the store has it from the lock");
    assert_eq!(fs::read_to_string(env.work().join("out/g/f")).unwrap(), "one");
    assert_eq!(env.ok(&["lock", "."]), "", "what is locked stays");
    let said = env.ok(&["lock", "--update", "."]);
    assert!(said.contains(&format!("- {git} ")) && said.contains(&format!("+ {git} ")), "{said}");
    env.ok(build);
    assert_eq!(fs::read_to_string(env.work().join("out/g/f")).unwrap(), "two");

    env.write("Dockerfile", format!("FROM scratch\nADD {git}#v1 /g\n"));
    assert!(env.fails(1, build).contains("is not in"));
    assert!(env.fails(1, &["lock", "--check", "."]).contains("is not in"));
    env.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    assert!(env.fails(1, &["lock", "--check", "."]).contains("no longer names"));
}

#[test]
fn why_a_file_is_ignored() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\n");
    env.write(".dockerignore", "*.log\n!keep.log\n");
    env.write("app.Dockerfile.dockerignore", "# all\n**\n!src\n");
    env.write("a.log", "");
    let said = env.ok(&["ignore", "why", "a.log", "keep.log", "src/x"]);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].ends_with(".dockerignore:1: *.log") && lines[0].starts_with("a.log: left out"), "{said}");
    assert!(lines[1].contains("included") && lines[1].contains(":2: !keep.log"), "{said}");
    assert!(lines[2].contains("included: no line"), "{said}");
    let said = env.ok(&["ignore", "why", "-f", "app.Dockerfile", "a.log", "src/x"]);
    assert!(said.contains("app.Dockerfile.dockerignore:2: **") && said.contains(":3: !src"), "{said}");
    assert!(env.fails(1, &["ignore", "why", "../x"]).contains("outside"));
}
