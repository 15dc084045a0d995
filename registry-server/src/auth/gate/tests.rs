use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Request, StatusCode};
use oci::RepositoryName;

use super::*;
use crate::auth::htpasswd::{Kind, line};
use crate::auth::issuer::tests::Published;
use crate::auth::{Action, Peer, Principal, Proof, Token, Wish, scope};
use crate::metadata::Existing;
use crate::refusal::Refusal;

const POLICY: &str = r#"
[[rule]]
who = { anonymous = true }
repositories = ["public/**"]
allow = ["pull"]

[[rule]]
who = { group = ["dev"] }
repositories = ["team/**"]
allow = ["pull", "push"]

[[rule]]
who = { user = ["ann"] }
repositories = ["team/**"]
allow = ["update", "delete"]

[[rule]]
who = { claim = { ref = "refs/heads/main" }, group = ["ci:dev"] }
repositories = ["ci/**"]
allow = ["pull", "push"]

[[immutable]]
repositories = ["team/**"]
tags = ["v*"]
"#;

struct Place {
    folder: tempfile::TempDir,
    auth: Auth,
}

impl Place {
    fn new(tokens: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (htpasswd, policy) = (folder.path().join("htpasswd"), folder.path().join("policy.toml"));
        let people = ["ann", "bob", "eve"].map(|name| line(name, &format!("{name}'s"), Kind::Bcrypt(4)).unwrap());
        std::fs::write(&htpasswd, people.join("\n")).unwrap();
        std::fs::write(&policy, POLICY).unwrap();
        let auth = Auth {
            htpasswd: Some(htpasswd),
            policy: Some(policy),
            groups: [("dev".to_owned(), vec!["ann".to_owned(), "bob".to_owned()])].into(),
            administrators: vec!["ann".to_owned(), "@ops".to_owned()],
            token: Token { enabled: tokens, ..Token::default() },
            ..Auth::default()
        };
        Self { folder, auth }
    }

    fn gate(&self) -> Gate {
        let surroundings = Surroundings { keys: self.folder.path().join("keys"), url: None, local: true };
        Gate::open(&self.auth, &surroundings).unwrap()
    }
}

fn request(method: &str, path: &str, authorization: Option<&str>) -> Parts {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "reg:5000");
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    request.body(()).unwrap().into_parts().0
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

fn peer() -> Peer {
    Peer { address: Some(IpAddr::from([192, 0, 2, 1])), tls: false, certificate: None }
}

