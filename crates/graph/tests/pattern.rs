//! Ignore rules and globs: the tables in `testdata/ignore`, and a naive matcher as a model.

use estiba_graph::pattern::{Glob, IgnoreRules, PatternSet, go_match};
use proptest::prelude::*;

fn table(text: &str) -> impl Iterator<Item = (String, String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty());
    lines.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [pattern, name, answer] = fields[..] else { panic!("three fields: {line:?}") };
        (pattern.to_owned(), name.to_owned(), answer.to_owned())
    })
}

#[test]
fn filepath_match() {
    for (pattern, name, answer) in table(include_str!("../../../testdata/ignore/match.txt")) {
        let got = match go_match(&pattern, &name) {
            Ok(true) => "yes",
            Ok(false) => "no",
            Err(_) => "error",
        };
        assert_eq!(got, answer, "{pattern:?} on {name:?}");
    }
}

#[test]
fn ignore_rules() {
    for (rules, path, answer) in table(include_str!("../../../testdata/ignore/rules.txt")) {
        let text = rules.split(" ; ").collect::<Vec<_>>().join("\n");
        let path = path.trim_end_matches('/');
        let got = match IgnoreRules::parse(&text) {
            Ok(rules) if rules.matches(path, false).included => "in",
            Ok(_) => "out",
            Err(_) => "error",
        };
        assert_eq!(got, answer, "{rules:?} on {path:?}");
    }
}

#[test]
fn lines_are_named_and_marks_dropped() {
    let rules = IgnoreRules::parse("\u{feff}# comment\n\n  *.o  \r\n!keep.o\n").unwrap();
    assert_eq!(rules.matches("a.o", false).rule, Some(3));
    assert_eq!(rules.matches("keep.o", false).rule, Some(4));
    assert!(rules.matches("keep.o", false).included);
    assert_eq!(rules.matches("a.c", false).rule, None);
    let error = IgnoreRules::parse("ok\na[\n").unwrap_err().to_string();
    assert_eq!(error, "line 2: syntax error in pattern \"a[\"");
    let error = IgnoreRules::parse("!").unwrap_err().to_string();
    assert_eq!(error, "line 1: illegal exclusion pattern: \"!\"");
}

#[test]
fn directories_are_skipped_only_where_nothing_comes_back() {
    let skips = |text: &str, dir: &str| IgnoreRules::parse(text).unwrap().can_skip_dir(dir);
    assert!(skips("docs", "docs"));
    assert!(!skips("docs\n!docs/README.md", "docs"));
    assert!(skips("docs\n!docs/README.md", "docs/sub"));
    assert!(skips("*\n!src", "target"));
    assert!(!skips("*\n!src", "src"));
    assert!(!skips("*\n!a/b/c", "a/b"));
    assert!(!skips("*\n!**/x", "deep/er"));
    assert!(!skips("!docs/x\nother", "docs"));
    assert!(skips("!docs/x\ndocs", "docs"));
    assert!(!skips("*\n!a*/b?/c", "ax/by"));
    assert!(skips("*\n!a*/b?/c", "ax/by/d"));
}

