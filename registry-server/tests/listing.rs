//! Lists: tags, referrers, the catalog.

use oci::{Digest, media_type};
use serde_json::{Value, json};

use crate::harness::{Harness, image, next};

async fn permissive() -> Harness {
    Harness::with(|config| config.storage.sparse = true).await
}

fn sparse() -> Value {
    image(&Digest::sha256(b"c"), 1, &[])
}

/// Follows `Link` to the end.
async fn pages(harness: &Harness, first: &str) -> Vec<Value> {
    let (mut pages, mut path) = (Vec::new(), Some(first.to_owned()));
    while let Some(at) = path {
        let answer = harness.get(&at).await;
        assert_eq!(answer.status, 200, "{at}");
        path = next(&answer);
        pages.push(answer.json());
        assert!(pages.len() < 100, "the list never ends");
    }
    pages
}

#[tokio::test]
async fn tags_come_in_order_and_in_pages() {
    let harness = permissive().await;
    let mut tags = ["b", "a", "B", "1", "_x", "a.b", "a-b", "v10", "v9"].map(str::to_owned).to_vec();
    for tag in &tags {
        harness.put_manifest("team/app", tag, &sparse()).await;
    }
    tags.sort();
    let all = harness.get("/v2/team/app/tags/list").await;
    assert_eq!(all.header("content-type"), "application/json");
    assert_eq!((next(&all), all.json()), (None, json!({ "name": "team/app", "tags": tags })));
    for n in 1..=10 {
        let pages = pages(&harness, &format!("/v2/team/app/tags/list?n={n}")).await;
        assert_eq!(pages.len(), tags.len().div_ceil(n));
        let found: Vec<_> = pages.iter().flat_map(|page| page["tags"].as_array().unwrap()).collect();
        assert_eq!(found, tags.iter().collect::<Vec<_>>());
    }
    let harness = &harness;
    let last = |last: &'static str| async move { harness.get(&format!("/v2/team/app/tags/list?last={last}")).await };
    assert_eq!(last("a").await.json()["tags"], json!(["a-b", "a.b", "b", "v10", "v9"]));
    // Exclusive, and need not exist.
    assert_eq!(last("v1").await.json()["tags"], json!(["v10", "v9"]));
    assert_eq!(last("zzz").await.json()["tags"], json!([]));
}

#[tokio::test]
async fn the_length_of_a_page_is_a_number_within_bounds() {
    let harness = permissive().await;
    harness.put_manifest("a", "v", &sparse()).await;
    for (query, status) in
        [("n=0", 200), ("n=99999999999999999999", 200), ("n=-1", 400), ("n=x", 400), ("n=", 400), ("n=1&n=2", 400)]
    {
        for path in ["/v2/a/tags/list".to_owned(), "/v2/_catalog".to_owned()] {
            assert_eq!(harness.get(&format!("{path}?{query}")).await.status, status, "{path}?{query}");
        }
    }
    let none = harness.get("/v2/a/tags/list?n=0").await;
    assert_eq!((next(&none), none.json()["tags"].clone()), (None, json!([])));
    for path in ["/v2/none/tags/list", "/v2/none/tags/list?n=0"] {
        assert_eq!(harness.get(path).await.refusal(), "404 NAME_UNKNOWN");
    }
}

#[tokio::test]
async fn a_list_that_changes_repeats_nothing() {
    let harness = permissive().await;
    for n in 0..10 {
        harness.put_manifest("a", &format!("t{n}"), &sparse()).await;
    }
    let first = harness.get("/v2/a/tags/list?n=5").await;
    harness.delete("/v2/a/manifests/t4").await;
    harness.put_manifest("a", "s", &sparse()).await;
    let second = harness.get(&next(&first).unwrap()).await;
    assert_eq!(second.json()["tags"], json!(["t5", "t6", "t7", "t8", "t9"]));
}

#[tokio::test]
async fn referrers_are_an_index_whatever_they_refer_to() {
    let harness = permissive().await;
    let subject = Digest::sha256(b"subject");
    let empty = harness.get(&format!("/v2/none/referrers/{subject}")).await;
    assert_eq!((empty.status, empty.header("content-type")), (200, media_type::OCI_INDEX));
    assert_eq!(empty.json(), json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] }));
    for bad in ["sha256:abc", "latest", "md5:00", "sha256%3A%00"] {
        assert_eq!(harness.get(&format!("/v2/a/referrers/{bad}")).await.refusal(), "400 DIGEST_INVALID", "{bad}");
    }
}

#[tokio::test]
async fn referrers_say_what_they_are_and_come_in_pages() {
    let harness = permissive().await;
    let subject = Digest::sha256(b"subject");
    let mut digests = Vec::new();
    for n in 0..25 {
        let mut manifest = sparse();
        manifest["subject"] = json!({ "mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": 7 });
        manifest["annotations"] = json!({ "n": n.to_string() });
        if n % 5 == 0 {
            manifest["artifactType"] = json!("application/vnd.x+json");
        }
        let put = harness.put_manifest("a", &format!("t{n}"), &manifest).await;
        assert_eq!(put.header("oci-subject"), subject.to_string());
        digests.push(put.header("docker-content-digest").to_owned());
    }
    digests.sort();
    let path = format!("/v2/a/referrers/{subject}");
    let all = harness.get(&path).await;
    let listed = all.json()["manifests"].as_array().unwrap().clone();
    assert_eq!(listed.iter().map(|entry| entry["digest"].as_str().unwrap()).collect::<Vec<_>>(), digests);
    for entry in &listed {
        let n: usize = entry["annotations"]["n"].as_str().unwrap().parse().unwrap();
        let expected = if n.is_multiple_of(5) { "application/vnd.x+json" } else { media_type::OCI_CONFIG };
        assert_eq!(entry["artifactType"], expected);
        assert_eq!(entry["mediaType"], media_type::OCI_MANIFEST);
        assert!(entry["size"].as_u64().unwrap() > 100);
    }
    for (query, count, length) in
        [("n=10", 3, 25), ("artifactType=application%2Fvnd.x%2Bjson&n=2", 3, 5), ("artifactType=none/none", 1, 0)]
    {
        let pages = pages(&harness, &format!("{path}?{query}")).await;
        assert_eq!(pages.len(), count, "{query}");
        let found: usize = pages.iter().map(|page| page["manifests"].as_array().unwrap().len()).sum();
        assert_eq!(found, length, "{query}");
    }
    let filtered = harness.get(&format!("{path}?artifactType=none/none")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    // Another repository's referrers are nobody's business.
    assert_eq!(harness.get(&format!("/v2/b/referrers/{subject}")).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn the_catalog_comes_in_pages() {
    let harness = permissive().await;
    let names = ["a", "a-b", "a/b", "b", "team/app", "team/web"];
    for name in names.iter().rev() {
        harness.put_manifest(name, "v", &sparse()).await;
    }
    assert_eq!(harness.get("/v2/_catalog").await.json(), json!({ "repositories": names }));
    let pages = pages(&harness, "/v2/_catalog?n=4").await;
    assert_eq!(pages, [json!({ "repositories": names[..4] }), json!({ "repositories": names[4..] })]);
    let none = harness.get("/v2/_catalog?n=0").await;
    assert_eq!((next(&none), none.json()["repositories"].clone()), (None, json!([])));
}
