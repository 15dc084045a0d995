//! Roots and client certificates by host: found in the files of docker, containers and containerd, shown to nobody else.

use std::path::Path;

use http::Method;
use oci::Digest;
use remote::hosts::{Folders, Hosts};
use remote::{Accept, Client, Distrust, Error, Options};

use crate::host::{Reply, noise, ranged};
use crate::quick;
use crate::secure::{Authority, Clients, SecureHost};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

fn folders(root: &Path) -> Folders {
    Folders { certificates: vec![root.join("certs")], hosts: vec![root.join("hosts")], ..Folders::default() }
}

fn with(folders: Folders) -> Options {
    Options { hosts: Hosts::new(folders), ..quick() }
}

async fn pull(options: Options, name: &str) -> remote::Result<()> {
    let route = Client::new(options).route(&format!("{name}/a").parse().unwrap())?;
    route.sources()[0].manifest_by_tag(&"latest".parse().unwrap(), &Accept::default()).await.map(drop)
}

fn make(folder: &Path, ca: &Authority) -> std::path::PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    folder.to_owned()
}

#[tokio::test]
async fn a_registry_that_wants_a_client_certificate() {
    let (ca, root) = (Authority::new(), tempfile::tempdir().unwrap());
    let host = SecureHost::start(&ca, &ca.sign(&["localhost"]), Clients::Known, |_| Reply::new(200, MANIFEST)).await;
    let name = format!("localhost:{}", host.port);
    let distrust = |error: Error| match error {
        Error::Certificate { distrust, .. } => distrust,
        other => panic!("{other}"),
    };
    // Nobody that we know has signed it.
    assert_eq!(distrust(pull(with(folders(root.path())), &name).await.unwrap_err()), Distrust::Unknown);
    // Known, but it does not know us.
    let folder = make(&root.path().join("certs").join(&name), &ca);
    let error = pull(with(folders(root.path())), &name).await.unwrap_err();
    assert!(!error.is_temporary());
    assert_eq!(distrust(error), Distrust::Ours);
    // Another's certificate.
    Authority::new().sign(&["me"]).write(&folder);
    assert_eq!(distrust(pull(with(folders(root.path())), &name).await.unwrap_err()), Distrust::Ours);
    ca.sign(&["me"]).write(&folder);
    pull(with(folders(root.path())), &name).await.unwrap();
    assert!(host.seen().iter().all(|(_, shown)| *shown));
    // The same as a given folder.
    let given = Folders { given_certificates: Some(folder.clone()), ..Folders::default() };
    pull(with(given), &name).await.unwrap();
    let none = Folders { given_certificates: Some("/nowhere".into()), ..Folders::default() };
    assert!(matches!(pull(with(none), &name).await, Err(Error::Config(_))));
    // A certificate without its key is said.
    std::fs::remove_file(folder.join("client.key")).unwrap();
    let error = pull(with(folders(root.path())), &name).await.unwrap_err().to_string();
    assert!(error.contains("client.cert") && error.contains("client.key"), "{error}");
    std::fs::write(folder.join("ca.crt"), "nothing").unwrap();
    std::fs::remove_file(folder.join("client.cert")).unwrap();
    assert!(matches!(pull(with(folders(root.path())), &name).await, Err(Error::Pem(_))));
}

#[tokio::test]
async fn a_hosts_toml_names_certificates_of_its_own() {
    let (ca, root) = (Authority::new(), tempfile::tempdir().unwrap());
    let host = SecureHost::start(&ca, &ca.sign(&["localhost"]), Clients::Known, |_| Reply::new(200, MANIFEST)).await;
    let folder = make(&root.path().join("hosts/r.example"), &ca);
    ca.sign(&["me"]).write(&folder);
    let write = |more: &str| {
        let text = format!("[host.\"https://localhost:{}\"]\n{more}", host.port);
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    };
    write("ca = \"ca.crt\"\nclient = [[\"client.cert\", \"client.key\"]]");
    pull(with(folders(root.path())), "r.example").await.unwrap();
    assert_eq!(host.seen()[0].0.path, "/v2/a/manifests/latest?ns=r.example");
    write("client = [[\"client.cert\", \"client.key\"]]\nskip_verify = true");
    pull(with(folders(root.path())), "r.example").await.unwrap();
    write("ca = \"ca.crt\"");
    assert!(matches!(pull(with(folders(root.path())), "r.example").await, Err(Error::Certificate { .. })));
    write("ca = \"none.crt\"");
    assert!(matches!(pull(with(folders(root.path())), "r.example").await, Err(Error::Pem(_))));
}

