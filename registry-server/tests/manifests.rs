//! Manifests on the wire.

use oci::{Algorithm, Digest, Hasher, media_type};
use serde_json::json;

use crate::harness::{Harness, image};

fn sparse(content: &str) -> serde_json::Value {
    image(&Digest::sha256(content.as_bytes()), content.len(), &[])
}

async fn permissive() -> Harness {
    Harness::with(|config| config.storage.sparse = true).await
}

#[tokio::test]
async fn are_served_as_they_were_pushed() {
    let harness = permissive().await;
    // Spaces and an unknown field: exact bytes.
    let text = sparse("x").to_string().replace(":2,", ": 2, \"x\": [ ],");
    let digest = Digest::sha256(text.as_bytes());
    let headers = [("content-type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8")];
    let put = harness.send("PUT", "/v2/a/b/manifests/v1", &headers, text.clone()).await;
    assert_eq!((put.status, put.header("location")), (201, format!("/v2/a/b/manifests/{digest}").as_str()));
    assert_eq!(put.header("docker-content-digest"), digest.to_string());
    let encoded = format!("sha256%3A{}", digest.hex());
    for reference in ["v1", &digest.to_string(), &encoded] {
        for accept in ["*/*", media_type::DOCKER_MANIFEST, "text/html", "application/vnd.oci.image.index.v1+json;q=0"] {
            let path = format!("/v2/a/b/manifests/{reference}");
            let got = harness.send("GET", &path, &[("accept", accept)], "").await;
            assert_eq!((got.status, got.body.as_ref()), (200, text.as_bytes()));
            assert_eq!(got.header("content-type"), media_type::OCI_MANIFEST);
            assert_eq!(got.header("docker-content-digest"), digest.to_string());
            assert_eq!(got.header("etag"), format!("\"{digest}\""));
            let head = harness.head(&path).await;
            assert_eq!((head.status, head.body.len()), (200, 0));
            assert_eq!(head.header("content-length"), text.len().to_string());
            assert_eq!(head.header("docker-content-digest"), digest.to_string());
        }
    }
}

#[tokio::test]
async fn need_not_be_sent_again_to_who_has_them() {
    let harness = permissive().await;
    let manifest = sparse("x");
    harness.put_manifest("a", "v", &manifest).await;
    let tag = format!("\"{}\"", Digest::sha256(manifest.to_string().as_bytes()));
    for (wanted, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"x\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let got = harness.send("GET", "/v2/a/manifests/v", &[("if-none-match", &wanted)], "").await;
        assert_eq!((got.status, got.body.is_empty()), (status, status == 304), "{wanted}");
        assert_eq!(got.header("etag"), tag);
    }
}

