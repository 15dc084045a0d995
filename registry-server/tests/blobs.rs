//! Blobs as clients read, mount and delete them, and the headers that say what an upload sends.

use oci::{Algorithm, Digest, Hasher};

use crate::harness::Harness;

const TEXT: &[u8] = b"0123456789abcdefghij";

fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

#[tokio::test]
async fn say_what_they_are() {
    let harness = Harness::start().await;
    let digest = harness.push_blob("a", TEXT).await;
    let path = format!("/v2/a/blobs/{digest}");
    for (answer, body) in [(harness.get(&path).await, TEXT), (harness.head(&path).await, b"")] {
        assert_eq!((answer.status, &answer.body[..]), (200, body));
        for (name, value) in [
            ("docker-content-digest", digest.to_string()),
            ("content-length", "20".to_owned()),
            ("content-type", "application/octet-stream".to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            ("etag", format!("\"{digest}\"")),
        ] {
            assert_eq!(answer.header(name), value, "{name}");
        }
    }
    let absent = Digest::sha256(b"absent");
    assert_eq!(harness.get(&format!("/v2/a/blobs/{absent}")).await.refusal(), "404 BLOB_UNKNOWN");
    assert_eq!(harness.head(&format!("/v2/a/blobs/{absent}")).await.status, 404);
    assert_eq!(harness.get(&format!("/v2/b/blobs/{digest}")).await.refusal(), "404 BLOB_UNKNOWN");
    // A manifest is no blob, though its bytes are stored alike.
    let manifest = harness.push_image("a", "v1", "content").await;
    assert_eq!(harness.get(&format!("/v2/a/blobs/{manifest}")).await.refusal(), "404 BLOB_UNKNOWN");
    // Nothing at all is a blob, too.
    let empty = harness.push_blob("a", b"").await;
    let answer = harness.get(&format!("/v2/a/blobs/{empty}")).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "0", 0));
}

#[tokio::test]
async fn are_sent_in_part() {
    let harness = Harness::start().await;
    let digest = harness.push_blob("a", TEXT).await;
    let path = format!("/v2/a/blobs/{digest}");
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, "bytes 0-0/20", &TEXT[..1]),
        ("bytes=5-9", 206, "bytes 5-9/20", &TEXT[5..10]),
        ("bytes=15-", 206, "bytes 15-19/20", &TEXT[15..]),
        ("bytes=-5", 206, "bytes 15-19/20", &TEXT[15..]),
        ("bytes=15-99", 206, "bytes 15-19/20", &TEXT[15..]),
        ("bytes=0-1,3-4", 200, "", TEXT),
        ("lines=0-1", 200, "", TEXT),
    ] {
        let answer = harness.send("GET", &path, &[("range", range)], "").await;
        assert_eq!((answer.status, answer.header("content-range")), (status, content_range), "{range}");
        assert_eq!(&answer.body[..], body, "{range}");
        let head = harness.send("HEAD", &path, &[("range", range)], "").await;
        assert_eq!(head.header("content-length"), body.len().to_string(), "{range}");
    }
    for range in ["bytes=20-", "bytes=9-5", "bytes=-0", "bytes=99999999999999999999-"] {
        let answer = harness.send("GET", &path, &[("range", range)], "").await;
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */20"), "{range}");
    }
    // Only of what the client has the beginning of.
    let tag = format!("\"{digest}\"");
    for (condition, status) in [(tag.as_str(), 206), ("\"other\"", 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)] {
        let headers = [("range", "bytes=5-9"), ("if-range", condition)];
        assert_eq!(harness.send("GET", &path, &headers, "").await.status, status, "{condition}");
    }
    let known = harness.send("GET", &path, &[("if-none-match", &tag)], "").await;
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[tokio::test]
async fn longer_than_a_window_arrive_whole() {
    let harness = Harness::start().await;
    let content: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let digest = harness.push_blob("a", &content).await;
    let path = format!("/v2/a/blobs/{digest}");
    assert!(harness.get(&path).await.body == content);
    let answer = harness.send("GET", &path, &[("range", "bytes=8388607-8388608")], "").await;
    assert_eq!(answer.body, content[8_388_607..8_388_609]);
}

#[tokio::test]
async fn are_mounted_or_uploaded() {
    let harness = Harness::start().await;
    let digest = harness.push_blob("a", TEXT).await;
    let absent = Digest::sha256(b"absent");
    let mount = |to: &str, query: String| {
        let path = format!("/v2/{to}/blobs/uploads/?{query}");
        async { harness.send("POST", &{ path }, &[], "").await }
    };
    for (query, status) in [
        (format!("mount={digest}&from=a"), 201),
        (format!("mount={digest}&from=nowhere"), 202),
        (format!("mount={digest}&from=NOT/a/name"), 202),
        (format!("mount={absent}&from=a"), 202),
        (format!("mount={absent}"), 202),
        (format!("mount={digest}"), 201),
        (format!("mount={digest}&from=a&from=b"), 400),
        ("mount=sha256:00&from=a".to_owned(), 400),
    ] {
        let answer = mount("b/c", query.clone()).await;
        assert_eq!(answer.status, status, "{query}");
        match status {
            201 => assert_eq!(answer.header("location"), format!("/v2/b/c/blobs/{digest}")),
            202 => assert!(answer.header("location").starts_with("/v2/b/c/blobs/uploads/")),
            _ => {}
        }
    }
    assert_eq!(harness.get(&format!("/v2/b/c/blobs/{digest}")).await.body, TEXT);
}

