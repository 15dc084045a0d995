use std::sync::Mutex as Lock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// An issuer: a key pair, and a server that publishes it.
pub(in crate::auth) struct Published {
    pub(in crate::auth) url: String,
    pair: EcdsaKeyPair,
    server: Arc<Server>,
}

#[derive(Default)]
struct Server {
    asked: AtomicUsize,
    documents: Lock<Vec<(String, String)>>,
    down: std::sync::atomic::AtomicBool,
}

impl Published {
    pub(in crate::auth) async fn start() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Server::default());
        tokio::spawn(serve(listener, Arc::clone(&server)));
        let published = Self { url, pair, server };
        published.publish("k1");
        published
    }

    /// Publishes its key under a name.
    fn publish(&self, kid: &str) {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let keys =
            format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{kid}","use":"sig","x":"{x}","y":"{y}"}}]}}"#);
        self.say("/keys", &keys);
        let discovery = format!(r#"{{"issuer":"{0}","jwks_uri":"{0}/keys"}}"#, self.url);
        self.say("/.well-known/openid-configuration", &discovery);
    }

    fn say(&self, path: &str, body: &str) {
        let mut documents = self.server.documents.lock().unwrap();
        documents.retain(|(known, _)| known != path);
        documents.push((path.to_owned(), body.to_owned()));
    }

    fn asked(&self) -> usize {
        self.server.asked.load(Ordering::Relaxed)
    }

    pub(in crate::auth) fn token(&self, kid: &str, claims: &serde_json::Value) -> String {
        self.token_with(&serde_json::json!({"alg": "ES256", "kid": kid, "typ": "JWT"}), claims)
    }

    fn token_with(&self, header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    pub(in crate::auth) fn claims(&self) -> serde_json::Value {
        let now = Instant::now().0 / 1000;
        serde_json::json!({
            "iss": self.url, "aud": "reg", "sub": "repo:acme/app:ref:refs/heads/main",
            "exp": now + 300, "iat": now, "nbf": now,
            "repository_owner": "acme", "ref": "refs/heads/main", "run_attempt": 1, "groups": ["dev", "ops"],
        })
    }

    pub(in crate::auth) fn config(&self) -> Config {
        Config {
            name: "ci".to_owned(),
            url: self.url.clone(),
            audience: vec!["reg".to_owned()],
            jwks: None,
            ca: None,
            claims: [("repository_owner".to_owned(), "acme".to_owned())].into(),
            user_claim: "sub".to_owned(),
            groups_claim: Some("groups".to_owned()),
            algorithms: vec!["ES256".to_owned(), "RS256".to_owned()],
        }
    }
}

async fn serve(listener: TcpListener, server: Arc<Server>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            server.asked.fetch_add(1, Ordering::Relaxed);
            let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            let found = server.documents.lock().unwrap().iter().find(|(known, _)| *known == path).cloned();
            let answer = match found {
                Some((_, body)) if !server.down.load(Ordering::Relaxed) => {
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                }
                _ => "HTTP/1.1 503 Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await.ok();
        });
    }
}

impl Issuer {
    /// As if everything had happened longer ago.
    async fn age(&self, by: Duration) {
        if let Some(fetched) = self.fetched.load_full() {
            let at = fetched.at.checked_sub(by).unwrap();
            self.fetched.store(Some(Arc::new(Fetched { keys: fetched.keys.clone(), at })));
        }
        let mut asked = self.asked.lock().await;
        *asked = asked.and_then(|at| at.checked_sub(by));
    }
}

async fn check(issuer: &Arc<Issuer>, token: &str) -> Result<Principal, Error> {
    issuer.principal(&Parts::parse(token)?, Instant::now()).await.map(|(principal, _)| principal)
}

#[tokio::test]
async fn a_token_names_its_caller() {
    let published = Published::start().await;
    let issuer = Arc::new(Issuer::new(&published.config()));
    let principal = check(&issuer, &published.token("k1", &published.claims())).await.unwrap();
    assert_eq!(principal.name, "ci:repo:acme/app:ref:refs/heads/main");
    assert_eq!(principal.actor(), "token:ci:repo:acme/app:ref:refs/heads/main");
    assert_eq!(principal.groups, BTreeSet::from(["ci:dev".to_owned(), "ci:ops".to_owned()]));
    assert_eq!(principal.claims["run_attempt"], "1");
    assert!(!principal.claims.contains_key("groups"));
    assert_eq!(published.asked(), 2, "discovery and keys, once");
    check(&issuer, &published.token("k1", &published.claims())).await.unwrap();
    assert_eq!(published.asked(), 2);
}

