//! Manifests and lists: hostile documents, digests that are paths, pages without end.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use oci::{Digest, Tag};
use remote::{Accept, Error};

use crate::host::{Host, Reply, Shelf};
use crate::repository;

const IMAGE: &str = r#"{"schemaVersion":2,"layers":[]}"#;

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

#[tokio::test]
async fn by_tag_and_by_digest_with_exact_bytes() {
    let shelf = Shelf::default();
    let text = "{ \"schemaVersion\": 2,\n \"layers\": [] }";
    let digest = shelf.manifest("latest", text);
    let host = Host::start(move |seen| shelf.answer(seen)).await;
    let repository = repository(&host, "team/app");
    let fetched = repository.manifest_by_tag(&tag("latest"), &Accept::default()).await.unwrap();
    assert_eq!((&fetched.bytes[..], fetched.digest), (text.as_bytes(), digest));
    assert_eq!(repository.manifest_by_digest(&digest, &Accept::default()).await.unwrap(), fetched);
    let known = repository.head_manifest(&tag("latest"), &Accept::default()).await.unwrap();
    assert_eq!((known.digest, known.size), (Some(digest), Some(text.len() as u64)));
    let seen = host.seen();
    let get = seen.iter().find(|seen| seen.path == "/v2/team/app/manifests/latest").unwrap();
    assert!(get.header("accept").contains(oci::media_type::OCI_INDEX));
    let missing = repository.manifest_by_tag(&tag("none"), &Accept::default()).await.unwrap_err();
    assert!(missing.is_not_found());
    let text = missing.to_string();
    assert!(text.contains("team/app") && text.contains("none") && text.contains("MANIFEST_UNKNOWN"), "{text}");
}