#[tokio::test]
async fn no_other_host_is_shown_the_client_certificate() {
    let (ca, root) = (Authority::new(), tempfile::tempdir().unwrap());
    let signed = ca.sign(&["localhost"]);
    let bytes = noise(1000, 1);
    let digest = Digest::sha256(&bytes);
    let cdn = SecureHost::start(&ca, &signed, Clients::Asked, move |seen| {
        if seen.path.starts_with("/token") {
            return Reply::new(200, r#"{"token":"good"}"#);
        }
        ranged(&bytes, seen.header("range"))
    })
    .await;
    let there = format!("https://localhost:{}", cdn.port);
    let registry = SecureHost::start(&ca, &signed, Clients::Known, move |seen| match seen.header("authorization") {
        "Bearer good" => Reply::new(307, "").header("location", format!("{there}/x")),
        _ => Reply::new(401, "").header("www-authenticate", format!("Bearer realm=\"{there}/token\"")),
    })
    .await;
    let name = format!("localhost:{}", registry.port);
    let folder = make(&root.path().join("certs").join(&name), &ca);
    ca.sign(&["me"]).write(&folder);
    let client = Client::new(with(folders(root.path())));
    let repository = client.registry(&name).unwrap().repository(&"a".parse().unwrap());
    let mut blob = repository.blob(&digest, None).await.unwrap().verified(Some(1000));
    while blob.next().await.unwrap().is_some() {}
    assert!(registry.seen().iter().all(|(_, shown)| *shown));
    let elsewhere = cdn.seen();
    assert!(elsewhere.iter().any(|(seen, _)| seen.path.starts_with("/token")));
    assert!(elsewhere.iter().any(|(seen, _)| seen.method == Method::GET && seen.path == "/x"));
    assert!(elsewhere.iter().all(|(_, shown)| !shown), "only the registry itself may see it");
    // Nor does a registry of another name get it.
    let other = format!("localhost:{}", cdn.port);
    make(&root.path().join("certs").join(&other), &ca);
    pull(with(folders(root.path())), &other).await.unwrap_err();
    assert!(cdn.seen().iter().all(|(_, shown)| !shown));
}

#[tokio::test]
async fn why_a_certificate_is_not_believed() {
    let (ca, root) = (Authority::new(), tempfile::tempdir().unwrap());
    let old = ca.sign_as(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    for (signed, expected) in [(old, Distrust::Time), (ca.sign(&["other.example"]), Distrust::Name)] {
        let host = SecureHost::start(&ca, &signed, Clients::Anybody, |_| Reply::new(200, MANIFEST)).await;
        let name = format!("localhost:{}", host.port);
        make(&root.path().join("certs").join(&name), &ca);
        match pull(with(folders(root.path())), &name).await.unwrap_err() {
            Error::Certificate { distrust, place, .. } => {
                assert_eq!((distrust, place.registry), (expected, name.clone()))
            }
            other => panic!("{other}"),
        }
        // Who asks for it gets it nonetheless.
        let careless = Options { tls_verify: Some(false), ..with(folders(root.path())) };
        pull(careless, &name).await.unwrap();
    }
}

#[tokio::test]
async fn plain_http_is_never_taken_where_tls_was_asked_for() {
    let host = crate::host::Host::start(|_| Reply::new(200, MANIFEST)).await;
    let name = host.address.to_string();
    pull(quick(), &name).await.unwrap();
    let count = host.seen().len();
    let strict = Options { tls_verify: Some(true), insecure: [name.clone()].into(), ..quick() };
    pull(strict.clone(), &name).await.unwrap_err();
    assert_eq!(host.seen().len(), count);
    assert!(Client::new(strict).registry_at("x", &host.url().parse().unwrap()).is_err());
}
