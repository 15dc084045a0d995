//! Registries that are odd when something is pushed to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fixtures::{Answer, Asked, Body, Host, Image, Layer, Made, Shelf};

use super::{PEAK_KIB, errors, honest, host, leaves_nothing, noise, run, works};
use crate::runner::Env;

/// A few layers that are pushed as they came.
fn image() -> Made {
    let noise = noise(3_000_000, 1);
    let one = Layer::new().file("noise", 0o644, &noise);
    Image::empty().layer(one).layer(Layer::new().file("b", 0o644, b"b")).made().unwrap().gzipped().unwrap()
}

/// A store that holds the image, as `app`.
fn filled() -> Env {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", &image()).unwrap();
    let from = honest(&shelf);
    let name = format!("{}/app", from.address());
    works(&env, &["pull", &name]);
    works(&env, &["tag", &name, "app"]);
    env
}

/// Pushes `app` to a host; it must get there whole.
#[track_caller]
fn arrives(env: &Env, host: &Host, shelf: &Shelf) {
    let name = format!("{}/app:pushed", host.address());
    works(env, &["tag", "app", &name]);
    let said = works(env, &["push", &name]);
    whole(shelf, &said);
}

/// The pushed manifest and everything that it names are there.
#[track_caller]
fn whole(shelf: &Shelf, said: &str) {
    let bytes = shelf.named("pushed").expect("the tag is there");
    let digest = format!("sha256:{}", fixtures::sha256(&bytes).unwrap());
    assert!(said.contains(&digest), "{digest} is not in {said:?}");
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let parts = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    for part in parts {
        let held = shelf.held(part["digest"].as_str().unwrap()).expect("what is named is there");
        assert_eq!(held.len() as u64, part["size"].as_u64().unwrap());
    }
}

#[test]
fn odd_registries_are_pushed_to() {
    type Quirk = fn(&Asked, &Shelf, &AtomicUsize) -> Option<Answer>;
    let quirks: &[(&str, Quirk)] = &[
        ("an honest one", |_, _, _| None),
        ("201 for a PATCH", |asked, shelf, _| {
            let upload = asked.path().to_owned();
            asked.is("PATCH", "/uploads/").then(|| {
                let _ = shelf.answer(asked);
                Answer::new(201, "").header("Location", upload)
            })
        }),
        ("no HEAD of blobs", |asked, _, _| asked.is("HEAD", "/blobs/").then(|| Answer::new(405, ""))),
        ("errors at first", |asked, _, count| {
            let first = asked.is("POST", "/uploads/") && count.fetch_add(1, Ordering::Relaxed) < 3;
            first.then(|| Answer::new(503, ""))
        }),
        ("busy at first", |asked, _, count| {
            let first = asked.target.contains("/uploads/") && count.fetch_add(1, Ordering::Relaxed) < 2;
            first.then(|| Answer::new(429, "").header("Retry-After", "1"))
        }),
        ("manifests that fail at first", |asked, _, count| {
            let first = asked.is("PUT", "/manifests/") && count.fetch_add(1, Ordering::Relaxed) < 2;
            first.then(|| Answer::new(502, "<html>"))
        }),
        ("an upload that is forgotten once", |asked, _, count| {
            let first = asked.is("PATCH", "/uploads/") && count.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| fixtures::unknown("BLOB_UPLOAD_UNKNOWN"))
        }),
        ("a PATCH that ends without an answer", |asked, _, count| {
            let first = asked.is("PATCH", "/uploads/") && count.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| Answer::with(0, Body::Raw(Vec::new())))
        }),
        ("a PATCH that was taken, and ends without an answer", |asked, shelf, count| {
            let first = asked.is("PATCH", "/uploads/") && count.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| {
                let _ = shelf.answer(asked);
                Answer::with(0, Body::Raw(Vec::new()))
            })
        }),
        ("a PUT that was taken, and ends without an answer", |asked, shelf, count| {
            let first = asked.is("PUT", "/uploads/") && count.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| {
                let _ = shelf.answer(asked);
                Answer::with(0, Body::Raw(Vec::new()))
            })
        }),
        ("a manifest that was taken, and ends without an answer", |asked, shelf, count| {
            let first = asked.is("PUT", "/manifests/") && count.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| {
                let _ = shelf.answer(asked);
                Answer::with(0, Body::Raw(Vec::new()))
            })
        }),
        ("mounts that are taken, and are not there", |asked, _, _| {
            (asked.method == "POST" && asked.target.contains("mount="))
                .then(|| Answer::new(202, "").header("Location", "/v2/app/blobs/uploads/x"))
        }),
        ("an OCI-Subject of nothing", |asked, shelf, _| {
            asked.is("PUT", "/manifests/").then(|| shelf.answer(asked).header("OCI-Subject", "sha256:x"))
        }),
    ];
    let env = filled();
    for (what, quirk) in quirks {
        println!("{what}");
        let shelf = Arc::new(Shelf::default());
        let count = AtomicUsize::new(0);
        let held = Arc::clone(&shelf);
        let odd = host(&shelf, move |asked| quirk(asked, &held, &count));
        if what.starts_with("mounts") {
            // The session of a refused mount is a lie too: it may fail, clearly.
            let name = format!("{}/app:pushed", odd.address());
            works(&env, &["tag", "app", &name]);
            let watched = run(&env, &["push", &name]);
            println!("  {:#?}", watched.said);
            if watched.said.code == 0 {
                whole(&shelf, &watched.said.stdout);
            }
            continue;
        }
        arrives(&env, &odd, &shelf);
    }
}

