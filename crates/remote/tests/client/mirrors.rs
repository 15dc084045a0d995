//! Mirrors: asked in order, believed about nothing, and given no credential but their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use oci::Digest;
use remote::hosts::{Folders, Hosts};
use remote::{Accept, Client, Credential, Credentials, Error, Options, Repository, Route};

use crate::host::{Host, Reply, Seen, Shelf, noise};
use crate::quick;

struct World {
    folder: tempfile::TempDir,
    options: Options,
}

impl World {
    /// A machine with this `registries.conf`.
    fn new(conf: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registries.conf");
        std::fs::write(&file, conf).unwrap();
        let hosts = vec![folder.path().join("hosts")];
        let folders = Folders { registries_conf: vec![file], hosts, ..Folders::default() };
        Self { folder, options: Options { hosts: Hosts::new(folders), ..quick() } }
    }

    fn hosts_toml(&self, name: &str, text: &str) {
        let folder = self.folder.path().join("hosts").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    }

    fn route(&self, reference: &str) -> Route {
        Client::new(self.options.clone()).route(&reference.parse().unwrap()).unwrap()
    }
}

async fn shelf(image: bool) -> (Host, Digest, Digest) {
    let shelf = Arc::new(Shelf::default());
    let (manifest, layer) = shelf.image("v1", noise(5000, 1));
    if !image {
        shelf.forget("v1");
        shelf.forget(&manifest.to_string());
    }
    (Host::start(move |seen| shelf.answer(seen)).await, manifest, layer)
}

/// The first that has it, and how many had not.
async fn first(sources: &[Repository], digest: Option<&Digest>) -> (usize, remote::Result<remote::Fetched>) {
    let mut last = None;
    for (index, source) in sources.iter().enumerate() {
        let asked = match digest {
            Some(digest) => source.manifest_by_digest(digest, &Accept::default()).await,
            None => source.manifest_by_tag(&"v1".parse().unwrap(), &Accept::default()).await,
        };
        match asked {
            Ok(found) => return (index, Ok(found)),
            Err(error) => last = Some(error),
        }
    }
    (sources.len(), Err(last.unwrap()))
}

