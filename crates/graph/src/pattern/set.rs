//! Ordered patterns of which the last match wins.

use std::sync::Arc;

use super::PatternError;
use super::compile::{Language, Matcher, compile};

/// Patterns as ignore files and `--exclude` hold them, compiled.
#[derive(Debug, Clone, Default)]
pub struct PatternSet {
    patterns: Arc<Vec<Pattern>>,
}

#[derive(Debug)]
struct Pattern {
    matcher: Matcher,
    negated: bool,
}

impl PatternSet {
    /// Compiles patterns; each may begin with `!`. Empty ones are passed over, but counted.
    ///
    /// # Errors
    /// With the index of the pattern that is not well formed.
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Result<PatternSet, (usize, PatternError)> {
        let compiled = patterns
            .iter()
            .enumerate()
            .map(|(at, pattern)| Pattern::new(pattern.as_ref()).map_err(|error| (at, error)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(PatternSet { patterns: Arc::new(compiled) })
    }

    /// Whether it holds no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The index of the pattern that decides about `path`, and whether it matched as a positive one. `None`: no pattern
    /// matches the path or a directory that it is in.
    pub fn decide(&self, path: impl AsRef<[u8]>) -> Option<(usize, bool)> {
        let path = path.as_ref();
        self.patterns.iter().enumerate().rev().find_map(|(at, pattern)| {
            let hit = pattern.matcher.matches(path) || parents(path).any(|parent| pattern.matcher.matches(parent));
            hit.then_some((at, !pattern.negated))
        })
    }

    /// Whether the last pattern that matches `path` is a positive one.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        self.decide(path).is_some_and(|(_, positive)| positive)
    }

    /// Where a walk begins.
    pub fn scope(&self) -> Scope {
        let active = (0..self.patterns.len()).rev().collect();
        Scope { set: self.clone(), active, inherited: None }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, PatternError> {
        let trimmed = text.trim();
        let (negated, rest) = match trimmed.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, trimmed),
        };
        if negated && rest.is_empty() {
            return Err(PatternError::LoneExclamation);
        }
        let matcher = if rest.is_empty() {
            // Matches no path: no path ends in a slash.
            Matcher::Exact(b"/".to_vec())
        } else {
            compile(clean(rest).as_bytes(), Language::Ignore)?
        };
        Ok(Pattern { matcher, negated })
    }
}

/// Go's `filepath.Clean`, then without the leading slash: `.` stays for an empty path, and `..` at the front stays.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match parts.is_empty() {
        true if rooted => "/".to_owned(),
        true => ".".to_owned(),
        false => parts.join("/"),
    }
}

/// The directories that `path` is in, nearest last; not the root.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// A directory in the course of a walk: what is decided for all below it, and which patterns can still change that.
/// A walk that carries scopes tries, at each file, only those.
#[derive(Debug, Clone)]
pub struct Scope {
    set: PatternSet,
    /// Indices of patterns that can match below, last first.
    active: Vec<usize>,
    /// The last pattern that matched this directory or one above.
    inherited: Option<(usize, bool)>,
}

impl Scope {
    /// As [`PatternSet::decide`], for a path directly in this directory. `path` is whole.
    pub fn decide(&self, path: &[u8]) -> Option<(usize, bool)> {
        let decided = self.inherited.map_or(0, |(at, _)| at + 1);
        for &at in &self.active {
            if at < decided {
                break;
            }
            let pattern = &self.set.patterns[at];
            if pattern.matcher.matches(path) {
                return Some((at, !pattern.negated));
            }
        }
        self.inherited
    }

    /// The scope of the directory `path`, which lies directly in this one.
    #[must_use]
    pub fn enter(&self, path: &[u8]) -> Scope {
        let inherited = self.decide(path);
        let decided = inherited.map_or(0, |(at, _)| at + 1);
        let useful = |at: &usize| *at >= decided && self.set.patterns[*at].matcher.reaches_below(path);
        let active = self.active.iter().copied().filter(useful).collect();
        Scope { set: self.set.clone(), active, inherited }
    }

    /// What is decided for all below on which no pattern has a say of its own.
    pub fn inherited(&self) -> Option<(usize, bool)> {
        self.inherited
    }

    /// Whether something below can be decided differently from the directory itself.
    pub fn is_mixed(&self) -> bool {
        let now = self.inherited.is_some_and(|(_, positive)| positive);
        self.active.iter().any(|at| self.set.patterns[*at].negated == now)
    }
}
