//! How the policy file is written, and what is wrong with it.
//!
//! ```toml
//! [[rule]]                            # who may do what where; any rule that allows is enough
//! who = { group = ["dev"] }
//! repositories = ["team/**"]
//! allow = ["pull", "push", "update"]
//!
//! [[rule]]                            # a denial wins over everything that allows
//! who = { claim = { ref = "refs/pull/**" } }
//! repositories = ["**"]
//! deny = ["push", "update", "delete"]
//!
//! [[immutable]]                       # nobody moves or deletes these, once they are there
//! repositories = ["release/**"]
//! tags = ["v*"]
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::rule::{Actions, Immutable, Rule, Who};
use super::{Pattern, Policy};
use crate::auth::Action;

/// The largest file: 10,000 rules.
pub(crate) const LARGEST: u64 = 1 << 20;
/// The most rules: each request asks all of them.
const MOST_RULES: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
    #[serde(default)]
    immutable: Vec<Spanned<RawImmutable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    who: Spanned<RawWho>,
    repositories: Vec<Spanned<String>>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWho {
    #[serde(default)]
    user: Vec<Spanned<String>>,
    #[serde(default)]
    group: Vec<Spanned<String>>,
    #[serde(default)]
    claim: BTreeMap<String, Spanned<OneOrMany>>,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    authenticated: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImmutable {
    repositories: Vec<Spanned<String>>,
    tags: Vec<Spanned<String>>,
}

/// Compiles the file's bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Policy, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "1: it is not UTF-8".to_owned())?;
    let lines = Lines(text);
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.number(span.start));
        format!("{line}: {}", error.message())
    })?;
    if file.rule.len() + file.immutable.len() > MOST_RULES {
        return Err(format!("1: there are more than {MOST_RULES} rules"));
    }
    let rules = file.rule.into_iter().map(|raw| lines.rule(raw)).collect::<Result<_, _>>()?;
    let immutable = file.immutable.into_iter().map(|raw| lines.immutable(raw)).collect::<Result<_, _>>()?;
    Ok(Policy { rules, immutable })
}

/// The text, for line numbers.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    /// The line of an offset, from 1.
    fn number(&self, offset: usize) -> usize {
        1 + self.0.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }

    fn wrong<T>(&self, at: &Spanned<T>, reason: impl std::fmt::Display) -> String {
        format!("{}: {reason}", self.number(at.span().start))
    }

    fn rule(&self, raw: Spanned<RawRule>) -> Result<Rule, String> {
        let line = self.number(raw.span().start);
        let inner = raw.get_ref();
        if inner.allow.is_empty() && inner.deny.is_empty() {
            return Err(format!("{line}: the rule neither allows nor denies anything"));
        }
        let (allow, deny) = (self.actions(&inner.allow)?, self.actions(&inner.deny)?);
        Ok(Rule {
            line,
            who: self.who(&inner.who)?,
            repositories: self.patterns(line, "repositories", &inner.repositories)?,
            allow,
            deny,
        })
    }

    fn immutable(&self, raw: Spanned<RawImmutable>) -> Result<Immutable, String> {
        let line = self.number(raw.span().start);
        let inner = raw.get_ref();
        Ok(Immutable {
            line,
            repositories: self.patterns(line, "repositories", &inner.repositories)?,
            tags: self.patterns(line, "tags", &inner.tags)?,
        })
    }

    fn who(&self, raw: &Spanned<RawWho>) -> Result<Who, String> {
        let inner = raw.get_ref();
        let mut claims = Vec::new();
        for (name, patterns) in &inner.claim {
            let words = match patterns.get_ref() {
                OneOrMany::One(word) => std::slice::from_ref(word),
                OneOrMany::Many(words) => words,
            };
            if words.is_empty() {
                return Err(self.wrong(patterns, format!("`{name}` lists no value: nobody would be meant")));
            }
            let compiled: Result<Vec<_>, _> = words.iter().map(|word| Pattern::parse(word)).collect();
            claims.push((name.clone(), compiled.map_err(|error| self.wrong(patterns, error))?));
        }
        let patterns =
            |words: &[Spanned<String>]| words.iter().map(|word| self.pattern(word)).collect::<Result<Vec<_>, _>>();
        let (users, groups) = (patterns(&inner.user)?, patterns(&inner.group)?);
        let specific = !users.is_empty() || !groups.is_empty() || !claims.is_empty();
        match (inner.anonymous, inner.authenticated, specific) {
            (false, false, false) => {
                Err(self.wrong(raw, "`who` names nobody: user, group, claim, authenticated = true or anonymous = true"))
            }
            (true, _, true) | (true, true, _) => {
                Err(self.wrong(raw, "anonymous = true stands alone: nothing more is known of such callers"))
            }
            (anonymous, _, _) => Ok(Who { anonymous, users, groups, claims }),
        }
    }

    fn actions(&self, words: &[Spanned<String>]) -> Result<Actions, String> {
        let mut actions = Actions::default();
        for word in words {
            let action = Action::parse(word.get_ref()).ok_or_else(|| {
                self.wrong(word, format!("`{}` is none of pull, push, update, delete", word.get_ref()))
            })?;
            actions.add(action);
        }
        Ok(actions)
    }

    fn patterns(&self, line: usize, field: &str, words: &[Spanned<String>]) -> Result<Vec<Pattern>, String> {
        if words.is_empty() {
            return Err(format!("{line}: `{field}` is empty; `**` matches everything"));
        }
        words.iter().map(|word| self.pattern(word)).collect()
    }

    fn pattern(&self, word: &Spanned<String>) -> Result<Pattern, String> {
        Pattern::parse(word.get_ref()).map_err(|error| self.wrong(word, error))
    }
}
