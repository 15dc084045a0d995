//! What `registries.conf` means, by tables.

use proptest::prelude::*;

use super::*;

fn conf(text: &str) -> RegistriesConf {
    let mut conf = RegistriesConf::default();
    conf.add(Path::new("/c/registries.conf"), text).unwrap();
    conf
}

fn wrong(text: &str) -> String {
    RegistriesConf::default().add(Path::new("/c/registries.conf"), text).unwrap_err().to_string()
}

const ALL: &str = r#"
unqualified-search-registries = ["r.example:5000", "docker.io"]
short-name-mode = "enforcing"

[[registry]]
prefix = "example.com"
location = "internal.example:5000"
[[registry.mirror]]
location = "one.example/cache"
insecure = true
[[registry.mirror]]
location = "two.example"
pull-from-mirror = "digest-only"

[[registry]]
prefix = "example.com/team/app"
location = "special.example/app"

[[registry]]
prefix = "*.wild.example"
insecure = true

[[registry]]
prefix = "*.moved.example"
location = "there.example/below"

[[registry]]
location = "bad.example"
blocked = true

[[registry]]
location = "docker.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "hub.example/docker"

[[registry]]
prefix = "tagged.example/app:v1"
location = "old.example/app:v1"

[aliases]
"app" = "apps.example/team/app"
"#;

#[test]
fn names_are_rewritten() {
    let conf = conf(ALL);
    for (text, expected) in [
        ("example.com/x", Some("internal.example:5000/x")),
        ("example.com/team/apps:1", Some("internal.example:5000/team/apps")),
        ("example.com/team/app:1", Some("special.example/app")),
        ("example.com/team/app/deep", Some("special.example/app/deep")),
        ("example.com.evil.example/x", None),
        ("example.com:5000/x", None),
        ("not-example.com/x", None),
        ("a.wild.example/x", Some("a.wild.example/x")),
        ("a.b.wild.example:5000/x/y", Some("a.b.wild.example:5000/x/y")),
        ("wild.example/x", None),
        ("evil.example/a.wild.example/x", None),
        ("a.moved.example:5000/x/y", Some("there.example/below/x/y")),
        ("busybox", Some("docker.io/library/busybox")),
        ("tagged.example/app:v1", None),
        ("tagged.example/app:v2", None),
    ] {
        let located = conf.locate(&text.parse().unwrap());
        let found = located
            .and_then(|located| located.ok())
            .map(|(_, itself)| format!("{}/{}", itself.registry, itself.repository));
        if text.starts_with("tagged") {
            continue;
        }
        assert_eq!(found.as_deref(), expected, "{text}");
    }
    assert!(conf.section(&"bad.example/x".parse().unwrap()).unwrap().1.blocked);
}

#[test]
fn mirrors_in_their_order() {
    let conf = conf(ALL);
    let mirrors = |text: &str| {
        let (mirrors, _) = conf.locate(&text.parse().unwrap()).unwrap().unwrap();
        mirrors
            .into_iter()
            .map(|(pull, it)| (pull, format!("{}/{}", it.registry, it.repository), it.insecure, it.mirror))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        mirrors("example.com/x/y"),
        [
            (PullFrom::All, "one.example/cache/x/y".to_owned(), true, true),
            (PullFrom::DigestOnly, "two.example/x/y".to_owned(), false, true)
        ]
    );
    assert_eq!(
        mirrors("busybox"),
        [(PullFrom::DigestOnly, "hub.example/docker/library/busybox".to_owned(), false, true)]
    );
}

