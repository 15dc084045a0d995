//! The documented file against the structs, and mistakes against what is said of them.

use std::path::{Path, PathBuf};

use super::*;

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(Some((Path::new("r.toml"), text)), environment, &[]).map_err(|problems| problems.to_string())
}

/// The names that a struct would have taken at a place, by serde's own words.
fn fields_at(text: &str) -> Vec<String> {
    let error = toml::from_str::<Config>(text).unwrap_err();
    let (_, expected) = error.message().split_once(", expected ").unwrap_or_else(|| panic!("{text}: {error}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_is_documented() {
    let filled: toml::Table = reference::filled().parse().unwrap();
    let mut tables = vec![(String::new(), filled)];
    while let Some((path, table)) = tables.pop() {
        let is_map = ["auth.groups", "tracing.headers"].contains(&path.as_str())
            || ["headers", "claims"].iter().any(|name| path.ends_with(&format!(".{name}")));
        if is_map {
            continue;
        }
        let header = match (path.as_str(), path.strip_suffix("[]")) {
            ("", _) => String::new(),
            (_, Some(list)) => format!("[[{list}]]\n"),
            (section, None) => format!("[{section}]\n"),
        };
        for field in fields_at(&format!("{header}no_such_field = 1\n")) {
            assert!(table.contains_key(&field), "default.toml says nothing of `{field}` in [{path}]");
        }
        for (name, value) in table {
            let below = if path.is_empty() { name } else { format!("{path}.{name}") };
            match value {
                toml::Value::Table(inner) => tables.push((below, inner)),
                toml::Value::Array(items) => {
                    if let Some(toml::Value::Table(inner)) = items.into_iter().next() {
                        tables.push((format!("{below}[]"), inner));
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_documented_file_is_the_default() {
    assert_eq!(parse(REFERENCE, &[]), Ok(Config::default()));
    // What it shows where there is a default is the default.
    let shown: Config = toml::from_str(&reference::filled()).unwrap();
    let (shown, default) = (toml::Table::try_from(&shown).unwrap(), toml::Table::try_from(Config::default()).unwrap());
    fn compare(path: &str, shown: &toml::Table, default: &toml::Table) {
        for (name, value) in default {
            let path = format!("{path}.{name}");
            match (value, &shown[name]) {
                (toml::Value::Table(inner), toml::Value::Table(other)) if !inner.is_empty() => {
                    compare(&path, other, inner);
                }
                (toml::Value::Table(_), toml::Value::Table(_)) => {}
                (toml::Value::Array(items), _) if items.is_empty() => {}
                (value, other) => assert_eq!(value, other, "{path}"),
            }
        }
    }
    compare("", &shown, &default);
}

#[test]
fn the_documented_file_holds_in_every_environment_variable() {
    let fields = reference::fields();
    let names: std::collections::BTreeSet<_> = fields.iter().map(reference::Field::variable).collect();
    assert_eq!(names.len(), fields.len(), "two fields, one variable");
    for field in fields {
        let value = match &field.shown {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let environment = [(field.variable(), value)];
        // What cannot be checked without its neighbours or its files may complain, but of nothing else.
        if let Err(problems) = Config::parse(None, environment, &[]) {
            let said = problems.to_string();
            assert!(!said.contains("unknown") && !said.contains("invalid type"), "{}: {said}", field.path);
        }
    }
}

#[test]
fn the_effective_configuration_reads_back() {
    let text = "[server]\naddress = [\"127.0.0.1:1\", \"unix:/x\"]\n[server.limits]\nmanifest_bytes = 5000000\n\
        [[quota]]\nprefix = \"a\"\nlimit = \"1GiB\"\n[[webhook.endpoint]]\nurl = \"http://a/\"\n\
        headers = { Authorization = \"Bearer s3cret\" }\n[auth.groups]\ndev = [\"ann\"]\n";
    let config = parse(text, &[]).unwrap();
    let shown = config.to_toml();
    assert!(!shown.contains("s3cret") && shown.contains("(hidden)"), "{shown}");
    assert!(!format!("{config:?}").contains("s3cret"));
    let again = parse(&shown, &[]).unwrap();
    assert_eq!(again.to_toml(), shown);
    assert_eq!(again.server, config.server);
}

#[test]
fn the_later_source_wins() {
    let file = "[server]\naddress = \"127.0.0.1:1\"\nworkers = 3\n[log]\nlevel = \"warn\"\n";
    let environment = [("ESTIBA_REGISTRY_SERVER_ADDRESS", "127.0.0.1:2"), ("ESTIBA_REGISTRY_SERVER_WORKERS", "4")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let overrides = [Override {
        option: "--addr".to_owned(),
        field: "server.address".to_owned(),
        value: toml::Value::Array(vec!["127.0.0.1:3".into()]),
    }];
    let config = Config::parse(Some((Path::new("r.toml"), file)), environment, &overrides).unwrap();
    assert_eq!(config.server.address.0, ["127.0.0.1:3".parse().unwrap()]);
    assert_eq!((config.server.workers, config.log.level.as_str()), (4, "warn"));
}

#[test]
fn variables_take_text_lists_and_tables() {
    let config = parse(
        "",
        &[
            ("ESTIBA_REGISTRY_PAGE_TITLE", "12"),
            ("ESTIBA_REGISTRY_SERVER_ADDRESS", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]"),
            ("ESTIBA_REGISTRY_SERVER_LIMITS_MANIFEST_BYTES", "5MiB"),
            ("ESTIBA_REGISTRY_QUOTA", "[{ prefix = \"team\", limit = \"1GiB\" }]"),
            ("ESTIBA_REGISTRY_AUTH_GROUPS", "{ dev = [\"ann\"] }"),
            ("ESTIBA_REGISTRY_AUTH_ADMINISTRATORS", "ann"),
            ("ESTIBA_REGISTRY_METRICS_ENABLED", "false"),
            ("ESTIBA_REGISTRY_ROOT", "/elsewhere"),
            ("ESTIBA_OTHER", "x"),
        ],
    );
    let config = config.unwrap();
    assert_eq!(config.page.title, "12");
    assert_eq!(config.server.address.0.len(), 2);
    assert_eq!(config.server.limits.manifest_bytes, Size::mebibytes(5));
    assert_eq!(config.quota[0].prefix, "team");
    assert_eq!(config.auth.groups["dev"], ["ann"]);
    assert_eq!(config.auth.administrators, ["ann"]);
    assert!(!config.metrics.enabled && config.server.root.is_none());
}

#[test]
fn all_mistakes_at_once() {
    let text = "\
[server]
adress = \"127.0.0.1:5000\"
workers = \"four\"
[server.limits]
\tbody_timeout = \"60 seconds\"
[log]
format = \"jsn\"
[[webhook.endpoint]]
url = 5
[[quota]]
prefix = \"a\"
[lg]
";
    let environment = [("ESTIBA_REGISTRY_SERVER_WORKER", "1"), ("ESTIBA_REGISTRY_PAGE_ENABLED", "perhaps")];
    let expected = "\
ESTIBA_REGISTRY_SERVER_WORKER: the configuration has no such field; did you mean `ESTIBA_REGISTRY_SERVER_WORKERS`?
ESTIBA_REGISTRY_PAGE_ENABLED: invalid type: string \"perhaps\", expected a boolean";
    assert_eq!(parse("", &environment).unwrap_err(), expected);
    let expected = "\
r.toml:7:10: unknown variant `jsn`; did you mean `json`?
 7 | format = \"jsn\"
   |          ^^^^^
r.toml:10:1: missing field `limit`
 10 | [[quota]]
    | ^^^^^^^^^
r.toml:2:1: unknown field `adress`; did you mean `address`?
 2 | adress = \"127.0.0.1:5000\"
   | ^^^^^^
r.toml:5:17: `60 seconds` is not a time such as \"30s\", \"24h\" or \"7d\"
 5 | \tbody_timeout = \"60 seconds\"
   | \t               ^^^^^^^^^^^^
r.toml:3:11: invalid type: string \"four\", expected usize
 3 | workers = \"four\"
   |           ^^^^^^
r.toml:9:7: invalid type: integer `5`, expected a string
 9 | url = 5
   |       ^
r.toml:12:2: unknown field `lg`; did you mean `log`?
 12 | [lg]
    |  ^^";
    let mut said: Vec<_> = parse(text, &[]).unwrap_err().split("r.toml:").map(str::to_owned).collect();
    let mut wanted: Vec<_> = expected.split("r.toml:").map(str::to_owned).collect();
    for lines in [&mut said, &mut wanted] {
        lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
        lines.sort();
    }
    assert_eq!(said, wanted);
}

#[test]
fn what_cannot_be_is_shown_where_it_stands() {
    let text = "[server]\nurl = \"ftp://x\"\n[server.limits]\nmanifest_bytes = \"1MiB\"\n";
    let said = parse(text, &[("ESTIBA_REGISTRY_TRACING_RATIO", "2.0")]).unwrap_err();
    assert!(said.contains("r.toml:2:7: server.url: it must start with https://"), "{said}");
    assert!(said.contains("r.toml:4:18: server.limits.manifest_bytes: it must lie between 4MiB"), "{said}");
    assert!(said.contains("ESTIBA_REGISTRY_TRACING_RATIO: tracing.ratio: 2 is not between 0 and 1"), "{said}");
}

#[test]
fn syntax_is_shown_with_its_line() {
    let said = parse("[server]\naddress = \n[log\n", &[]).unwrap_err();
    assert!(said.contains("r.toml:2:") && said.contains("r.toml:3:"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let load = |path: &PathBuf| Config::load(Some(path), [], &[]).unwrap_err().to_string();
    assert!(load(&path).contains("No such file"));
    std::fs::write(&path, b"a = 1\n\xff").unwrap();
    assert!(load(&path).ends_with("x:2: it is not UTF-8"), "{}", load(&path));
}

/// Pieces of files, right and wrong, that may stand one behind the other.
fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop_oneof![
        Just("[server]\n".to_owned()),
        Just("[server.limits]\n".to_owned()),
        Just("[[webhook.endpoint]]\n".to_owned()),
        Just("[[quota]]\n".to_owned()),
        Just("address = [\"127.0.0.1:1\", \"ü\", 5]\n".to_owned()),
        Just("url = \"http://a/ü\"\r\n".to_owned()),
        Just("auth = { token = { lifetime = 5 }, groups = { ä = [1] } }\n".to_owned()),
        Just("prefix = \"a\"\nlimit = \"1GiB\"\n".to_owned()),
        Just("rate = 18446744073709551616\n".to_owned()),
        Just("\"\\u00e4\" = '''\nü\n'''\n".to_owned()),
        "[a-zü_.\\[\\]{}=\"'\n\t0-9]{0,20}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #[test]
    fn any_text_is_taken_or_shown_where_it_is_wrong(text in pieces(), variable in pieces()) {
        let path = Path::new("r.toml");
        let variables = ["SERVER_ADDRESS", "WEBHOOK_ENDPOINT", "AUTH_GROUPS", "SERVER_WORKERS"]
            .map(|name| (format!("ESTIBA_REGISTRY_{name}"), variable.clone()));
        for variables in [&variables[..], &[]] {
            match Config::parse(Some((path, &text)), variables.to_vec(), &[]) {
                Ok(config) => {
                    let shown = config.to_toml();
                    let again = Config::parse(Some((path, &shown)), [], &[]).unwrap();
                    proptest::prop_assert_eq!(again.to_toml(), shown);
                }
                Err(problems) => {
                    proptest::prop_assert!(!problems.0.is_empty());
                    for problem in problems.0 {
                        proptest::prop_assert!(problem.excerpt.lines().count() <= 2, "{:?}", problem);
                    }
                }
            }
        }
    }
}