#[test]
fn rules_survive_serialisation() {
    let rules = IgnoreRules::parse("*.o\n\n!keep.o\n").unwrap();
    let json = serde_json::to_string(&rules).unwrap();
    let back: IgnoreRules = serde_json::from_str(&json).unwrap();
    assert_eq!(back, rules);
    assert_eq!(back.matches("keep.o", false), rules.matches("keep.o", false));
    assert!(serde_json::from_str::<IgnoreRules>(r#"[{"line":1,"pattern":"["}]"#).is_err());
}

#[test]
fn globs_are_split_at_the_first_wildcard() {
    let glob = Glob::new("./src//sub/../*.rs").unwrap();
    assert_eq!((glob.base(), glob.depth(), glob.is_literal()), ("src", 1, false));
    assert!(glob.matches_part(0, b"main.rs") && !glob.matches_part(0, b"main.c"));
    let glob = Glob::new("a/b?/c").unwrap();
    assert_eq!((glob.base(), glob.depth()), ("a", 2));
    assert!(glob.matches_part(0, b"bx") && glob.matches_part(1, b"c"));
    assert!(Glob::new("../../etc/passwd").unwrap().base() == "etc/passwd");
    assert!(Glob::new(".").unwrap().is_literal());
    assert!(Glob::new("a[").is_err());
}

/// A hostile ignore file must not blow up the time.
#[test]
fn many_stars_stay_cheap() {
    let path = "a/".repeat(200) + &"a".repeat(400);
    for pattern in ["**/*a".repeat(40) + "b", "*a".repeat(60) + "b", "**/".to_owned() + &"a*/**/".repeat(50) + "z"] {
        let rules = IgnoreRules::parse(&pattern).unwrap();
        assert!(rules.matches(&path, false).included);
        rules.can_skip_dir(&path);
    }
}

/// The reference's definition, letter by letter.
fn naive(pattern: &[char], path: &[char], first: bool) -> bool {
    match pattern {
        [] => path.is_empty(),
        ['*', '*', rest @ ..] => {
            let rest = rest.strip_prefix(&['/']).unwrap_or(rest);
            let wild = rest.iter().any(|c| "*?".contains(*c));
            if first && !wild {
                let suffix: Vec<char> = pattern[2..].to_vec();
                return path.ends_with(&suffix) || (suffix.first() == Some(&'/') && path == &suffix[1..]);
            }
            rest.is_empty()
                || naive(rest, path, false)
                || (0..path.len()).any(|at| path[at] == '/' && naive(rest, &path[at + 1..], false))
        }
        ['*', rest @ ..] => {
            naive(rest, path, false) || path.first().is_some_and(|c| *c != '/') && naive(pattern, &path[1..], false)
        }
        ['?', rest @ ..] => path.first().is_some_and(|c| *c != '/') && naive(rest, &path[1..], false),
        [c, rest @ ..] => path.first() == Some(c) && naive(rest, &path[1..], false),
    }
}

fn naive_rules(rules: &[String], path: &str) -> bool {
    let mut out = false;
    for rule in rules {
        let (negated, pattern) = rule.strip_prefix('!').map_or((false, &rule[..]), |rest| (true, rest));
        let pattern: Vec<char> = pattern.chars().collect();
        let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        ends.push(path.len());
        let hit = ends.iter().any(|end| {
            let part: Vec<char> = path[..*end].chars().collect();
            naive(&pattern, &part, true)
        });
        if hit {
            out = !negated;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn agrees_with_the_naive_matcher(
        rules in prop::collection::vec("!?(([ab*?.]{1,4}|\\*\\*)/){0,3}([ab*?.]{0,3}[ab]|\\*\\*)", 1..5),
        paths in prop::collection::vec("([ab.]{0,2}[ab]/){0,3}[ab.]{0,2}[ab]", 1..8),
    ) {
        // Rules that cleaning would change are another test's matter.
        let plain = |rule: &String| !rule.trim_start_matches('!').split('/').any(|part| matches!(part, "." | ".."));
        prop_assume!(rules.iter().all(plain));
        let parsed = IgnoreRules::parse(rules.join("\n")).unwrap();
        for path in &paths {
            let expected = !naive_rules(&rules, path);
            prop_assert_eq!(parsed.matches(path, false).included, expected, "{:?} on {:?}", rules, path);
            // A walk that carries scopes, and skips, says the same.
            let mut scope = parsed.scope();
            let mut skipped = false;
            for (end, _) in path.match_indices('/') {
                scope = scope.enter(&path.as_bytes()[..end]);
                skipped |= parsed.skips(&scope);
                prop_assert_eq!(parsed.skips(&scope), parsed.can_skip_dir(&path[..end]));
            }
            let walked = parsed.decision(scope.decide(path.as_bytes())).included;
            prop_assert_eq!(walked, expected);
            if skipped {
                prop_assert!(!expected, "{:?} skipped on the way to {:?}", rules, path);
            }
        }
    }

    #[test]
    fn anything_is_answered(text in "\\PC{0,40}", path in "\\PC{0,40}") {
        if let Ok(rules) = IgnoreRules::parse(&text) {
            rules.matches(&path, true);
            rules.can_skip_dir(&path);
        }
        drop(PatternSet::new(&[&text]));
        drop(Glob::new(&text));
        drop(go_match(&text, &path));
    }
}

/// 50,000 files in 100 directories under 20 rules; the figure counts in an optimised build.
#[test]
fn a_walk_is_cheap() {
    let text = "target\n**/node_modules\n**/*.o\n*.md\n!README.md\n.git\n**/.DS_Store\ndocs/**\n!docs/keep\n\
        build/*.tmp\n**/__pycache__\n*.log\n**/*.pyc\nvendor/*/testdata\ncoverage\n**/dist\n.idea\n.vscode\n**/*~\n**/a?b\n";
    let rules = IgnoreRules::parse(text).unwrap();
    let start = std::time::Instant::now();
    let mut included = 0;
    let root = rules.scope().enter(b"files");
    for dir in 0..100 {
        let scope = root.enter(format!("files/d{dir:03}").as_bytes());
        let mut path = format!("files/d{dir:03}/f00000").into_bytes();
        let at = path.len() - 5;
        for file in 0..500_u32 {
            for (place, divisor) in [(0, 10_000), (1, 1000), (2, 100), (3, 10), (4, 1)] {
                path[at + place] = b'0' + u8::try_from(file / divisor % 10).unwrap();
            }
            included += u32::from(rules.decision(scope.decide(&path)).included);
        }
    }
    println!("50,000 files, 20 rules: {:?}", start.elapsed());
    assert_eq!(included, 50_000);
}

proptest! {
    /// Git's rules and Docker's mean the same where a pattern is tied to the root, or to any depth by `**`, and nothing
    /// comes back by `!`.
    #[test]
    fn agrees_with_git_where_the_languages_meet(
        patterns in proptest::collection::vec("(/|\\*\\*/)(a|b|[ab]\\*|\\?)(/(a|b|\\*))?", 1..4),
        path in "[abc]{1,2}(/[abc]{1,2}){0,3}",
    ) {
        let ours = IgnoreRules::parse(patterns.join("\n")).unwrap();
        let mut builder = ignore::gitignore::GitignoreBuilder::new("/");
        for pattern in &patterns {
            builder.add_line(None, pattern).unwrap();
        }
        let theirs = builder.build().unwrap();
        let ignored = theirs.matched_path_or_any_parents(format!("/{path}"), false).is_ignore();
        prop_assert_eq!(ours.matches(&path, false).included, !ignored, "{:?} on {}", patterns, path);
    }
}
