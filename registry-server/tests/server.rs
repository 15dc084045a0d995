//! The server itself: slow, broken and too many clients; HTTP/2; how it stops.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use oci::Digest;
use registry_server::config::Duration as Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Harness, image};

async fn impatient() -> Harness {
    Harness::with(|config| {
        config.storage.sparse = true;
        config.server.limits.header_timeout = Span::seconds(1);
        config.server.limits.body_timeout = Span::seconds(1);
    })
    .await
}

#[tokio::test]
async fn headers_must_come_in_time() {
    let harness = impatient().await;
    for start in ["", "G", "GET /v2/ HTTP/1.1\r\nHost: h\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let began = std::time::Instant::now();
        let answer = harness.raw(start.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{start:?}");
    }
    // One byte now and then is no progress either.
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    let began = std::time::Instant::now();
    let mut end = [0; 1];
    for byte in b"GET /v2/ HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut end)).await {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_body_must_go_on() {
    let harness = impatient().await;
    let answer = harness
        .raw(b"PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{\"schemaVersion\"")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(harness.get("/v2/a/manifests/v").await.status, 404);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_nothing() {
    let harness = impatient().await;
    let text = image(&Digest::sha256(b"c"), 1, &[]).to_string();
    let head = format!("PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", text.len());
    for at in [0, 1, text.len() / 2, text.len() - 1] {
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&text.as_bytes()[..at]).await.unwrap();
        drop(stream);
    }
    assert_eq!(harness.get("/v2/a/manifests/v").await.status, 404);
    assert_eq!(harness.get("/v2/a/tags/list").await.status, 404);
}

#[tokio::test]
async fn requests_that_break_http_get_400_or_nothing() {
    let harness = impatient().await;
    let many = format!("GET /v2/ HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(500));
    let large = format!("GET /v2/ HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(200_000));
    let long = format!("GET /v2/{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(200_000));
    for bad in [
        "GET /v2/ HTTP/9.9\r\n\r\n",
        "GET /v2/\r\n\r\n",
        "\r\n\r\n\r\n\r\nhello\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /v2/ HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET /v2/\u{0} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: h\r\nX: a\u{0}b\r\n\r\n",
        &many,
        &large,
        &long,
    ] {
        let answer = harness.raw(bad.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{:.60}: {answer}", bad);
    }
    assert_eq!(harness.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn two_lengths_are_no_second_request() {
    let harness = impatient().await;
    let smuggled = "POST /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /v2/smuggled/tags/list HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = harness.raw(smuggled.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{answer}");
}

#[tokio::test]
async fn too_many_connections_are_told_to_come_back() {
    let harness = Harness::with(|config| config.server.limits.connections = 2).await;
    let held = [TcpStream::connect(harness.address).await.unwrap(), TcpStream::connect(harness.address).await.unwrap()];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = harness.raw(b"").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1\r\n"), "{answer}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(harness.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn too_many_requests_are_told_to_come_back() {
    let harness = Harness::with(|config| config.server.limits.requests = 1).await;
    let mut slow = TcpStream::connect(harness.address).await.unwrap();
    slow.write_all(b"PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = harness.get("/v2/").await;
    assert_eq!((refused.refusal().as_str(), refused.header("retry-after")), ("429 TOOMANYREQUESTS", "1"));
    drop(slow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(harness.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn http_2_is_spoken_by_prior_knowledge() {
    let harness = impatient().await;
    let text = image(&Digest::sha256(b"c"), 1, &[]).to_string();
    harness.send("PUT", "/v2/a/manifests/v", &[], text.clone()).await;
    let stream = TcpStream::connect(harness.address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let uri = |path: &str| format!("http://{}{path}", harness.address);
    let get = http::Request::get(uri("/v2/a/manifests/v")).body(Full::<Bytes>::default()).unwrap();
    let answer = sender.send_request(get).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text);
    let head = http::Request::head(uri("/v2/a/manifests/v")).body(Full::default()).unwrap();
    let answer = sender.send_request(head).await.unwrap();
    assert_eq!(answer.headers()["content-length"], text.len().to_string());
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    let put = http::Request::put(uri("/v2/a/manifests/w")).body(Full::from(text.clone())).unwrap();
    assert_eq!(sender.send_request(put).await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let harness = Harness::start().await;
    let stream = TcpStream::connect(harness.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..50 {
        let request = http::Request::get("/v2/").header("host", "h").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_in_flight_is_answered_before_the_end() {
    let harness = Harness::with(|config| config.storage.sparse = true).await;
    let text = image(&Digest::sha256(b"c"), 1, &[]).to_string();
    let mut idle = TcpStream::connect(harness.address).await.unwrap();
    let mut busy = TcpStream::connect(harness.address).await.unwrap();
    let head = format!("PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", text.len());
    busy.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    harness.begin_stop();
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(TcpStream::connect(harness.address).await.is_err(), "nobody else comes in");
    busy.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    harness.stop().await;
}

#[tokio::test]
async fn a_stop_waits_only_so_long() {
    let harness = Harness::start().await;
    let mut stuck = TcpStream::connect(harness.address).await.unwrap();
    stuck.write_all(b"PUT /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = std::time::Instant::now();
    harness.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let harness = Harness::with(|config| config.storage.sparse = true).await;
    let manifest = image(&Digest::sha256(b"c"), 1, &[]);
    harness.put_manifest("a", "v", &manifest).await;
    let harness = harness.restart().await;
    assert_eq!(harness.get("/v2/a/manifests/v").await.body, manifest.to_string());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let harness = impatient().await;
    let mut manifest = image(&Digest::sha256(b"c"), 1, &[]);
    manifest["annotations"] = serde_json::json!({ "a": "x".repeat(4 << 20) });
    harness.put_manifest("a", "v", &manifest).await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    // More than the kernel's buffers hold.
    let asked = 16;
    stream.write_all(&b"GET /v2/a/manifests/v HTTP/1.1\r\nHost: h\r\n\r\n".repeat(asked)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    assert!(got.len() < asked * (4 << 20), "{}", got.len());
}

#[tokio::test]
async fn a_socket_in_the_file_system_serves_too() {
    let harness = Harness::start().await;
    let path = harness.root().join("http.sock");
    let address = registry_server::config::Address::Unix(path.clone());
    // What a dead server left behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = registry_server::server::Listener::bind(&address).unwrap();
    assert!(registry_server::server::Listener::bind(&address).is_err(), "one that lives is not");
    let stop = tokio_util::sync::CancellationToken::new();
    let registry = std::sync::Arc::clone(&harness.registry);
    let server = tokio::spawn(registry_server::server::serve(registry, vec![listener], None, stop.clone()));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stop.cancel();
    server.await.unwrap();
}
