//! `estiba push`, and `build --push`.

use std::fs;

use crate::registry::serve::Server;
use crate::runner::Env;

#[test]
fn what_is_there_costs_one_question() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &[]);
    let name = format!("{}/app:v1", server.address);
    let said = env.run(&["push", "--progress=plain", "busybox", &name]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stdout.starts_with("v1: digest: sha256:") && said.stdout.contains(" size: "), "{said:#?}");
    assert!(said.stderr.starts_with(&format!("pushing {name}\n")), "{said:#?}");
    let sent = server.counted("POST", "upload");
    let before = ["GET", "HEAD", "POST", "PUT"].map(|method| server.counted(method, ""));
    assert_eq!(env.ok(&["push", "busybox", &name]), said.stdout);
    let after = ["GET", "HEAD", "POST", "PUT"].map(|method| server.counted(method, ""));
    assert_eq!(server.counted("POST", "upload"), sent);
    assert_eq!((after[2] - before[2], after[3] - before[3]), (0, 0), "nothing is sent");
    assert_eq!(after[1] - before[1], 1, "one HEAD");
    // Another repository of the same registry mounts.
    let other = format!("{}/other:v1", server.address);
    let said = env.run(&["push", "--progress=plain", "busybox", &other]);
    assert!(said.code == 0 && said.stderr.contains("mounted from"), "{said:#?}");
}

#[test]
fn digests_are_told() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &[]);
    let name = format!("{}/team/app", server.address);
    env.ok(&["tag", "busybox", &format!("{name}:1")]);
    env.ok(&["tag", "busybox", &format!("{name}:2")]);
    let digest = env.ok(&["push", "-q", "--digestfile", "digest", &format!("{name}:1")]);
    assert_eq!(fs::read_to_string(env.work().join("digest")).unwrap(), digest.trim());
    let all = env.ok(&["push", "-a", &name]);
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(all.lines().all(|line| line.contains(digest.trim())), "{all}");
    let zstd = env.ok(&["push", "-q", "--compression=zstd", "--force-compression", "busybox", &format!("{name}:z")]);
    assert_ne!(zstd, digest);
    let there = Env::new();
    assert_eq!(there.ok(&["run", "--rm", "-q", &format!("{name}:z"), "echo", "zstd"]), "zstd\n");
}

#[test]
fn a_build_pushes_what_it_made() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &[]);
    let name = format!("{}/built:1", server.address);
    let dockerfile = "FROM busybox\nRUN echo built >/b\n";
    let said = env.build(dockerfile, &["-t", &name, "--push", "--metadata-file", "meta"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let meta: serde_json::Value = serde_json::from_slice(&fs::read(env.work().join("meta")).unwrap()).unwrap();
    let digest = meta["containerimage.digest"].as_str().unwrap();
    assert!(said.stderr.contains(&format!("pushed {name}@{digest}\n")), "{said:#?}");
    let there = Env::new();
    assert_eq!(there.ok(&["pull", "-q", &name]).trim(), digest);
    assert_eq!(there.ok(&["run", "--rm", &name, "cat", "/b"]), "built\n");
    // Cached, and pushed under another name.
    let other = format!("{}/built:2", server.address);
    let said = env.build(dockerfile, &["-o", &format!("type=registry,name={other}")]);
    assert!(said.code == 0 && said.stderr.contains(&format!("pushed {other}@{digest}")), "{said:#?}");
    assert!(env.fails(125, &["build", "--push", "."]).contains("-t REGISTRY/NAME:TAG"));
}

#[test]
fn what_cannot_be_pushed_has_a_next_step() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &["--anonymous", "pull"]);
    let denied = env.fails(1, &["push", "busybox", &format!("{}/x", server.address)]);
    assert!(denied.contains(&format!("estiba login {}", server.address)), "{denied}");
    assert!(env.fails(1, &["push", "busybax"]).contains("did you mean `busybox`?"));
    let id = env.ok(&["inspect", "-f", "{{.Id}}", "busybox"]);
    assert!(env.fails(125, &["push", id.trim()]).contains("estiba push IMAGE"));
}

#[test]
fn places_of_this_machine() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &[]);
    let name = format!("{}/app:v1", server.address);
    let digest = env.ok(&["push", "-q", "busybox", "oci:layout:v1"]);
    let pulled = Env::new();
    let place = format!("oci:{}:v1", env.work().join("layout").display());
    assert_eq!(pulled.ok(&["pull", "-q", &place]), digest);
    assert_eq!(pulled.ok(&["run", "--rm", "layout:v1", "echo", "hi"]), "hi\n");
    assert_eq!(env.ok(&["push", "-q", "oci:layout:v1", &name]), digest);
    assert_eq!(Env::new().ok(&["pull", "-q", &name]), digest);
    env.ok(&["push", "busybox", "docker-archive:app.tar:app:1"]);
    let archive = format!("docker-archive:{}", env.work().join("app.tar").display());
    assert!(pulled.ok(&["pull", &archive]).ends_with("docker.io/library/app:1\n"));
    assert!(env.fails(125, &["push", "oci:layout:v1"]).contains("where is it to go"));
}
