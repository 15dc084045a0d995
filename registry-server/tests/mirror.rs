//! Pull-through: upstreams that are well, slow, broken, lying, gone; many waiters; what is kept and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use oci::Digest;
use registry_server::config;
use registry_server::mirror::config::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Harness, image};
use crate::host::{Host, Reply, Seen, Shelf, noise};

/// An upstream called `up.example`, at a host.
fn upstream(host: &Host) -> Upstream {
    Upstream { name: "up.example".to_owned(), url: vec![host.url()], ..Upstream::default() }
}

/// A registry that mirrors `upstreams`; the first one is the default.
async fn mirroring(upstreams: Vec<Upstream>) -> Harness {
    Harness::with(|config| {
        config.mirror.default = upstreams.first().map(|upstream| upstream.name.clone());
        config.mirror.upstream = upstreams;
    })
    .await
}

/// A good upstream, with what a test does to its answers.
async fn shelf(fault: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static) -> (Arc<Shelf>, Host) {
    let shelf = Arc::new(Shelf::default());
    let kept = Arc::clone(&shelf);
    let host = Host::start(move |seen| fault(seen, kept.answer(seen))).await;
    (shelf, host)
}

fn milliseconds(number: u64) -> config::Duration {
    config::Duration(Duration::from_millis(number))
}

