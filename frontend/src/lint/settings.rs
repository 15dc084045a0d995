//! `# check=skip=…;error=…;experimental=…`.

use super::{Rule, Set};
use crate::diagnostic::{Diagnostic, Severity};
use crate::directive::Directives;

/// What `# check=…` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// No warnings at all.
    pub skip_all: bool,
    /// Rules that give no warnings, in lower case.
    pub skip: Vec<String>,
    /// Warnings are errors.
    pub error: bool,
    /// All rules run that a build leaves out otherwise.
    pub experimental_all: bool,
    /// Rules that run though a build leaves them out otherwise, in lower case.
    pub experimental: Vec<String>,
}

impl Settings {
    /// Reads the directive; what it does not understand it leaves out.
    pub fn read(directives: &Directives) -> Settings {
        let mut settings = Settings::default();
        let text = directives.check.as_ref().map_or("", |check| check.value.as_str());
        let names = |list: &str| list.split(',').map(|rule| rule.trim().to_ascii_lowercase()).collect::<Vec<_>>();
        for setting in text.split(';') {
            match setting.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("skip", "all")) => settings.skip_all = true,
                Some(("skip", rules)) => settings.skip.extend(names(rules)),
                Some(("experimental", "all")) => settings.experimental_all = true,
                Some(("experimental", rules)) => settings.experimental.extend(names(rules)),
                Some(("error", value)) => settings.error = crate::go_text::parse_bool(value).unwrap_or(false),
                _ => {}
            }
        }
        settings
    }

    /// Whether a build runs a rule.
    pub(crate) fn runs(&self, rule: &Rule) -> bool {
        rule.set == Set::Language
            || self.experimental_all
            || self.experimental.iter().any(|named| named.eq_ignore_ascii_case(rule.name))
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
