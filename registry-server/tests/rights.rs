//! Who may do what: every kind of caller against every kind of request, over real connections.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use oci::Digest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use registry_server::auth::htpasswd::{Kind, line};
use registry_server::config::Address;
use registry_server::server::{self, Listener};
use registry_server::tls::{ClientCertificates, Tls, TlsConfig};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, Harness};

const POLICY: &str = r#"
[[rule]]
who = { anonymous = true }
repositories = ["public/**"]
allow = ["pull"]

[[rule]]
who = { group = ["dev"] }
repositories = ["team/**"]
allow = ["pull", "push"]

[[rule]]
who = { user = ["ann", "robot"] }
repositories = ["team/**", "public/**"]
allow = ["pull", "push", "update", "delete"]

[[rule]]
who = { authenticated = true }
repositories = ["{user}/**"]
allow = ["pull", "push", "update", "delete"]

[[immutable]]
repositories = ["**"]
tags = ["v*"]
"#;

/// A guarded registry with two fronts: plain, and TLS with client certificates.
struct Place {
    harness: Harness,
    tls: SocketAddr,
    connector: tokio_rustls::TlsConnector,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Who asks.
#[derive(Debug, Clone)]
enum Caller {
    Nobody,
    Basic(&'static str),
    Bearer(String),
    /// The robot's certificate.
    Certificate,
}

impl Place {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let people = ["ann", "bob", "eve"].map(|name| line(name, &password(name), Kind::Bcrypt(4)).unwrap());
        std::fs::write(path("htpasswd"), people.join("\n")).unwrap();
        std::fs::write(path("policy.toml"), POLICY).unwrap();
        let harness = Harness::with(|config| {
            config.auth.htpasswd = Some(path("htpasswd"));
            config.auth.policy = Some(path("policy.toml"));
            config.auth.groups = [("dev".to_owned(), vec!["ann".to_owned(), "bob".to_owned()])].into();
            config.auth.token.enabled = true;
            config.log.audit = Some(path("audit.log"));
        })
        .await;
        let (config, connector) = certificates(&folder);
        let listener = Listener::bind(&Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let Address::Tcp(tls) = *listener.address() else { panic!("tests listen at TCP addresses") };
        let stop = CancellationToken::new();
        let front = Arc::new(Tls::open(&config).unwrap());
        tokio::spawn(server::serve(Arc::clone(&harness.registry), vec![listener], Some(front), stop.clone()));
        Self { harness, tls, connector, stop, folder }
    }

    async fn ask(&self, caller: &Caller, method: &str, path: &str, body: &str) -> Answer {
        let authorization = match caller {
            Caller::Nobody | Caller::Certificate => None,
            Caller::Basic(name) => Some(basic(name, &password(name))),
            Caller::Bearer(token) => Some(format!("Bearer {token}")),
        };
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        match caller {
            Caller::Certificate => self.ask_over_tls(method, path, body).await,
            _ => self.harness.send(method, path, &headers, body.to_owned()).await,
        }
    }

