//! The sources of COPY: Go's `filepath.Match`, part by part.

use super::PatternError;
use super::compile::{Language, Matcher, compile};

/// Whether `name` matches the shell pattern `pattern` as Go's `filepath.Match` says.
///
/// # Errors
/// When the pattern is not well formed.
pub fn go_match(pattern: &str, name: impl AsRef<[u8]>) -> Result<bool, PatternError> {
    Ok(compile(pattern.as_bytes(), Language::Match)?.matches(name.as_ref()))
}

/// A source of COPY: a path whose parts may hold wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    base: String,
    parts: Vec<Matcher>,
}

impl Glob {
    /// Compiles a source. It is cleaned first: `.`, `..` and doubled slashes go, and what leaves the root stays at it.
    ///
    /// # Errors
    /// When the pattern is not well formed.
    pub fn new(source: &str) -> Result<Glob, PatternError> {
        let clean = clean(source);
        // As the reference does, all before the first part with a wildcard is taken literally, escapes and all.
        let mut parts = clean.split('/').filter(|part| !part.is_empty());
        let mut base = Vec::new();
        let mut matchers = Vec::new();
        for part in parts.by_ref() {
            if has_wildcard(part) {
                matchers.push(compile(part.as_bytes(), Language::Match)?);
                break;
            }
            base.push(part);
        }
        for part in parts {
            matchers.push(compile(part.as_bytes(), Language::Match)?);
        }
        Ok(Glob { base: base.join("/"), parts: matchers })
    }

    /// The directory, or without wildcards the path, before the first wildcard; empty for the root.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether it has no wildcard, so that what it names must exist.
    pub fn is_literal(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many parts below the base a match has.
    pub fn depth(&self) -> usize {
        self.parts.len()
    }

    /// Whether `name` matches the `level`th part below the base, from 0.
    pub fn matches_part(&self, level: usize, name: &[u8]) -> bool {
        self.parts.get(level).is_some_and(|part| part.matches(name))
    }
}

fn has_wildcard(part: &str) -> bool {
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    false
}

/// Go's `filepath.Clean` on the path taken from the root, without its leading slash.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
