//! Hostile input: one clear error each, in linear time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use estiba_frontend::{Diagnostic, SourceText};

use crate::lowering::{lower, usual_options};

/// Generous: tests run unoptimised, on busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

fn errors(text: String) -> Vec<String> {
    let start = Instant::now();
    let messages = |list: Vec<Diagnostic>| -> Vec<String> {
        list.into_iter().filter(Diagnostic::is_error).map(|finding| finding.message).collect()
    };
    let source = match SourceText::new("Dockerfile", text.into_bytes()) {
        Ok(source) => source,
        Err(error) => return vec![error.message],
    };
    let mut found = messages(estiba_frontend::parse(&source).diagnostics);
    if found.is_empty() {
        found = match lower(&source, usual_options(), &BTreeMap::new()) {
            Ok(_) => Vec::new(),
            Err(list) => messages(list),
        };
    }
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    found
}

#[test]
fn a_huge_file() {
    let found = errors("RUN x\n".repeat(20 << 20));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("at most 16777216"), "{}", found[0]);
}

#[test]
fn a_million_stages() {
    assert_eq!(errors("FROM scratch\n".repeat(1_000_000)), ["more than 1000 stages"]);
}

#[test]
fn a_million_instructions() {
    let found = errors("FROM scratch\n".to_owned() + &"ENV A=1\n".repeat(1_000_000));
    assert_eq!(found, ["more than 20000 instructions"]);
}

#[test]
fn a_million_mistakes() {
    let found = errors("FROM scratch\n".to_owned() + &"X\n".repeat(1_000_000));
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "and 19900 more errors");
}

#[test]
fn one_line_of_megabytes() {
    assert!(errors(format!("FROM scratch\nLABEL a={}\n", "x".repeat(1 << 20))).is_empty());
    assert!(errors(format!("FROM scratch\nENV {}\n", "a=b ".repeat(1 << 17))).is_empty());
    assert!(errors(format!("FROM scratch\nRUN [{}\n", "[".repeat(1 << 20))).is_empty());
    assert!(errors(format!("FROM scratch\nRUN a \\\n{}b\n", "# c\n".repeat(1 << 17))).is_empty());
    assert!(errors(format!("FROM scratch\nRUN a{}\n", " \\\n b".repeat(1 << 17))).is_empty());
    let mounts = "--mount=type=tmpfs,target=/t ".repeat(1 << 17);
    assert_eq!(errors(format!("FROM scratch\nRUN {mounts}x\n")), ["131072 mounts; a RUN may have at most 1000"]);
    assert_eq!(errors(format!("FROM scratch\nRUN {}x\n", "--x ".repeat(1 << 17))).len(), 101);
    let distinct: String = (0..50_000).map(|n| format!("a{n}=b ")).collect();
    for keyword in ["ENV", "LABEL", "ARG"] {
        assert!(errors(format!("FROM scratch\n{keyword} {distinct}\n")).is_empty());
    }
    assert!(errors(format!("FROM scratch\nRUN --mount={} x\n", "a,".repeat(1 << 17))).len() == 1);
}

#[test]
fn values_that_double() {
    let mut text = String::from("FROM scratch\nENV A=xxxxxxxxxxxxxxxx\n");
    text.push_str(&"ENV A=$A$A\n".repeat(60));
    let found = errors(text);
    assert!(found[0].contains("grows by more than") || found[0].contains("the plan takes more"), "{found:?}");
}

#[test]
fn variables_times_runs() {
    let mut text = String::from("FROM scratch\n");
    (0..9_000).for_each(|n| text.push_str(&format!("ENV VARIABLE_{n}=value\n")));
    text.push_str(&"RUN x\n".repeat(9_000));
    assert_eq!(errors(text), ["the plan takes more than 64 MiB"]);
}

#[test]
fn ports_times_stages() {
    let text = "FROM scratch AS s0\nEXPOSE 1-65535\n".to_owned()
        + &(1..900).map(|n| format!("FROM s{} AS s{n}\nEXPOSE 1-65535\n", n - 1)).collect::<String>();
    assert_eq!(errors(text), ["the plan takes more than 64 MiB"]);
}

#[test]
fn a_chain_of_stages_is_no_recursion() {
    let text = "FROM scratch AS s0\n".to_owned()
        + &(1..500).map(|n| format!("FROM s{} AS s{n}\nENV A={n}\n", n - 1)).collect::<String>();
    assert!(errors(text).is_empty());
}

#[test]
fn deep_expansions() {
    let found = errors(format!("FROM scratch\nENV A={}\n", "${B:-".repeat(1 << 20)));
    assert_eq!(found, ["`${…}` nests more than 64 deep"]);
}

#[test]
fn an_image_with_too_many_triggers() {
    let triggers = vec!["RUN x"; 5_000];
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"OnBuild":{}}},"rootfs":{{"type":"layers"}}}}"#,
        serde_json::to_string(&triggers).unwrap()
    );
    let source = SourceText::new("Dockerfile", b"FROM base\n".to_vec()).unwrap();
    let images = BTreeMap::from([("base".to_owned(), config)]);
    let errors = lower(&source, usual_options(), &images).unwrap_err();
    assert_eq!(errors[0].message, "the base has 5000 ONBUILD triggers; at most 1000 are run");
}