/// Some take no chunk beyond 4 MiB.
#[test]
fn large_bodies_are_refused_and_sent_in_pieces() {
    let noise = noise(11_000_000, 1);
    let image = Image::empty().layer(Layer::new().file("noise", 0o644, &noise)).made().unwrap().gzipped().unwrap();
    let env = Env::new();
    let source = Arc::new(Shelf::default());
    source.publish("latest", &image).unwrap();
    let from = honest(&source);
    works(&env, &["pull", &format!("{}/app", from.address())]);
    works(&env, &["tag", &format!("{}/app", from.address()), "app"]);
    let shelf = Arc::new(Shelf::default());
    let strict = host(&shelf, |asked| {
        let large = matches!(asked.method.as_str(), "PATCH" | "PUT") && asked.body.len() > 4 << 20;
        large.then(|| Answer::new(416, ""))
    });
    let name = format!("{}/app:pushed", strict.address());
    works(&env, &["tag", "app", &name]);
    let watched = run(&env, &["push", &name]);
    println!("{:#?}", watched.said);
    assert!(watched.peak < PEAK_KIB, "{} KiB", watched.peak);
    if watched.said.code == 0 {
        whole(&shelf, &watched.said.stdout);
    } else {
        // Not in the table of quirks: then it is told.
        assert!(watched.said.stderr.contains("416"), "{}", watched.said.stderr);
        assert_eq!(shelf.named("pushed"), None);
    }
}

/// Tokens that are good for a few requests, or end in the middle of an upload.
#[test]
fn tokens_that_end() {
    let env = filled();
    for (uses, parallel) in [(2, "1"), (3, "1"), (7, "2")] {
        let shelf = Arc::new(Shelf::default());
        let (issued, used) = (AtomicUsize::new(0), Mutex::new(HashMap::<String, usize>::new()));
        let address = Arc::new(Mutex::new(String::new()));
        let odd = host(&shelf, {
            let address = Arc::clone(&address);
            move |asked| {
                if asked.path() == "/token" {
                    let number = issued.fetch_add(1, Ordering::Relaxed);
                    return Some(Answer::new(200, format!(r#"{{"token":"t{number}","expires_in":3600}}"#)));
                }
                let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default().to_owned();
                let mut used = used.lock().unwrap();
                let count = used.entry(token.clone()).or_default();
                *count += 1;
                (token.is_empty() || *count > uses).then(|| {
                    let realm = format!("http://{}/token", address.lock().unwrap());
                    let challenge =
                        format!("Bearer realm=\"{realm}\",service=\"x\",scope=\"repository:app:pull,push\"");
                    Answer::new(401, "").header("WWW-Authenticate", challenge)
                })
            }
        });
        *address.lock().unwrap() = odd.address();
        println!("{uses} uses");
        let name = format!("{}/app:pushed", odd.address());
        let said = works(&env, &["push", "--parallel", parallel, "app", &name]);
        whole(&shelf, &said);
    }
}

/// What a registry says it got is compared with what was sent.
#[test]
fn a_registry_that_took_something_else_is_told() {
    let env = filled();
    let shelf = Arc::new(Shelf::default());
    let liar = host(&shelf, |asked| {
        let other = format!("sha256:{}", "0".repeat(64));
        asked.is("PUT", "/manifests/").then(|| Answer::new(201, "").header("Docker-Content-Digest", other))
    });
    let name = format!("{}/app:pushed", liar.address());
    works(&env, &["tag", "app", &name]);
    let watched = run(&env, &["push", &name]);
    assert_eq!(watched.said.code, 1, "{:#?}", watched.said);
    assert!(watched.said.stderr.contains("sha256:00000"), "{}", watched.said.stderr);
}

/// A push that is refused says why, once, and sends nothing twice.
#[test]
fn refused_pushes_are_told() {
    let env = filled();
    let cases: &[(u16, &str, &str, &str, &[&str])] = &[
        (401, "POST", "/uploads/", "", &["estiba login"]),
        (403, "POST", "/uploads/", r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, &["DENIED"]),
        (404, "POST", "/uploads/", r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, &["NAME_UNKNOWN"]),
        (400, "PUT", "/uploads/", r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#, &["DIGEST_INVALID"]),
        (507, "PATCH", "/uploads/", "", &["507"]),
        (400, "PUT", "/manifests/", r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#, &["MANIFEST_BLOB_UNKNOWN"]),
        (405, "PUT", "/manifests/", "", &["405"]),
        (202, "PUT", "/manifests/", "", &[]),
        (200, "POST", "/uploads/", "", &[]),
    ];
    for (status, method, part, body, words) in cases {
        let shelf = Arc::new(Shelf::default());
        let (status, method, part, body) = (*status, *method, *part, *body);
        let odd = host(&shelf, move |asked| asked.is(method, part).then(|| Answer::new(status, body)));
        let name = format!("{}/app:pushed", odd.address());
        works(&env, &["tag", "app", &name]);
        println!("{method} {part} {status}");
        let before = super::Held::of(&env);
        let watched = run(&env, &["push", &name]);
        let error = watched.said.stderr;
        println!("  {error}");
        assert_eq!(watched.said.code, 1, "{error}");
        assert_eq!(errors(&error), 1, "{error}");
        for word in *words {
            assert!(error.contains(word), "{word}: {error}");
        }
        super::Held::of(&env).adds_no_image(&before, &error);
        assert!(odd.asked().len() < 60, "{} requests", odd.asked().len());
    }
    works(&env, &["rmi", "-f", "app"]);
    for name in works(&env, &["images", "-q"]).lines() {
        works(&env, &["rmi", "-f", name]);
    }
    leaves_nothing(&env);
}
