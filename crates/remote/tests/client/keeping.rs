//! `login`, `logout`, `get_login`: what is asked of the registry, and what is kept where.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use remote::login::{Kept, get_login, login, logout};
use remote::{Accept, Error, Setup};

use crate::host::{Host, Reply};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// A registry that takes `me` and `word`; with tokens or without.
async fn registry(tokens: bool) -> Host {
    Host::start(move |seen| {
        let right = seen.header("authorization") == basic("me", "word");
        if seen.path.starts_with("/token") {
            return if right { Reply::new(200, r#"{"token":"good"}"#) } else { Reply::new(401, "") };
        }
        let challenge = match tokens {
            true => format!("Bearer realm=\"http://{}/token\",service=\"s\"", seen.header("host")),
            false => "Basic realm=\"x\"".to_owned(),
        };
        if right && !tokens || seen.header("authorization") == "Bearer good" {
            return Reply::new(200, r#"{"schemaVersion":2,"layers":[]}"#);
        }
        Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#)
            .header("www-authenticate", challenge)
    })
    .await
}

/// The environment of somebody whose home is `home`.
fn at(home: &Path) -> impl Fn(&str) -> Option<OsString> + Copy {
    move |name| match name {
        "HOME" => Some(home.into()),
        "XDG_RUNTIME_DIR" => Some(home.join("run").into()),
        "CONTAINERS_REGISTRIES_CONF" => Some("/nowhere".into()),
        _ => None,
    }
}

fn text(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn kept_after_the_registry_took_them() {
    for tokens in [false, true] {
        let (host, home) = (registry(tokens).await, tempfile::tempdir().unwrap());
        let (name, env, setup) = (host.address.to_string(), at(home.path()), Setup::default());
        let file = home.path().join("run/containers/auth.json");
        let error = login(&setup, env, &name, "me", "wrong").await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { had_credentials: true, .. }), "{error}");
        assert!(!file.exists(), "what is refused is not kept");
        assert_eq!(login(&setup, env, &name, "me", "word").await.unwrap(), Kept::File(file.clone()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(get_login(&setup, env, &name).await.unwrap().as_deref(), Some("me"));
        // And it is used.
        let client = setup.client(env).unwrap();
        let route = client.route(&format!("{name}/a").parse().unwrap()).unwrap();
        route.target().manifest_by_tag(&"v1".parse().unwrap(), &Accept::default()).await.unwrap();
        let refused = Setup { anonymous: true, ..Setup::default() }.client(env).unwrap();
        let route = refused.route(&format!("{name}/a").parse().unwrap()).unwrap();
        let error = route.target().manifest_by_tag(&"v1".parse().unwrap(), &Accept::default()).await.unwrap_err();
        assert!(matches!(&error, Error::Unauthorized { had_credentials: false, .. }), "{error}");
        // A wrong try leaves what was right.
        login(&setup, env, &name, "me", "wrong").await.unwrap_err();
        assert_eq!(text(&file)["auths"][&name]["auth"], "bWU6d29yZA==");
        assert_eq!(logout(&setup, env, Some(&name)).await.unwrap(), [(name.clone(), Kept::File(file.clone()))]);
        assert_eq!(logout(&setup, env, Some(&name)).await.unwrap(), []);
        assert_eq!(get_login(&setup, env, &name).await.unwrap(), None);
    }
}

#[tokio::test]
async fn parts_of_a_registry_and_named_files() {
    let (host, home) = (registry(false).await, tempfile::tempdir().unwrap());
    let (name, env) = (host.address.to_string(), at(home.path()));
    let file = home.path().join("mine.json");
    let setup = Setup { authfile: Some(file.clone()), ..Setup::default() };
    let part = format!("{name}/team");
    assert_eq!(get_login(&setup, env, &part).await.unwrap(), None);
    login(&setup, env, &part, "me", "word").await.unwrap();
    assert_eq!(get_login(&setup, env, &part).await.unwrap().as_deref(), Some("me"));
    assert_eq!(get_login(&setup, env, &format!("{part}/app")).await.unwrap().as_deref(), Some("me"));
    assert_eq!(get_login(&setup, env, &name).await.unwrap(), None);
    assert_eq!(logout(&setup, env, Some(&name)).await.unwrap(), []);
    login(&setup, env, &name, "me", "word").await.unwrap();
    let mut all: Vec<_> = logout(&setup, env, None).await.unwrap().into_iter().map(|(key, _)| key).collect();
    all.sort();
    assert_eq!(all, [name.clone(), part]);
    assert_eq!(text(&file)["auths"], serde_json::json!({}));
    // Another login's file is not touched.
    assert!(!home.path().join("run").exists());
    for bad in ["", "a b", "r.example/UPPER"] {
        assert!(matches!(login(&setup, env, bad, "me", "word").await, Err(Error::AuthFile(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_registry_that_is_blocked_or_away_keeps_nothing() {
    let home = tempfile::tempdir().unwrap();
    let conf = home.path().join("registries.conf");
    std::fs::write(&conf, "[[registry]]\nlocation = \"bad.example\"\nblocked = true").unwrap();
    let setup = Setup { registries_conf: Some(conf), retries: Some(0), ..Setup::default() };
    let error = login(&setup, at(home.path()), "bad.example", "me", "word").await.unwrap_err();
    assert!(matches!(error, Error::Blocked { .. }), "{error}");
    let error = login(&setup, at(home.path()), "127.0.0.1:1", "me", "word").await.unwrap_err();
    assert!(error.is_temporary() && !error.to_string().contains("word"), "{error}");
    assert!(!home.path().join("run").exists());
}

/// Runs in a process of its own: helpers are found by `PATH`, which belongs to the whole process.
#[test]
fn helpers_keep_and_forget() {
    let folder = tempfile::tempdir().unwrap();
    // Keeps what it is given in a file a server.
    let script = "#!/bin/sh\nd=$(dirname \"$0\")\ninput=$(cat)\ncase \"$1\" in\nstore) echo \"$input\" > \"$d/kept\";;\n\
        get) if [ -f \"$d/kept\" ] && grep -qF \"\\\"$input\\\"\" \"$d/kept\"; then cat \"$d/kept\"; else echo 'credentials not found in native keychain'; exit 1; fi;;\n\
        erase) rm -f \"$d/kept\";;\nesac\n";
    let helper = folder.path().join("docker-credential-test");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let broken = folder.path().join("docker-credential-broken");
    std::fs::write(&broken, "#!/bin/sh\necho no: $(cat)\nexit 1\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "keeping::with_helpers_in_the_path"])
        .env("PATH", format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
#[ignore = "run by helpers_keep_and_forget"]
async fn with_helpers_in_the_path() {
    let (host, home) = (registry(true).await, tempfile::tempdir().unwrap());
    let (name, env, setup) = (host.address.to_string(), at(home.path()), Setup::default());
    let file = home.path().join(".docker/config.json");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    for config in
        [r#"{"credsStore":"test","x":1}"#.to_owned(), format!(r#"{{"credHelpers":{{"{name}":"test"}},"x":1}}"#)]
    {
        std::fs::write(&file, &config).unwrap();
        assert_eq!(login(&setup, env, &name, "me", "word").await.unwrap(), Kept::Helper("test".to_owned()));
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(!kept.contains("word") && !kept.contains("bWU6d29yZA") && kept.contains(&name), "{kept}");
        assert_eq!(text(&file)["x"], 1);
        assert_eq!(get_login(&setup, env, &name).await.unwrap().as_deref(), Some("me"));
        assert_eq!(
            logout(&setup, env, None).await.unwrap().last().unwrap(),
            &(name.clone(), Kept::Helper("test".to_owned()))
        );
        assert_eq!(get_login(&setup, env, &name).await.unwrap(), None);
        assert_eq!(logout(&setup, env, Some(&name)).await.unwrap(), []);
    }
    // A helper that fails is said, without the secret.
    std::fs::write(&file, r#"{"credsStore":"broken"}"#).unwrap();
    let error = login(&setup, env, &name, "me", "word").await.unwrap_err();
    assert!(matches!(error, Error::Helper(_)), "{error}");
    assert!(!error.to_string().contains("word") && error.to_string().contains("docker-credential-broken"), "{error}");
}