#[tokio::test]
async fn are_deleted_where_that_is_allowed() {
    let harness = Harness::start().await;
    let digest = harness.push_blob("a", TEXT).await;
    harness.push_blob("b", TEXT).await;
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(harness.delete(&path).await.status, 202);
    assert_eq!(harness.delete(&path).await.refusal(), "404 BLOB_UNKNOWN");
    assert_eq!(harness.get(&path).await.status, 404);
    assert_eq!(harness.get(&format!("/v2/b/blobs/{digest}")).await.body, TEXT);
    let harness = Harness::with(|config| config.storage.delete = false).await;
    let digest = harness.push_blob("a", TEXT).await;
    assert_eq!(harness.delete(&format!("/v2/a/blobs/{digest}")).await.refusal(), "405 UNSUPPORTED");
    let session = harness.send("POST", "/v2/a/blobs/uploads/", &[], "").await;
    assert_eq!(harness.delete(session.header("location")).await.refusal(), "405 UNSUPPORTED");
}

#[tokio::test]
async fn of_every_algorithm_come_at_once_or_in_a_session() {
    let harness = Harness::start().await;
    let long = sha512(TEXT);
    let at_once = harness.send("POST", &format!("/v2/a/blobs/uploads/?digest={long}"), &[], TEXT).await;
    assert_eq!((at_once.status, at_once.header("docker-content-digest")), (201, long.to_string().as_str()));
    for (algorithm, digest) in [("sha512", long), ("sha256", Digest::sha256(TEXT)), ("sha256", long)] {
        let begun = harness.send("POST", &format!("/v2/b/blobs/uploads/?digest-algorithm={algorithm}"), &[], "").await;
        let path = format!("{}?digest={digest}", begun.header("location"));
        assert_eq!(harness.send("PUT", &path, &[], TEXT).await.status, 201);
        assert_eq!(harness.get(&format!("/v2/b/blobs/{digest}")).await.body, TEXT);
    }
    for algorithm in ["md5", "sha1", "SHA256", "blake3", ""] {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
        assert_eq!(harness.send("POST", &path, &[], "").await.refusal(), "400 DIGEST_INVALID", "{algorithm}");
    }
    for digest in ["sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e", "", "sha256:..%2f..%2fetc%2fpasswd", "%00"] {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        assert_eq!(harness.send("POST", &path, &[], TEXT).await.status, 400, "{digest}");
        let begun = harness.send("POST", "/v2/a/blobs/uploads/", &[], "").await;
        let path = format!("{}?digest={digest}", begun.header("location"));
        assert_eq!(harness.send("PUT", &path, &[], TEXT).await.status, 400, "{digest}");
    }
    let begun = harness.send("POST", "/v2/a/blobs/uploads/", &[], "").await;
    assert_eq!(harness.send("PUT", begun.header("location"), &[], TEXT).await.refusal(), "400 DIGEST_INVALID");
}

#[tokio::test]
async fn are_not_made_of_hostile_headers() {
    let harness = Harness::start().await;
    let begun = harness.send("POST", "/v2/a/blobs/uploads/", &[], "").await;
    let location = begun.header("location").to_owned();
    for (range, expected) in [
        ("garbage", "400 BLOB_UPLOAD_INVALID"),
        ("bytes 0-19/20", "400 BLOB_UPLOAD_INVALID"),
        ("-1-18", "400 BLOB_UPLOAD_INVALID"),
        ("19-0", "400 BLOB_UPLOAD_INVALID"),
        ("0-18446744073709551615", "400 BLOB_UPLOAD_INVALID"),
        ("99999999999999999999999-999999999999999999999999", "400 BLOB_UPLOAD_INVALID"),
        ("0-18446744073709551614", "400 SIZE_INVALID"),
        ("0-5", "400 SIZE_INVALID"),
        ("0-20", "400 SIZE_INVALID"),
        ("1-20", "416 BLOB_UPLOAD_INVALID"),
        ("18446744073709551595-18446744073709551614", "416 BLOB_UPLOAD_INVALID"),
    ] {
        for method in ["PATCH", "PUT"] {
            let path = format!("{location}?digest={}", Digest::sha256(TEXT));
            let answer = harness.send(method, &path, &[("content-range", range)], TEXT).await;
            assert_eq!(answer.refusal(), expected, "{method} {range}");
            if answer.status == 416 {
                assert_eq!((answer.header("location"), answer.header("range")), (location.as_str(), "0-0"));
            }
        }
    }
    for id in ["00", "..", "%2e%2e%2fx", "ffffffffffffffffffffffffffffffff", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "%00"]
    {
        let path = format!("/v2/a/blobs/uploads/{id}");
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let answer = harness.send(method, &format!("{path}?digest={}", Digest::sha256(TEXT)), &[], TEXT).await;
            assert_eq!(answer.refusal(), "404 BLOB_UPLOAD_UNKNOWN", "{method} {id}");
        }
    }
    assert_eq!(harness.get(&location).await.header("range"), "0-0");
    assert_eq!(std::fs::read_dir(harness.root().join("uploads")).unwrap().count(), 0);
    let path = format!("{location}?digest={}", Digest::sha256(TEXT));
    assert_eq!(harness.send("PUT", &path, &[("content-range", "0-19")], TEXT).await.status, 201);
}
