//! Logins: tokens, scopes, realms that lie, helpers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use http::Method;
use oci::Digest;
use remote::{Accept, AuthFiles, Client, Credential, Credentials, Error, Options, Places, Repository};

use crate::host::{Host, Reply, Seen, Shelf};
use crate::quick;

fn password() -> Credential {
    Credential::Password { user: "me".to_owned(), password: "word".to_owned() }
}

fn client(host: &Host, credential: Option<Credential>) -> Repository {
    let given = credential.map(|credential| (host.address.to_string(), credential)).into_iter().collect();
    let options = Options { credentials: Credentials::Given(given), ..quick() };
    Client::new(options).registry(&host.address.to_string()).unwrap().repository(&"team/app".parse().unwrap())
}

/// A registry whose tokens come from `realm`; `None`: from itself, at `/token`.
async fn registry(realm: Option<String>, token: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Host {
    let shelf = Shelf::default();
    shelf.manifest("latest", r#"{"schemaVersion":2,"layers":[]}"#);
    Host::start(move |seen| {
        if seen.path.starts_with("/token") {
            return token(seen);
        }
        if seen.header("authorization").starts_with("Bearer good") {
            return shelf.answer(seen);
        }
        let realm = realm.clone().unwrap_or_else(|| format!("http://{}/token", seen.header("host")));
        let challenge = format!("Bearer realm=\"{realm}\",service=\"the service\",scope=\"repository:team/app:pull\"");
        Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#).header("www-authenticate", challenge)
    })
    .await
}

async fn pull(repository: &Repository) -> remote::Result<()> {
    repository.manifest_by_tag(&"latest".parse().unwrap(), &Accept::default()).await.map(drop)
}

fn token(text: &'static str) -> impl Fn(&Seen) -> Reply {
    move |_| Reply::new(200, text)
}

#[tokio::test]
async fn a_token_is_fetched_once_and_kept() {
    let host = registry(None, |seen| {
        let basic = base64::engine::general_purpose::STANDARD.encode("me:word");
        assert_eq!(seen.header("authorization"), format!("Basic {basic}"));
        Reply::new(200, r#"{"token":"good","expires_in":300}"#)
    })
    .await;
    let repository = client(&host, Some(password()));
    for _ in 0..3 {
        pull(&repository).await.unwrap();
    }
    let tokens: Vec<_> = host.seen().into_iter().filter(|seen| seen.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/token?service=the+service&scope=repository%3Ateam%2Fapp%3Apull&account=me");
    // Another repository wants another scope.
    repository.registry().repository(&"other".parse().unwrap()).head_blob(&Digest::sha256(b"")).await.unwrap_err();
    assert_eq!(host.count(Method::GET, "/token"), 2);
    // Many at once wait for one.
    let fresh = client(&host, Some(password()));
    let pulls = (0..16).map(|_| {
        let fresh = fresh.clone();
        tokio::spawn(async move { pull(&fresh).await.unwrap() })
    });
    for pull in pulls.collect::<Vec<_>>() {
        pull.await.unwrap();
    }
    assert_eq!(host.count(Method::GET, "/token"), 3);
}

#[tokio::test]
async fn a_token_that_ended_is_fetched_again() {
    let count = AtomicUsize::new(0);
    let tokens = AtomicUsize::new(0);
    let host = Host::start(move |seen| {
        if seen.path.starts_with("/token") {
            return Reply::new(200, format!(r#"{{"access_token":"good{}"}}"#, tokens.fetch_add(1, Ordering::SeqCst)));
        }
        // Each token holds for two requests.
        let ok = seen.header("authorization").starts_with("Bearer") && count.fetch_add(1, Ordering::SeqCst) % 3 != 2;
        if ok {
            return Reply::new(200, r#"{"schemaVersion":2,"layers":[]}"#);
        }
        let challenge = format!("Bearer realm=\"http://{}/token\",error=\"invalid_token\"", seen.header("host"));
        Reply::new(401, "").header("www-authenticate", challenge)
    })
    .await;
    let repository = client(&host, None);
    for _ in 0..6 {
        pull(&repository).await.unwrap();
    }
    assert!(host.count(Method::GET, "/token") >= 3);
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let host = registry(None, |seen| {
        assert_eq!(seen.method, Method::POST);
        assert_eq!(seen.header("authorization"), "");
        let body = String::from_utf8(seen.body.to_vec()).unwrap();
        assert_eq!(
            body,
            "grant_type=refresh_token&service=the+service&client_id=estiba&scope=repository%3Ateam%2Fapp%3Apull&refresh_token=identity"
        );
        Reply::new(200, r#"{"access_token":"good"}"#)
    })
    .await;
    pull(&client(&host, Some(Credential::IdentityToken("identity".to_owned())))).await.unwrap();
}

#[tokio::test]
async fn refusals_end() {
    // The realm refuses.
    let host = registry(None, |_| Reply::new(401, "")).await;
    let error = pull(&client(&host, Some(password()))).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { had_credentials: true, .. }), "{error}");
    assert!(!error.to_string().contains("word"));
    // Tokens that nobody takes.
    let host = registry(None, token(r#"{"token":"bad"}"#)).await;
    let error = pull(&client(&host, None)).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { had_credentials: false, .. }), "{error}");
    assert!(host.seen().len() < 10);
    // A password that nobody takes.
    let host = Host::start(|_| Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"")).await;
    let error = pull(&client(&host, Some(password()))).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { had_credentials: true, .. }), "{error}");
    assert!(host.seen().len() < 6);
    // Answers that are no tokens.
    for answer in ["", "[]", "{}", r#"{"token":""}"#, r#"{"token":7}"#, r#"{"token":"line\nbreak"}"#] {
        let host = registry(None, token(answer)).await;
        let error = pull(&client(&host, None)).await.unwrap_err();
        assert!(matches!(error, Error::Token { .. }), "{answer}: {error}");
    }
    let host = registry(None, |_| Reply::new(200, vec![b' '; 2 << 20])).await;
    assert!(matches!(pull(&client(&host, None)).await, Err(Error::TooLarge { .. })));
}

#[tokio::test]
async fn realms_that_lie_get_nothing() {
    let trap = Host::start(|_| Reply::new(200, r#"{"token":"good"}"#)).await;
    for realm in [
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1:6379/".to_owned(),
        format!("http://me:word@{}/token", trap.address),
        "http://192.0.2.1/token".to_owned(),
        "http://registry.example/token".to_owned(),
        "http://[::".to_owned(),
    ] {
        let host = registry(Some(realm.clone()), token("{}")).await;
        let error = pull(&client(&host, Some(password()))).await.unwrap_err();
        assert!(matches!(error, Error::Hop { .. }), "{realm}: {error}");
    }
    assert_eq!(trap.seen().len(), 0);
    // A realm that redirects: the credentials do not go along.
    let url = trap.url();
    let host = registry(None, move |_| Reply::new(307, "").header("location", format!("{url}/token"))).await;
    let error = pull(&client(&host, Some(password()))).await.unwrap_err();
    assert!(matches!(error, Error::Status { .. }), "{error}");
    assert_eq!(trap.seen().len(), 0);
}

#[tokio::test]
async fn credentials_of_another_registry_stay_at_home() {
    // The trap is named as realm; we have a password for the trap itself, and none for the registry.
    let trap = Host::start(|_| Reply::new(200, r#"{"token":"good"}"#)).await;
    let host = registry(Some(format!("{}/token", trap.url())), token("{}")).await;
    let given = BTreeMap::from([(trap.address.to_string(), password())]);
    let options = Options { credentials: Credentials::Given(given), ..quick() };
    let client = Client::new(options);
    let repository = client.registry(&host.address.to_string()).unwrap().repository(&"team/app".parse().unwrap());
    pull(&repository).await.unwrap();
    assert_eq!(trap.seen().len(), 1);
    assert_eq!(trap.seen()[0].header("authorization"), "");
    assert!(!trap.seen()[0].path.contains("account"));
}

#[tokio::test]
async fn files_and_helpers() {
    let host = registry(None, |seen| match seen.header("authorization") {
        "" => Reply::new(401, ""),
        _ => Reply::new(200, r#"{"token":"good"}"#),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let places = Places { registry_auth_file: Some(file.clone()), ..Places::default() };
    let repository = || {
        let files = AuthFiles::read(&places).unwrap();
        let options = Options { credentials: Credentials::Files(files), ..quick() };
        Client::new(options).registry(&host.address.to_string()).unwrap().repository(&"team/app".parse().unwrap())
    };
    std::fs::write(&file, format!(r#"{{"auths":{{"{}/team":{{"auth":"bWU6d29yZA=="}}}}}}"#, host.address)).unwrap();
    pull(&repository()).await.unwrap();
    std::fs::write(&file, r#"{"auths":{"elsewhere.example":{"auth":"bWU6d29yZA=="}}}"#).unwrap();
    assert!(matches!(pull(&repository()).await, Err(Error::Unauthorized { had_credentials: false, .. })));
    // A helper by a name that is a path would run anything.
    std::fs::write(&file, format!(r#"{{"credHelpers":{{"{}":"../../bin/sh"}}}}"#, host.address)).unwrap();
    assert!(matches!(pull(&repository()).await, Err(Error::Helper(_))));
    std::fs::write(&file, "{").unwrap();
    assert!(AuthFiles::read(&places).is_err());
}

/// Runs in a process of its own: the helper is found by `PATH`, which belongs to the whole process.
#[test]
fn a_helper_is_asked_by_its_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nread server || true\ncase \"$1 $server\" in\n\"get good.example\") echo '{\"Username\":\"me\",\"Secret\":\"word\"}';;\n\
        \"get flood.example\") head -c 200000 /dev/zero;;\n\"get none.example\") echo 'credentials not found in native keychain'; exit 1;;\n*) echo broken; exit 3;;\nesac\n";
    let helper = folder.path().join("docker-credential-test");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "logins::with_a_helper_in_the_path"])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}

#[tokio::test]
#[ignore = "run by a_helper_is_asked_by_its_protocol"]
async fn with_a_helper_in_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    std::fs::write(&file, r#"{"credsStore":"test"}"#).unwrap();
    let files = AuthFiles::read(&Places { registry_auth_file: Some(file), ..Places::default() }).unwrap();
    let ask = |registry: &'static str| {
        let files = files.clone();
        async move { files.credential(registry, "x").await }
    };
    assert_eq!(ask("good.example").await.unwrap(), Some(password()));
    assert_eq!(ask("none.example").await.unwrap(), None);
    assert!(ask("flood.example").await.unwrap_err().to_string().contains("more than"));
    assert!(ask("other.example").await.unwrap_err().to_string().contains("broken"));
}

/// A registry of uploads behind tokens; `takes` judges the token of each call by its number.
async fn uploads(takes: impl Fn(usize, &Seen) -> bool + Send + Sync + 'static, life: u64) -> Host {
    let (tokens, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Host::start(move |seen| {
        if seen.path.starts_with("/token") {
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            return Reply::new(200, format!(r#"{{"token":"good{number}","expires_in":{life}}}"#));
        }
        let known = seen.header("authorization").starts_with("Bearer good");
        if !known || !takes(calls.fetch_add(1, Ordering::SeqCst), seen) {
            let challenge = format!("Bearer realm=\"http://{}/token\",error=\"invalid_token\"", seen.header("host"));
            return Reply::new(401, "").header("www-authenticate", challenge);
        }
        let location = "/v2/team/app/blobs/uploads/1";
        match seen.method.as_str() {
            "POST" if seen.path.contains("mount=") => Reply::new(201, "").header("location", "/v2/team/app/blobs/x"),
            "POST" => Reply::new(202, "").header("location", location),
            "PATCH" => {
                Reply::new(202, "").header("location", location).header("range", format!("0-{}", seen.body.len() - 1))
            }
            _ => Reply::new(201, ""),
        }
    })
    .await
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories_in_one_token() {
    let host = uploads(|_, _| true, 300).await;
    let repository = client(&host, Some(password()));
    repository.mount(&Digest::sha256(b""), Some(&"base/image".parse().unwrap())).await.unwrap();
    let tokens: Vec<_> = host.seen().into_iter().filter(|seen| seen.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    let path = &tokens[0].path;
    assert!(
        path.contains("scope=repository%3Abase%2Fimage%3Apull&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"),
        "{path}"
    );
    // What needs less is covered by it.
    let _ = repository.head_blob(&Digest::sha256(b"")).await;
    let _ = repository.begin_upload().await;
    let base = repository.registry().repository(&"base/image".parse().unwrap());
    let _ = base.head_blob(&Digest::sha256(b"")).await;
    assert_eq!(host.count(Method::GET, "/token"), 1);
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_an_upload() {
    // The second chunk meets a token that is not taken any more: it is sent again with another, and nothing else is.
    let host = uploads(|call, seen| call != 2 || seen.header("authorization") != "Bearer good0", 300).await;
    let repository = client(&host, Some(password()));
    let mut upload = repository.begin_upload().await.unwrap();
    repository.patch_upload(&mut upload, "four".into()).await.unwrap();
    repository.patch_upload(&mut upload, "more".into()).await.unwrap();
    repository.put_upload(upload, &Digest::sha256(b"fourmore"), bytes::Bytes::new()).await.unwrap();
    assert_eq!(host.count(Method::GET, "/token"), 2);
    assert_eq!(host.count(Method::POST, "uploads"), 1);
    let chunks: Vec<_> = host.seen().into_iter().filter(|seen| seen.method == Method::PATCH).collect();
    let sent: Vec<_> = chunks.iter().map(|seen| (&seen.body[..], seen.header("content-range"))).collect();
    assert_eq!(sent, [(&b"four"[..], "0-3"), (b"more", "4-7"), (b"more", "4-7")]);
}

#[tokio::test]
async fn a_refresh_token_takes_the_place_of_the_password() {
    for taken in [true, false] {
        let host = registry(None, move |seen| match seen.method {
            Method::POST if taken => {
                let body = String::from_utf8(seen.body.to_vec()).unwrap();
                assert!(body.contains("grant_type=refresh_token") && body.contains("refresh_token=again"), "{body}");
                Reply::new(200, r#"{"access_token":"good","refresh_token":"again"}"#)
            }
            Method::POST => Reply::new(400, r#"{"error":"invalid_grant"}"#),
            _ => Reply::new(200, r#"{"token":"good","refresh_token":"again"}"#),
        })
        .await;
        let repository = client(&host, Some(password()));
        pull(&repository).await.unwrap();
        // Another scope wants another token.
        let tag = "x".parse().unwrap();
        let _ = repository.delete_manifest(&remote::Reference::Tag(&tag)).await;
        assert_eq!(host.count(Method::POST, "/token"), 1);
        assert_eq!(host.count(Method::GET, "/token"), if taken { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_realm_that_is_busy_is_asked_again() {
    let count = AtomicUsize::new(0);
    let host = registry(None, move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, "").header("retry-after", 0),
        _ => Reply::new(200, r#"{"token":"good"}"#),
    })
    .await;
    pull(&client(&host, None)).await.unwrap();
    assert_eq!(host.count(Method::GET, "/token"), 2);
}