#[tokio::test]
async fn what_one_cannot_give_the_next_may() {
    let (upstream, digest, layer) = shelf(true).await;
    let (empty, _, _) = shelf(false).await;
    let broken = Host::start(|_| Reply::new(500, "")).await;
    let poisoned = Host::start(|seen| match seen.path.contains("/blobs/") {
        true => Reply::new(200, noise(5000, 2)),
        false => {
            Reply::new(200, r#"{"schemaVersion":2,"layers":[]}"#).header("content-type", oci::media_type::OCI_MANIFEST)
        }
    })
    .await;
    let down = Host::start(|_| Reply::new(200, "")).await.address;
    let mirror = |address: &dyn std::fmt::Display| {
        format!("[[registry.mirror]]\nlocation=\"{address}/m\"\npull-from-mirror=\"digest-only\"\n")
    };
    let conf = format!(
        "[[registry]]\nlocation=\"{}\"\n{}{}{}{}",
        upstream.address,
        mirror(&down),
        mirror(&empty.address),
        mirror(&broken.address),
        mirror(&poisoned.address),
    );
    let world = World::new(&conf);
    let route = world.route(&format!("{}/team/app:v1", upstream.address));
    assert_eq!((route.sources().len(), route.content().len()), (1, 5));
    let began = std::time::Instant::now();
    let (index, found) = first(route.content(), Some(&digest)).await;
    assert_eq!((index, found.unwrap().digest), (4, digest));
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "mirrors are not waited for long");
    assert_eq!(broken.count(Method::GET, "/v2/m/team/app/manifests/"), 2);
    // A layer of the poisoned mirror is not taken.
    let mut blob = route.content()[3].blob(&layer, None).await.unwrap().verified(Some(5000));
    let error = loop {
        match blob.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("wrong bytes were believed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    // By tag only the registry itself was asked.
    let (index, found) = first(route.sources(), None).await;
    assert_eq!((index, found.unwrap().digest), (0, digest));
    assert_eq!(empty.count(Method::GET, "manifests/v1"), 0);
    assert_eq!(route.target().registry().name(), upstream.address.to_string());
    // A reference with a digest may come from them.
    assert_eq!(world.route(&format!("{}/team/app@{digest}", upstream.address)).sources().len(), 5);
}

fn locked(realm: &'static str) -> impl Fn(&Seen) -> Reply {
    move |seen| match seen.header("authorization") {
        "" => Reply::new(401, "").header("www-authenticate", realm),
        _ => Reply::new(200, r#"{"schemaVersion":2,"layers":[]}"#),
    }
}

#[tokio::test]
async fn mirrors_get_no_credential_but_their_own() {
    let upstream = Host::start(locked("Basic realm=\"x\"")).await;
    let mirror = Host::start(locked("Basic realm=\"x\"")).await;
    let conf = format!(
        "[[registry]]\nlocation=\"{}\"\n[[registry.mirror]]\nlocation=\"{}\"",
        upstream.address, mirror.address
    );
    let password = |word: &str| Credential::Password { user: "me".to_owned(), password: word.to_owned() };
    let ask = async |credentials: Credentials| {
        let mut world = World::new(&conf);
        world.options.credentials = credentials;
        let route = world.route(&format!("{}/a:v1", upstream.address));
        assert!(route.sources()[0].registry().is_mirror() && !route.sources()[1].registry().is_mirror());
        first(route.sources(), None).await.0
    };
    let here = upstream.address.to_string();
    let one =
        |registry: Option<&str>| Credentials::One { registry: registry.map(str::to_owned), credential: password("w") };
    assert_eq!(ask(Credentials::Given(BTreeMap::from([(here.clone(), password("w"))]))).await, 1);
    assert_eq!(ask(one(Some(&here))).await, 1);
    assert_eq!(ask(one(None)).await, 1, "what was given for the reference is not for its mirrors");
    assert!(mirror.seen().iter().all(|seen| seen.header("authorization").is_empty()));
    let both = BTreeMap::from([(here, password("w")), (mirror.address.to_string(), password("m"))]);
    assert_eq!(ask(Credentials::Given(both)).await, 0);
    // `me:m`, and not the registry's.
    assert!(mirror.seen().iter().all(|seen| ["", "Basic bWU6bQ=="].contains(&seen.header("authorization"))));
}

#[tokio::test]
async fn a_hosts_toml_says_how_a_host_is_spoken_to() {
    let (upstream, digest, _) = shelf(true).await;
    let cdn = Host::start(|_| Reply::new(200, noise(5000, 1))).await;
    let there = cdn.url();
    let near = Host::start(move |seen| match seen.path.contains("/blobs/") {
        true => Reply::new(307, "").header("location", format!("{there}/x")),
        false => Reply::new(404, ""),
    })
    .await;
    let world = World::new("");
    let name = upstream.address.to_string();
    world.hosts_toml(
        &name,
        &format!(
            "[host.\"{}/v2/proxy\"]\noverride_path = true\ncapabilities = [\"pull\", \"resolve\"]\n[host.\"{}/v2/proxy\".header]\nx-key = \"secret\"\n\
             [host.\"http://127.0.0.1:1/base\"]\ncapabilities = [\"pull\"]\n",
            near.url(),
            near.url()
        ),
    );
    let route = world.route(&format!("{name}/team/app:v1"));
    assert_eq!((route.sources().len(), route.content().len()), (2, 3));
    assert_eq!(route.target().registry().name(), name);
    let (index, found) = first(route.sources(), None).await;
    assert_eq!((index, found.unwrap().digest), (1, digest));
    let mut blob = route.content()[0].blob(&Digest::sha256(&noise(5000, 1)), None).await.unwrap().verified(Some(5000));
    while blob.next().await.unwrap().is_some() {}
    let seen = near.seen();
    assert_eq!(seen[0].path, format!("/v2/proxy/team/app/manifests/v1?ns={}", name.replace(':', "%3A")));
    assert!(seen.iter().all(|seen| seen.header("x-key") == "secret"));
    assert!(cdn.seen().iter().all(|seen| seen.header("x-key").is_empty()), "headers are for their host alone");
    assert!(upstream.seen().iter().all(|seen| !seen.path.contains("ns=") && seen.header("x-key").is_empty()));
}

#[tokio::test]
async fn plain_http_where_a_file_asks_for_it() {
    let world = World::new(
        "[[registry]]\nlocation=\"one.example\"\ninsecure=true\n[[registry]]\nprefix=\"two.example/open\"\nlocation=\"two.example/open\"\ninsecure=true",
    );
    world.hosts_toml("three.example", "[host.\"http://mirror.example\"]");
    // Being insecure is said of a part of a registry, and holds for that part.
    let debug = |reference: &str| format!("{:?}", world.route(reference).sources()[0].registry());
    assert!(debug("one.example/a").contains("insecure: true"));
    assert!(debug("two.example/open/a").contains("insecure: true"));
    assert!(debug("two.example/closed/a").contains("insecure: false"));
    assert!(debug("three.example/a").contains("insecure: true") && debug("three.example/a").contains("mirror.example"));
    let mut strict = World::new("");
    strict.hosts_toml("three.example", "[host.\"http://mirror.example\"]");
    strict.options.tls_verify = Some(true);
    let error = Client::new(strict.options.clone()).route(&"three.example/a".parse().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Hop { .. }), "{error}");
}

#[tokio::test]
async fn an_unusable_file_is_said() {
    let world = World::new("[[registry]]\nlocation = 7");
    let error = Client::new(world.options.clone()).route(&"r.example/a".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("registries.conf:2: "), "{error}");
    let world = World::new("");
    world.hosts_toml("r.example", "\nserver = [");
    let error = Client::new(world.options.clone()).route(&"r.example/a".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("hosts.toml:2: "), "{error}");
    // Others are not touched by it.
    assert!(Client::new(world.options.clone()).route(&"other.example/a".parse().unwrap()).is_ok());
}