#[tokio::test]
async fn an_image_as_it_is_pulled() {
    let shelf = std::sync::Arc::new(Shelf::default());
    let (digest, layer) = shelf.image("v1", "layer");
    let kept = std::sync::Arc::clone(&shelf);
    let host = Host::start(move |seen| kept.answer(seen)).await;
    let repository = repository(&host, "team/app");
    let fetched = repository.manifest_by_tag(&tag("v1"), &Accept::default()).await.unwrap();
    let image: oci::Manifest = serde_json::from_slice(&fetched.bytes).unwrap();
    assert_eq!((fetched.digest, image.layers[0].digest), (digest, layer));
    assert_eq!(repository.head_blob(&layer).await.unwrap().size, Some(5));
    let mut blob = repository.blob(&layer, None).await.unwrap().verified(Some(image.layers[0].size));
    assert_eq!(blob.next().await.unwrap().unwrap(), "layer");
    assert_eq!(blob.next().await.unwrap(), None);
    shelf.forget("v1");
    assert!(repository.manifest_by_tag(&tag("v1"), &Accept::default()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_is_not_the_manifest_is_refused() {
    let digest = Digest::sha256(IMAGE.as_bytes());
    let large = format!(r#"{{"layers":[],"x":"{}"}}"#, "x".repeat(9 << 20));
    for (body, header, announced) in [
        (r#"{"schemaVersion":2,"layers":[] }"#, digest.to_string(), true),
        ("<html>hello</html>", String::new(), true),
        (r#"{"layers":[],"manifests":[]}"#, String::new(), true),
        (r#"{"manifests":[]}"#, String::new(), true),
        (large.as_str(), String::new(), true),
        (large.as_str(), String::new(), false),
    ] {
        let body = body.to_owned();
        let host = Host::start(move |_| {
            let mut reply = Reply::new(200, body.clone()).header("content-type", oci::media_type::OCI_MANIFEST);
            reply.announced = announced;
            if header.is_empty() { reply } else { reply.header("docker-content-digest", &header) }
        })
        .await;
        let repository = repository(&host, "a");
        let by_tag = repository.manifest_by_tag(&tag("latest"), &Accept::default()).await.unwrap_err();
        assert!(matches!(by_tag, Error::Digest { .. } | Error::Malformed { .. } | Error::TooLarge { .. }), "{by_tag}");
        repository.manifest_by_digest(&digest, &Accept::default()).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_digest_that_is_a_path_goes_nowhere() {
    let host = Host::start(|seen| match seen.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        _ => Reply::new(200, IMAGE)
            .header("content-type", oci::media_type::OCI_MANIFEST)
            .header("docker-content-digest", "sha256:../../../../etc/passwd"),
    })
    .await;
    let repository = repository(&host, "a");
    // What is no digest is as good as none: ours is computed.
    let fetched = repository.manifest_by_tag(&tag("latest"), &Accept::default()).await.unwrap();
    assert_eq!(fetched.digest, Digest::sha256(IMAGE.as_bytes()));
    let known = repository.head_manifest(&tag("latest"), &Accept::default()).await.unwrap();
    assert_eq!(known.digest, None);
    // Documents with such digests do not parse: there is no type that could hold one.
    let body = r#"{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../../x","size":1}]}"#;
    let host = Host::start(move |_| Reply::new(200, body).header("content-type", oci::media_type::OCI_INDEX)).await;
    let error = crate::repository(&host, "a").referrers(&Digest::sha256(b""), None).await.unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn errors_are_bounded_and_printable() {
    let host = Host::start(|seen| match seen.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        path if path.contains("long") => Reply::new(403, vec![b'x'; 4 << 20]),
        _ => {
            Reply::new(403, format!(r#"{{"errors":[{{"code":"DENIED","message":"\u001b]0;{}"}}]}}"#, "m".repeat(5000)))
        }
    })
    .await;
    let repository = repository(&host, "a");
    for name in ["long", "x"] {
        let error = repository.manifest_by_tag(&tag(name), &Accept::default()).await.unwrap_err().to_string();
        assert!(error.len() < 600 && !error.chars().any(char::is_control), "{}", error.len());
    }
}

#[tokio::test]
async fn lists_follow_links_of_their_host_alone() {
    let host = Host::start(|seen| match seen.path.as_str() {
        "/v2/a/tags/list?n=2" => Reply::new(200, r#"{"name":"a","tags":["a","b"]}"#)
            .header("link", "</v2/a/tags/list?n=2&last=b>; rel=\"next\""),
        "/v2/a/tags/list" => Reply::new(200, r#"{"tags":["a","../x","b"]}"#).header("link", "<?last=b>; rel=\"next\""),
        "/v2/a/tags/list?n=2&last=b" | "/v2/a/tags/list?last=b" => Reply::new(200, r#"{"name":"a","tags":["c"]}"#),
        "/v2/empty/tags/list" => Reply::new(200, r#"{"name":"empty","tags":null}"#),
        "/v2/evil/tags/list" => {
            Reply::new(200, r#"{"tags":["a"]}"#).header("link", "<gopher://127.0.0.1/x>; rel=\"next\"")
        }
        "/v2/" => Reply::new(200, "{}"),
        // A page that leads to itself.
        _ => Reply::new(200, r#"{"tags":[]}"#).header("link", format!("<{}>; rel=\"next\"", seen.path)),
    })
    .await;
    let tags = |tags: &[Tag]| tags.iter().map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>().join(" ");
    let page = repository(&host, "a").tags(Some(2), None).await.unwrap();
    assert_eq!(tags(&page.tags), "a b");
    let page = repository(&host, "a").tags_at(page.next.unwrap()).await.unwrap();
    assert_eq!((tags(&page.tags), page.next), ("c".to_owned(), None));
    assert_eq!(tags(&repository(&host, "a").all_tags().await.unwrap()), "a b c");
    assert_eq!(tags(&repository(&host, "empty").all_tags().await.unwrap()), "");
    assert!(matches!(repository(&host, "evil").all_tags().await, Err(Error::Hop { .. })));
    let error = repository(&host, "endless").all_tags().await.unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    assert!(host.count(Method::GET, "endless") < 3);
}

#[tokio::test]
async fn referrers_by_list_by_tag_or_none() {
    let subject = Digest::sha256(b"subject");
    let entry = |kind: &str, digest: Digest| {
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":3,"artifactType":"{kind}"}}"#,
            oci::media_type::OCI_MANIFEST
        )
    };
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        oci::media_type::OCI_INDEX,
        entry("a/sig", Digest::sha256(b"1")),
        entry("a/sbom", Digest::sha256(b"2"))
    );
    let tagged = format!("/manifests/sha256-{}", subject.hex());
    let host = Host::start(move |seen| match seen.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        path if path.starts_with("/v2/listed/referrers/") => {
            Reply::new(200, list.clone()).header("content-type", oci::media_type::OCI_INDEX)
        }
        path if path.starts_with("/v2/tagged/") && path.ends_with(&tagged) => {
            Reply::new(200, list.clone()).header("content-type", oci::media_type::OCI_INDEX)
        }
        _ => Reply::new(404, ""),
    })
    .await;
    for (name, all, signatures) in [("listed", 2, 1), ("tagged", 2, 1), ("none", 0, 0)] {
        let repository = repository(&host, name);
        assert_eq!(repository.all_referrers(&subject, None).await.unwrap().len(), all, "{name}");
        assert_eq!(repository.all_referrers(&subject, Some("a/sig")).await.unwrap().len(), signatures, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_is_asked_for_again() {
    let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}"#;
    let digest = Digest::sha256(text.as_bytes());
    for announced in [true, false] {
        for cut in 0..text.len() {
            let count = AtomicUsize::new(0);
            let host = Host::start(move |_| {
                let mut reply = Reply::new(200, text).header("content-type", oci::media_type::OCI_MANIFEST);
                reply.announced = announced;
                if count.fetch_add(1, Ordering::SeqCst) == 0 { reply.cut(cut) } else { reply }
            })
            .await;
            let repository = repository(&host, "a");
            let fetched = repository.manifest_by_tag(&tag("latest"), &Accept::default()).await.unwrap();
            assert_eq!((fetched.digest, &fetched.bytes[..]), (digest, text.as_bytes()), "{cut}");
        }
    }
    // One that always breaks is given up, and is not taken for a shorter one.
    let host = Host::start(move |_| Reply::new(200, text).cut(40)).await;
    let error = repository(&host, "a").manifest_by_tag(&tag("latest"), &Accept::default()).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    assert!(host.seen().len() < 10);
}

#[tokio::test]
async fn lists_and_tokens_that_are_cut_are_asked_for_again() {
    let count = AtomicUsize::new(0);
    let host = Host::start(move |seen| {
        let first = count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        let reply = match seen.path.as_str() {
            "/v2/a/tags/list" => Reply::new(200, r#"{"name":"a","tags":["a","b"]}"#),
            _ => Reply::new(404, ""),
        };
        if first { reply.cut(12) } else { reply }
    })
    .await;
    assert_eq!(repository(&host, "a").all_tags().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_registry_that_keeps_no_referrers_says_nothing_of_them() {
    let host = Host::start(|seen| match seen.method {
        Method::PUT => Reply::new(201, ""),
        _ => Reply::new(404, ""),
    })
    .await;
    let repository = repository(&host, "a");
    let subject = Digest::sha256(b"subject");
    let body = format!(
        r#"{{"schemaVersion":2,"layers":[],"subject":{{"mediaType":"{}","digest":"{subject}","size":7}}}}"#,
        oci::media_type::OCI_MANIFEST
    );
    let reference = remote::Reference::Tag(&tag("latest"));
    let put = repository.put_manifest(&reference, oci::media_type::OCI_MANIFEST, body.into()).await.unwrap();
    assert!(!put.subject, "the tag that stands in is the client's affair then");
    assert!(repository.referrers(&subject, None).await.unwrap_err().is_not_found());
    assert!(repository.all_referrers(&subject, None).await.unwrap().is_empty());
    assert_eq!(host.count(Method::GET, &format!("manifests/sha256-{}", subject.hex())), 1);
}
