//! Credentials: where they go, and where they never go.

use std::sync::Arc;

use fixtures::{Answer, Asked, Host, Shelf};

use super::{host, refused, small, works};
use crate::runner::Env;

/// `ada:lovelace` as HTTP writes it.
const BASIC: &str = "Basic YWRhOmxvdmVsYWNl";
const PASSWORD: &str = "lovelace";

fn shelf() -> Arc<Shelf> {
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", &small()).unwrap();
    shelf
}

/// Writes docker's file with a login for one host.
fn login_for(env: &Env, address: &str) {
    let text = format!(r#"{{"auths":{{"{address}":{{"auth":"YWRhOmxvdmVsYWNl"}}}}}}"#);
    env.write("../home/.docker/config.json", text);
}

fn asks_for_basic(asked: &Asked) -> Option<Answer> {
    (asked.header("authorization") != BASIC)
        .then(|| Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"here\""))
}

#[test]
fn a_redirect_elsewhere_takes_no_credential_along() {
    let shelf = shelf();
    let elsewhere = {
        let shelf = Arc::clone(&shelf);
        Host::start(move |asked| shelf.answer(asked)).unwrap()
    };
    let there = elsewhere.address();
    let moved = host(&shelf, move |asked| {
        asks_for_basic(asked).or_else(|| {
            let target = format!("http://{there}{}", asked.target);
            asked.is("GET", "/blobs/").then(|| Answer::new(307, "").header("Location", target))
        })
    });
    let env = Env::new();
    login_for(&env, &moved.address());
    works(&env, &["pull", &format!("{}/app", moved.address())]);
    assert!(elsewhere.count("GET", "/blobs/") >= 3);
    for asked in elsewhere.asked() {
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert_eq!(asked.header(name), "", "{asked:?}");
        }
    }
}

#[test]
fn an_upload_elsewhere_takes_no_credential_along() {
    let shelf = shelf();
    let elsewhere = {
        let shelf = Arc::clone(&shelf);
        Host::start(move |asked| shelf.answer(asked)).unwrap()
    };
    let there = elsewhere.address();
    let moved = host(&Arc::new(Shelf::default()), move |asked| {
        asks_for_basic(asked).or_else(|| {
            let target = format!("http://{there}/v2/app/blobs/uploads/1");
            asked.is("POST", "/uploads/").then(|| Answer::new(202, "").header("Location", target))
        })
    });
    let env = Env::new();
    let good = super::honest(&shelf);
    works(&env, &["pull", &format!("{}/app", good.address())]);
    login_for(&env, &moved.address());
    let name = format!("{}/app", moved.address());
    works(&env, &["tag", &format!("{}/app", good.address()), &name]);
    let watched = super::run(&env, &["push", &name]);
    println!("{:#?}", watched.said);
    for asked in elsewhere.asked() {
        assert_eq!(asked.header("authorization"), "", "{asked:?}");
    }
    assert!(!watched.said.stderr.contains(PASSWORD));
}

/// A realm may be elsewhere (docker's is), so a password may go there: but never to a host that a registry on this
/// machine names beyond it in clear text, and never along with a lesser scheme.
#[test]
fn a_realm_gets_no_password_in_clear_text() {
    let env = Env::new();
    for realm in [
        "http://registry.example/token",
        "http://10.0.0.1/token",
        "ftp://127.0.0.1/token",
        "file:///etc/passwd",
        "not a url",
        "",
    ] {
        let asks = host(&shelf(), move |_| {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
            Some(Answer::new(401, "").header("WWW-Authenticate", challenge))
        });
        login_for(&env, &asks.address());
        let error = refused(&env, &["pull", &format!("{}/app", asks.address())], &[]);
        println!("{realm}: {error}");
        assert!(!error.contains(PASSWORD) && !error.contains("YWRh"), "{error}");
    }
}

#[test]
fn a_wrong_password_is_not_sent_for_ever_nor_shown() {
    let env = Env::new();
    let asks = host(&shelf(), |_| Some(Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"here\"")));
    login_for(&env, &asks.address());
    let error = refused(&env, &["pull", &format!("{}/app", asks.address())], &["estiba login", &asks.address()]);
    assert!(!error.contains(PASSWORD) && !error.contains("YWRh"), "{error}");
    assert!(asks.asked().len() <= 10, "{} requests", asks.asked().len());
    // Nor by what tells most.
    let watched = super::run(&env, &["pull", "--progress=rawjson", &format!("{}/app", asks.address())]);
    let said = watched.said.stdout + &watched.said.stderr;
    assert!(!said.contains(PASSWORD) && !said.contains("YWRh"), "{said}");
}

/// A registry that takes Basic gets what is meant for it, another one nothing of it.
#[test]
fn a_password_goes_to_its_host_alone() {
    let env = Env::new();
    let mine = host(&shelf(), asks_for_basic);
    let other = host(&shelf(), |asked| {
        asked
            .header("authorization")
            .is_empty()
            .then(|| Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""))
    });
    login_for(&env, &mine.address());
    works(&env, &["pull", &format!("{}/app", mine.address())]);
    refused(&env, &["pull", &format!("{}/app", other.address())], &["login"]);
    assert!(other.asked().iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn login_and_logout() {
    let env = Env::new();
    let mine = host(&shelf(), asks_for_basic);
    let address = mine.address();
    let error = env.fails(1, &["login", "-u", "ada", "-p", "wrong", &address]);
    assert!(error.contains(&address) && !error.contains("wrong\""), "{error}");
    let said = env.run_with(&["login", "-u", "ada", "--password-stdin", &address], b"lovelace\n");
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(!(said.stdout.clone() + &said.stderr).contains(PASSWORD));
    works(&env, &["pull", &format!("{address}/app")]);
    env.ok(&["logout", &address]);
    refused(&env, &["pull", &format!("{address}/app:latest")], &["estiba login"]);
    let files = crate::runner::files_below(&env.work().join("../home"));
    for file in files {
        use std::os::unix::fs::PermissionsExt;
        let path = env.work().join("../home").join(&file);
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("YWRhOmxvdmVsYWNl"), "{file}: {text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{file} can be read by others");
    }
}
