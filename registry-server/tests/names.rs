//! Paths and names: the grammar, encodings, methods, and what is no endpoint.

use oci::Digest;

use crate::harness::{Harness, image};

#[tokio::test]
async fn names_keep_to_the_grammar() {
    let harness = Harness::with(|config| config.storage.sparse = true).await;
    let manifest = image(&Digest::sha256(b"c"), 1, &[]);
    for name in
        ["a", "0", "a/b/c/d/e", "a.b", "a_b", "a__b", "a-b", "a---b", "manifests", "blobs/uploads", "v2", "tags/list"]
    {
        assert_eq!(harness.put_manifest(name, "v", &manifest).await.status, 201, "{name}");
        assert_eq!(harness.get(&format!("/v2/{name}/tags/list")).await.status, 200, "{name}");
    }
    let long = "a".repeat(256);
    for name in [
        "A", "a//b", "-a", "a-", "a..b", "a___b", "a/_b", "a%2fb", "a%2Fb", "%61", "a%00", "..", "../a", "a/..",
        "a/./b", "%2e%2e", "a%0ab", "é", &long,
    ] {
        // What is not ASCII travels encoded.
        let name = name.replace('é', "%C3%A9");
        for path in [format!("/v2/{name}/manifests/v"), format!("/v2/{name}/tags/list")] {
            assert_eq!(harness.get(&path).await.refusal(), "400 NAME_INVALID", "{path}");
        }
        assert_eq!(harness.put_manifest(&name, "v", &manifest).await.refusal(), "400 NAME_INVALID", "{name}");
        let upload = harness.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], "").await;
        assert_eq!(upload.refusal(), "400 NAME_INVALID", "{name}");
    }
}

#[tokio::test]
async fn tags_keep_to_the_grammar() {
    let harness = Harness::with(|config| config.storage.sparse = true).await;
    let manifest = image(&Digest::sha256(b"c"), 1, &[]);
    let (longest, too_long) = ("a".repeat(128), "a".repeat(129));
    for tag in ["a", "_", "A.b-C_1", &longest] {
        assert_eq!(harness.put_manifest("a", tag, &manifest).await.status, 201, "{tag}");
    }
    for tag in
        [".a", "-a", "a%2fb", "a%2Fb", "..", "%2e%2e", "a%00b", "a%0d%0ab", "a%20b", "%ff", "%c0%ae", "%", &too_long]
    {
        let refused = harness.put_manifest("a", tag, &manifest).await;
        assert_eq!(refused.status, 400, "{tag}");
        assert_eq!(harness.get(&format!("/v2/a/manifests/{tag}")).await.status, 400, "{tag}");
    }
}

#[tokio::test]
async fn digests_and_uploads_are_no_paths() {
    let harness = Harness::start().await;
    let upload = harness.send("POST", "/v2/a/blobs/uploads/", &[], "").await;
    assert_eq!(upload.status, 202);
    for bad in
        ["sha256:../../../../etc/passwd", "..%2f..%2fversion", "sha256:%2e%2e%2f", "sha256:%00", "version", "%2e%2e"]
    {
        let blob = harness.get(&format!("/v2/a/blobs/{bad}")).await;
        assert!(matches!(blob.status, 400 | 404), "{bad}: {}", blob.status);
        let status = harness.get(&format!("/v2/a/blobs/uploads/{bad}")).await;
        assert!(matches!(status.status, 400 | 404), "{bad}: {}", status.status);
        let patch = harness.send("PATCH", &format!("/v2/a/blobs/uploads/{bad}"), &[], "x").await;
        assert!(matches!(patch.status, 400 | 404), "{bad}: {}", patch.status);
    }
}

#[tokio::test]
async fn what_is_no_endpoint_says_so() {
    let harness = Harness::start().await;
    for path in
        ["/v1/", "/v2/a", "/v2/a/tags", "/v2/a/manifests", "/v2/a/manifests/", "/v2//tags/list", "/v3/a/tags/list"]
    {
        assert_eq!(harness.get(path).await.refusal(), "404 UNSUPPORTED", "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/v2/", "GET, HEAD"),
        ("OPTIONS", "/v2/", "GET, HEAD"),
        ("TRACE", "/v2/", "GET, HEAD"),
        ("PATCH", "/v2/a/manifests/v", "GET, HEAD, PUT, DELETE"),
        ("PUT", "/v2/a/tags/list", "GET, HEAD"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("PROPFIND", "/v2/a/tags/list", "GET, HEAD"),
    ] {
        let refused = harness.send(method, path, &[], "").await;
        assert_eq!(
            (refused.refusal().as_str(), refused.header("allow")),
            ("405 UNSUPPORTED", allow),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_method_is_what_the_request_line_says() {
    let harness = Harness::with(|config| config.storage.sparse = true).await;
    harness.put_manifest("a", "v", &image(&Digest::sha256(b"c"), 1, &[])).await;
    let headers = [("x-http-method-override", "DELETE"), ("x-http-method", "DELETE"), ("x-method-override", "DELETE")];
    assert_eq!(harness.send("GET", "/v2/a/manifests/v?_method=DELETE", &headers, "").await.status, 200);
    assert_eq!(harness.send("POST", "/v2/a/manifests/v?_method=DELETE", &headers, "").await.status, 405);
    assert_eq!(harness.get("/v2/a/manifests/v").await.status, 200);
}

#[tokio::test]
async fn no_answer_is_for_other_origins() {
    let harness = Harness::start().await;
    let headers = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    for method in ["GET", "OPTIONS"] {
        let answer = harness.send(method, "/v2/", &headers, "").await;
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn every_answer_says_what_it_is() {
    let harness = Harness::start().await;
    let base = harness.get("/v2/").await;
    assert_eq!((base.status, base.header("docker-distribution-api-version")), (200, "registry/2.0"));
    let (first, second) = (harness.get("/v2/x/tags/list").await, harness.get("/v2/x/tags/list").await);
    assert_eq!(first.header("content-type"), "application/json");
    assert_ne!(first.header("x-request-id"), "");
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let head = harness.head("/v2/x/tags/list").await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    let given = harness.send("GET", "/v2/", &[("x-request-id", "chosen")], "").await;
    assert_ne!(given.header("x-request-id"), "chosen");
}
