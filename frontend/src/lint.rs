//! Warnings under the names that users know, and `# check=skip=…;error=…`.
//!
//! Most warnings are made where the parser or an instruction notices them; the
//! ones that look at a whole tree are here. The command that runs all checks
//! and nothing else is not in this version.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::directive::Directives;
use crate::source::{SourceText, Span};
use crate::syntax::{Dockerfile, Place};
use crate::word::Word;

/// The checks that the language has, by name.
pub const RULES: [&str; 22] = [
    "StageNameCasing",
    "FromAsCasing",
    "NoEmptyContinuation",
    "ConsistentInstructionCasing",
    "DuplicateStageName",
    "ReservedStageName",
    "JSONArgsRecommended",
    "MaintainerDeprecated",
    "UndefinedArgInFrom",
    "WorkdirRelativePath",
    "UndefinedVar",
    "MultipleInstructionsDisallowed",
    "LegacyKeyValueFormat",
    "InvalidBaseImagePlatform",
    "RedundantTargetPlatform",
    "SecretsUsedInArgOrEnv",
    "InvalidDefaultArgInFrom",
    "FromPlatformFlagConstDisallowed",
    "CopyIgnoredFile",
    "InvalidDefinitionDescription",
    "ExposeProtoCasing",
    "ExposeInvalidFormat",
];

/// What `# check=…` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// No warnings at all.
    pub skip_all: bool,
    /// Rules that give no warnings, in lower case.
    pub skip: Vec<String>,
    /// Warnings are errors.
    pub error: bool,
}

impl Settings {
    /// Reads the directive; what it does not understand it leaves out.
    pub fn read(directives: &Directives) -> Settings {
        let mut settings = Settings::default();
        let text = directives.check.as_ref().map_or("", |check| check.value.as_str());
        for setting in text.split(';') {
            match setting.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("skip", "all")) => settings.skip_all = true,
                Some(("skip", rules)) => {
                    settings.skip.extend(rules.split(',').map(|rule| rule.trim().to_ascii_lowercase()));
                }
                Some(("error", value)) => settings.error = crate::go_text::parse_bool(value).unwrap_or(false),
                _ => {}
            }
        }
        settings
    }

    /// Drops the warnings that are skipped; makes the others errors if asked.
    pub(crate) fn apply(&self, mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        findings.retain(|finding| finding.is_error() || !self.skips(finding.rule));
        if self.error {
            findings.iter_mut().for_each(|finding| finding.severity = Severity::Error);
        }
        findings
    }

    fn skips(&self, rule: &str) -> bool {
        self.skip_all || self.skip.iter().any(|skipped| skipped.eq_ignore_ascii_case(rule))
    }
}

/// The checks that look at the whole tree.
pub(crate) fn tree(dockerfile: &Dockerfile, source: &SourceText, findings: &mut Findings) {
    keyword_casing(dockerfile, source, findings);
    let mut names: HashMap<&str, Span> = HashMap::new();
    for stage in &dockerfile.stages {
        if let Some(word) = &stage.from.keyword {
            let from = source.slice(stage.place.keyword);
            if is_lower(from) != is_lower(&word.text) || is_upper(from) != is_upper(&word.text) {
                let message = format!("`{}` and `{from}` are not in the same case", word.text);
                findings.push(Diagnostic::warning("FromAsCasing", message).at(word.span));
            }
        }
        if let Some(name) = &stage.from.name
            && names.insert(&name.text, name.span).is_some()
        {
            let message = format!("a stage before this one is called `{}` too", name.text);
            findings.push(Diagnostic::warning("DuplicateStageName", message).at(name.span));
        }
    }
}

fn is_lower(text: &str) -> bool {
    !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_upper(text: &str) -> bool {
    !text.bytes().any(|b| b.is_ascii_lowercase())
}

fn keyword_casing(dockerfile: &Dockerfile, source: &SourceText, findings: &mut Findings) {
    let places = || -> Box<dyn Iterator<Item = &Place>> {
        let stages = dockerfile
            .stages
            .iter()
            .flat_map(|stage| std::iter::once(&stage.place).chain(stage.body.iter().map(|statement| &statement.place)));
        Box::new(dockerfile.global_args.iter().map(|statement| &statement.place).chain(stages))
    };
    let (mut lower, mut upper) = (0, 0);
    for place in places() {
        let keyword = source.slice(place.keyword);
        lower += usize::from(is_lower(keyword));
        upper += usize::from(is_upper(keyword));
    }
    let (fits, case): (fn(&str) -> bool, _) =
        if lower > upper { (is_lower, "lower case") } else { (is_upper, "capitals") };
    for place in places() {
        let keyword = source.slice(place.keyword);
        if !fits(keyword) {
            let message = format!("`{keyword}` is not in {case}, as most instructions here are");
            findings.push(Diagnostic::warning("ConsistentInstructionCasing", message).at(place.keyword));
        }
    }
}

/// Words of a name that say that the value is a secret.
const SECRET_WORDS: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Warns where the name of a variable says that its value is a secret.
pub(crate) fn secret_name(keyword: &str, name: &Word, findings: &mut Findings) {
    let lower = name.text.to_ascii_lowercase();
    let has = |wanted: &[&str]| lower.split('_').any(|part| wanted.contains(&part));
    if has(&SECRET_WORDS) && !has(&["public"]) {
        let message = format!("{keyword} is not for secrets: `{}` stays in the image's history", name.text);
        findings.push(Diagnostic::warning("SecretsUsedInArgOrEnv", message).at(name.span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(&'static str, Severity)> {
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        crate::parse(&source).diagnostics.iter().map(|finding| (finding.rule, finding.severity)).collect()
    }

    #[test]
    fn warnings_by_name() {
        let warning = Severity::Warning;
        for (text, rule) in [
            ("FROM a AS B\n", "StageNameCasing"),
            ("FROM a as b\n", "FromAsCasing"),
            ("FROM a AS scratch\n", "ReservedStageName"),
            ("FROM a AS b\nFROM c AS b\n", "DuplicateStageName"),
            ("FROM a\nrun x\nENV A=1\n", "ConsistentInstructionCasing"),
            ("FROM a\nRUN x \\\n\n y\n", "NoEmptyContinuation"),
            ("FROM a\nMAINTAINER me\n", "MaintainerDeprecated"),
            ("FROM a\nENV A b\n", "LegacyKeyValueFormat"),
            ("FROM a\nARG API_TOKEN\n", "SecretsUsedInArgOrEnv"),
        ] {
            assert_eq!(rules(text), [(rule, warning)], "{text}");
        }
        assert!(rules("from a as b\nenv PUBLIC_KEY=1\n").is_empty());
    }

    #[test]
    fn check_skips_and_makes_errors() {
        assert!(rules("# check=skip=StageNameCasing\nFROM a AS B\n").is_empty());
        assert!(rules("# check=skip=all\nFROM a AS B\nMAINTAINER x\n").is_empty());
        assert_eq!(rules("# check=error=true\nFROM a AS B\n"), [("StageNameCasing", Severity::Error)]);
        assert_eq!(rules("# check=skip=x,fromascasing;error=true\nFROM a as b\n"), []);
    }
}