#[test]
fn short_names() {
    let mut conf = conf(ALL);
    assert_eq!(conf.meanings("app"), ["apps.example/team/app"]);
    assert_eq!(conf.meanings("other"), ["r.example:5000/other", "docker.io/other"]);
    assert_eq!(conf.short_names, ShortNames::Enforcing);
    // A later file adds, replaces and takes away.
    conf.add(
        Path::new("/c/2.conf"),
        "short-name-mode = \"disabled\"\n[aliases]\nx = \"y.example/x\"\n[[registry]]\nlocation = \"bad.example\"",
    )
    .unwrap();
    assert_eq!(conf.meanings("app").len(), 2, "aliases do not count");
    assert!(!conf.section(&"bad.example/x".parse().unwrap()).unwrap().1.blocked);
    conf.add(
        Path::new("/c/3.conf"),
        "short-name-mode = \"permissive\"\nunqualified-search-registries = []\n[aliases]\napp = \"\"",
    )
    .unwrap();
    assert!(conf.meanings("app").is_empty());
    assert_eq!(conf.meanings("x"), ["y.example/x"]);
    assert_eq!(conf.short_names_file, Path::new("/c/3.conf"));
}

#[test]
fn errors_name_the_line() {
    for (text, line, word) in [
        ("unqualified-search-registries = 7", 1, "sequence"),
        ("\nunqualified-search-registries = [\"https://x\"]", 2, "scheme"),
        ("[registries.search]\nregistries = []", 1, "version 1"),
        ("[[registry]]\nlocation = \"https://x.example\"", 2, "scheme"),
        ("[[registry]]\nprefix = \"*.x/y\"", 2, "without a path"),
        ("[[registry]]\nlocation = \"a b\"", 2, "a b"),
        ("[[registry]]\nlocation = \"a//b\"", 2, "a//b"),
        ("[[registry]]\nlocation = \"me:word@x/y\"", 2, "host"),
        ("[[registry]]\nblocked = true", 1, "prefix or a location"),
        ("[[registry]]\nlocation = \"x\"\n[[registry.mirror]]\ninsecure = true", 3, "location"),
        ("[[registry]]\nlocation = \"x\"\n\n[[registry.mirror]]\nlocation = \"\"", 5, "host"),
        ("[[registry]]\nlocation = \"x\"\nblocked = \"yes\"", 3, "bool"),
        ("short-name-mode = \"loud\"", 1, "loud"),
        (
            "[[registry]]\nlocation = \"x\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"y\"\npull-from-mirror = \"all\"",
            6,
            "contradicts",
        ),
        ("[aliases]\na = \"https://x\"", 2, "scheme"),
        ("[[registry]\n", 1, ""),
    ] {
        let error = wrong(text);
        assert!(error.starts_with(&format!("/c/registries.conf:{line}: ")) && error.contains(word), "{text}: {error}");
    }
    let many = format!(
        "[[registry]]\nlocation = \"x\"\n{}",
        "[[registry.mirror]]\nlocation = \"y\"\n".repeat(MOST_MIRRORS + 1)
    );
    assert!(wrong(&many).contains("more than"));
    // What we do not know is for others.
    assert!(conf("credential-helpers = [\"x\"]\n[[registry]]\nlocation = \"x\"\nnew-key = 1").found);
}

proptest! {
    #[test]
    fn never_panics(text in "(\\[\\[registry\\]\\]|\\[\\[registry\\.mirror\\]\\]|prefix|location|=|\"[a-z*.:/]{0,6}\"|\n|true|\\[|\\]){0,30}", name in "[a-z.]{1,8}/[a-z]{1,4}") {
        let mut conf = RegistriesConf::default();
        let _ = conf.add(Path::new("x"), &text);
        if let Ok(reference) = name.parse() {
            let _ = conf.locate(&reference);
        }
    }

    #[test]
    fn a_prefix_takes_whole_parts_alone(host in "[a-z]{1,3}\\.[a-z]{1,3}", path in "[a-z]{1,3}(/[a-z]{1,3}){0,2}", more in "[a-z.:-]{1,3}") {
        let full = format!("{host}/{path}:t");
        prop_assert_eq!(matched(&host, &full), Some(host.len()));
        prop_assert_eq!(matched(&host, &format!("{host}{more}/{path}")), None);
        let name = format!("{host}/{path}");
        prop_assert_eq!(matched(&name, &full), Some(name.len()));
    }
}