    async fn ask_over_tls(&self, method: &str, path: &str, body: &str) -> Answer {
        let stream = TcpStream::connect(self.tls).await.unwrap();
        let stream = self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// A token of somebody's, at the endpoint that the challenge names.
    async fn token(&self, name: &str, scope: &str) -> String {
        let path = format!("/token?service=estiba-registry&scope={scope}");
        let answer = self.harness.send("GET", &path, &[("authorization", &basic(name, &password(name)))], "").await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// As ann: an image under each of these tags; its manifest and its layer.
    async fn image(&self, repository: &str, content: &str, tags: &[&str]) -> (String, Digest) {
        let ann = Caller::Basic("ann");
        for bytes in ["{}", content] {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(bytes.as_bytes()));
            assert_eq!(self.ask(&ann, "POST", &path, bytes).await.status, 201);
        }
        let layer = Digest::sha256(content.as_bytes());
        let manifest = crate::harness::image(&Digest::sha256(b"{}"), 2, &[(&layer, content.len())]).to_string();
        for tag in tags {
            let answer = self.ask(&ann, "PUT", &format!("/v2/{repository}/manifests/{tag}"), &manifest).await;
            assert_eq!(answer.status, 201, "{:?}", answer.body);
        }
        (manifest, layer)
    }

    fn audited(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn password(name: &str) -> String {
    format!("{name}'s secret")
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

/// A certificate for the server, and one for the robot: how the server reads them, how the robot connects.
fn certificates(folder: &tempfile::TempDir) -> (TlsConfig, tokio_rustls::TlsConnector) {
    let path = |name: &str| folder.path().join(name);
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let leaf = |names: Vec<String>, common: &str, usage| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &authority).unwrap(), key)
    };
    let (server, server_key) = leaf(vec!["localhost".to_owned()], "server", ExtendedKeyUsagePurpose::ServerAuth);
    let (robot, robot_key) = leaf(Vec::new(), "robot", ExtendedKeyUsagePurpose::ClientAuth);
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path("cert.pem"), server.pem()).unwrap();
    std::fs::write(path("key.pem"), server_key.serialize_pem()).unwrap();
    let config = TlsConfig {
        certificate: Some(path("cert.pem")),
        key: Some(path("key.pem")),
        client_ca: Some(path("ca.pem")),
        client_certificates: ClientCertificates::Optional,
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![robot.der().clone()], PrivateKeyDer::try_from(robot_key.serialize_der()).unwrap())
        .unwrap();
    (config, tokio_rustls::TlsConnector::from(Arc::new(client)))
}

/// What each caller gets: reads, uploads, new tags, moved tags, deletions.
#[tokio::test]
async fn the_matrix() {
    let place = Place::start().await;
    let pulling = Caller::Bearer(place.token("ann", "repository:team/d:pull").await);
    let pushing = Caller::Bearer(place.token("bob", "repository:team/e:pull,push").await);
    let everything = Caller::Bearer(place.token("ann", "repository:team/f:*").await);
    let elsewhere = Caller::Bearer(place.token("ann", "repository:team/other:*").await);
    let callers = [
        // Who, read, upload and tag, move a tag, delete.
        (Caller::Nobody, "team/a", 401, 401, 401, 401),
        (Caller::Basic("ann"), "team/b", 200, 201, 201, 202),
        (Caller::Basic("bob"), "team/c", 200, 201, 403, 403),
        (Caller::Basic("eve"), "team/a", 403, 403, 403, 403),
        (pulling, "team/d", 200, 401, 401, 401),
        (pushing, "team/e", 200, 201, 403, 403),
        (everything, "team/f", 200, 201, 201, 202),
        (elsewhere, "team/a", 401, 401, 401, 401),
        (Caller::Certificate, "team/g", 200, 201, 201, 202),
        (Caller::Nobody, "public/a", 200, 401, 401, 401),
        (Caller::Basic("eve"), "public/b", 200, 403, 403, 403),
    ];
    for (caller, repository, read, push, update, delete) in callers {
        let case = format!("{caller:?} in {repository}");
        let (manifest, layer) = place.image(repository, "one", &["latest", "old", "v1"]).await;
        let (other, _) = place.image(repository, "two", &[]).await;
        let digest = Digest::sha256(manifest.as_bytes());
        let at = |rest: &str| format!("/v2/{repository}/{rest}");
        let uploads = at(&format!("blobs/uploads/?digest={}", Digest::sha256(b"three")));
        let began = if push == 201 { 202 } else { push };
        // An immutable tag moves for nobody; whoever may not even push hears that first.
        let immutable = if push == 201 { 403 } else { push };
        let requests = [
            ("GET", at("manifests/latest"), "", read),
            ("HEAD", at(&format!("manifests/{digest}")), "", read),
            ("GET", at(&format!("blobs/{layer}")), "", read),
            ("HEAD", at(&format!("blobs/{layer}")), "", read),
            ("GET", at("tags/list"), "", read),
            ("GET", at(&format!("referrers/{digest}")), "", read),
            ("POST", at("blobs/uploads/"), "", began),
            ("POST", uploads, "three", push),
            ("PUT", at("manifests/new"), &manifest, push),
            ("PUT", at("manifests/latest"), &other, update),
            ("PUT", at("manifests/v1"), &other, immutable),
            ("DELETE", at("manifests/v1"), "", if delete == 202 { 403 } else { delete }),
            ("DELETE", at("manifests/old"), "", delete),
            ("DELETE", at(&format!("manifests/{}", Digest::sha256(other.as_bytes()))), "", delete),
            ("DELETE", at(&format!("blobs/{}", Digest::sha256(b"three"))), "", delete),
        ];
        for (method, path, body, expected) in requests {
            let answer = place.ask(&caller, method, &path, body).await;
            assert_eq!(answer.status, expected, "{case}: {method} {path}: {:?}", answer.body);
            assert_eq!(answer.headers.contains_key("www-authenticate"), expected == 401, "{case}: {method} {path}");
            if method != "HEAD" && matches!(expected, 401 | 403) {
                let code = if expected == 401 { "401 UNAUTHORIZED" } else { "403 DENIED" };
                assert_eq!(answer.refusal(), code, "{case}: {method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn mounts_need_a_right_to_read_the_source() {
    let place = Place::start().await;
    let (_, layer) = place.image("team/app", "shared", &["latest"]).await;
    let token = |scope: &'static str| place.token("ann", scope);
    let one_sided = Caller::Bearer(token("repository:ann/c:pull,push").await);
    let both = Caller::Bearer(token("repository:ann/d:pull,push+repository:team/app:pull").await);
    for (caller, target, expected) in [
        (Caller::Basic("ann"), "ann/a", 201),
        (Caller::Basic("bob"), "bob/a", 201),
        (Caller::Basic("eve"), "eve/a", 202),
        (one_sided, "ann/c", 202),
        (both, "ann/d", 201),
        (Caller::Basic("eve"), "team/x", 403),
        (Caller::Nobody, "team/x", 401),
    ] {
        for from in ["&from=team/app", ""] {
            let path = format!("/v2/{target}/blobs/uploads/?mount={layer}{from}");
            let answer = place.ask(&caller, "POST", &path, "").await;
            // Without a source the registry may not find it in one that the caller cannot read; a first mount makes `target` one.
            assert_eq!(answer.status, expected, "{caller:?} {path}");
        }
        if expected == 202 {
            let found = place.ask(&caller, "HEAD", &format!("/v2/{target}/blobs/{layer}"), "").await;
            assert_eq!(found.status, 404, "{caller:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_is_its_owners() {
    let place = Place::start().await;
    let ann = Caller::Basic("ann");
    let begun = place.ask(&ann, "POST", "/v2/team/app/blobs/uploads/", "").await;
    let location = begun.header("location").to_owned();
    let path = location.find("/v2/").map_or(location.as_str(), |at| &location[at..]);
    assert_eq!(place.ask(&ann, "PATCH", path, "hello").await.status, 202);
    let elsewhere = path.replace("team/app", "team/other");
    let token = Caller::Bearer(place.token("ann", "repository:team/app:pull,push").await);
    let finish = |path: &str| {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}digest={}", Digest::sha256(b"hello"))
    };
    for (caller, path, expected) in [
        (Caller::Basic("bob"), path, 404),
        (Caller::Certificate, path, 404),
        (ann.clone(), &elsewhere, 404),
        (Caller::Basic("eve"), path, 403),
        (Caller::Nobody, path, 401),
    ] {
        for (method, path) in
            [("GET", path.to_owned()), ("PATCH", path.to_owned()), ("PUT", finish(path)), ("DELETE", path.to_owned())]
        {
            let answer = place.ask(&caller, method, &path, "").await;
            assert_eq!(answer.status, expected, "{caller:?} {method} {path}");
        }
    }
    // Her token is her, too.
    assert_eq!(place.ask(&token, "GET", path, "").await.status, 204);
    assert_eq!(place.ask(&token, "PUT", &finish(path), "").await.status, 201);
}

#[tokio::test]
async fn the_catalog_shows_what_its_reader_may_pull() {
    let place = Place::start().await;
    for repository in ["team/a", "public/a", "ann/a"] {
        place.image(repository, "x", &["latest"]).await;
    }
    let catalog = Caller::Bearer(place.token("bob", "registry:catalog:*").await);
    let narrow = Caller::Bearer(place.token("bob", "repository:team/a:pull").await);
    for (caller, expected) in [
        (Caller::Basic("ann"), Some(&["ann/a", "public/a", "team/a"][..])),
        (Caller::Basic("bob"), Some(&["public/a", "team/a"])),
        (Caller::Basic("eve"), Some(&["public/a"])),
        (Caller::Certificate, Some(&["public/a", "team/a"])),
        (catalog, Some(&["public/a", "team/a"])),
        (narrow, None),
        (Caller::Nobody, None),
    ] {
        let answer = place.ask(&caller, "GET", "/v2/_catalog", "").await;
        match expected {
            Some(names) => assert_eq!(answer.json()["repositories"], serde_json::json!(names), "{caller:?}"),
            None => {
                assert_eq!(answer.status, 401, "{caller:?}");
                assert!(answer.header("www-authenticate").contains("scope=\"registry:catalog:*\""), "{caller:?}");
            }
        }
    }
}

#[tokio::test]
async fn logging_in_as_clients_do() {
    let place = Place::start().await;
    let ping = place.ask(&Caller::Nobody, "GET", "/v2/", "").await;
    let challenge = ping.header("www-authenticate").to_owned();
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"estiba-registry\"", place.harness.address);
    assert_eq!((ping.status, challenge), (401, realm));
    assert_eq!(place.ask(&Caller::Basic("ann"), "GET", "/v2/", "").await.status, 200);
    assert_eq!(place.ask(&Caller::Certificate, "GET", "/v2/", "").await.status, 200);

    // `docker login`: a token for nothing, and a refresh token that it keeps.
    let login = "/token?account=ann&client_id=docker&offline_token=true&service=estiba-registry";
    let authorization = basic("ann", &password("ann"));
    let answer = place.harness.send("GET", login, &[("authorization", &authorization)], "").await;
    assert_eq!(answer.status, 200);
    let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let form = format!(
        "grant_type=refresh_token&service=estiba-registry&client_id=x&scope=repository:team/a:pull,push&refresh_token={refresh}"
    );
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let answer = place.harness.send("POST", "/token", &[kind], form).await;
    assert_eq!(answer.json()["scope"], "repository:team/a:pull,push");
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(place.ask(&Caller::Bearer(token.clone()), "POST", "/v2/team/a/blobs/uploads/", "").await.status, 202);

    let form = "grant_type=password&username=ann&password=ann%27s%20secret&service=estiba-registry&access_type=offline";
    let answer = place.harness.send("POST", "/token", &[kind], form).await;
    assert!(answer.json()["refresh_token"].is_string());
    for (form, expected) in [
        ("grant_type=password&username=ann&password=x&service=estiba-registry".to_owned(), 401),
        (format!("grant_type=refresh_token&refresh_token={token}"), 401),
        ("grant_type=authorization_code&code=x".to_owned(), 400),
        ("x".repeat(100_000), 413),
    ] {
        let answer = place.harness.send("POST", "/token", &[kind], form.clone()).await;
        assert_eq!(answer.status, expected, "{form:.60}");
    }
    let wrong = place.harness.send("GET", login, &[("authorization", &basic("ann", "x"))], "").await;
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, "Basic realm=\"registry\""));
    for bad in ["Bearer x.y.z", "Bearer e30.e30.", "Basic x", "Negotiate x"] {
        let answer = place.harness.send("GET", "/v2/", &[("authorization", bad)], "").await;
        assert_eq!(answer.refusal(), "401 UNAUTHORIZED", "{bad}");
        assert!(answer.header("www-authenticate").ends_with(",error=\"invalid_token\""), "{bad}");
    }
    let host = place.harness.send("GET", "/v2/", &[("host", "x\",scope=\"y")], "").await;
    assert!(!host.header("www-authenticate").contains("scope"), "{}", host.header("www-authenticate"));
}

/// Guesses are checked two at a time and wait their turn; nobody else does.
#[tokio::test]
async fn a_flood_of_guesses_keeps_nobody_out() {
    let place = Arc::new(Place::start().await);
    place.image("public/app", "x", &["latest"]).await;
    let flood = (0..300).map(|guess| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let header = basic(&format!("name{guess}"), "guess");
            place.harness.send("GET", "/v2/", &[("authorization", &header)], "").await.status
        })
    });
    let flood: Vec<_> = flood.collect();
    for _ in 0..5 {
        for caller in [Caller::Nobody, Caller::Basic("ann")] {
            let answer = place.ask(&caller, "GET", "/v2/public/app/manifests/latest", "").await;
            assert_eq!(answer.status, 200, "{caller:?}");
        }
    }
    for guess in flood {
        let status = guess.await.unwrap();
        assert!(matches!(status, 401 | 429), "{status}");
    }
}

#[tokio::test]
async fn the_audit_log_tells_it_all_and_no_secret() {
    let place = Place::start().await;
    place.image("team/app", "x", &["latest"]).await;
    let _ = place.ask(&Caller::Basic("eve"), "GET", "/v2/team/app/manifests/latest", "").await;
    let _ = place.ask(&Caller::Nobody, "DELETE", "/v2/team/app/manifests/latest", "").await;
    let _ = place.harness.send("GET", "/v2/", &[("authorization", &basic("ann", "guess"))], "").await;
    let token = place.token("ann", "repository:team/app:pull").await;
    // A thread writes it.
    let mut lines = place.audited();
    for _ in 0..500 {
        if lines.iter().any(|line| line["event"] == "token.granted") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        lines = place.audited();
    }
    let found = |event: &str, who: Value, status: u16| {
        lines.iter().find(|line| line["event"] == event && line["who"] == who && line["status"] == status)
    };
    let pushed = found("manifest.put", "user:ann".into(), 201).unwrap();
    assert_eq!(
        (&pushed["repository"], &pushed["tag"], &pushed["from"]),
        (&"team/app".into(), &"latest".into(), &"127.0.0.1".into())
    );
    assert_eq!(found("manifest.get", "user:eve".into(), 403).unwrap()["outcome"], "refused");
    assert!(found("manifest.delete", "anonymous".into(), 401).is_some());
    assert!(found("base", Value::Null, 401).is_some());
    assert!(found("token.granted", "user:ann".into(), 200).is_some());
    let text = std::fs::read_to_string(place.folder.path().join("audit.log")).unwrap();
    for secret in [password("ann").as_str(), "guess", token.as_str(), "Basic", "Bearer"] {
        assert!(!text.contains(secret));
    }
}
