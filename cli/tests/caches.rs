//! `--cache-to` and `--cache-from`: results that travel from store to store.

use std::fs;
use std::path::Path;

use crate::registry::serve::Server;
use crate::runner::{Env, Said, files_below};

/// Two stages, so that `min` and `max` differ; a layer that nothing of the image needs.
const DOCKERFILE: &str = "\
FROM busybox AS tools
RUN mkdir -p /made && echo tool >/made/tool
FROM busybox
COPY a /a
RUN cat /a >/b && echo ran >/proof
COPY --from=tools /made/tool /tool
";

/// Another machine: a store of its own with the same base image and the same context.
fn machine() -> Option<Env> {
    let env = Env::with_busybox()?;
    env.write("a", "a\n");
    Some(env)
}

fn works(said: Said) -> Said {
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(!said.stderr.contains("cache not"), "{said:#?}");
    said
}

/// Whether every step came from a cache: `(4 of 4 steps cached, …)`.
fn cached(said: &Said) -> bool {
    let counts = said.stderr.rsplit_once('(').and_then(|(_, rest)| rest.split_once(" steps cached")).unwrap().0;
    let (cached, all) = counts.split_once(" of ").unwrap();
    cached == all
}

fn id(env: &Env) -> String {
    env.ok(&["inspect", "-f", "{{.Id}}", "app"])
}

fn trees(env: &Env) -> usize {
    fs::read_dir(env.root().join("snapshots")).map_or(0, Iterator::count)
}

#[test]
fn a_cache_in_a_registry_gives_the_same_image_and_no_layer() {
    let (Some(one), Some(other)) = (machine(), machine()) else { return };
    let server = Server::start(&one, &[]);
    let cache = format!("{}/app:cache", server.address);
    let to = format!("type=registry,ref={cache},mode=max");
    let said = works(one.build(DOCKERFILE, &["-t", "app", "--cache-to", &to]));
    assert!(said.stderr.contains("cache written to registry"), "{said:#?}");
    let before = (server.counted("GET", "manifest"), server.counted("GET", "blob"), trees(&other));
    let from = format!("type=registry,ref={cache}");
    let said = works(other.build(DOCKERFILE, &["-t", "app", "--cache-from", &from]));
    assert!(cached(&said), "{said:#?}");
    assert_eq!(id(&one), id(&other), "the same image");
    let asked = (server.counted("GET", "manifest") - before.0, server.counted("GET", "blob") - before.1);
    assert_eq!(asked, (1, 0), "one manifest, with the records in it");
    assert_eq!(trees(&other), before.2, "no layer came");
    // Found in the store now: nobody is asked.
    let before = server.counted("GET", "manifest");
    works(other.build(DOCKERFILE, &["-t", "app", "--cache-from", &from]));
    assert_eq!(server.counted("GET", "manifest"), before);
    // What needs a layer fetches it.
    assert_eq!(other.ok(&["run", "--rm", "app", "cat", "/b", "/proof", "/tool"]), "a\nran\ntool\n");
}

#[test]
fn what_changed_runs_on_what_comes() {
    let (Some(one), Some(other)) = (machine(), machine()) else { return };
    let server = Server::start(&one, &[]);
    let cache = format!("{}/app:cache", server.address);
    works(one.build(DOCKERFILE, &["--cache-to", &format!("type=registry,ref={cache},mode=max")]));
    let changed = format!("{DOCKERFILE}RUN cat /proof /tool >/sum\n");
    let said = works(other.build(&changed, &["-t", "app", "--cache-from", &cache]));
    assert!(said.stderr.contains("CACHED"), "{said:#?}");
    assert_eq!(other.ok(&["run", "--rm", "app", "cat", "/sum"]), "ran\ntool\n");
    // And a lazy image can be pushed to somebody else: its layers come from where they are.
    let pushed = format!("{}/elsewhere:1", server.address);
    let third = machine().unwrap();
    works(third.build(DOCKERFILE, &["-t", &pushed, "--push", "--cache-from", &cache]));
    assert_eq!(third.ok(&["run", "--rm", &pushed, "cat", "/proof"]), "ran\n");
}