#[tokio::test]
async fn follow_their_tag_at_once() {
    let harness = permissive().await;
    for round in 0..20 {
        let manifest = sparse(&round.to_string());
        assert_eq!(harness.put_manifest("a", "moving", &manifest).await.status, 201);
        for _ in 0..2 {
            let got = harness.get("/v2/a/manifests/moving").await;
            assert_eq!(got.body, manifest.to_string());
        }
    }
    assert_eq!(harness.delete("/v2/a/manifests/moving").await.status, 202);
    assert_eq!(harness.get("/v2/a/manifests/moving").await.refusal(), "404 MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn have_a_limit() {
    let harness = permissive().await;
    let filled = |bytes: usize| {
        let mut manifest = sparse("x");
        manifest["annotations"] = json!({ "a": "x".repeat(bytes) });
        manifest.to_string()
    };
    let put = |text: String| harness.send("PUT", "/v2/a/manifests/large", &[], text);
    let four = filled(4 << 20);
    assert_eq!(put(four.clone()).await.status, 201);
    assert_eq!(harness.get("/v2/a/manifests/large").await.body, four);
    assert_eq!(put(filled(8 << 20)).await.refusal(), "413 SIZE_INVALID");
    // Without a length, it is refused when it has become too long.
    let mut chunked =
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..10 {
        chunked.extend_from_slice(format!("{:x}\r\n", 1 << 20).as_bytes());
        chunked.extend(std::iter::repeat_n(b' ', 1 << 20));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert!(harness.raw(&chunked).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(harness.get("/v2/a/manifests/x").await.status, 404);
}

#[tokio::test]
async fn are_what_their_digest_says() {
    let harness = permissive().await;
    let text = sparse("x").to_string();
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(text.as_bytes());
    let sha512 = hasher.finish();
    let path = |reference: &str| format!("/v2/a/manifests/{reference}");
    let put = harness.send("PUT", &path(&sha512.to_string()), &[], text.clone()).await;
    assert_eq!((put.status, put.header("docker-content-digest")), (201, sha512.to_string().as_str()));
    assert_eq!(harness.get(&path(&sha512.to_string())).await.body, text);
    let other = Digest::sha256(b"other").to_string();
    assert_eq!(harness.send("PUT", &path(&other), &[], text.clone()).await.refusal(), "400 DIGEST_INVALID");
    for bad in ["sha256:abc", "sha256:", ":", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:zz"] {
        let refused = harness.send("PUT", &path(bad), &[], text.clone()).await;
        assert_eq!(refused.refusal(), "400 DIGEST_INVALID", "{bad}");
        assert_eq!(harness.get(&path(bad)).await.refusal(), "400 DIGEST_INVALID", "{bad}");
    }
    assert_eq!(harness.get(&path(&other)).await.refusal(), "404 MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn take_many_tags_at_once() {
    let harness = permissive().await;
    let manifest = sparse("x");
    let digest = Digest::sha256(manifest.to_string().as_bytes());
    let tags: Vec<_> = (0..12).map(|n| format!("v{n}")).collect();
    let query = |tags: &[String]| tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let put = harness.put_manifest("a", &format!("{digest}?{}", query(&tags)), &manifest).await;
    assert_eq!(put.status, 201);
    let told: Vec<_> = put.headers.get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap()).collect();
    assert_eq!(told, tags);
    for tag in &tags {
        assert_eq!(harness.get(&format!("/v2/a/manifests/{tag}")).await.body, manifest.to_string());
    }
    let many: Vec<_> = (0..1_001).map(|n| format!("m{n}")).collect();
    let refused = harness.put_manifest("a", &format!("{digest}?{}", query(&many)), &manifest).await;
    assert_eq!(refused.status, 414);
    assert_eq!(harness.get("/v2/a/manifests/m0").await.status, 404);
    let bad = harness.put_manifest("a", &format!("{digest}?tag=ok&tag=-bad"), &manifest).await;
    assert_eq!(bad.refusal(), "400 MANIFEST_INVALID");
    assert_eq!(harness.get("/v2/a/manifests/ok").await.status, 404);
}

#[tokio::test]
async fn may_refer_to_what_is_absent_but_not_be_made_of_it() {
    let harness = Harness::start().await;
    let config = harness.push_blob("a", b"{}").await;
    let missing = Digest::sha256(b"missing");
    let refused = harness.put_manifest("a", "v", &image(&config, 2, &[(&missing, 7)])).await;
    assert_eq!(refused.refusal(), "400 MANIFEST_BLOB_UNKNOWN");
    assert_eq!(refused.json()["errors"][0]["detail"]["digests"], json!([missing]));
    assert_eq!(harness.get("/v2/a/manifests/v").await.status, 404);
    let mut artifact = image(&config, 2, &[]);
    artifact["subject"] = json!({ "mediaType": media_type::OCI_MANIFEST, "digest": missing, "size": 7 });
    let put = harness.put_manifest("a", "v", &artifact).await;
    assert_eq!((put.status, put.header("oci-subject")), (201, missing.to_string().as_str()));
    // A blob of another repository is none of this one.
    assert_eq!(harness.put_manifest("b", "v", &image(&config, 2, &[])).await.refusal(), "400 MANIFEST_BLOB_UNKNOWN");
    // Foreign layers are kept elsewhere.
    let mut foreign = image(&config, 2, &[(&missing, 7)]);
    foreign["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    assert_eq!(harness.put_manifest("a", "f", &foreign).await.status, 201);
}

#[tokio::test]
async fn that_could_be_read_two_ways_are_refused() {
    let harness = permissive().await;
    let good = sparse("x").to_string();
    for (text, content_type) in [
        (good.replace("\"layers\":[]", "\"layers\":[],\"manifests\":[]"), media_type::OCI_MANIFEST),
        (good.replace("\"layers\":[]", "\"layers\":[],\"layers\":[]"), media_type::OCI_MANIFEST),
        (good.replace("\"layers\":[]", "\"layers\":[],\"Config\":{}"), media_type::OCI_MANIFEST),
        (good.clone(), media_type::OCI_INDEX),
        (good.clone(), media_type::DOCKER_MANIFEST),
        (good.replace(":2", ":1"), media_type::OCI_MANIFEST),
        ("[".repeat(1_000_000), media_type::OCI_MANIFEST),
        ("{}".to_owned(), "application/json"),
        (String::new(), media_type::OCI_MANIFEST),
        ("\u{0}".to_owned(), media_type::OCI_MANIFEST),
    ] {
        let refused = harness.send("PUT", "/v2/a/manifests/v", &[("content-type", content_type)], text.clone()).await;
        assert_eq!(refused.refusal(), "400 MANIFEST_INVALID", "{:.80}", text);
    }
    let listed = harness.get("/v2/a/tags/list").await;
    assert_eq!(listed.refusal(), "404 NAME_UNKNOWN");
}

#[tokio::test]
async fn go_by_digest_with_their_tags_and_by_tag_alone() {
    let harness = permissive().await;
    let manifest = sparse("x");
    let digest = Digest::sha256(manifest.to_string().as_bytes());
    for tag in ["one", "two"] {
        harness.put_manifest("a", tag, &manifest).await;
    }
    assert_eq!(harness.delete("/v2/a/manifests/one").await.status, 202);
    assert_eq!(harness.delete("/v2/a/manifests/one").await.refusal(), "404 MANIFEST_UNKNOWN");
    assert_eq!(harness.get(&format!("/v2/a/manifests/{digest}")).await.status, 200);
    assert_eq!(harness.delete(&format!("/v2/a/manifests/{digest}")).await.status, 202);
    assert_eq!(harness.get("/v2/a/manifests/two").await.status, 404);
    assert_eq!(harness.delete(&format!("/v2/a/manifests/{digest}")).await.status, 404);
}

#[tokio::test]
async fn stay_where_deletes_are_off() {
    let harness = Harness::with(|config| {
        config.storage.sparse = true;
        config.storage.delete = false;
    })
    .await;
    let manifest = sparse("x");
    harness.put_manifest("a", "v", &manifest).await;
    let digest = Digest::sha256(manifest.to_string().as_bytes());
    for reference in ["v".to_owned(), digest.to_string()] {
        let refused = harness.delete(&format!("/v2/a/manifests/{reference}")).await;
        assert_eq!(refused.refusal(), "405 UNSUPPORTED");
    }
    assert_eq!(harness.get("/v2/a/manifests/v").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_clients_at_one_tag_are_whole() {
    let harness = std::sync::Arc::new(permissive().await);
    let mut tasks = Vec::new();
    for client in 0..16 {
        let harness = std::sync::Arc::clone(&harness);
        tasks.push(tokio::spawn(async move {
            for round in 0..8 {
                // Half of them push the same bytes.
                let manifest = sparse(&format!("{}-{round}", client / 2));
                assert_eq!(harness.put_manifest("a", "v", &manifest).await.status, 201);
                let got = harness.get("/v2/a/manifests/v").await;
                assert_eq!(got.header("docker-content-digest"), Digest::sha256(&got.body).to_string());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // Each digest has one object: those that lost a race removed theirs.
    let objects = std::fs::read_dir(harness.root().join("blobs/sha256")).unwrap().count();
    assert_eq!(objects, 64);
}
