//! Answers that break the protocol, and hosts that are slow, busy or send us elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use fixtures::{Answer, Body, Host, Shelf};

use super::{honest, host, leaves_nothing, noise, refused, run, small, works};
use crate::runner::Env;

fn shelf() -> Arc<Shelf> {
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", &small()).unwrap();
    shelf
}

#[test]
fn answers_that_are_no_http_are_refused() {
    let raw: &[(&str, Vec<u8>)] = &[
        ("words", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("nothing", Vec::new()),
        ("a body without a head", b"{\"schemaVersion\":2}".to_vec()),
        ("a status that is none", b"HTTP/1.1 9999 Odd\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("a header without a name", b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\n{}".to_vec()),
        ("a header that is binary", b"HTTP/1.1 200 OK\r\n\x00\x01\xff\r\n\r\n".to_vec()),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 200\r\n\r\n{}".to_vec()),
        ("a length below zero", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}".to_vec()),
        (
            "a chunk that is none",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n".to_vec(),
        ),
        (
            "a chunk without an end",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}".to_vec(),
        ),
        (
            "a megabyte of head",
            [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 1 << 20], b"\r\nContent-Length: 2\r\n\r\n{}"].concat(),
        ),
        (
            "ten thousand headers",
            [&b"HTTP/1.1 200 OK\r\n"[..], &b"X-Y: z\r\n".repeat(10_000), b"Content-Length: 2\r\n\r\n{}"].concat(),
        ),
        ("a switch of protocols", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec()),
        ("nothing but continues", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
    ];
    let env = Env::new();
    for (what, bytes) in raw {
        for part in ["/manifests/", "/blobs/"] {
            let bytes = bytes.clone();
            let odd = host(&shelf(), move |asked| {
                asked.target.contains(part).then(|| Answer::with(200, Body::Raw(bytes.clone())))
            });
            println!("{what} ({part})");
            println!("  {}", refused(&env, &["pull", &format!("{}/app", odd.address())], &[]));
        }
    }
    leaves_nothing(&env);
}

#[test]
fn errors_are_told_in_their_words_and_on_one_line() {
    let env = Env::new();
    let cases: &[(u16, &str, &[&str])] = &[
        (
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#,
            &["app", "NAME_UNKNOWN"],
        ),
        (
            403,
            r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m\r\nerror: colours"}]}"#,
            &["app", "DENIED", "estiba login"],
        ),
        (401, "", &["app", "estiba login"]),
        (500, "<html>oops</html>", &["app", "500"]),
        (418, "", &["app", "418"]),
        (200, "", &["app"]),
        (204, "", &["app"]),
        (304, "", &["app"]),
    ];
    for (status, body, words) in cases {
        let (status, body) = (*status, *body);
        let odd = host(&shelf(), move |asked| asked.is("GET", "/manifests/").then(|| Answer::new(status, body)));
        println!("{status}: {}", refused(&env, &["pull", &format!("{}/app", odd.address())], words));
    }
}

/// What a registry says when it is busy: waited for where that is short, told where it is long.
#[test]
fn busy_registries_are_waited_for() {
    let env = Env::new();
    let soon = httpdate(SystemTime::now() + Duration::from_secs(2));
    for after in ["1", "0", &soon] {
        let (tries, after) = (AtomicUsize::new(0), after.to_owned());
        let busy = host(&shelf(), move |asked| {
            let first = asked.target.contains("/blobs/") && tries.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(|| Answer::new(429, "").header("Retry-After", &after))
        });
        works(&env, &["pull", &format!("{}/app", busy.address())]);
    }
    let env = Env::new();
    for after in ["86400", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let after = after.to_owned();
        let busy = host(&shelf(), move |asked| {
            asked.target.contains("/blobs/").then(|| Answer::new(429, "").header("Retry-After", &after))
        });
        println!("{}", refused(&env, &["pull", &format!("{}/app", busy.address())], &["429"]));
    }
    // A date that is none, or is over, is no reason to wait or to hurry.
    for after in ["yesterday", "-5", "Thu, 01 Jan 1970 00:00:00 GMT", "1e3", ""] {
        let after = after.to_owned();
        let busy = host(&shelf(), move |asked| {
            asked.target.contains("/blobs/").then(|| Answer::new(503, "").header("Retry-After", &after))
        });
        refused(&env, &["pull", &format!("{}/app", busy.address())], &["503"]);
        assert!(busy.count("GET", "/blobs/") <= 30, "{} tries", busy.count("GET", "/blobs/"));
    }
}

