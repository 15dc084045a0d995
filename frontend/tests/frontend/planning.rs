//! What a plan asks for, and what it refuses.

use std::collections::BTreeMap;

use estiba_frontend::{Options, Plan, SourceText};

use crate::lowering::{lower, usual_options};

fn asked(text: &str, target: Option<&str>) -> Vec<String> {
    let source = SourceText::new("Dockerfile", text.as_bytes().to_vec()).unwrap();
    let options = Options { target: target.map(str::to_owned), ..usual_options() };
    let (_, asked) = lower(&source, options, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:?}"));
    asked.into_iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

const STAGES: &str =
    "FROM one AS a\nFROM two AS b\nCOPY --from=a /x /y\nFROM three AS c\nRUN --mount=from=four,target=/m x\n";

#[test]
fn only_what_the_target_reaches_is_asked_for() {
    assert_eq!(asked(STAGES, None), ["three", "four"]);
    assert_eq!(asked(STAGES, Some("b")), ["one", "two"]);
    assert_eq!(asked(STAGES, Some("B")), ["one", "two"]);
    assert_eq!(asked(STAGES, Some("0")), ["one"]);
    assert_eq!(asked("FROM one\nFROM one\nCOPY --from=0 /x /\n", None), ["one"]);
}

#[test]
fn stages_and_scratch_are_not_asked_for() {
    assert!(asked("FROM scratch AS a\nFROM a\nCOPY --from=a / /\n", None).is_empty());
    assert_eq!(asked("FROM oci-layout:///some/DIR\n", None), ["oci-layout:///some/DIR"]);
}

#[test]
fn a_wrong_target_suggests() {
    let source = SourceText::new("Dockerfile", STAGES.replace("AS b", "AS build").into_bytes()).unwrap();
    let dockerfile = estiba_frontend::parse(&source).dockerfile;
    let options = Options { target: Some("biuld".to_owned()), ..usual_options() };
    let errors = Plan::new(dockerfile, &source, options).unwrap_err();
    assert_eq!(errors[0].message, "there is no stage `biuld`");
    assert_eq!(errors[0].help.as_deref(), Some("did you mean `build`?"));
}

#[test]
fn lowering_before_all_answers_is_an_error() {
    let source = SourceText::new("Dockerfile", b"FROM one\n".to_vec()).unwrap();
    let plan = Plan::new(estiba_frontend::parse(&source).dockerfile, &source, usual_options()).unwrap();
    assert_eq!(plan.lower().unwrap_err()[0].message, "image `one` was not provided");
}

/// Equal plans give equal graphs, whatever the order of the answers.
#[test]
fn a_plan_is_deterministic() {
    let source = SourceText::new("Dockerfile", STAGES.as_bytes().to_vec()).unwrap();
    let digest = || {
        let (lowered, _) = lower(&source, usual_options(), &BTreeMap::new()).unwrap();
        lowered.graph.vertex(lowered.root).digest()
    };
    assert_eq!(digest(), digest());
}

/// Proxies reach RUNs and change nothing else.
#[test]
fn proxies_change_no_digest() {
    let source = SourceText::new("Dockerfile", b"FROM one\nRUN x\n".to_vec()).unwrap();
    let lower = |args: &[(&str, &str)]| {
        let build_args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        lower(&source, Options { build_args, ..usual_options() }, &BTreeMap::new()).unwrap().0
    };
    let (plain, proxied) = (lower(&[]), lower(&[("http_proxy", "http://p:1")]));
    assert_eq!(plain.graph.vertex(plain.root).digest(), proxied.graph.vertex(proxied.root).digest());
    assert_eq!(plain.config, proxied.config);
    let graph::Op::Exec(exec) = proxied.graph.vertex(proxied.root).op() else { panic!() };
    let expected = [("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1")];
    assert_eq!(exec.proxy_env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(proxied.unused_args.is_empty());
}