#[tokio::test]
async fn attacks_are_refused_and_cost_no_fetch() {
    let published = Published::start().await;
    let issuer = Arc::new(Issuer::new(&published.config()));
    let now = Instant::now().0 / 1000;
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = published.claims();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = published.claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let cases = [
        (with("iss", "https://evil".into()), Error::Issuer),
        (with("iss", format!("{}/", published.url).into()), Error::Issuer),
        (without("iss"), Error::Issuer),
        (with("aud", "other".into()), Error::Audience),
        (without("aud"), Error::Audience),
        (with("exp", (now - 61).into()), Error::Expired),
        (without("exp"), Error::Claim("exp")),
        (with("nbf", (now + 120).into()), Error::Early),
        (with("iat", (now + 120).into()), Error::Early),
        (with("repository_owner", "evil".into()), Error::Condition("repository_owner".to_owned())),
        (without("repository_owner"), Error::Condition("repository_owner".to_owned())),
        (with("repository_owner", serde_json::json!(["acme"])), Error::Condition("repository_owner".to_owned())),
        (with("sub", "a\nb".into()), Error::Claim("sub")),
        (with("sub", "".into()), Error::Claim("sub")),
        (with("sub", 7.into()), Error::Claim("sub")),
    ];
    for (claims, expected) in cases {
        let token = published.token("k1", &claims);
        assert_eq!(check(&issuer, &token).await.unwrap_err(), expected, "{claims}");
    }
    let claims = published.claims();
    for (header, expected) in [
        (serde_json::json!({"alg": "none"}), Error::Algorithm),
        (serde_json::json!({"alg": "HS256", "kid": "k1"}), Error::Algorithm),
        (serde_json::json!({"alg": "EdDSA", "kid": "k1"}), Error::Algorithm),
        (
            serde_json::json!({"alg": "ES256", "kid": "k1", "jku": format!("{}/keys", published.url)}),
            Error::Steering("jku"),
        ),
        (serde_json::json!({"alg": "ES256", "kid": "k1", "typ": "refresh+jwt"}), Error::Type),
        (serde_json::json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}), Error::Type),
    ] {
        let token = published.token_with(&header, &claims);
        assert_eq!(check(&issuer, &token).await.unwrap_err(), expected, "{header}");
    }
    assert_eq!(published.asked(), 0);
}

#[tokio::test]
async fn another_key_under_the_right_name_does_not_pass() {
    let (published, evil) = (Published::start().await, Published::start().await);
    let issuer = Arc::new(Issuer::new(&published.config()));
    assert_eq!(check(&issuer, &evil.token("k1", &published.claims())).await.unwrap_err(), Error::Signature);
    // RS256 is allowed here, but the key is none for it.
    let token = published.token_with(&serde_json::json!({"alg": "RS256", "kid": "k1"}), &published.claims());
    assert_eq!(check(&issuer, &token).await.unwrap_err(), Error::UnknownKey);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_asks_once() {
    let published = Published::start().await;
    let issuer = Arc::new(Issuer::new(&published.config()));
    let storm = (0..100).map(|kid| {
        let (issuer, token) = (Arc::clone(&issuer), published.token(&format!("x{kid}"), &published.claims()));
        tokio::spawn(async move { check(&issuer, &token).await })
    });
    for outcome in futures_util::future::join_all(storm.collect::<Vec<_>>()).await {
        assert_eq!(outcome.unwrap().unwrap_err(), Error::UnknownKey);
    }
    assert_eq!(published.asked(), 2);
}

#[tokio::test]
async fn keys_that_change_are_found_and_those_that_are_known_survive_an_outage() {
    let published = Published::start().await;
    let issuer = Arc::new(Issuer::new(&published.config()));
    check(&issuer, &published.token("k1", &published.claims())).await.unwrap();
    published.publish("k2");
    let token = published.token("k2", &published.claims());
    assert_eq!(check(&issuer, &token).await.unwrap_err(), Error::UnknownKey, "asked just now");
    issuer.age(BETWEEN).await;
    check(&issuer, &token).await.unwrap();

    published.server.down.store(true, Ordering::Relaxed);
    issuer.age(FRESH * 2).await;
    check(&issuer, &token).await.unwrap();
    issuer.age(STALE).await;
    assert_eq!(check(&issuer, &token).await.unwrap_err(), Error::Unavailable);
    published.server.down.store(false, Ordering::Relaxed);
    issuer.age(BETWEEN).await;
    check(&issuer, &token).await.unwrap();
}

#[tokio::test]
async fn documents_that_lead_elsewhere_are_not_followed() {
    let published = Published::start().await;
    let discovery = "/.well-known/openid-configuration";
    for document in [
        r#"{"issuer":"https://evil","jwks_uri":"https://evil/keys"}"#.to_owned(),
        format!(r#"{{"issuer":"{}","jwks_uri":"http://192.0.2.1/keys"}}"#, published.url),
        format!(r#"{{"issuer":"{}","jwks_uri":"file:///etc/passwd"}}"#, published.url),
        format!(r#"{{"issuer":"{}"}}"#, published.url),
        "x".repeat(LARGEST + 1),
        "[]".to_owned(),
    ] {
        published.say(discovery, &document);
        let issuer = Arc::new(Issuer::new(&published.config()));
        let token = published.token("k1", &published.claims());
        assert_eq!(check(&issuer, &token).await.unwrap_err(), Error::Unavailable, "{document:.80}");
    }
    // Named keys need no discovery.
    let config = Config { jwks: Some(format!("{}/keys", published.url)), ..published.config() };
    check(&Arc::new(Issuer::new(&config)), &published.token("k1", &published.claims())).await.unwrap();
}

#[test]
fn only_trustworthy_urls() {
    for (url, expected) in [
        ("https://token.actions.githubusercontent.com", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost", true),
        ("http://issuer.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("file:///etc/passwd", false),
        ("issuer.example", false),
    ] {
        assert_eq!(trustworthy(url).is_ok(), expected, "{url}");
    }
}
