use super::*;
use crate::auth::Method;

const TEAM: &str = r#"
[[rule]]
who = { anonymous = true }
repositories = ["public/**"]
allow = ["pull"]

[[rule]]
who = { group = ["dev"] }
repositories = ["team/**", "public/**"]
allow = ["pull", "push"]

[[rule]]
who = { group = ["dev"], user = ["lead-*"] }
repositories = ["team/**"]
allow = ["update", "delete"]

[[rule]]
who = { authenticated = true }
repositories = ["home/{user}/**"]
allow = ["pull", "push", "update", "delete"]

[[rule]]
who = { claim = { repository = ["acme/app", "acme/lib"], ref = "refs/heads/*" } }
repositories = ["ci/*"]
allow = ["push"]

[[rule]]
who = { user = ["mallory"] }
repositories = ["**"]
deny = ["push", "update", "delete"]

[[rule]]
who = { anonymous = true }
repositories = ["public/members/**"]
deny = ["pull"]

[[immutable]]
repositories = ["team/**"]
tags = ["v*", "stable"]
"#;

fn user(name: &str, groups: &[&str]) -> Principal {
    let mut principal = Principal::known(Method::Password, name.to_owned());
    principal.groups = groups.iter().map(|group| (*group).to_owned()).collect();
    principal
}

fn machine(claims: &[(&str, &str)]) -> Principal {
    let mut principal = Principal::known(Method::Issuer("ci".to_owned()), "ci:x".to_owned());
    principal.claims = claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    principal
}

#[test]
fn the_table_of_decisions() {
    let policy = Policy::parse(TEAM.as_bytes()).unwrap();
    let (nobody, bob, lead, mallory) =
        (Principal::anonymous(), user("bob", &["dev"]), user("lead-ann", &["dev"]), user("mallory", &["dev"]));
    let outsider = user("lead-x", &[]);
    let main = machine(&[("repository", "acme/app"), ("ref", "refs/heads/main")]);
    let branch = machine(&[("repository", "acme/app"), ("ref", "refs/heads/a/b")]);
    let stranger = machine(&[("repository", "evil/app"), ("ref", "refs/heads/main")]);
    let half = machine(&[("ref", "refs/heads/main")]);
    use Action::{Delete, Pull, Push, Update};
    use Decision::{Allowed, Denied, Unmentioned};
    let cases = [
        (&nobody, Pull, "public/x", Allowed(2)),
        (&nobody, Push, "public/x", Unmentioned),
        (&nobody, Pull, "team/x", Unmentioned),
        (&nobody, Pull, "public/members/x", Denied(32)),
        (&bob, Pull, "public/members/x", Allowed(2)),
        (&outsider, Pull, "public/x", Allowed(2)),
        (&bob, Push, "team/x", Allowed(7)),
        (&bob, Update, "team/x", Unmentioned),
        (&bob, Push, "team", Unmentioned),
        (&bob, Push, "other/x", Unmentioned),
        (&lead, Update, "team/x", Allowed(12)),
        (&lead, Delete, "public/x", Unmentioned),
        (&outsider, Update, "team/x", Unmentioned),
        (&bob, Delete, "home/bob/x", Allowed(17)),
        (&bob, Pull, "home/ann/x", Unmentioned),
        (&nobody, Pull, "home/x", Unmentioned),
        (&mallory, Pull, "team/x", Allowed(7)),
        (&mallory, Push, "team/x", Denied(27)),
        (&mallory, Push, "home/mallory/x", Denied(27)),
        (&main, Push, "ci/app", Allowed(22)),
        (&main, Pull, "ci/app", Unmentioned),
        (&branch, Push, "ci/app", Unmentioned),
        (&stranger, Push, "ci/app", Unmentioned),
        (&half, Push, "ci/app", Unmentioned),
    ];
    for (principal, action, repository, expected) in cases {
        let decision = policy.decide(principal, action, &repository.parse().unwrap(), Anonymous::None);
        assert_eq!(decision, expected, "{} {action} {repository}", principal.actor());
    }
    let everybody = policy.decide(&nobody, Push, &"other/x".parse().unwrap(), Anonymous::Push);
    assert_eq!(everybody, Decision::AllowedToEverybody);
    let denied = policy.decide(&mallory, Push, &"other/x".parse().unwrap(), Anonymous::All);
    assert_eq!(denied, Denied(27));
}

