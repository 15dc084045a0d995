//! Proxies of the environment: calls by https go through a tunnel, and what is far is really far.
//!
//! Behind the tunnel stand servers for names that exist nowhere, so that these tests also see what a registry elsewhere may
//! not do. Each runs in a process of its own: the environment belongs to the whole process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use oci::Digest;
use remote::{Accept, Client, Credential, Credentials, Error, Options, Pem, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::host::{Reply, noise, ranged};
use crate::quick;
use crate::secure::{Authority, Clients, SecureHost};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

/// A proxy that tunnels each `host:port` to a port of this machine; the requests that it got.
async fn tunnel(targets: BTreeMap<String, u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://me:word@127.0.0.1:{}", listener.local_addr().unwrap().port());
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let (log, targets) = (Arc::clone(&seen), Arc::new(targets));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (log, targets) = (Arc::clone(&log), Arc::clone(&targets));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                log.lock().unwrap().push(head.clone());
                let name = head.split(' ').nth(1).unwrap();
                let Some(port) = targets.get(name).filter(|_| head.starts_with("CONNECT ")) else {
                    let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
                    return;
                };
                let mut there = TcpStream::connect(("127.0.0.1", *port)).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    (address, seen)
}

/// Runs a test of this program behind a proxy, with `root` as the only root that it knows.
async fn behind(proxy: &str, root: &Authority, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), root.pem()).unwrap();
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    let output = command
        .args(["--ignored", "--exact", test])
        .env("https_proxy", proxy)
        .env("HTTPS_PROXY", proxy)
        .env("NO_PROXY", "direct.example")
        .env("ESTIBA_TEST_ROOTS", folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn roots() -> Options {
    let folder = std::path::PathBuf::from(std::env::var("ESTIBA_TEST_ROOTS").unwrap());
    Options { roots: vec![Pem::read(&folder.join("ca.crt")).unwrap()], ..quick() }
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let ca = Authority::new();
    let names = ["registry.example", "cdn.example", "registry-1.docker.io", "auth.docker.io", "evil.example"];
    let signed = ca.sign(&names);
    let bytes = noise(1000, 1);
    let host = SecureHost::start(&ca, &signed, Clients::Anybody, move |seen| {
        // Over HTTP/2 the name is the address's; over HTTP/1 there is a header.
        let path = seen.path.as_str();
        if path.starts_with("/token") {
            return Reply::new(200, r#"{"token":"good"}"#);
        }
        match path {
            "/x" => ranged(&bytes, seen.header("range")),
            _ if path.starts_with("/v2/library/") && seen.header("authorization").is_empty() => Reply::new(401, "")
                .header(
                    "www-authenticate",
                    "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\"",
                ),
            _ if path.starts_with("/v2/evil/realm") => {
                Reply::new(401, "").header("www-authenticate", "Bearer realm=\"https://127.0.0.1/token\"")
            }
            _ if path.starts_with("/v2/evil/link") => {
                Reply::new(307, "").header("location", "https://169.254.169.254/latest")
            }
            _ if path.starts_with("/v2/evil/plain") => Reply::new(307, "").header("location", "http://cdn.example/x"),
            _ if path.starts_with("/v2/evil/login") => {
                Reply::new(307, "").header("location", "https://me:word@cdn.example/x")
            }
            _ if path.contains("/blobs/") => Reply::new(307, "").header("location", "https://cdn.example/x"),
            _ => Reply::new(200, MANIFEST),
        }
    })
    .await;
    let (proxy, seen) = tunnel(names.iter().map(|name| (format!("{name}:443"), host.port)).collect()).await;
    behind(&proxy, &ca, "proxies::in_the_tunnel").await;
    let seen = seen.lock().unwrap();
    let has = |name: &str| seen.iter().any(|head| head.starts_with(&format!("CONNECT {name}:443 ")));
    assert!(
        has("registry.example") && has("cdn.example") && has("registry-1.docker.io") && has("auth.docker.io"),
        "{seen:?}"
    );
    assert!(
        seen.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic bwu6d29yza==")),
        "{seen:?}"
    );
    assert!(
        !seen
            .iter()
            .any(|head| head.contains("direct.example")
                || head.contains("127.0.0.1:") && head.starts_with("CONNECT 127"))
    );
    // The registry's password went to the registry and its realm, and not to where its blobs are.
    for (seen, _) in host.seen() {
        assert!(!seen.headers.contains_key("proxy-authorization"));
        assert!(seen.path != "/x" || seen.header("authorization").is_empty());
    }
    let token = host.seen().into_iter().find(|(seen, _)| seen.path.starts_with("/token")).unwrap().0;
    assert_eq!(token.path, "/token?service=registry.docker.io&scope=repository%3Alibrary%2Fbusybox%3Apull&account=me");
}

#[tokio::test]
#[ignore = "run by https_goes_through_a_tunnel"]
async fn in_the_tunnel() {
    let password = Credential::Password { user: "me".to_owned(), password: "word".to_owned() };
    let given = BTreeMap::from([("docker.io".to_owned(), password)]);
    let client = Client::new(Options { credentials: Credentials::Given(given), ..roots() });
    let tag = "latest".parse().unwrap();
    let at = |name: &str, repository: &str| client.registry(name).unwrap().repository(&repository.parse().unwrap());
    // Docker's registry by its name, its host, its realm and its scope.
    let hub = client.route(&"busybox".parse().unwrap()).unwrap();
    hub.sources()[0].manifest_by_tag(&tag, &Accept::default()).await.unwrap();
    at("registry.example", "team/app").manifest_by_tag(&tag, &Accept::default()).await.unwrap();
    let bytes = noise(1000, 1);
    let mut blob = at("registry.example", "a").blob(&Digest::sha256(&bytes), None).await.unwrap().verified(Some(1000));
    while blob.next().await.unwrap().is_some() {}
    // A registry elsewhere may not lead us to this machine, to its link, or out of encryption.
    for (repository, word) in [("realm", "realm"), ("link", "redirect"), ("plain", "encryption"), ("login", "login")] {
        let evil = at("evil.example", &format!("evil/{repository}"));
        let error = evil.manifest_by_tag(&tag, &Accept::default()).await.unwrap_err();
        assert!(matches!(error, Error::Hop { .. }) && error.to_string().contains(word), "{repository}: {error}");
        assert!(!error.to_string().contains("word"), "{error}");
    }
    // What is not to go through the proxy does not, and leads nowhere.
    let error = at("direct.example", "a").manifest_by_tag(&tag, &Accept::default()).await.unwrap_err();
    assert!(matches!(error, Error::Transport { connect: true, .. }), "{error}");
    // Nor does what is on this machine.
    let here = crate::host::Host::start(|_| Reply::new(200, MANIFEST)).await;
    at(&here.address.to_string(), "a").manifest_by_tag(&tag, &Accept::default()).await.unwrap();
    // A proxy that refuses is said.
    let error = at("unknown.example", "a").manifest_by_tag(&tag, &Accept::default()).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    // The same by options and environment alone.
    let setup = Setup {
        cert_dir: Some(std::env::var("ESTIBA_TEST_ROOTS").unwrap().into()),
        anonymous: true,
        ..Setup::default()
    };
    let client = setup.client(|name| std::env::var_os(name)).unwrap();
    let route = client.route(&"registry.example/team/app".parse().unwrap()).unwrap();
    route.sources()[0].manifest_by_tag(&tag, &Accept::default()).await.unwrap();
}
