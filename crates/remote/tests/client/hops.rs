//! Redirects: followed within the rules, and never with credentials.

use std::collections::BTreeMap;

use http::Method;
use oci::Digest;
use remote::{Client, Credential, Credentials, Error, Options};

use crate::host::{Host, Reply, noise, ranged};
use crate::{quick, repository};

fn with_password(host: &Host) -> Options {
    let credential = Credential::Password { user: "me".to_owned(), password: "word".to_owned() };
    let given = BTreeMap::from([(host.address.to_string(), credential)]);
    Options { credentials: Credentials::Given(given), ..quick() }
}

/// A registry that wants a password and redirects blobs.
async fn redirecting(status: u16, target: String) -> Host {
    Host::start(move |seen| {
        if seen.header("authorization").is_empty() {
            return Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"");
        }
        match seen.path.as_str() {
            "/v2/" => Reply::new(200, "{}"),
            _ => Reply::new(status, "").header("location", &target),
        }
    })
    .await
}

#[tokio::test]
async fn another_host_gets_no_authorization() {
    let bytes = noise(5000, 1);
    let digest = Digest::sha256(&bytes);
    let content = bytes.clone();
    let cdn = Host::start(move |seen| {
        ranged(&content, seen.header("range")).cut(if seen.header("range").is_empty() { 1000 } else { 9000 })
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        let registry = redirecting(status, format!("{}/signed?key=secret", cdn.url())).await;
        let client = Client::new(with_password(&registry));
        let repository = client.registry(&registry.address.to_string()).unwrap().repository(&"a".parse().unwrap());
        let mut blob = repository.blob(&digest, None).await.unwrap().verified(Some(5000));
        let mut found = Vec::new();
        while let Some(piece) = blob.next().await.unwrap() {
            found.extend_from_slice(&piece);
        }
        assert!(found == bytes);
        assert!(registry.seen().iter().any(|seen| seen.header("authorization").starts_with("Basic ")));
    }
    assert!(!cdn.seen().is_empty());
    for seen in cdn.seen() {
        assert_eq!(seen.header("authorization"), "");
        assert_eq!(seen.header("cookie"), "");
        assert_eq!(seen.header("referer"), "");
    }
}

#[tokio::test]
async fn the_challenge_of_another_host_is_not_answered() {
    let cdn =
        Host::start(|seen| Reply::new(401, "").header("www-authenticate", format!("Basic realm=\"{}\"", seen.path)))
            .await;
    let registry = redirecting(307, format!("{}/x", cdn.url())).await;
    let client = Client::new(with_password(&registry));
    let repository = client.registry(&registry.address.to_string()).unwrap().repository(&"a".parse().unwrap());
    let error = repository.blob(&Digest::sha256(b""), None).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert_eq!(cdn.seen().len(), 1);
    assert_eq!(cdn.seen()[0].header("authorization"), "");
}

#[tokio::test]
async fn circles_end_and_other_schemes_are_refused() {
    let circle = Host::start(|seen| match seen.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        _ => Reply::new(307, "").header("location", &seen.path),
    })
    .await;
    let error = repository(&circle, "a").blob(&Digest::sha256(b""), None).await.unwrap_err();
    assert!(matches!(error, Error::Hop { rule: remote::hop::Refused::TooMany, .. }), "{error}");
    assert_eq!(circle.count(Method::GET, "blobs"), 6);
    for target in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://me:word@127.0.0.1:1/",
        "http://192.0.2.1/x",
        "http://[::",
        "data:,x",
    ] {
        let host = Host::start(move |seen| match seen.path.as_str() {
            "/v2/" => Reply::new(200, "{}"),
            _ => Reply::new(302, "").header("location", target),
        })
        .await;
        let error = repository(&host, "a").blob(&Digest::sha256(b""), None).await.unwrap_err();
        assert!(matches!(error, Error::Hop { .. }), "{target}: {error}");
        assert!(!error.to_string().contains("word"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_without_an_address_is_an_answer() {
    let host = Host::start(|seen| match seen.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        _ => Reply::new(302, ""),
    })
    .await;
    let error = repository(&host, "a").blob(&Digest::sha256(b""), None).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(302));
}

#[tokio::test]
async fn plain_http_is_for_loopback_and_where_it_was_asked_for() {
    let client = Client::new(quick());
    for address in
        ["http://192.0.2.1/", "http://registry.example/", "ftp://127.0.0.1/", "https://me:word@registry.example/"]
    {
        assert!(client.registry_at("x", &address.parse().unwrap()).is_err(), "{address}");
    }
    assert!(client.registry_at("x", &"http://127.0.0.1:1/".parse().unwrap()).is_ok());
    let mut options = quick();
    options.insecure.insert("registry.example".to_owned());
    assert!(Client::new(options).registry_at("x", &"http://registry.example/".parse().unwrap()).is_ok());
    for name in ["", "a b", "user@host", "host/path", "host?query", "[::1", "host:port"] {
        assert!(client.registry(name).is_err(), "{name}");
    }
}