/// Waits until a condition holds.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_linked(harness: &Harness, repository: &str, digest: &Digest) -> bool {
    harness.registry.metadata.blob(&repository.parse().unwrap(), digest).unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_ns_by_prefix_and_by_default_it_is_one_repository() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    let (digest, layer) = shelf.image("v1", "the layer");
    let harness = mirroring(vec![upstream(&host)]).await;
    for path in
        ["/v2/team/app/manifests/v1?ns=up.example", "/v2/up.example/team/app/manifests/v1", "/v2/team/app/manifests/v1"]
    {
        let answer = harness.get(path).await;
        assert_eq!((answer.status, answer.header("docker-content-digest")), (200, &*digest.to_string()), "{path}");
        assert_eq!(answer.header("age"), "0");
        assert_eq!(answer.header("warning"), "");
    }
    assert_eq!(host.count(Method::GET, "manifests"), 1);
    for path in ["/v2/team/app/blobs/{}?ns=up.example", "/v2/up.example/team/app/blobs/{}", "/v2/team/app/blobs/{}"] {
        let answer = harness.get(&path.replace("{}", &layer.to_string())).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"the layer"[..]), "{path}");
        assert_eq!(answer.header("content-length"), "9");
        assert_eq!(answer.header("docker-content-digest"), layer.to_string());
        eventually("the blob is kept", || is_linked(&harness, "up.example/team/app", &layer)).await;
    }
    assert_eq!(host.count(Method::GET, "blobs"), 1);
    let figures = harness.registry.metrics.text().unwrap();
    for line in
        ["mirror_fetches_total 1", "mirror_manifests_total 1", "mirror_hits_total 2", "mirror_fetched_bytes_total 9"]
    {
        assert!(figures.contains(&format!("estiba_registry_{line}\n")), "{line}: {figures}");
    }
    assert!(
        host.seen()
            .iter()
            .all(|seen| seen.body.is_empty() && !seen.path.contains("ns=") && !seen.path.contains("up.example"))
    );
    // By digest, and after a restart, it is never asked for again.
    let before = host.seen().len();
    let harness = harness.restart().await;
    assert_eq!(harness.get(&format!("/v2/team/app/manifests/{digest}?ns=up.example")).await.status, 200);
    assert_eq!(harness.get(&format!("/v2/team/app/blobs/{layer}?ns=up.example")).await.status, 200);
    assert_eq!(host.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_configured_upstreams_are_asked() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    shelf.image("v1", "layer");
    let allowed = Upstream { repositories: vec!["team/*".to_owned()], ..upstream(&host) };
    let harness = mirroring(vec![allowed]).await;
    for path in [
        format!("/v2/team/app/manifests/v1?ns={}", host.address),
        "/v2/team/app/manifests/v1?ns=http://169.254.169.254/".to_owned(),
        "/v2/team/app/manifests/v1?ns=up.example/../x".to_owned(),
        "/v2/team/app/manifests/v1?ns=other.example".to_owned(),
    ] {
        let answer = harness.get(&path).await;
        assert_eq!(answer.refusal(), "404 NAME_UNKNOWN", "{path}");
    }
    assert_eq!(harness.get("/v2/team/app/manifests/v1?ns=a&ns=b").await.status, 400);
    for path in ["/v2/other/app/manifests/v1?ns=up.example", "/v2/team/a/b/manifests/v1"] {
        assert_eq!(harness.get(path).await.refusal(), "404 MANIFEST_UNKNOWN", "{path}");
    }
    let blob = format!("/v2/other/app/blobs/{}", Digest::sha256(b"layer"));
    assert_eq!(harness.get(&blob).await.refusal(), "404 BLOB_UNKNOWN");
    assert_eq!(host.seen().len(), 0);
    assert_eq!(harness.get("/v2/team/app/manifests/v1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_work_beside_it_and_never_into_it() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    let (theirs, _) = shelf.image("v1", "theirs");
    let harness = mirroring(vec![upstream(&host)]).await;
    // A repository of our own wins over the upstream's of the same name, as a whole.
    let ours = harness.push_image("team/app", "v1", "ours").await;
    assert_eq!(harness.get("/v2/team/app/manifests/v1").await.header("docker-content-digest"), ours.to_string());
    assert_eq!(harness.get("/v2/team/app/manifests/v2").await.status, 404);
    let other = harness.get("/v2/team/app/manifests/v1?ns=up.example").await;
    assert_eq!(other.header("docker-content-digest"), theirs.to_string());
    // Nothing gets into the upstream's.
    let digest = Digest::sha256(b"evil");
    for name in ["up.example/team/app", "up.example/x", "up.example"] {
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        assert_eq!(harness.send("POST", &path, &[], "evil").await.refusal(), "403 DENIED", "{name}");
        let path = format!("/v2/{name}/blobs/uploads/?mount={digest}&from=team/app");
        assert_eq!(harness.send("POST", &path, &[], "").await.refusal(), "403 DENIED", "{name}");
        let manifest = harness.send("PUT", &format!("/v2/{name}/manifests/v1"), &[], "{}").await;
        assert_eq!(manifest.refusal(), "403 DENIED", "{name}");
    }
    // Whoever pushes and asks what is there is told of what is here, not of what an upstream has.
    let theirs_blob = Digest::sha256(b"theirs");
    assert_eq!(harness.head(&format!("/v2/new/app/blobs/{theirs_blob}")).await.status, 404);
    assert_eq!(harness.head(&format!("/v2/new/app/manifests/{theirs}")).await.status, 404);
    harness.push_image("new/app", "v1", "theirs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_comes_at_once_and_many_waiters_are_one_fetch() {
    let bytes = noise(2 << 20, 1);
    let (shelf, host) =
        shelf(
            |seen, reply| {
                if seen.path.contains("blobs") { reply.paced(64 << 10, Duration::from_millis(30)) } else { reply }
            },
        )
        .await;
    let layer = shelf.blob(bytes.clone());
    let harness = Arc::new(mirroring(vec![upstream(&host)]).await);
    let path = format!("/v2/team/app/blobs/{layer}?ns=up.example");
    let began = Instant::now();
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = vec![0; 32 << 10];
    stream.read_exact(&mut first).await.unwrap();
    // The upstream takes a second for all of it.
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
    assert!(!is_linked(&harness, "up.example/team/app", &layer));
    let waiters: Vec<_> = (0..32)
        .map(|number| {
            let (harness, path) = (Arc::clone(&harness), path.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 20)).await;
                harness.get(&path).await.body
            })
        })
        .collect();
    for waiter in waiters {
        assert!(waiter.await.unwrap() == bytes);
    }
    assert_eq!(host.count(Method::GET, "blobs"), 1);
    // Ranges of what is here are cut from the file.
    let range = harness.send("GET", &path, &[("range", "bytes=100-199")], "").await;
    assert!(range.status == 206 && range.body == bytes[100..200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_neither_kept_nor_given_out_whole() {
    let right = noise(300_000, 2);
    let digest = Digest::sha256(&right);
    let mut other = right.to_vec();
    other[299_999] ^= 1;
    for wrong in [other, right[..200_000].to_vec(), [&right[..], b"!"].concat(), Vec::new()] {
        for announced in [true, false] {
            let (shelf, host) = shelf({
                let wrong = Bytes::from(wrong.clone());
                move |seen, reply| match seen.path.contains("blobs") {
                    true => {
                        let mut reply = Reply { body: wrong.clone(), ..reply };
                        reply.announced = announced;
                        reply
                    }
                    false => reply,
                }
            })
            .await;
            shelf.blob(right.clone());
            let harness = mirroring(vec![upstream(&host)]).await;
            let request = format!("GET /v2/a/b/blobs/{digest}?ns=up.example HTTP/1.1\r\nhost: x\r\n\r\n");
            let mut stream = TcpStream::connect(harness.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let split = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
            let (head, body) = answer.split_at(split);
            let head = String::from_utf8_lossy(head);
            // Cut before the end, or an error at once: never an answer that looks whole.
            let whole = match (head.starts_with("HTTP/1.1 200"), announced) {
                (true, true) => head.contains(&format!("content-length: {}\r\n", body.len())),
                (true, false) => body.ends_with(b"0\r\n\r\n"),
                (false, _) => head.starts_with("HTTP/1.1 2"),
            };
            assert!(!whole, "{} bytes, {announced}: {head}", wrong.len());
            assert!(!is_linked(&harness, "up.example/a/b", &digest));
            assert_eq!(harness.registry.metadata.object(&digest).unwrap(), None);
            eventually("nothing is left", || harness.registry.objects.uploads().unwrap().is_empty()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_lie_are_not_kept() {
    let (shelf, host) = shelf(|seen, reply| match seen.path.as_str() {
        path if path.ends_with("manifests/other") => {
            Reply { body: Bytes::from_static(b"{\"schemaVersion\":2,\"layers\":[]}"), ..reply }
        }
        path if path.ends_with("manifests/both") => {
            Reply::new(200, r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#)
                .header("content-type", oci::media_type::OCI_MANIFEST)
        }
        path if path.ends_with("manifests/html") => Reply::new(200, "<html>"),
        path if path.ends_with("manifests/large") => Reply::new(200, vec![b' '; 9 << 20]),
        _ => reply,
    })
    .await;
    shelf.image("other", "x");
    let (_, _) = shelf.image("good", "x");
    let harness = mirroring(vec![upstream(&host)]).await;
    for tag in ["other", "both", "html", "large"] {
        let answer = harness.get(&format!("/v2/a/manifests/{tag}")).await;
        assert_eq!(answer.status, 502, "{tag}");
    }
    assert_eq!(harness.get("/v2/a/manifests/good").await.status, 200);
    let tags = harness
        .registry
        .metadata
        .tags(&"up.example/a".parse().unwrap(), registry_server::metadata::Page { after: None, limit: 9 });
    assert_eq!(tags.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_follow_the_upstream_after_their_ttl() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    let (first, _) = shelf.image("v1", "first");
    let section = Upstream { ttl: milliseconds(200), negative_ttl: milliseconds(200), ..upstream(&host) };
    let harness = mirroring(vec![section]).await;
    let ask = async || {
        let answer = harness.get("/v2/a/manifests/v1").await;
        (answer.status, answer.header("docker-content-digest").to_owned())
    };
    assert_eq!(ask().await, (200, first.to_string()));
    let (second, _) = shelf.image("v1", "second");
    // Believed for a while, then asked by HEAD.
    assert_eq!(ask().await, (200, first.to_string()));
    assert_eq!(host.count(Method::HEAD, "manifests"), 0);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(ask().await, (200, second.to_string()));
    tokio::time::sleep(Duration::from_millis(250)).await;
    // Back to what is here: no second fetch.
    shelf.image("v1", "first");
    let fetched = host.count(Method::GET, "manifests");
    assert_eq!(ask().await, (200, first.to_string()));
    assert_eq!(host.count(Method::GET, "manifests"), fetched);
    // Gone there, gone here; the manifest itself stays.
    shelf.forget("v1");
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(ask().await.0, 404);
    assert_eq!(harness.get(&format!("/v2/a/manifests/{first}")).await.status, 200);
    // "No such thing" is believed, too, and not for ever.
    let asked = host.seen().len();
    assert_eq!(ask().await.0, 404);
    assert_eq!(host.seen().len(), asked);
    shelf.image("v1", "third");
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(ask().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_served_while_the_upstream_is_not_there() {
    for fault in [429, 500, 503, 401, 0] {
        let broken = Arc::new(AtomicBool::new(false));
        let (shelf, host) = shelf({
            let broken = Arc::clone(&broken);
            move |_, mut reply| {
                if !broken.load(Ordering::SeqCst) {
                    return reply;
                }
                if fault == 0 {
                    reply.delay = Duration::from_secs(3);
                    return reply;
                }
                Reply::new(fault, "").header("retry-after", 7)
            }
        })
        .await;
        let (digest, layer) = shelf.image("v1", "layer");
        let section = Upstream { ttl: milliseconds(50), ..upstream(&host) };
        let harness = Harness::with(|config| {
            config.mirror.upstream = vec![section];
            config.mirror.patience = milliseconds(300);
        })
        .await;
        let tag = "/v2/a/manifests/v1?ns=up.example";
        assert_eq!(harness.get(tag).await.status, 200);
        assert_eq!(harness.get(&format!("/v2/a/blobs/{layer}?ns=up.example")).await.status, 200);
        eventually("the blob is kept", || is_linked(&harness, "up.example/a", &layer)).await;
        broken.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        for _ in 0..20 {
            let answer = harness.get(tag).await;
            assert_eq!((answer.status, answer.header("docker-content-digest")), (200, &*digest.to_string()), "{fault}");
            assert!(answer.header("warning").starts_with("110 "), "{fault}");
            assert_ne!(answer.header("age"), "");
            assert_eq!(harness.get(&format!("/v2/a/blobs/{layer}?ns=up.example")).await.body, "layer");
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{fault}: {:?}", began.elapsed());
        // What is not here is refused, and clients are told when to come back.
        let other = harness.get("/v2/a/manifests/v2?ns=up.example").await;
        match fault {
            429 => {
                assert_eq!(other.refusal(), "429 TOOMANYREQUESTS");
                assert_ne!(other.header("retry-after"), "");
            }
            401 => assert_eq!(other.refusal(), "404 MANIFEST_UNKNOWN"),
            0 => {}
            _ => {
                assert_eq!(other.status, 503);
                assert_ne!(other.header("retry-after"), "");
            }
        }
        // After a restart, too.
        let harness = harness.restart().await;
        let answer = harness.get(tag).await;
        assert_eq!(answer.status, 200, "{fault}");
        assert!(answer.header("warning").starts_with("110 "), "{fault}");
        // It came back.
        broken.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cuts_is_taken_up_where_it_was() {
    let bytes = noise(1 << 20, 3);
    let cuts = AtomicUsize::new(0);
    let (shelf, host) = shelf(move |seen, reply| {
        let cut = seen.path.contains("blobs") && cuts.fetch_add(1, Ordering::SeqCst) < 8;
        if cut { reply.cut(100_000) } else { reply }
    })
    .await;
    let layer = shelf.blob(bytes.clone());
    let harness = mirroring(vec![upstream(&host)]).await;
    let answer = harness.get(&format!("/v2/a/b/blobs/{layer}")).await;
    assert!(answer.body == bytes);
    let ranges = host.seen().iter().filter(|seen| !seen.header("range").is_empty()).count();
    assert_eq!(ranges, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_given_up_goes_on_later_even_in_another_process() {
    let bytes = noise(1 << 20, 4);
    let broken = Arc::new(AtomicBool::new(true));
    let (shelf, host) = shelf({
        let broken = Arc::clone(&broken);
        move |seen, reply| match seen.path.contains("blobs") && broken.load(Ordering::SeqCst) {
            // The first answer brings a part, the others nothing.
            true if seen.header("range").is_empty() => reply.cut(400_000),
            true => Reply::new(500, ""),
            false => reply,
        }
    })
    .await;
    let layer = shelf.blob(bytes.clone());
    let harness = mirroring(vec![upstream(&host)]).await;
    let path = format!("/v2/a/b/blobs/{layer}");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let cut = harness.raw(request.as_bytes()).await;
    assert!(cut.starts_with("HTTP/1.1 200"), "{cut}");
    let harness = harness.restart().await;
    broken.store(false, Ordering::SeqCst);
    let before = host.seen().len();
    let answer = harness.get(&path).await;
    assert!(answer.body == bytes);
    let later: Vec<_> = host.seen().split_off(before).iter().map(|seen| seen.header("range").to_owned()).collect();
    assert_eq!(later, ["bytes=400000-"]);
    eventually("it is kept", || is_linked(&harness, "up.example/a/b", &layer)).await;
    assert!(harness.registry.objects.uploads().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_stop_the_fetch() {
    let bytes = noise(1 << 20, 5);
    let (shelf, host) =
        shelf(
            |seen, reply| {
                if seen.path.contains("blobs") { reply.paced(64 << 10, Duration::from_millis(20)) } else { reply }
            },
        )
        .await;
    let layer = shelf.blob(bytes);
    let harness = mirroring(vec![upstream(&host)]).await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    let request = format!("GET /v2/a/b/blobs/{layer} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).await.unwrap();
    drop(stream);
    eventually("it is kept all the same", || is_linked(&harness, "up.example/a/b", &layer)).await;
    assert_eq!(host.count(Method::GET, "blobs"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_wait_or_pass_through() {
    let bytes = noise(12 << 20, 6);
    let (shelf, host) = shelf(|seen, reply| match seen.path.contains("blobs") && seen.header("range").is_empty() {
        true => reply.paced(256 << 10, Duration::from_millis(40)),
        false => reply,
    })
    .await;
    let layer = shelf.blob(bytes.clone());
    let harness = Arc::new(mirroring(vec![upstream(&host)]).await);
    let path = format!("/v2/a/b/blobs/{layer}");
    let whole = tokio::spawn({
        let (harness, path) = (Arc::clone(&harness), path.clone());
        async move { harness.get(&path).await.body }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (range, expected) in [
        ("bytes=0-99", 0..100),
        ("bytes=1000000-1999999", 1_000_000..2_000_000),
        ("bytes=11000000-11000009", 11_000_000..11_000_010),
        ("bytes=-10", (12 << 20) - 10..12 << 20),
    ] {
        let answer = harness.send("GET", &path, &[("range", range)], "").await;
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == bytes[expected.clone()], "{range}");
        assert_eq!(
            answer.header("content-range"),
            format!("bytes {}-{}/{}", expected.start, expected.end - 1, 12 << 20)
        );
    }
    let beyond = harness.send("GET", &path, &[("range", "bytes=99999999-")], "").await;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", 12 << 20));
    assert!(whole.await.unwrap() == bytes);
    // Those far ahead were asked of the upstream on their own, the others came from the one fetch.
    assert_eq!(host.seen().iter().filter(|seen| seen.header("range").is_empty()).count(), 1);
    assert_eq!(host.seen().iter().filter(|seen| !seen.header("range").is_empty()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_repository_holds_is_not_fetched_but_asked_for() {
    let (shelf, host) =
        shelf(|seen, reply| if seen.path.starts_with("/v2/closed/") { Reply::new(404, "") } else { reply }).await;
    let layer = shelf.blob("shared layer");
    let harness = mirroring(vec![upstream(&host)]).await;
    assert_eq!(harness.get(&format!("/v2/a/one/blobs/{layer}")).await.status, 200);
    eventually("it is kept", || is_linked(&harness, "up.example/a/one", &layer)).await;
    assert_eq!(harness.get(&format!("/v2/a/two/blobs/{layer}")).await.body, "shared layer");
    assert!(is_linked(&harness, "up.example/a/two", &layer));
    assert_eq!((host.count(Method::GET, "blobs"), host.count(Method::HEAD, "blobs")), (1, 1));
    // That its bytes are here opens no repository where the upstream does not have it.
    assert_eq!(harness.get(&format!("/v2/closed/x/blobs/{layer}")).await.refusal(), "404 BLOB_UNKNOWN");
    assert!(!is_linked(&harness, "up.example/closed/x", &layer));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_fetch_nothing() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    let layer = shelf.blob("layer");
    let harness = mirroring(vec![upstream(&host)]).await;
    let answer = harness.head(&format!("/v2/a/b/blobs/{layer}?ns=up.example")).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, "5"));
    let none = harness.head(&format!("/v2/a/b/blobs/{}?ns=up.example", Digest::sha256(b"none"))).await;
    assert_eq!(none.status, 404);
    assert_eq!(host.count(Method::GET, "blobs"), 0);
    // What is not there is asked for once in a while, and costs nothing here.
    let asked = host.seen().len();
    let path = format!("/v2/a/b/blobs/{}?ns=up.example", Digest::sha256(b"other"));
    for _ in 0..3 {
        assert_eq!(harness.get(&path).await.refusal(), "404 BLOB_UNKNOWN");
        assert_eq!(harness.head(&path).await.status, 404);
    }
    assert_eq!(host.seen().len(), asked + 1);
    assert!(harness.registry.objects.uploads().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_tried_in_turn_and_fetches_are_bounded() {
    let down = Host::start(|_| Reply::new(500, "")).await;
    let busy = Arc::new(AtomicUsize::new(0));
    let (shelf, host) =
        shelf(
            |seen, reply| {
                if seen.path.contains("blobs") { reply.paced(50, Duration::from_millis(50)) } else { reply }
            },
        )
        .await;
    shelf.image("v1", "layer");
    let blobs: Vec<_> = (0..6).map(|seed| shelf.blob(noise(200, 100 + seed))).collect();
    let section = Upstream { url: vec![down.url(), host.url()], fetches: 2, ..upstream(&host) };
    let harness = Arc::new(mirroring(vec![section]).await);
    assert_eq!(harness.get("/v2/a/manifests/v1").await.status, 200);
    let asked = down.seen().len();
    let began = Instant::now();
    let pulls: Vec<_> = blobs
        .into_iter()
        .map(|blob| {
            let (harness, busy) = (Arc::clone(&harness), Arc::clone(&busy));
            tokio::spawn(async move {
                let answer = harness.get(&format!("/v2/a/blobs/{blob}")).await;
                assert_eq!((answer.status, answer.body.len()), (200, 200));
                busy.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    for pull in pulls {
        pull.await.unwrap();
    }
    // Six of 200 ms, two at a time.
    assert!(began.elapsed() >= Duration::from_millis(550), "{:?}", began.elapsed());
    // The one that failed is left alone for a while.
    assert_eq!(down.seen().len(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_of_our_own_with_a_password() {
    let source = Harness::start().await;
    let digest = source.push_image("team/app", "v1", "layer").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "word\n").unwrap();
    // A door before it that wants the password, and passes on what has it.
    let content = {
        let manifest = source.get("/v2/team/app/manifests/v1").await;
        (manifest.body, manifest.headers["content-type"].to_str().unwrap().to_owned())
    };
    let door = Host::start(move |seen| match seen.header("authorization") {
        "Basic bWU6d29yZA==" => Reply::new(200, content.0.clone()).header("content-type", &content.1),
        _ => Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let own = Upstream {
        name: "own.example".to_owned(),
        url: vec![format!("http://{}", source.address)],
        ..Upstream::default()
    };
    let closed = Upstream { user: Some("me".to_owned()), password_file: Some(file), ..upstream(&door) };
    let harness = mirroring(vec![own, closed]).await;
    for path in ["/v2/team/app/manifests/v1", "/v2/team/app/manifests/v1?ns=up.example"] {
        assert_eq!(harness.get(path).await.header("docker-content-digest"), digest.to_string(), "{path}");
    }
    // Blobs of ours through ours, in sequence and at once.
    let large = source.push_blob("team/app", &noise(3 << 20, 7)).await;
    let path = format!("/v2/team/app/blobs/{large}");
    let pulls: Vec<_> = (0..4).map(|_| harness.get(&path)).collect();
    for answer in futures_util::future::join_all(pulls).await {
        assert_eq!(Digest::sha256(&answer.body), large);
    }
    // The upstream goes; what is here stays.
    source.stop().await;
    assert_eq!(Digest::sha256(&harness.get(&path).await.body), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_debian_as_upstream() {
    let Some(program) = ["/usr/bin/docker-registry"].into_iter().find(|path| std::path::Path::new(path).exists())
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        folder.path().join("data").display()
    );
    let config = folder.path().join("config.yml");
    std::fs::write(&config, text).unwrap();
    let mut server = tokio::process::Command::new(program)
        .arg("serve")
        .arg(&config)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    eventually("docker-registry answers", || std::net::TcpStream::connect(&address).is_ok()).await;
    let client = remote::Client::new(remote::Options::default());
    let there = client.registry(&address).unwrap().repository(&"library/app".parse().unwrap());
    let push = async |bytes: Bytes| {
        let digest = Digest::sha256(&bytes);
        let mut upload = there.begin_upload().await.unwrap();
        there.patch_upload(&mut upload, bytes).await.unwrap();
        there.put_upload(upload, &digest, Bytes::new()).await.unwrap();
        digest
    };
    let layer = noise(5 << 20, 8);
    let (config_digest, layer_digest) = (push(Bytes::from_static(b"{}")).await, push(layer.clone()).await);
    let manifest = image(&config_digest, 2, &[(&layer_digest, layer.len())]).to_string();
    let tag = "v1".parse().unwrap();
    let reference = remote::Reference::Tag(&tag);
    there.put_manifest(&reference, oci::media_type::OCI_MANIFEST, Bytes::from(manifest.clone())).await.unwrap();
    let section = Upstream {
        name: "docker.io".to_owned(),
        url: vec![format!("http://{address}")],
        ttl: milliseconds(1),
        ..Upstream::default()
    };
    let harness = mirroring(vec![section]).await;
    let answer = harness.get("/v2/library/app/manifests/v1?ns=docker.io").await;
    assert_eq!((answer.status, &answer.body[..]), (200, manifest.as_bytes()));
    let blob = format!("/v2/library/app/blobs/{layer_digest}?ns=docker.io");
    assert!(harness.get(&blob).await.body == layer);
    assert_eq!(harness.get("/v2/library/app/manifests/none").await.status, 404);
    server.kill().await.unwrap();
    assert!(harness.get(&blob).await.body == layer);
    let answer = harness.get("/v2/library/app/manifests/v1").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("warning").starts_with("110 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_blobs_pass_and_are_verified_all_the_same() {
    let bytes = noise(3 << 20, 9);
    let lying = Arc::new(AtomicBool::new(false));
    let (shelf, host) = shelf({
        let lying = Arc::clone(&lying);
        move |seen, mut reply| {
            if seen.path.contains("blobs") && lying.load(Ordering::SeqCst) {
                let mut other = reply.body.to_vec();
                other[0] ^= 1;
                reply.body = Bytes::from(other);
            }
            reply
        }
    })
    .await;
    let layer = shelf.blob(bytes.clone());
    let harness = Harness::with(|config| {
        config.mirror.upstream = vec![upstream(&host)];
        config.storage.reserve = config::Size(u64::MAX >> 1);
    })
    .await;
    let path = format!("/v2/up.example/a/blobs/{layer}");
    assert!(harness.get(&path).await.body == bytes);
    let range = harness.send("GET", &path, &[("range", "bytes=5-9")], "").await;
    assert!(range.status == 206 && range.body == bytes[5..10]);
    assert!(!is_linked(&harness, "up.example/a", &layer));
    eventually("nothing is left", || harness.registry.objects.uploads().unwrap().is_empty()).await;
    lying.store(true, Ordering::SeqCst);
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 3 << 20, "{}", answer.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_the_upstream_s_while_it_is_there() {
    let source = Harness::start().await;
    let mut digest = None;
    for tag in ["c", "a", "b", "d"] {
        digest = Some(source.push_image("team/app", tag, "layer").await);
    }
    let subject = digest.unwrap();
    let mut signature = source.image("team/app", "signature").await;
    signature["subject"] =
        serde_json::json!({ "mediaType": oci::media_type::OCI_MANIFEST, "digest": subject, "size": 1 });
    signature["artifactType"] = "a/signature".into();
    assert_eq!(source.put_manifest("team/app", "sig", &signature).await.status, 201);
    let own = Upstream {
        name: "own.example".to_owned(),
        url: vec![format!("http://{}", source.address)],
        ..Upstream::default()
    };
    let harness = mirroring(vec![own]).await;
    let tags = async |path: &str| {
        let answer = harness.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let tags: Vec<_> =
            answer.json()["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        (tags.join(" "), crate::harness::next(&answer))
    };
    assert_eq!(tags("/v2/team/app/tags/list").await.0, "a b c d sig");
    let (page, next) = tags("/v2/team/app/tags/list?n=2&ns=own.example").await;
    assert_eq!(page, "a b");
    let (page, next) = tags(&next.unwrap()).await;
    assert_eq!(page, "c d");
    assert_eq!(tags(&next.unwrap()).await, ("sig".to_owned(), None));
    assert_eq!(harness.get("/v2/none/tags/list").await.refusal(), "404 NAME_UNKNOWN");
    let referrers = |kind: &str| format!("/v2/team/app/referrers/{subject}?artifactType={kind}");
    let count = async |path: String| harness.get(&path).await.json()["manifests"].as_array().unwrap().len();
    assert_eq!((count(referrers("a/signature")).await, count(referrers("a/other")).await), (1, 0));
    // What is here is listed once the upstream has gone.
    assert_eq!(harness.get("/v2/team/app/manifests/b").await.status, 200);
    source.stop().await;
    assert_eq!(tags("/v2/own.example/team/app/tags/list").await.0, "b");
    assert_eq!(count(referrers("a/signature")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_tags_expire() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    shelf.image("v1", "layer");
    let harness = Harness::with(|config| {
        config.mirror.upstream = vec![upstream(&host)];
        config.mirror.expiry = milliseconds(300);
    })
    .await;
    assert_eq!(harness.get("/v2/a/manifests/v1?ns=up.example").await.status, 200);
    let kept = harness.push_image("local/app", "v1", "ours").await;
    let jobs = registry_server::jobs::start(&harness.registry);
    let tag = || harness.registry.metadata.tag(&"up.example/a".parse().unwrap(), &"v1".parse().unwrap()).unwrap();
    assert!(tag().is_some());
    eventually("the tag goes", || tag().is_none()).await;
    assert_eq!(harness.get("/v2/local/app/manifests/v1").await.header("docker-content-digest"), kept.to_string());
    assert_eq!(harness.get("/v2/a/manifests/v1?ns=up.example").await.status, 200);
    harness.registry.stop.cancel();
    jobs.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_image_can_be_purged_and_copied() {
    let (shelf, host) = shelf(|_, reply| reply).await;
    let (digest, layer) = shelf.image("v1", "layer");
    let harness = mirroring(vec![upstream(&host)]).await;
    assert_eq!(harness.get("/v2/a/manifests/v1").await.status, 200);
    assert_eq!(harness.get(&format!("/v2/a/blobs/{layer}")).await.status, 200);
    eventually("it is kept", || is_linked(&harness, "up.example/a", &layer)).await;
    // The manifest came before its blobs, and holds them all the same.
    let far = registry_server::time::Instant::now().after(Duration::from_secs(3600));
    let cutoff = registry_server::metadata::Cutoff { blobs: far, manifests: Some(far), limit: 100 };
    let collected = harness.registry.metadata.collect(&cutoff, true).unwrap();
    assert_eq!(collected, registry_server::metadata::Collected::default());
    // Into a repository of our own by mount.
    let mount = format!("/v2/mine/app/blobs/uploads/?mount={layer}&from=up.example/a");
    assert_eq!(harness.send("POST", &mount, &[], "").await.status, 201);
    // Purged, and fetched again.
    assert_eq!(harness.delete(&format!("/v2/up.example/a/manifests/{digest}")).await.status, 202);
    let asked = host.count(Method::GET, "manifests");
    assert_eq!(harness.get("/v2/a/manifests/v1").await.status, 200);
    assert_eq!(host.count(Method::GET, "manifests"), asked + 1);
}
