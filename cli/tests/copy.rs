//! `estiba copy`: between real registries, layouts and archives; bytes that no writer of ours would write.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use oci::Digest;
use serde_json::{Value, json};

use crate::registry::serve::Server;
use crate::runner::{Env, files_below};

/// A layout below the working folder, in the making.
pub(crate) struct Layout<'e> {
    env: &'e Env,
    name: &'static str,
}

impl<'e> Layout<'e> {
    pub(crate) fn new(env: &'e Env, name: &'static str) -> Self {
        env.write(&format!("{name}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
        Self { env, name }
    }

    /// Writes a blob; gives its descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::sha256(bytes);
        self.env.write(&format!("{}/blobs/sha256/{}", self.name, digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// An image with a layer of these bytes, written as nobody writes JSON.
    pub(crate) fn image(&self, architecture: &str, layer: &[u8]) -> Value {
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar+gzip", layer);
        let config = json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
        let config = self.blob("application/vnd.oci.image.config.v1+json", format!("\n{config:#}\t").as_bytes());
        let text = format!(
            "{{ \"layers\" : [{layer}],\r\n\t\"schemaVersion\": 2, \"config\":{config}, \"x-odd\": 1e2,\
             \"mediaType\":\"application\\/vnd.oci.image.manifest.v1+json\" }}\n\n"
        );
        let mut descriptor = self.blob("application/vnd.oci.image.manifest.v1+json", text.as_bytes());
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    }

    /// Writes index.json: an entry for each name.
    pub(crate) fn finish(&self, entries: &[(&str, &Value)]) {
        let named = entries.iter().map(|(name, descriptor)| {
            let mut descriptor = (*descriptor).clone();
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
            descriptor
        });
        let index = json!({"schemaVersion": 2, "manifests": named.collect::<Vec<_>>()});
        self.env.write(&format!("{}/index.json", self.name), index.to_string());
    }
}

/// A layout `odd` with the index `multi` of two platforms; gives the index's digest.
pub(crate) fn odd(env: &Env) -> String {
    let layout = Layout::new(env, "odd");
    let host = oci::Platform::host().architecture;
    let images =
        [layout.image(&host, b"this layer is no tar, which is nobody's concern"), layout.image("s390x", b"another")];
    let text = format!("{{\"manifests\" :[ {},{}], \"schemaVersion\":2}}\n", images[0], images[1]);
    let index = layout.blob("application/vnd.oci.image.index.v1+json", text.as_bytes());
    layout.finish(&[("multi", &index), ("one", &images[1])]);
    index["digest"].as_str().unwrap().to_owned()
}

/// The blobs of a layout by path.
fn blobs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let blobs = folder.join("blobs");
    files_below(&blobs).into_iter().map(|path| (path.clone(), fs::read(blobs.join(&path)).unwrap())).collect()
}

#[test]
fn an_index_goes_round_and_keeps_every_byte() {
    let env = Env::new();
    let digest = odd(&env);
    let server = Server::start(&env, &[]);
    let at = |name: &str| format!("{}/{name}", server.address);
    let said = env.run(&["copy", "--all", "oci:odd:multi", &at("a/multi:1")]);
    assert_eq!((said.code, said.stdout), (0, format!("{}@{digest}\n", at("a/multi"))), "{}", said.stderr);
    // Once more: nothing moves. Into another repository of the registry: layers are mounted.
    let again = env.run(&["copy", "-a", "oci:odd:multi", &at("a/multi:1")]);
    assert!(again.stderr.contains("nothing had to move"), "{}", again.stderr);
    let mounted = env.run(&["copy", "-a", &at("a/multi:1"), &at("b/multi:2")]);
    assert_eq!(mounted.stderr.matches("mounted from a/multi").count(), 2, "{}", mounted.stderr);
    for (target, back) in [("oci:out:x", "oci:out:x"), ("oci-archive:out.tar:x", "oci-archive:out.tar:x")] {
        let said = env.ok(&["copy", "-q", "-a", &format!("docker://{}", at("b/multi:2")), target]);
        assert_eq!(said, format!("{digest}\n"));
        assert_eq!(env.ok(&["copy", "-q", "-a", back, &at("c/multi")]), format!("{digest}\n"));
    }
    env.ok(&["copy", "-q", "-a", "oci-archive:out.tar:x", "oci:again:y"]);
    let from = blobs(&env.work().join("odd"));
    assert_eq!(from, blobs(&env.work().join("out")));
    assert_eq!(from, blobs(&env.work().join("again")));
    assert_eq!(from.len(), 7);
}

#[test]
fn one_platform_unless_all_are_asked_for() {
    let env = Env::new();
    odd(&env);
    let server = Server::start(&env, &[]);
    let at = |name: &str| format!("{}/{name}", server.address);
    let said = env.run(&["copy", "oci:odd:multi", &at("one")]);
    assert!(said.code == 0 && said.stderr.contains("is an index of 2 manifests: only linux/"), "{}", said.stderr);
    assert_eq!(blobs(&env.work().join("odd")).len(), 7);
    let other = env.ok(&["copy", "-q", "--platform", "linux/s390x", "oci:odd:multi", &at("one:other")]);
    assert_eq!(other, env.ok(&["copy", "-q", "oci:odd:one", "oci:out"]));
    assert_eq!(blobs(&env.work().join("out")).len(), 3);
    let absent = env.fails(1, &["copy", "--platform", "windows/amd64", "oci:odd:multi", &at("one")]);
    assert!(absent.contains("nothing for windows/amd64; there is linux/"), "{absent}");
    assert!(absent.contains(" hint: `--platform OS/ARCH` chooses another, `--all` takes them all"), "{absent}");
    // An index does not fit an archive of docker's, and nothing stays of the try.
    let refused = env.fails(1, &["copy", "-a", "oci:odd:multi", "docker-archive:d.tar:app:1"]);
    assert!(refused.contains("a docker archive holds one image, not an index"), "{refused}");
    let left = files_below(&env.work());
    assert!(!left.iter().any(|path| path.contains("d.tar")), "{left:?}");
}

#[test]
fn names_live_side_by_side_in_a_layout() {
    let env = Env::new();
    let digest = odd(&env);
    env.ok(&["copy", "-q", "-a", "oci:odd:multi", "oci:out:first"]);
    env.ok(&["copy", "-q", "oci:odd:one", "oci:out:second"]);
    env.ok(&["copy", "-q", "oci:odd:one", "oci:out:first"]);
    let names = |folder: &str| -> Vec<(String, String)> {
        let index: Value =
            serde_json::from_slice(&fs::read(env.work().join(folder).join("index.json")).unwrap()).unwrap();
        let entries = index["manifests"].as_array().unwrap().iter().map(|entry| {
            let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap_or("-");
            (name.to_owned(), entry["digest"].as_str().unwrap().to_owned())
        });
        entries.collect()
    };
    let now = names("out");
    assert_eq!(now.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["second", "first"]);
    assert_eq!(now[0].1, now[1].1);
    let several = env.fails(1, &["copy", "oci:odd", "oci:x"]);
    assert!(several.contains("there are several images: name one; there is multi, one"), "{several}");
    let absent = env.fails(1, &["copy", "oci:odd:mult", "oci:x"]);
    assert!(absent.contains("no image is called `mult`; there is multi, one"), "{absent}");
    // By digest, also of an image that only an index lists.
    let inner = env.ok(&["copy", "-q", "oci:odd:multi", "oci:y"]);
    assert_eq!(env.ok(&["copy", "-q", &format!("oci:odd@{}", inner.trim()), "oci:z"]), inner);
    assert_eq!(env.ok(&["copy", "-q", "-a", &format!("oci:odd@{digest}"), "oci:z:all"]), format!("{digest}\n"));
}

#[test]
fn what_is_not_what_it_says_goes_nowhere() {
    let env = Env::new();
    odd(&env);
    let server = Server::start(&env, &[]);
    let target = format!("{}/app", server.address);
    let layer = Digest::sha256(b"another");
    let path = env.work().join("odd/blobs/sha256").join(layer.hex());
    fs::write(&path, b"anothex").unwrap();
    for to in [target.as_str(), "oci:out:x", "oci-archive:out.tar"] {
        let error = env.fails(1, &["copy", "oci:odd:one", to]);
        assert!(error.contains(&layer.to_string()) && error.contains("digest"), "{to}: {error}");
    }
    fs::write(&path, b"anothe").unwrap();
    let error = env.fails(1, &["copy", "oci:odd:one", "oci:out:x"]);
    assert!(error.contains("has 6 bytes instead of 7"), "{error}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    env.fails(1, &["copy", "oci:odd:one", "oci:out:x"]);
    let left = files_below(&env.work());
    let visible = |path: &&String| {
        path.starts_with("out")
            && (path.contains(&layer.hex()) || path.ends_with("index.json") || path.ends_with(".tar"))
    };
    assert_eq!(left.iter().filter(|path| !path.contains("/.")).find(visible), None, "{left:?}");
    // A good blob may have arrived before the bad one was met: then there is a repository, and no tag in it.
    let tags = env.run(&["tags", &target]);
    assert!(tags.stdout.is_empty() && (tags.code == 0 || tags.stderr.contains("404")), "{tags:#?}");
}

#[test]
fn a_partial_blob_is_taken_up_again_or_thrown_away() {
    let env = Env::new();
    odd(&env);
    let layer = Digest::sha256(b"another");
    let partial = format!("out/blobs/sha256/.{}.partial", layer.hex());
    env.write(&partial, b"anot");
    let said = env.run(&["copy", "oci:odd:one", "oci:out:x"]);
    assert!(said.code == 0 && said.stderr.contains("resumed at 4B"), "{}", said.stderr);
    fs::remove_dir_all(env.work().join("out")).unwrap();
    env.write(&partial, b"else");
    assert_eq!(env.run(&["copy", "oci:odd:one", "oci:out:x"]).code, 0);
    assert_eq!(fs::read(env.work().join("out/blobs/sha256").join(layer.hex())).unwrap(), b"another");
    assert!(!env.work().join(&partial).exists());
    env.write("folder/file", "");
    assert!(env.fails(1, &["copy", "oci:odd:one", "oci:folder"]).contains("it holds other files"));
}

#[test]
fn the_store_is_a_place_like_others() {
    let Some(env) = Env::with_busybox() else { return };
    let id = env.ok(&["images", "-q", "--no-trunc"]);
    for (to, load) in
        [("docker-archive:d.tar:app:1", "d.tar"), ("oci-archive:o.tar:1", "o.tar"), ("oci:layout:1", "layout")]
    {
        env.ok(&["copy", "-q", "store:busybox", to]);
        env.ok(&["load", "-q", "-i", load]);
        env.ok(&["copy", "-q", to, "store:again"]);
        assert_eq!(env.ok(&["images", "-q", "--no-trunc", "again"]), id, "{to}");
    }
    assert_eq!(env.ok(&["images", "-q", "--no-trunc", "app:1"]), id);
    let absent = env.fails(1, &["copy", "store:bosybux", "oci:x"]);
    assert!(
        absent.contains("store:bosybux: no image is called so; there is") && absent.contains("busybox:latest"),
        "{absent}"
    );
    assert!(env.fails(1, &["copy", "store:busybox", "store:x"]).contains("`estiba tag`"));
}

#[test]
fn digests_are_kept_where_that_is_asked_for() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &[]);
    let name = format!("{}/app:1", server.address);
    env.ok(&["push", "-q", "busybox", &name]);
    let other = Env::new();
    let digest = other.ok(&["pull", "-q", &name]);
    // The store has a tree, whose tar is what an archive gets by itself.
    let store = format!("store:{name}");
    assert_ne!(other.ok(&["copy", "-q", &store, "oci:plain"]), digest);
    assert_eq!(other.ok(&["copy", "-q", "--preserve-digests", &store, "oci:exact:1"]), digest);
    assert_eq!(other.ok(&["copy", "-q", "--preserve-digests", &store, "oci-archive:exact.tar:1"]), digest);
    drop(server);
    other.ok(&["copy", "-q", "--preserve-digests", &store, "oci:exact:2"]);
    other.fails(1, &["copy", "-q", "--preserve-digests", "--retry=0", &store, "oci:gone"]);
    assert!(!other.work().join("gone/index.json").exists());
}

#[test]
fn mistakes_name_the_next_step() {
    let env = Env::new();
    let said = env.fails(125, &["copy", "dir:x", "oci:y"]);
    assert!(said.contains("`dir:` is not a place of estiba's: `oci:DIR` is a folder, too"), "{said}");
    assert!(env.fails(125, &["copy", "/x/y", "oci:y"]).contains("write `oci:/x/y`"));
    assert!(env.fails(1, &["copy", "oci:absent", "oci:y"]).contains("absent"));
    assert!(env.fails(1, &["copy", "store:x", "oci:y"]).contains("the store is empty"));
    let creds = env.fails(125, &["copy", "--creds", "a:b", "localhost:1/x", "localhost:2/x"]);
    assert!(creds.contains("--creds are for one registry, and there are two"), "{creds}");
    env.write("plain.tar", vec![0; 1024]);
    assert!(env.fails(1, &["copy", "oci-archive:plain.tar", "oci:y"]).contains("it has no index.json"));
}

#[test]
fn other_programs_read_what_is_written() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        return fixtures::skip("skopeo is not here");
    }
    let env = Env::new();
    odd(&env);
    env.ok(&["copy", "-q", "-a", "oci:odd:multi", "oci:out:x"]);
    env.ok(&["copy", "-q", "-a", "oci:odd:multi", "oci-archive:out.tar:x"]);
    env.ok(&["copy", "-q", "oci:odd:multi", "docker-archive:d.tar:app:1"]);
    for (from, to, more) in [
        ("oci:out:x", "dir:sk1", "--all"),
        ("oci-archive:out.tar:x", "dir:sk2", "--all"),
        ("docker-archive:d.tar:app:1", "dir:sk3", "--quiet"),
    ] {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--insecure-policy", more, from, to]).current_dir(env.work());
        let said = command.output().unwrap();
        assert!(said.status.success(), "{from}: {}", String::from_utf8_lossy(&said.stderr));
    }
}
