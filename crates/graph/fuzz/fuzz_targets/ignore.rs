//! An ignore file and a path, both arbitrary: matching answers, and a walk agrees with it.
#![no_main]

use graph::pattern::{Glob, IgnoreRules, go_match};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    drop(Glob::new(text));
    drop(go_match(text, path));
    let Ok(rules) = IgnoreRules::parse(text) else { return };
    let decision = rules.matches(path, false);
    let mut scope = rules.scope();
    for (end, _) in path.match_indices('/') {
        scope = scope.enter(&path.as_bytes()[..end]);
        // What a walk skips, no rule includes.
        assert!(!rules.skips(&scope) || !decision.included);
    }
    assert_eq!(rules.decision(scope.decide(path.as_bytes())), decision);
});
