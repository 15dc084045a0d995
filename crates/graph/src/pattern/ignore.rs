//! Ignore files (`.dockerignore`).

use serde::{Deserialize, Serialize};

use super::{PatternError, PatternSet, Scope};

/// The rules of an ignore file, compiled. They serialise as their text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct IgnoreRules {
    rules: Vec<Rule>,
    set: PatternSet,
}

/// One rule and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    line: u32,
    pattern: String,
}

/// What rules say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the path is part of the context.
    pub included: bool,
    /// The line of the rule that decided, from 1; `None` where no rule matches.
    pub rule: Option<u32>,
}

impl IgnoreRules {
    /// Reads an ignore file. A byte order mark at its start is dropped; `#` begins a comment in the first column only.
    ///
    /// # Errors
    /// With the line of a pattern that is not well formed, and of a lone `!`.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<IgnoreRules, PatternError> {
        let text = text.as_ref();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = String::from_utf8_lossy(text);
        let rules = (1..).zip(text.split('\n')).filter_map(|(line, text)| {
            let pattern = text.trim();
            let blank = pattern.is_empty() || text.starts_with('#');
            (!blank).then(|| Rule { line, pattern: pattern.to_owned() })
        });
        Self::try_from(rules.collect::<Vec<_>>())
    }

    /// No rule: everything is part of the context.
    pub fn none() -> IgnoreRules {
        IgnoreRules::default()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether `path` is part of the context. A directory that is left out may still hold something that is not.
    pub fn matches(&self, path: impl AsRef<[u8]>, _is_dir: bool) -> Decision {
        self.decision(self.set.decide(path))
    }

    /// Whether nothing below the directory `path` can be part of the context.
    pub fn can_skip_dir(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut scope = self.scope();
        for end in ends.chain(std::iter::once(path.len())) {
            scope = scope.enter(&path[..end]);
        }
        self.skips(&scope)
    }

    /// Where a walk begins; cheaper than asking [`IgnoreRules::matches`] for every path.
    pub fn scope(&self) -> Scope {
        self.set.scope()
    }

    /// Whether nothing below the scope's directory can be part of the context.
    pub fn skips(&self, scope: &Scope) -> bool {
        scope.inherited().is_some_and(|(_, positive)| positive) && !scope.is_mixed()
    }

    /// What a scope's decision means.
    pub fn decision(&self, decided: Option<(usize, bool)>) -> Decision {
        Decision {
            included: !decided.is_some_and(|(_, positive)| positive),
            rule: decided.and_then(|(at, _)| self.rules.get(at)).map(|rule| rule.line),
        }
    }
}

impl PartialEq for IgnoreRules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for IgnoreRules {}

impl TryFrom<Vec<Rule>> for IgnoreRules {
    type Error = PatternError;

    fn try_from(rules: Vec<Rule>) -> Result<Self, PatternError> {
        let patterns: Vec<&str> = rules.iter().map(|rule| rule.pattern.as_str()).collect();
        let set = PatternSet::new(&patterns)
            .map_err(|(at, source)| PatternError::Line { line: rules[at].line, source: Box::new(source) })?;
        Ok(IgnoreRules { rules, set })
    }
}

impl From<IgnoreRules> for Vec<Rule> {
    fn from(rules: IgnoreRules) -> Self {
        rules.rules
    }
}
