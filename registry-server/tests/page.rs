//! The page: who sees what, what hostile text becomes, and the way back for tags.

use base64::Engine as _;
use oci::Digest;
use registry_server::auth::htpasswd::{Kind, line};
use registry_server::config::Size;
use serde_json::json;

use crate::harness::{Answer, Harness, image};

const POLICY: &str = r#"
[[rule]]
who = { anonymous = true }
repositories = ["public/**"]
allow = ["pull"]

[[rule]]
who = { user = ["ann"] }
repositories = ["team/**"]
allow = ["pull", "push", "update"]

[[rule]]
who = { user = ["bob"] }
repositories = ["team/**"]
allow = ["pull", "push"]

[[immutable]]
repositories = ["**"]
tags = ["v*"]
"#;

fn basic(name: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:secret")))
}

/// A registry with people and rules, and the token endpoint on, as clients want it.
async fn guarded() -> (Harness, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let people = ["ann", "bob"].map(|name| line(name, "secret", Kind::Bcrypt(4)).unwrap());
    std::fs::write(folder.path().join("htpasswd"), people.join("\n")).unwrap();
    std::fs::write(folder.path().join("policy"), POLICY).unwrap();
    let harness = Harness::with(|config| {
        config.auth.htpasswd = Some(folder.path().join("htpasswd"));
        config.auth.policy = Some(folder.path().join("policy"));
        config.auth.token.enabled = true;
    })
    .await;
    (harness, folder)
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

async fn as_user(harness: &Harness, name: &str, method: &str, path: &str, body: &str) -> Answer {
    let (authorization, origin) = (basic(name), format!("http://{}", harness.address));
    let mut headers = vec![("authorization", authorization.as_str())];
    if method == "POST" {
        headers.extend([("origin", origin.as_str()), ("content-type", "application/x-www-form-urlencoded")]);
    }
    harness.send(method, path, &headers, body.to_owned()).await
}

/// Pushes an image past the gate's people: as the registry's keeper would.
async fn store(harness: &Harness, name: &str, repository: &str, tag: &str, content: &str) -> Digest {
    let config = Digest::sha256(b"{}");
    let layer = Digest::sha256(content.as_bytes());
    for (digest, bytes) in [(config, "{}"), (layer, content)] {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        assert_eq!(as_user_octets(harness, name, "POST", &path, bytes).await.status, 201);
    }
    let manifest = image(&config, 2, &[(&layer, content.len())]).to_string();
    let answer = as_user_octets(harness, name, "PUT", &format!("/v2/{repository}/manifests/{tag}"), &manifest).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    Digest::sha256(manifest.as_bytes())
}

async fn as_user_octets(harness: &Harness, name: &str, method: &str, path: &str, body: &str) -> Answer {
    harness.send(method, path, &[("authorization", basic(name).as_str())], body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_what_they_may_pull() {
    let (harness, _folder) = guarded().await;
    store(&harness, "ann", "team/app", "latest", "one").await;
    // A browser knows no tokens: it is asked for a name and a password.
    for path in ["/", "/-/repository/team/app", "/-/tag/team/app:latest", "/-/login", "/-/storage"] {
        let answer = harness.get(path).await;
        assert_eq!((answer.status, answer.headers.get_all("www-authenticate").iter().count()), (401, 1), "{path}");
        assert!(answer.header("www-authenticate").starts_with("Basic "), "{path}");
        assert!(text(&answer).contains("Log in") && !text(&answer).contains("team/app\""), "{path}");
    }
    let home = as_user(&harness, "ann", "GET", "/", "").await;
    assert!(text(&home).contains("/-/repository/team/app") && text(&home).contains(">ann<"), "{}", text(&home));
    assert_eq!(as_user(&harness, "ann", "GET", "/-/login", "").await.status, 303);
    assert_eq!(as_user(&harness, "ann", "GET", "/-/repository/team/app", "").await.status, 200);
    // What one may not see looks like what is not there.
    let hidden = as_user(&harness, "ann", "GET", "/-/repository/other", "").await;
    assert!([403, 404].contains(&hidden.status));
    let wrong = harness.send("GET", "/", &[("authorization", "Basic YW5uOndyb25n")], "").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.header("www-authenticate").starts_with("Basic "));
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_asks_for_the_right_to_move_a_tag() {
    let (harness, _folder) = guarded().await;
    let old = store(&harness, "ann", "team/app", "latest", "one").await;
    let new = store(&harness, "ann", "team/app", "latest", "two").await;
    let fixed = store(&harness, "ann", "team/app", "v1", "one").await;
    assert_eq!(fixed, old);
    let page = text(&as_user(&harness, "bob", "GET", "/-/tag/team/app:latest", "").await);
    assert!(page.contains(&old.to_string()) && !page.contains("Bring back"), "{page}");
    let page = text(&as_user(&harness, "ann", "GET", "/-/tag/team/app:latest", "").await);
    let seen = page.split("name=\"seen\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let form = format!("digest={old}&seen={seen}");
    let refused = as_user(&harness, "bob", "POST", "/-/tag/team/app:latest", &form).await;
    assert_eq!(refused.status, 403, "{}", text(&refused));
    let nobody = harness.send("POST", "/-/tag/team/app:latest", &[], form.clone()).await;
    assert_eq!(nobody.status, 403, "a form without an origin");
    for (body, status) in [("", 400), (&*"x".repeat(10_000), 413), (&*format!("digest={old}&seen=0"), 409)] {
        let answer = as_user(&harness, "ann", "POST", "/-/tag/team/app:latest", body).await;
        assert_eq!(answer.status, status, "{}", text(&answer));
    }
    let gone = format!("digest={}&seen={seen}", Digest::sha256(b"never"));
    assert_eq!(as_user(&harness, "ann", "POST", "/-/tag/team/app:latest", &gone).await.status, 404);
    let done = as_user(&harness, "ann", "POST", "/-/tag/team/app:latest", &form).await;
    assert_eq!(done.status, 303);
    let shown = as_user(&harness, "ann", "GET", done.header("location"), "").await;
    assert!(text(&shown).contains("role=\"status\""));
    let now = as_user(&harness, "ann", "HEAD", "/v2/team/app/manifests/latest", "").await;
    assert_eq!(now.header("docker-content-digest"), old.to_string());
    let fixed = as_user(&harness, "ann", "GET", "/-/tag/team/app:v1", "").await;
    assert!(!text(&fixed).contains("Bring back"));
    let form = format!("digest={new}&seen=1");
    assert!([403, 409].contains(&as_user(&harness, "ann", "POST", "/-/tag/team/app:v1", &form).await.status));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_text_and_short() {
    let harness = Harness::start().await;
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\u{0}'";
    let huge = "<".repeat(1 << 20);
    let config = json!({ "os": evil, "architecture": evil, "author": evil, "config": { "Env": [evil], "Labels": { evil: evil, "huge": huge }, "User": evil },
        "history": [{ "created_by": evil }, { "created_by": huge, "empty_layer": true }] });
    let config = config.to_string();
    let digest = harness.push_blob("app", config.as_bytes()).await;
    let layer = harness.push_blob("app", b"layer").await;
    let mut manifest = image(&digest, config.len(), &[(&layer, 5)]);
    manifest["annotations"] = json!({ evil: evil, "huge": huge });
    manifest["artifactType"] = json!("application/x-evil\"><b>");
    assert_eq!(harness.put_manifest("app", "latest", &manifest).await.status, 201);
    let name = Digest::sha256(manifest.to_string().as_bytes());
    let page = harness.get(&format!("/-/manifest/app@{name}?tag=%3Cscript%3E")).await;
    let page = text(&page);
    for banned in ["<script", "<img", "<b>", "\u{202e}", "\u{0}"] {
        assert!(!page.contains(banned), "{banned:?}");
    }
    assert!(page.contains("U+202E") && page.contains("bytes in all") && page.contains("&lt;script&gt;"));
    assert!(page.len() < 200_000, "{}", page.len());
    // Queries and names come back, too.
    for path in ["/?q=%3Cscript%3E&after=%22%3E%3Cscript%3E", "/-/tag/app:latest?moved=%3Cscript%3E", "/-/%3Cscript%3E"]
    {
        let answer = harness.get(path).await;
        assert!(!text(&answer).contains("<script"), "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told() {
    let harness = Harness::start().await;
    let big = vec![b' '; 5 << 20];
    for (tag, config) in [("none", b"[]".as_slice()), ("big", &big)] {
        let digest = harness.push_blob("app", config).await;
        let manifest = image(&digest, config.len(), &[]);
        assert_eq!(harness.put_manifest("app", tag, &manifest).await.status, 201);
        let name = Digest::sha256(manifest.to_string().as_bytes());
        let answer = harness.get(&format!("/-/manifest/app@{name}")).await;
        assert!(answer.status == 200 && text(&answer).contains("cannot be read"), "{tag}");
    }
    for path in ["/-/nothing", "/-/repository/absent", "/-/tag/app:absent", "/-/repository/UPPER", "/-/tag/app:none/x"]
    {
        let answer = harness.get(path).await;
        assert!(answer.status == 404 && answer.header("content-type").starts_with("text/html"), "{path}");
    }
    assert_eq!(harness.send("DELETE", "/", &[], "").await.status, 405);
    assert!([404, 405].contains(&harness.send("POST", "/", &[], "").await.status));
    let style = harness.get("/-/style.css").await;
    assert!(style.header("cache-control").contains("immutable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_by_pages_and_by_prefix() {
    let harness = Harness::with(|config| config.storage.reserve = Size(0)).await;
    for number in 0..60 {
        harness.push_image(&format!("many/r{number:02}"), "latest", "x").await;
    }
    harness.push_image("app", "latest", "x").await;
    let first = text(&harness.get("/?q=many/").await);
    assert!(
        first.contains("many/r00")
            && first.contains("many/r49")
            && !first.contains("many/r50")
            && !first.contains("/app\"")
    );
    let next = first.split("class=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let second = text(&harness.get(&next.replace("&amp;", "&")).await);
    assert!(
        second.contains("many/r50") && second.contains("many/r59") && !second.contains("class=\"next\""),
        "{second}"
    );
    assert!(text(&harness.get("/?q=app").await).contains("/-/repository/app\""));
    let answer = harness.get("/-/find?repository=app&tag=latest").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/-/tag/app:latest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_can_be_off() {
    let harness = Harness::with(|config| config.page.enabled = false).await;
    assert_eq!(harness.get("/").await.status, 404);
    assert_eq!(harness.get("/-/style.css").await.status, 404);
}