#[test]
fn min_keeps_the_image_and_max_all_stages() {
    let Some(one) = machine() else { return };
    let server = Server::start(&one, &[]);
    for (mode, stage_is_cached) in [("min", false), ("max", true)] {
        let cache = format!("{}/app:{mode}", server.address);
        works(one.build(DOCKERFILE, &["--cache-to", &format!("type=registry,ref={cache},mode={mode}")]));
        let other = machine().unwrap();
        let said = works(other.build(DOCKERFILE, &["--target", "tools", "--cache-from", &cache]));
        assert_eq!(cached(&said), stage_is_cached, "{mode}: {said:#?}");
        let said = works(other.build(DOCKERFILE, &["--cache-from", &cache]));
        assert!(cached(&said), "{mode}: {said:#?}");
    }
}

#[test]
fn an_image_is_its_own_cache() {
    let (Some(one), Some(other)) = (machine(), machine()) else { return };
    let server = Server::start(&one, &[]);
    let name = format!("{}/app:1", server.address);
    works(one.build(DOCKERFILE, &["-t", &name, "--push", "--cache-to", "type=inline"]));
    let said = works(other.build(DOCKERFILE, &["-t", &name, "--cache-to", "type=inline", "--cache-from", &name]));
    assert!(cached(&said), "{said:#?}");
    let ids = [&one, &other].map(|env| env.ok(&["inspect", "-f", "{{.Id}}", &name]));
    assert_eq!(ids[0], ids[1]);
    assert_eq!(other.ok(&["run", "--rm", &name, "cat", "/tool"]), "tool\n");
}

#[test]
fn a_folder_travels() {
    let (Some(one), Some(other)) = (machine(), machine()) else { return };
    works(one.build(DOCKERFILE, &["-t", "app", "--cache-to", "type=local,dest=kept,mode=max"]));
    let kept = one.work().join("kept");
    let first = files_below(&kept);
    works(one.build(DOCKERFILE, &["-t", "app", "--cache-to", "type=local,dest=kept,mode=max"]));
    assert_eq!(files_below(&kept), first, "written again it is the same");
    let from = format!("type=local,src={}", kept.display());
    let said = works(other.build(DOCKERFILE, &["-t", "app", "--cache-from", &from]));
    assert!(cached(&said), "{said:#?}");
    assert_eq!(id(&one), id(&other));
    assert_eq!(other.ok(&["run", "--rm", "app", "cat", "/proof"]), "ran\n");
}

/// The layers of a folder's cache that steps made: all compressed blobs but that of the base.
fn layers_of_steps(kept: &Path) -> Vec<std::path::PathBuf> {
    let blobs = kept.join("blobs/sha256");
    let all = files_below(&blobs).into_iter().map(|name| blobs.join(name));
    let mut layers: Vec<_> = all.filter(|path| fs::read(path).unwrap().starts_with(&[0x1f, 0x8b])).collect();
    layers.sort_by_key(|path| fs::metadata(path).unwrap().len());
    layers.pop();
    layers
}

#[test]
fn a_cache_that_lies_costs_a_miss_and_never_gives_a_wrong_layer() {
    let Some(one) = machine() else { return };
    works(one.build(DOCKERFILE, &["--cache-to", "type=local,dest=kept,mode=max"]));
    let kept = one.work().join("kept");
    let from = format!("type=local,src={}", kept.display());
    // A layer is other bytes; a layer is gone.
    let layers = layers_of_steps(&kept);
    assert!(layers.len() > 2, "{layers:?}");
    layers.iter().for_each(|path| fs::write(path, b"poison").unwrap());
    let changed = format!("{DOCKERFILE}RUN cat /proof >/sum\n");
    for _ in 0..2 {
        let other = machine().unwrap();
        let said = other.build(&changed, &["-t", "app", "--cache-from", &from]);
        assert!(said.code == 0 && said.stderr.contains("does not give what it promises"), "{said:#?}");
        assert_eq!(other.ok(&["run", "--rm", "app", "cat", "/sum"]), "ran\n");
        layers.iter().for_each(|path| drop(fs::remove_file(path)));
    }
}