fn httpdate(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = format!("@{seconds}");
    let said = std::process::Command::new("date")
        .args(["-u", "-d", &at, "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output();
    String::from_utf8(said.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn hosts_that_say_nothing_are_left() {
    let env = Env::new();
    for part in ["/v2/", "/manifests/", "/blobs/"] {
        let mute = host(&shelf(), move |asked| asked.target.contains(part).then(|| Answer::with(200, Body::Never)));
        println!("{}", refused(&env, &["pull", "--retry=1", &format!("{}/app", mute.address())], &[]));
    }
    // A body that stops in its middle.
    let stops = host(&shelf(), |asked| {
        let pause = Duration::from_secs(3600);
        asked.target.contains("/blobs/").then(|| Answer::with(200, Body::Dripping(vec![0; 2000], 1000, pause)))
    });
    println!("{}", refused(&env, &["pull", "--retry=1", &format!("{}/app", stops.address())], &[]));
    leaves_nothing(&env);
}

#[test]
fn redirects_end() {
    let env = Env::new();
    let elsewhere = Host::start(|_| Answer::new(200, "{}")).unwrap();
    let targets: Vec<(String, &str)> = vec![
        ("/v2/app/blobs/round".into(), "redirect"),
        ("file:///etc/passwd".into(), "neither http nor https"),
        ("ftp://127.0.0.1/x".into(), "neither http nor https"),
        ("http://169.254.169.254/latest/meta-data".into(), ""),
        (format!("http://user:password@{}/x", elsewhere.address()), "login"),
        ("//".into(), ""),
        ("http://".into(), ""),
        ("\u{7f}".into(), ""),
        (format!("/{}", "x".repeat(100_000)), ""),
    ];
    for (target, word) in targets {
        let moved = host(&shelf(), {
            let target = target.clone();
            move |asked| asked.target.contains("/blobs/").then(|| Answer::new(307, "").header("Location", &target))
        });
        let shown: String = target.chars().take(50).collect();
        println!("{shown}: {}", refused(&env, &["pull", &format!("{}/app", moved.address())], &[word]));
        assert!(moved.asked().len() < 60, "{} requests", moved.asked().len());
    }
    assert_eq!(elsewhere.asked().len(), 0);
    leaves_nothing(&env);
}

/// Ranges that are ignored, wrong, or of something else; the blob is large enough to be asked for in parts.
#[test]
fn ranges_that_lie() {
    let noise = noise(18_000_000, 1);
    let image = fixtures::Image::empty().layer(fixtures::Layer::new().file("noise", 0o644, &noise)).made().unwrap();
    let blob = format!("sha256:{}", fixtures::sha256(&image.layers[0].1).unwrap());
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", &image).unwrap();
    let bytes = Arc::new(image.layers[0].1.clone());
    type Lie = fn(&[u8], usize, usize) -> Option<Answer>;
    let lies: &[(&str, bool, Lie)] = &[
        ("ignored", true, |all, _, _| Some(Answer::new(200, all))),
        ("refused", true, |_, _, _| Some(Answer::new(416, ""))),
        ("an error", false, |_, from, _| (from > 0).then(|| Answer::new(500, ""))),
        ("from elsewhere", false, |all, from, to| {
            let other = if from == 0 { 0 } else { from - 1 };
            Some(
                Answer::new(206, &all[other..other + (to - from)])
                    .header("Content-Range", format!("bytes {from}-{}/{}", to - 1, all.len())),
            )
        }),
        ("said to be from elsewhere", false, |all, from, to| {
            Some(
                Answer::new(206, &all[from..to])
                    .header("Content-Range", format!("bytes {}-{}/{}", from + 1, to, all.len())),
            )
        }),
        ("of another length", false, |all, from, to| {
            Some(
                Answer::new(206, &all[from..to])
                    .header("Content-Range", format!("bytes {from}-{}/{}", to - 1, all.len() + 1)),
            )
        }),
        ("longer than asked for", false, |all, from, to| {
            let end = (to + 1000).min(all.len());
            Some(
                Answer::new(206, &all[from..end])
                    .header("Content-Range", format!("bytes {from}-{}/{}", end - 1, all.len())),
            )
        }),
        ("shorter than asked for", true, |all, from, to| {
            let end = (from + 1_000_000).min(to);
            Some(
                Answer::new(206, &all[from..end])
                    .header("Content-Range", format!("bytes {from}-{}/{}", end - 1, all.len())),
            )
        }),
        ("in several parts", false, |all, from, to| {
            Some(Answer::new(206, &all[from..to]).header("Content-Type", "multipart/byteranges; boundary=x"))
        }),
    ];
    for (what, may_work, lie) in lies {
        let env = Env::new();
        let odd = host(&shelf, {
            let (blob, bytes) = (blob.clone(), Arc::clone(&bytes));
            move |asked| {
                let range = asked.header("range").strip_prefix("bytes=").filter(|_| asked.is("GET", &blob))?;
                let (from, to) = range.split_once('-')?;
                let from = from.parse().ok()?;
                let to = to.parse().map_or(bytes.len(), |to: usize| bytes.len().min(to + 1));
                lie(&bytes, from, to)
            }
        });
        let name = format!("{}/app", odd.address());
        let watched = run(&env, &["pull", &name]);
        println!("{what}: {:?} {} KiB, {} requests {:#?}", watched.took, watched.peak, odd.asked().len(), watched.said);
        assert!(watched.peak < super::PEAK_KIB, "{what}: {} KiB", watched.peak);
        assert!(odd.asked().len() < 120, "{what}: {} requests", odd.asked().len());
        if watched.said.code == 0 {
            assert_eq!(super::tree(&env, &name).len(), 1, "{what}");
        } else {
            assert!(!may_work, "{what} need not keep us: {}", watched.said.stderr);
            assert_eq!(super::Held::of(&env).layers, Vec::<String>::new(), "{what}");
        }
        // Afterwards it works, whatever was left.
        let good = honest(&shelf);
        let name = format!("{}/app", good.address());
        works(&env, &["pull", &name]);
        assert_eq!(super::tree(&env, &name).len(), 1, "{what}");
    }
}