async fn who(gate: &Gate, authorization: Option<&str>) -> Result<Principal, Refusal> {
    gate.authenticate(&request("GET", "/v2/", authorization), &peer()).await
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn challenge_of(refusal: &Refusal) -> &str {
    let (_, value) = refusal.headers.iter().find(|(name, _)| *name == WWW_AUTHENTICATE).unwrap();
    value.to_str().unwrap()
}

async fn token(gate: &Gate, authorization: Option<&str>, scopes: &[&str]) -> String {
    let wish = Wish { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(), ..Wish::default() };
    let (_, answer) = gate.exchange(&request("GET", "/token", authorization), &peer(), &wish).await.unwrap();
    serde_json::to_value(&answer).unwrap()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nobody_is_told_how_to_log_in() {
    for (tokens, expected) in [
        (false, "Basic realm=\"registry\""),
        (
            true,
            "Bearer realm=\"http://reg:5000/token\",service=\"estiba-registry\",scope=\"repository:team/app:pull,push\"",
        ),
    ] {
        let place = Place::new(tokens);
        let gate = place.gate();
        let nobody = who(&gate, None).await.unwrap();
        assert_eq!(gate.base(&nobody).unwrap_err().status, StatusCode::UNAUTHORIZED);
        gate.pull(&nobody, &name("public/app")).unwrap();
        let refusal = gate.push(&nobody, &name("team/app")).unwrap_err();
        assert_eq!((refusal.status, challenge_of(&refusal)), (StatusCode::UNAUTHORIZED, expected));
        assert_eq!(gate.catalog(&nobody).unwrap_err().status, StatusCode::UNAUTHORIZED);
        assert_eq!(gate.administer(&nobody).unwrap_err().status, StatusCode::UNAUTHORIZED);
        let empty = who(&gate, Some(&basic("", ""))).await.unwrap();
        assert!(empty.is_anonymous());
    }
}

#[tokio::test]
async fn the_table_of_rights() {
    let place = Place::new(false);
    let gate = place.gate();
    let (ann, bob, eve) = (
        who(&gate, Some(&basic("ann", "ann's"))).await.unwrap(),
        who(&gate, Some(&basic("bob", "bob's"))).await.unwrap(),
        who(&gate, Some(&basic("eve", "eve's"))).await.unwrap(),
    );
    use Action::{Delete, Pull, Push, Update};
    for (principal, repository, allowed) in [
        (&ann, "team/app", &[Pull, Push, Update, Delete][..]),
        (&bob, "team/app", &[Pull, Push]),
        (&eve, "team/app", &[]),
        (&eve, "public/app", &[Pull]),
        (&bob, "other", &[]),
    ] {
        for action in Action::ALL {
            let case = format!("{} {action} {repository}", principal.name);
            let expected = allowed.contains(&action);
            assert_eq!(gate.may(principal, action, &name(repository)), expected, "{case}");
            let outcome = match action {
                Pull => gate.pull(principal, &name(repository)).map(drop),
                Push => gate.push(principal, &name(repository)).map(drop),
                Delete => gate.delete(principal, &name(repository)).map(drop),
                Update => continue,
            };
            let status = outcome.err().map(|refusal| refusal.status);
            assert_eq!(status, if expected { None } else { Some(StatusCode::FORBIDDEN) }, "{case}");
        }
    }
    let (anns, bobs) = (gate.push(&ann, &name("team/app")).unwrap(), gate.push(&bob, &name("team/app")).unwrap());
    let tag = |text: &str| text.parse().unwrap();
    assert_eq!(gate.tag(&anns, &tag("latest")), Existing::Move);
    assert_eq!(gate.tag(&bobs, &tag("latest")), Existing::Deny);
    assert_eq!(gate.tag(&anns, &tag("v1")), Existing::Immutable);
    assert!(gate.immutable(&name("team/app"), &tag("v1")) && !gate.immutable(&name("public/app"), &tag("v1")));
    let listed = gate.catalog(&bob).unwrap();
    assert!(gate.shows(&listed, &name("team/x")) && !gate.shows(&listed, &name("secret/x")));
    assert_eq!(gate.administer(&ann).unwrap().actor(), "user:ann");
    assert_eq!(gate.administer(&bob).unwrap_err().status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike() {
    let place = Place::new(true);
    let gate = place.gate();
    let mut messages = BTreeSet::new();
    for wrong in [basic("ann", "x"), basic("nobody", "x"), basic("ann", "")] {
        let refusal = who(&gate, Some(&wrong)).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        assert!(challenge_of(&refusal).ends_with(",error=\"invalid_token\""));
        messages.insert(refusal.message);
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
    for malformed in ["Basic !", "Bearer", "Digest x", "Bearer a b"] {
        assert_eq!(who(&gate, Some(malformed)).await.unwrap_err().status, StatusCode::UNAUTHORIZED, "{malformed}");
    }
    for _ in 0..40 {
        let _ = who(&gate, Some(&basic("ann", &Instant::now().0.to_string()))).await;
    }
    let mut last = None;
    for guess in 0..40 {
        last = who(&gate, Some(&basic("ann", &format!("guess {guess}")))).await.err();
    }
    let last = last.unwrap();
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers.iter().any(|(name, _)| *name == http::header::RETRY_AFTER));
}

#[tokio::test]
async fn tokens_grant_what_was_asked_and_allowed() {
    let place = Place::new(true);
    let gate = place.gate();
    let bob = basic("bob", "bob's");
    let narrow = token(&gate, Some(&bob), &["repository:team/app:pull", "repository:secret/x:pull"]).await;
    let principal = who(&gate, Some(&format!("Bearer {narrow}"))).await.unwrap();
    assert_eq!(principal.actor(), "user:bob");
    gate.pull(&principal, &name("team/app")).unwrap();
    let refusal = gate.push(&principal, &name("team/app")).unwrap_err();
    assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
    assert!(challenge_of(&refusal).ends_with("scope=\"repository:team/app:pull,push\",error=\"insufficient_scope\""));
    assert_eq!(gate.pull(&principal, &name("team/other")).unwrap_err().status, StatusCode::UNAUTHORIZED);
    assert_eq!(gate.pull(&principal, &name("secret/x")).unwrap_err().status, StatusCode::FORBIDDEN);
    assert!(!gate.may(&principal, Action::Pull, &name("team/other")), "no source of a mount");
    assert_eq!(gate.catalog(&principal).unwrap_err().status, StatusCode::UNAUTHORIZED);

    let catalog = token(&gate, Some(&bob), &["registry:catalog:*"]).await;
    let principal = who(&gate, Some(&format!("Bearer {catalog}"))).await.unwrap();
    let listed = gate.catalog(&principal).unwrap();
    assert!(gate.shows(&listed, &name("team/x")) && !gate.shows(&listed, &name("secret/x")));

    let anns = token(&gate, Some(&basic("ann", "ann's")), &["repository:team/app:*"]).await;
    let principal = who(&gate, Some(&format!("Bearer {anns}"))).await.unwrap();
    assert_eq!(gate.administer(&principal).unwrap_err().status, StatusCode::FORBIDDEN, "her token is not her");

    // A token buys no more than it holds.
    let bought =
        token(&gate, Some(&format!("Bearer {narrow}")), &["repository:team/app:pull,push registry:catalog:*"]).await;
    let principal = who(&gate, Some(&format!("Bearer {bought}"))).await.unwrap();
    assert!(
        gate.may(&principal, Action::Pull, &name("team/app")) && !gate.may(&principal, Action::Push, &name("team/app"))
    );
    assert!(gate.catalog(&principal).is_err());

    // A policy that changes holds for tokens that are out.
    std::fs::write(place.auth.policy.as_ref().unwrap(), "").unwrap();
    gate.reload();
    assert_eq!(gate.pull(&principal, &name("team/app")).unwrap_err().status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nobody_gets_tokens_for_what_everybody_may() {
    let place = Place::new(true);
    let gate = place.gate();
    let open = token(&gate, None, &["repository:public/app:pull,push"]).await;
    let principal = who(&gate, Some(&format!("Bearer {open}"))).await.unwrap();
    assert!(principal.is_anonymous());
    gate.base(&principal).unwrap();
    gate.pull(&principal, &name("public/app")).unwrap();
    assert_eq!(gate.push(&principal, &name("public/app")).unwrap_err().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn refresh_tokens_die_with_the_password() {
    let place = Place::new(true);
    let gate = place.gate();
    let wish = Wish { offline: true, ..Wish::default() };
    let parts = request("GET", "/token", Some(&basic("bob", "bob's")));
    let (_, answer) = gate.exchange(&parts, &peer(), &wish).await.unwrap();
    let answer = serde_json::to_value(&answer).unwrap();
    let refresh = answer["refresh_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {refresh}");
    assert_eq!(who(&gate, Some(&bearer)).await.unwrap_err().status, StatusCode::UNAUTHORIZED);

    let wish = Wish {
        proof: Proof::Refresh(refresh.clone()),
        scopes: vec!["repository:team/app:pull".to_owned()],
        ..Wish::default()
    };
    let nobody = request("POST", "/token", None);
    let (principal, answer) = gate.exchange(&nobody, &peer(), &wish).await.unwrap();
    assert_eq!(principal.actor(), "user:bob");
    assert_eq!(serde_json::to_value(&answer).unwrap()["scope"], "repository:team/app:pull");
    let access = serde_json::to_value(&answer).unwrap()["access_token"].as_str().unwrap().to_owned();
    let swapped = Wish { proof: Proof::Refresh(access), ..Wish::default() };
    assert_eq!(gate.exchange(&nobody, &peer(), &swapped).await.err().unwrap().status, StatusCode::UNAUTHORIZED);

    std::fs::write(place.auth.htpasswd.as_ref().unwrap(), line("bob", "new", Kind::Bcrypt(4)).unwrap()).unwrap();
    gate.reload();
    assert_eq!(gate.exchange(&nobody, &peer(), &wish).await.err().unwrap().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wishes_for_other_registries_and_wrong_passwords_get_nothing() {
    let place = Place::new(true);
    let gate = place.gate();
    let parts = request("GET", "/token", Some(&basic("bob", "bob's")));
    let elsewhere = Wish { service: Some("elsewhere".to_owned()), ..Wish::default() };
    assert_eq!(gate.exchange(&parts, &peer(), &elsewhere).await.err().unwrap().status, StatusCode::BAD_REQUEST);
    let wrong = request("GET", "/token", Some(&basic("bob", "x")));
    let refusal = gate.exchange(&wrong, &peer(), &Wish::default()).await.err().unwrap();
    assert_eq!((refusal.status, challenge_of(&refusal)), (StatusCode::UNAUTHORIZED, "Basic realm=\"registry\""));
    let off = Place::new(false);
    let refusal = off.gate().exchange(&parts, &peer(), &Wish::default()).await.err().unwrap();
    assert_eq!(refusal.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_issuers_token_is_bearer_or_password() {
    let published = Published::start().await;
    let mut place = Place::new(true);
    place.auth.issuer = vec![published.config()];
    let gate = place.gate();
    let jwt = published.token("k1", &published.claims());
    for authorization in [format!("Bearer {jwt}"), basic("oidc", &jwt), basic("ann", &jwt)] {
        let principal = who(&gate, Some(&authorization)).await.unwrap();
        assert_eq!(principal.actor(), "token:ci:repo:acme/app:ref:refs/heads/main");
        gate.push(&principal, &name("ci/app")).unwrap();
        assert_eq!(gate.pull(&principal, &name("team/app")).unwrap_err().status, StatusCode::FORBIDDEN);
    }
    let ours = token(&gate, Some(&basic("oidc", &jwt)), &["repository:ci/app:pull,push"]).await;
    let principal = who(&gate, Some(&format!("Bearer {ours}"))).await.unwrap();
    gate.push(&principal, &name("ci/app")).unwrap();
    assert_eq!(principal.actor(), "token:ci:repo:acme/app:ref:refs/heads/main");
    // A token of ours is no password.
    assert_eq!(who(&gate, Some(&basic("oidc", &ours))).await.unwrap_err().status, StatusCode::UNAUTHORIZED);
    let expired = published.token("k1", &{
        let mut claims = published.claims();
        claims["exp"] = 1.into();
        claims
    });
    assert_eq!(who(&gate, Some(&format!("Bearer {expired}"))).await.unwrap_err().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn certificates_name_callers_and_never_an_issuers() {
    let published = Published::start().await;
    let mut place = Place::new(false);
    place.auth.issuer = vec![published.config()];
    let gate = place.gate();
    let certificate = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
        Peer { certificate: Some(der), ..peer() }
    };
    let parts = request("GET", "/v2/", None);
    let ann = gate.authenticate(&parts, &certificate("ann")).await.unwrap();
    assert_eq!(ann.actor(), "certificate:ann");
    gate.base(&ann).unwrap();
    gate.delete(&ann, &name("team/app")).unwrap();
    let forged = gate.authenticate(&parts, &certificate("ci:repo:acme/app:ref:refs/heads/main")).await.unwrap();
    assert!(forged.is_anonymous());
    let header = request("GET", "/v2/", Some(&basic("eve", "eve's")));
    assert_eq!(gate.authenticate(&header, &certificate("ann")).await.unwrap().actor(), "user:eve");
}

#[tokio::test]
async fn a_late_token_finishes_uploads_and_nothing_else() {
    let place = Place::new(true);
    let gate = place.gate();
    let bob = who(&gate, Some(&basic("bob", "bob's"))).await.unwrap();
    let grant = scope::parse(["repository:team/app:pull,push"]);
    let past = Instant::now().before(Duration::from_secs(900));
    let token = gate.tokens.as_ref().unwrap().access(&bob, &grant, None, past).unwrap().token;
    let bearer = format!("Bearer {token}");
    let session = "/v2/team/app/blobs/uploads/0123456789abcdef0123456789abcdef";
    for (method, path, expected) in [
        ("PATCH", session, true),
        ("PUT", session, true),
        ("POST", "/v2/team/app/blobs/uploads/", false),
        ("PUT", "/v2/team/app/manifests/latest", false),
        ("GET", "/v2/team/app/manifests/latest", false),
        ("GET", "/v2/", false),
    ] {
        let outcome = gate.authenticate(&request(method, path, Some(&bearer)), &peer()).await;
        assert_eq!(outcome.is_ok(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn what_nobody_configured() {
    let closed = Gate::open(&Auth::default(), &Surroundings::default());
    assert!(matches!(closed, Err(Error::Unguarded)));
    let local = Surroundings { local: true, ..Surroundings::default() };
    for gate in [Gate::open(&Auth::default(), &local).unwrap(), Gate::unguarded().unwrap()] {
        // Clients may show credentials of another life.
        let nobody = who(&gate, Some(&basic("x", "y"))).await.unwrap();
        gate.base(&nobody).unwrap();
        let push = gate.push(&nobody, &name("a")).unwrap();
        assert_eq!(gate.tag(&push, &"latest".parse().unwrap()), Existing::Move);
        gate.delete(&nobody, &name("a")).unwrap();
        gate.catalog(&nobody).unwrap();
        gate.administer(&nobody).unwrap();
    }
    let auth = Auth { anonymous: Some(Anonymous::Push), ..Auth::default() };
    let gate = Gate::open(&auth, &Surroundings::default()).unwrap();
    let nobody = who(&gate, None).await.unwrap();
    let push = gate.push(&nobody, &name("a")).unwrap();
    assert_eq!(gate.tag(&push, &"latest".parse().unwrap()), Existing::Deny);
    assert_eq!(gate.delete(&nobody, &name("a")).unwrap_err().status, StatusCode::FORBIDDEN, "no login would help");
}

#[test]
fn sections_say_what_is_wrong() {
    let complaints = |text: &str| {
        let auth: Auth = toml::from_str(text).unwrap();
        let mut wrong = crate::config::Complaints::default();
        auth.validate(&mut wrong);
        wrong.into_vec().into_iter().map(|complaint| complaint.field).collect::<Vec<_>>()
    };
    let issuer = |rest: &str| format!("[[issuer]]\nname = \"ci\"\nurl = \"https://ci\"\naudience = [\"reg\"]\n{rest}");
    for (text, expected) in [
        (String::new(), &[][..]),
        (issuer("claims = { sub = \"**\" }"), &[]),
        (issuer(""), &["issuer.0.claims"]),
        (issuer("claims = { sub = \"[\" }"), &["issuer.0.claims.sub"]),
        (issuer("claims = { sub = \"a\" }\nalgorithms = [\"HS256\"]"), &["issuer.0.algorithms"]),
        (issuer("claims = { sub = \"a\" }").replace("https", "http"), &["issuer.0.url"]),
        (issuer("claims = { sub = \"a\" }").replace("[\"reg\"]", "[]"), &["issuer.0.audience"]),
        ("token = { lifetime = \"1s\" }".to_owned(), &["token.lifetime"]),
        ("token = { service = 'a\"b' }".to_owned(), &["token.service"]),
    ] {
        assert_eq!(complaints(&text), expected, "{text}");
    }
}