#[test]
fn a_manifest_that_lies_is_no_cache() {
    let Some(one) = machine() else { return };
    works(one.build(DOCKERFILE, &["--cache-to", "type=local,dest=kept"]));
    let kept = one.work().join("kept");
    let index: serde_json::Value = serde_json::from_slice(&fs::read(kept.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = kept.join("blobs/sha256").join(digest);
    let text = fs::read_to_string(&manifest).unwrap();
    // Its bytes are not those of its digest: then it is not even read.
    fs::write(&manifest, text.replace("layers", "lawyers")).unwrap();
    let other = machine().unwrap();
    let said = other.build(DOCKERFILE, &["--cache-from", &format!("type=local,src={}", kept.display())]);
    assert!(said.code == 0 && said.stderr.contains("cache not used"), "{said:#?}");
    // BuildKit's own caches are said to be that, and what is not there to be not there.
    for (name, expected) in [("nothing", "there is nothing yet"), ("theirs", "BuildKit's own cache")] {
        let dir = one.work().join(name);
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let config = r#"{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        let hex = fixtures::sha256(manifest.as_bytes()).unwrap();
        fs::write(dir.join("blobs/sha256").join(&hex), &manifest).unwrap();
        let tag = if name == "theirs" { "latest" } else { "other" };
        let entry = format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{hex}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}}}"#,
            manifest.len()
        );
        fs::write(dir.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#)).unwrap();
        let other = machine().unwrap();
        let said = other.build(DOCKERFILE, &["--cache-from", &format!("type=local,src={}", dir.display())]);
        assert!(said.code == 0 && said.stderr.contains(expected), "{said:#?}");
    }
}

#[test]
fn a_registry_that_is_not_there_fails_an_export_and_no_import() {
    let Some(one) = machine() else { return };
    let cache = "127.0.0.1:1/app:cache";
    let said = one.build(DOCKERFILE, &["--retry=0", "--cache-from", cache]);
    assert!(said.code == 0 && said.stderr.contains("cache not used"), "{said:#?}");
    let to = format!("type=registry,ref={cache}");
    let said = one.build(DOCKERFILE, &["--retry=0", "--cache-to", &to]);
    assert!(said.code == 1 && said.stderr.contains("write the cache"), "{said:#?}");
    let said = one.build(DOCKERFILE, &["--retry=0", "--cache-to", &format!("{to},ignore-error=true")]);
    assert!(said.code == 0 && said.stderr.contains("cache not written"), "{said:#?}");
}

#[test]
fn old_results_are_not_taken() {
    let Some(one) = machine() else { return };
    works(one.build(DOCKERFILE, &[]));
    assert!(cached(&one.build(DOCKERFILE, &["--cache-ttl=1h"])));
    assert!(!cached(&one.build(DOCKERFILE, &["--cache-ttl=0s"])), "as buildah: no cache");
}

#[test]
fn an_explanation_names_who_wrote_a_result() {
    let (Some(one), Some(other)) = (machine(), machine()) else { return };
    let server = Server::start(&one, &[]);
    let cache = format!("{}/app:cache", server.address);
    works(one.build(DOCKERFILE, &["--cache-to", &cache]));
    let changed = format!("{DOCKERFILE}RUN true\n");
    let said = works(other.build(&changed, &["--explain", "--cache-from", &cache]));
    assert!(said.stderr.contains(&format!("found in registry {cache}@sha256:")), "{said:#?}");
}
