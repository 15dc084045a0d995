use std::collections::BTreeMap;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn corpus(name: &str) -> String {
    let path = format!("{}/../testdata/frontend/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One case a line: `word | result`, `error` where it is one.
#[test]
fn expansions_of_the_corpus() {
    let known = variables(&[
        ("PWD", "/home"),
        ("SHELL", "bash"),
        ("KOREAN", "한국어"),
        ("NULL", ""),
        ("FILE", "/usr/src/app.tar.gz"),
        ("STARS", "a***yy*"),
    ]);
    let mut cases = 0;
    for (number, line) in corpus("words.txt").lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, expected) = line.rsplit_once(" | ").unwrap_or_else(|| panic!("line {}: {line}", number + 1));
        let (word, expected) = (word.trim(), expected.trim());
        let expected = expected.strip_prefix('<').and_then(|e| e.strip_suffix('>')).unwrap_or(expected);
        let result = Expander::new('\\').expand(word, &known);
        match result {
            Ok(found) => assert_eq!(found.text, expected, "line {}: {word}", number + 1),
            Err(error) => assert_eq!("error", expected, "line {}: {word}: {error}", number + 1),
        }
        cases += 1;
    }
    assert!(cases > 90, "{cases}");
}

/// One case a line: `line | word,word`; `ENV K=V` lines set variables.
#[test]
fn splits_of_the_corpus() {
    let mut known = BTreeMap::new();
    for (number, line) in corpus("splits.txt").lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(pair) = line.strip_prefix("ENV ") {
            let (name, value) = pair.split_once('=').unwrap();
            known.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (text, expected) = line.split_once(" | ").unwrap();
        let expected: Vec<&str> = expected.trim().split(',').filter(|word| !word.is_empty()).collect();
        match Expander::new('\\').expand(text.trim(), &known) {
            Ok(found) => assert_eq!(found.words, expected, "line {}: {text}", number + 1),
            Err(error) => assert_eq!(["error"], expected[..], "line {}: {text}: {error}", number + 1),
        }
    }
}

#[test]
fn messages_name_the_variable() {
    let error = Expander::new('\\').expand("${A:?set ${B}}", &variables(&[("B", "me")])).unwrap_err();
    assert_eq!(error.message, "A: set me");
    let error = Expander::new('\\').expand("${A:?}", &variables(&[("A", "")])).unwrap_err();
    assert_eq!(error.message, "A: is not allowed to be empty");
    let error = Expander::new('\\').expand("${A?}", &NoVariables).unwrap_err();
    assert_eq!(error.message, "A: is not allowed to be unset");
}

#[test]
fn used_and_missing_names_are_told() {
    let found = Expander::new('\\').expand("$A ${B:-x}$E '$C' \\$D", &variables(&[("A", "1")])).unwrap();
    assert_eq!(found.text, "1 x $C $D");
    assert!(found.used.iter().eq(["A"]));
    assert!(found.missing.iter().eq(["E"]));
}

#[test]
fn what_is_shown_keeps_quotes_and_unset_names() {
    let found = Expander::shown('\\').expand("RUN echo \"$A\" '$B' $C ${D:-x}", &variables(&[("A", "1")])).unwrap();
    assert_eq!(found.text, "RUN echo \"1\" '$B' $C ${D:-x}");
}

#[test]
fn bodies_ignore_quotes() {
    let found = Expander::body().expand("it's \"$A\"\n\\$A", &variables(&[("A", "1")])).unwrap();
    assert_eq!(found.text, "it's \"1\"\n$A");
}

#[test]
fn the_backtick_escapes_where_it_is_the_escape() {
    let known = variables(&[("A", "1")]);
    assert_eq!(Expander::new('`').expand("`$A C:\\x $A", &known).unwrap().text, "$A C:\\x 1");
}

#[test]
fn depth_and_growth_are_bounded() {
    let deep = "${A:-".repeat(100_000);
    let error = Expander::new('\\').expand(&deep, &NoVariables).unwrap_err();
    assert!(error.message.contains("nests more than 64"), "{error}");
    let known = variables(&[("A", &"x".repeat(100_000))]);
    let error = Expander::new('\\').expand(&"$A".repeat(100), &known).unwrap_err();
    assert!(error.message.contains("grows by more than"), "{error}");
}

proptest::proptest! {
    #[test]
    fn expansion_never_panics(word in "[${}:/#%?*+\\\\'\"a-cA-C \\n-]{0,40}", value in "[a-c*/\\n]{0,12}") {
        let known = variables(&[("A", &value), ("b", "x")]);
        for expander in [Expander::new('\\'), Expander::new('`'), Expander::body(), Expander::shown('\\'), Expander::splitter()] {
            let _ = expander.expand(&word, &known);
        }
    }

    #[test]
    fn any_text_is_survived(word in ".{0,60}") {
        let _ = Expander::new('\\').expand(&word, &NoVariables);
    }

    /// What needs no expansion stays as it is.
    #[test]
    fn plain_text_stays(word in "[a-z0-9 ./:=-]{0,40}") {
        let found = Expander::new('\\').expand(&word, &NoVariables).unwrap();
        proptest::prop_assert_eq!(found.text, word);
    }
}
