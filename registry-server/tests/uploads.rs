//! Uploads as clients make them: whole, in pieces, interrupted, many at once.

use std::sync::Arc;
use std::time::Duration;

use oci::Digest;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Answer, Harness};

/// Bytes that differ everywhere.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn begin(harness: &Harness) -> String {
    let begun = harness.send("POST", "/v2/a/blobs/uploads/", &[], "").await;
    assert_eq!(begun.status, 202);
    begun.header("location").to_owned()
}

async fn chunk(harness: &Harness, location: &str, from: usize, piece: &[u8]) -> Answer {
    let range = format!("{from}-{}", from + piece.len() - 1);
    harness.send("PATCH", location, &[("content-range", &range)], piece.to_vec()).await
}

fn closing(location: &str, digest: &Digest) -> String {
    let mark = if location.contains('?') { '&' } else { '?' };
    format!("{location}{mark}digest={digest}")
}

#[tokio::test]
async fn go_on_after_a_restart() {
    let mut harness = Harness::start().await;
    let content = bytes(1_000_000);
    let digest = Digest::sha256(&content);
    let mut location = begin(&harness).await;
    for (at, piece) in content.chunks(250_000).enumerate() {
        let taken = chunk(&harness, &location, at * 250_000, piece).await;
        assert_eq!(taken.status, 202, "{:?}", taken.body);
        location = taken.header("location").to_owned();
        harness = harness.restart().await;
        let status = harness.get(&location).await;
        let expected = format!("0-{}", at * 250_000 + piece.len() - 1);
        assert_eq!((status.status, status.header("range")), (204, expected.as_str()));
    }
    let done = harness.send("PUT", &closing(&location, &digest), &[], "").await;
    assert_eq!(done.status, 201, "{:?}", done.body);
    assert_eq!(harness.get(&format!("/v2/a/blobs/{digest}")).await.body, content);
    assert_eq!(harness.get(&location).await.status, 404);
}

#[tokio::test]
async fn go_on_after_a_connection_was_cut() {
    let harness = Harness::start().await;
    let content = bytes(300_000);
    let digest = Digest::sha256(&content);
    let location = begin(&harness).await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..200_000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(stream);
    // What came is kept; the server says how much that is.
    let mut kept = 0;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let status = harness.get(&location).await;
        let end: usize = status.header("range").strip_prefix("0-").unwrap().parse().unwrap();
        kept = if end == 0 { 0 } else { end + 1 };
        if kept == 200_000 {
            break;
        }
    }
    assert_eq!(kept, 200_000);
    assert_eq!(chunk(&harness, &location, kept, &content[kept..]).await.status, 202);
    let done = harness.send("PUT", &closing(&location, &digest), &[], "").await;
    assert_eq!(done.status, 201);
    assert_eq!(harness.get(&format!("/v2/a/blobs/{digest}")).await.body, content);
}

#[tokio::test]
async fn belong_to_their_repository() {
    let harness = Harness::start().await;
    let location = begin(&harness).await;
    let stolen = location.replacen("/v2/a/", "/v2/b/", 1);
    let digest = Digest::sha256(b"x");
    assert_eq!(harness.get(&stolen).await.refusal(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(harness.send("PATCH", &stolen, &[], "x").await.refusal(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(harness.send("PUT", &closing(&stolen, &digest), &[], "x").await.refusal(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(harness.delete(&stolen).await.refusal(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(harness.send("PUT", &closing(&location, &digest), &[], "x").await.status, 201);
    assert_eq!(harness.get(&format!("/v2/b/blobs/{digest}")).await.refusal(), "404 BLOB_UNKNOWN");
}

#[tokio::test]
async fn that_are_not_what_they_claim_leave_nothing() {
    let harness = Harness::start().await;
    let (claimed, other) = (Digest::sha256(b"claimed"), b"other".as_slice());
    let whole = harness.send("POST", &format!("/v2/a/blobs/uploads/?digest={claimed}"), &[], other.to_vec()).await;
    assert_eq!(whole.refusal(), "400 DIGEST_INVALID");
    let location = begin(&harness).await;
    let closed = harness.send("PUT", &closing(&location, &claimed), &[], other.to_vec()).await;
    assert_eq!(closed.refusal(), "400 DIGEST_INVALID");
    for digest in [claimed, Digest::sha256(other)] {
        assert_eq!(harness.head(&format!("/v2/a/blobs/{digest}")).await.status, 404);
    }
    assert_eq!(std::fs::read_dir(harness.root().join("blobs/sha256")).unwrap().count(), 0);
    for bad in ["", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:..%2f..%2fx"] {
        let location = begin(&harness).await;
        let refused = harness.send("PUT", &format!("{location}?digest={bad}"), &[], "x").await;
        assert_eq!(refused.refusal(), "400 DIGEST_INVALID", "{bad}");
    }
}

#[tokio::test]
async fn out_of_order_change_nothing() {
    let harness = Harness::start().await;
    let content = bytes(30_000);
    let digest = Digest::sha256(&content);
    let location = begin(&harness).await;
    assert_eq!(chunk(&harness, &location, 0, &content[..10_000]).await.status, 202);
    for from in [0, 5_000, 20_000] {
        assert_eq!(chunk(&harness, &location, from, &content[from..from + 5_000]).await.status, 416, "{from}");
    }
    for range in ["10000-", "-5", "a-b", "10000-9999", "10000-10001", "99999999999999999999-999999999999999999999"] {
        let headers = [("content-range", range)];
        let status = harness.send("PATCH", &location, &headers, content[10_000..15_000].to_vec()).await.status;
        assert!(matches!(status, 400 | 416), "{range}: {status}");
    }
    assert_eq!(harness.get(&location).await.header("range"), "0-9999");
    assert_eq!(chunk(&harness, &location, 10_000, &content[10_000..]).await.status, 202);
    assert_eq!(harness.send("PUT", &closing(&location, &digest), &[], "").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_digest_by_many_clients_are_one_object() {
    let harness = Arc::new(Harness::start().await);
    let content = bytes(500_000);
    let digest = Digest::sha256(&content);
    let mut clients = Vec::new();
    for client in 0..12 {
        let (harness, content) = (Arc::clone(&harness), content.clone());
        clients.push(tokio::spawn(async move {
            let repository = format!("r{}", client % 3);
            harness.push_blob(&repository, &content).await;
            let got = harness.get(&format!("/v2/{repository}/blobs/{digest}")).await;
            assert!(got.body == content);
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(std::fs::read_dir(harness.root().join("blobs/sha256")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(harness.root().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn that_nobody_can_finish_can_be_cancelled() {
    let harness = Harness::start().await;
    let location = begin(&harness).await;
    assert_eq!(chunk(&harness, &location, 0, b"some").await.status, 202);
    assert_eq!(harness.delete(&location).await.status, 204);
    assert_eq!(harness.delete(&location).await.refusal(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(harness.send("PATCH", &location, &[], "x").await.refusal(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(std::fs::read_dir(harness.root().join("uploads")).unwrap().count(), 0);
}
