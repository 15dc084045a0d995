//! `estiba pull`, and what pulls by itself: FROM and `run`.

use std::process::Stdio;

use crate::registry::serve::Server;
use crate::runner::Env;

/// A registry that holds `app:v1` (busybox and a file) and `base:1` (busybox); its place, and the store they came from.
fn published() -> Option<(Env, Server)> {
    let env = Env::with_busybox()?;
    let server = Server::start(&env, &[]);
    let at = &server.address;
    env.write("hello", "hello\n");
    let said = env.build(
        "FROM busybox\nCOPY hello /hello\nRUN cat /hello >/copy && chown 33:44 /copy\nCMD [\"cat\", \"/copy\"]\n",
        &["-t", &format!("{at}/team/app:v1")],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    env.ok(&["push", "-q", &format!("{at}/team/app:v1")]);
    env.ok(&["push", "-q", "busybox", &format!("{at}/base:1")]);
    Some((env, server))
}

#[test]
fn the_loop_closes() {
    let Some((_origin, server)) = published() else { return };
    let name = format!("{}/team/app:v1", server.address);
    let env = Env::new();
    let said = env.run(&["pull", &name]);
    assert_eq!(said.code, 0, "{said:#?}");
    let lines: Vec<_> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("Digest: sha256:"), "{said:#?}");
    assert_eq!(lines[1..], [format!("Status: Downloaded newer image for {name}"), name.clone()]);
    assert_eq!(env.ok(&["run", "--rm", &name]), "hello\n");
    if !env.ok(&["info"]).contains("single-id") {
        // There `stat` by a path shows the one id that is.
        assert_eq!(env.ok(&["run", "--rm", &name, "stat", "-c", "%u:%g", "/copy"]), "33:44\n", "owners come along");
    }
    let blobs = server.counted("GET", "blob");
    let again = env.ok(&["pull", &name]);
    assert!(again.contains(&format!("Status: Image is up to date for {name}")), "{again}");
    assert_eq!(server.counted("GET", "blob"), blobs, "nothing is fetched twice");
    let digest = env.ok(&["pull", "-q", &name]);
    assert_eq!(lines[0], format!("Digest: {}", digest.trim()));
    assert_eq!(env.ok(&["run", "--rm", digest.trim()]), "hello\n");
    assert!(env.ok(&["inspect", "-f", "{{.RepoDigests}}", &name]).contains(digest.trim()));
    assert_eq!(env.ok(&["pull", "-q", &format!("{}/team/app@{}", server.address, digest.trim())]), digest);
}