#[test]
fn immutable_tags() {
    let policy = Policy::parse(TEAM.as_bytes()).unwrap();
    for (repository, tag, expected) in [
        ("team/x", "v1", Some(37)),
        ("team/x", "stable", Some(37)),
        ("team/x", "latest", None),
        ("public/x", "v1", None),
    ] {
        assert_eq!(
            policy.immutable(&repository.parse().unwrap(), &tag.parse().unwrap()),
            expected,
            "{repository}:{tag}"
        );
    }
    let inline = Policy::parse(b"immutable = [{ repositories = [\"**\"], tags = [\"v*\"] }]").unwrap();
    assert_eq!(inline.immutable(&"a".parse().unwrap(), &"v1".parse().unwrap()), Some(1));
}

#[test]
fn mistakes_are_named_by_line() {
    let rule = |text: &str| format!("\n[[rule]]\n{text}");
    let cases = [
        ("x = 1".to_owned(), "1: unknown field `x`"),
        (rule("who = { user = [\"a\"] }\nrepositories = [\"**\"]"), "2: the rule neither"),
        (rule("who = {}\nrepositories = [\"**\"]\nallow = [\"pull\"]"), "3: `who` names nobody"),
        (rule("who = { usr = [\"a\"] }\nrepositories = [\"**\"]\nallow = [\"pull\"]"), "3: unknown field `usr`"),
        (
            rule("who = { user = [\"a\"], anonymous = true }\nrepositories = [\"**\"]\nallow = [\"pull\"]"),
            "3: anonymous",
        ),
        (rule("who = { user = [\"a\"] }\nrepositories = [\"**\"]\nallow = [\n\"pull\",\n\"pul\"]"), "7: `pul` is none"),
        (rule("who = { user = [\"a\"] }\nrepositories = []\nallow = [\"pull\"]"), "2: `repositories` is empty"),
        (rule("who = { user = [\"a\"] }\nrepositories = [\"a\", \"[a]\"]\nallow = [\"pull\"]"), "4: `[a]`"),
        (rule("who = { claim = { a = [] } }\nrepositories = [\"a\"]\nallow = [\"pull\"]"), "3: `a` lists no value"),
        (rule("who = { user = [\"a\"] }\nrepositories = [\"a\"]\nallow = \"pull\""), "5: "),
        ("[[immutable]]\nrepositories = [\"a\"]".to_owned(), "1: missing field `tags`"),
        ("a = [".to_owned(), "1: "),
    ];
    for (text, expected) in cases {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert!(error.starts_with(expected), "{text}\n{error}");
    }
    assert!(Policy::parse(&b"#".repeat(2 << 20)).is_err());
    assert_eq!(Policy::parse(b"").unwrap().rules(), 0);
}

#[test]
fn explanations() {
    let policy = Policy::parse(TEAM.as_bytes()).unwrap();
    let lead = Caller { user: Some("lead-x".to_owned()), groups: vec!["dev".to_owned()], claims: Vec::new() };
    let machine = Caller { claims: vec![("repository".to_owned(), "acme/app".to_owned())], ..Caller::default() };
    let (team, v1, latest) = ("team/a".parse().unwrap(), "v1".parse().unwrap(), "latest".parse().unwrap());
    for (caller, action, tag, expected) in [
        (&lead, Action::Update, Some(&latest), Decision::Allowed(12)),
        (&lead, Action::Update, Some(&v1), Decision::Immutable(37)),
        (&lead, Action::Delete, Some(&v1), Decision::Immutable(37)),
        (&lead, Action::Push, Some(&v1), Decision::Allowed(7)),
        (&machine, Action::Push, None, Decision::Unmentioned),
        (&Caller::default(), Action::Update, Some(&v1), Decision::Unmentioned),
    ] {
        assert_eq!(policy.explain(caller, action, &team, tag, Anonymous::None), expected, "{caller:?} {action}");
    }
}

proptest::proptest! {
    #[test]
    fn what_is_nearly_right_is_compiled_or_refused_by_line(text in crate::auth::mutation::mutated(&[TEAM])) {
        let lines = text.matches('\n').count() + 1;
        match Policy::parse(text.as_bytes()) {
            Err(reason) => {
                let line = reason.split_once(':').and_then(|(line, _)| line.parse::<usize>().ok());
                proptest::prop_assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{reason}");
            }
            Ok(policy) => {
                let repository = "team/app".parse().unwrap();
                for action in Action::ALL {
                    // Whoever has logged in may do what nobody may, unless a rule denies it to them.
                    let nobody = policy.decide(&Principal::anonymous(), action, &repository, Anonymous::None);
                    let somebody = policy.decide(&user("bob", &["dev"]), action, &repository, Anonymous::None);
                    let denied = matches!(somebody, Decision::Denied(_));
                    proptest::prop_assert!(!nobody.is_allowed() || somebody.is_allowed() || denied);
                }
            }
        }
    }
}