#[test]
fn run_fetches_what_is_not_here() {
    let Some((origin, server)) = published() else { return };
    let name = format!("{}/team/app:v1", server.address);
    let env = Env::new();
    assert!(env.fails(125, &["run", "--rm", "--pull=never", &name]).contains("not in the store"));
    let said = env.run(&["run", "--rm", &name]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "hello\n"), "{said:#?}");
    assert!(said.stderr.contains("pulling"), "progress is told: {said:#?}");
    let before = server.counted("GET", "manifest") + server.counted("HEAD", "manifest");
    let quiet = env.run(&["run", "--rm", "-q", &name]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{quiet:#?}");
    let after = server.counted("GET", "manifest") + server.counted("HEAD", "manifest");
    assert_eq!(before, after, "what is here is not asked for");
    // The tag moves.
    origin.write("hello", "newer\n");
    assert_eq!(origin.build("FROM busybox\nCOPY hello /h\nCMD [\"cat\", \"/h\"]\n", &["-t", &name, "--push"]).code, 0);
    assert_eq!(env.ok(&["run", "--rm", &name]), "hello\n");
    assert_eq!(env.ok(&["run", "--rm", "--pull=newer", &name]), "newer\n");
    assert_eq!(env.ok(&["run", "--rm", "--pull=always", &name]), "newer\n");
    let absent = env.fails(125, &["run", "--rm", &format!("{}/team/app:v2", server.address)]);
    assert!(absent.contains("did you mean") && absent.contains("team/app:v1"), "{absent}");
    drop(server);
    assert_eq!(env.ok(&["run", "--rm", "--pull=newer", &name]), "newer\n", "the store's will do");
    env.ok(&["pull", "--policy=newer", &name]);
    env.fails(125, &["run", "--rm", "--pull=always", &name]);
}

#[test]
fn a_base_is_fetched_when_something_stands_on_it() {
    let Some((_origin, server)) = published() else { return };
    let base = format!("{}/base:1", server.address);
    let env = Env::new();
    env.write("a", "a");
    env.write("Dockerfile", format!("FROM {base}\nRUN true\n"));
    env.ok(&["build", "--print=graph", "."]);
    assert_eq!(server.counted("GET", "blob"), 1, "only the configuration: nothing was built");
    assert!(env.ok(&["images"]).contains("base"));
    env.ok(&["history", &base]);
    env.ok(&["inspect", &base]);
    env.ok(&["tag", &base, "other"]);
    env.ok(&["save", "-o", "other.tar", "other"]);
    assert_eq!(server.counted("GET", "blob"), 2, "what needs the layers fetches them");
    env.ok(&["rmi", "other"]);
    let env = Env::new();
    env.write("a", "a");
    let copied = format!("FROM {base}\nCOPY a /a\n");
    let said = env.build(&copied, &["-t", "copied"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stderr.contains(&format!("#1 [internal] load metadata for {base}\n#1 DONE ")), "{said:#?}");
    assert!(said.stderr.contains("#2 [1/2] FROM"), "numbers go on: {said:#?}");
    let blobs = server.counted("GET", "blob");
    assert_eq!(blobs, 4, "a COPY looks where it writes");
    let asked = |server: &Server| ["GET", "HEAD"].map(|method| server.counted(method, "manifest"));
    let before = asked(&server);
    let said = env.build(&copied, &["-t", "copied"]);
    assert!(said.code == 0 && said.stderr.contains("CACHED") && !said.stderr.contains("metadata"), "{said:#?}");
    assert_eq!((asked(&server), server.counted("GET", "blob")), (before, blobs), "a cached build asks nobody");
    assert_eq!(env.ok(&["run", "--rm", "copied", "cat", "/a"]), "a");
    let said = env.build(&format!("FROM {base}\nRUN echo ran\n"), &["--pull", "-t", "ran"]);
    assert!(said.code == 0 && said.stderr.contains("ran"), "{said:#?}");
    assert!(asked(&server) != before, "--pull asks");
    // A RUN is what needs the layers, in a store that has none.
    let env = Env::new();
    let said = env.build(&format!("FROM {base} AS a\nFROM scratch\nCOPY --from={base} /etc/passwd /p\n"), &["-t", "p"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let said = env.build(&format!("FROM {base}\nRUN --mount=from={base},target=/m ls /m/bin/sh\n"), &[]);
    assert!(said.code == 0 && said.stderr.contains("/m/bin/sh"), "{said:#?}");
}

#[test]
fn a_policy_for_builds() {
    let Some((_origin, server)) = published() else { return };
    let base = format!("{}/base:1", server.address);
    let env = Env::new();
    let dockerfile = format!("FROM {base}\nENV A=1\n");
    let said = env.build(&dockerfile, &["--pull=never"]);
    assert!(
        said.code == 1 && said.stderr.contains("--pull=never") && said.stderr.contains("Dockerfile:1:6"),
        "{said:#?}"
    );
    assert_eq!(env.build(&dockerfile, &["--pull=missing"]).code, 0);
    let said = env.build(&format!("FROM {}/bose:1\n", server.address), &[]);
    assert!(said.code == 1 && said.stderr.contains("Dockerfile:1:6"), "{said:#?}");
    let said = env.build(&format!("FROM {}/base:2\n", server.address), &[]);
    assert!(said.stderr.contains(&format!("did you mean `{base}`?")), "{said:#?}");
    let said = env.build(&format!("FROM --platform=linux/s390x {base}\n"), &[]);
    assert!(said.code == 0 && said.stderr.contains("InvalidBaseImagePlatform"), "as BuildKit takes it: {said:#?}");
    drop(server);
    let said = env.build(&dockerfile, &["--pull=newer"]);
    assert!(said.code == 0 && said.stderr.contains("note:"), "{said:#?}");
    assert_eq!(env.build(&dockerfile, &["--pull"]).code, 1);
}

#[test]
fn progress_is_lines_or_json() {
    let Some((_origin, server)) = published() else { return };
    let name = format!("{}/base:1", server.address);
    let env = Env::new();
    let said = env.run(&["pull", "--progress=plain", &name]);
    let lines: Vec<_> = said.stderr.lines().collect();
    assert_eq!(lines.first(), Some(&format!("pulling {name}").as_str()), "{said:#?}");
    let layer = lines[1].split(':').next().unwrap();
    assert!(layer.len() == 12 && layer.bytes().all(|byte| byte.is_ascii_hexdigit()), "{said:#?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("{layer}: pulled "))), "{said:#?}");
    assert!(lines.last().unwrap().starts_with(&format!("pulled {name}: ")), "{said:#?}");
    let env = Env::new();
    let said = env.run(&["pull", "--progress=rawjson", &name]);
    let events: Vec<serde_json::Value> = said.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["event"], &events[0]["direction"]), (&"begun".into(), &"pull".into()), "{said:#?}");
    assert!(events.iter().any(|event| event["event"] == "item" && event["step"] == "done"), "{events:#?}");
    assert_eq!(events.last().unwrap()["event"], "finished");
}

#[test]
fn what_cannot_be_pulled_has_a_next_step() {
    let Some((env, server)) = published() else { return };
    let at = &server.address;
    let unknown = env.fails(1, &["pull", &format!("{at}/team/app:v11")]);
    assert!(unknown.contains(&format!("did you mean `{at}/team/app:v1`?")), "{unknown}");
    assert!(env.fails(1, &["pull", &format!("{at}/nothing")]).contains("right name"));
    let other = env.fails(1, &["pull", "--platform", "linux/arm64", &format!("{at}/base:1")]);
    assert!(other.contains("linux/arm64") && other.contains("--platform"), "{other}");
    assert!(env.fails(1, &["pull", "--retry", "0", "127.0.0.1:1/x"]).contains("listen"));
    assert!(env.fails(1, &["pull", "busybox:9"]).contains("blocked"));
    assert!(env.fails(1, &["pull", "Upper/Case"]).contains("upper/case"));
    let all = env.ok(&["pull", "-a", "-q", &format!("{at}/team/app")]);
    assert_eq!(all.lines().count(), 1, "{all}");
    assert!(env.fails(1, &["pull", "-a", &format!("{at}/team/app:v1")]).contains("--all-tags"));
    assert_eq!(env.ok(&["pull", "--policy=missing", "busybox"]), "docker.io/library/busybox:latest\n", "it is here");
    assert!(env.ok(&["pull", "-q", "--policy=missing", "busybox"]).starts_with("sha256:"), "scripts want a digest");
}

#[test]
fn nothing_is_left_running() {
    let Some((_origin, server)) = published() else { return };
    let env = Env::new();
    let name = format!("{}/team/app:v1", server.address);
    // Whoever reads our output to its end must not wait for what goes on behind our back.
    let child = env.command(&["pull", &name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}
