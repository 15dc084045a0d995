//! Patterns for names of repositories, tags, users and groups, and for claims.
//!
//! `*` stands for any run of characters but `/`, `**` for any run at all, `?` for one character but `/`, `{user}` for the
//! caller's name (never for a name that holds `/`, and never for nobody's). All else stands for itself.
//! `team/**` is whatever lies below `team/`, and not `team`.

use std::fmt;
use std::str::FromStr;

/// The longest pattern: a repository's name has at most 255 characters, a tag 128.
const LONGEST: usize = 512;
/// The most wildcards in a pattern: matching takes time in proportion to them.
const MOST_WILDCARDS: usize = 16;

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing can match it.
    #[error("a pattern must not be empty; `**` matches everything")]
    Empty,
    /// Longer than any name.
    #[error("a pattern has at most {LONGEST} bytes")]
    Long,
    /// Too much work.
    #[error("`{0}` holds more than {MOST_WILDCARDS} wildcards")]
    Wildcards(String),
    /// Reserved for later, so that nobody takes it for a wildcard today.
    #[error("`{0}`: `{1}` has no meaning in a pattern; the wildcards are `*`, `**`, `?` and `{{user}}`")]
    Reserved(String, char),
}

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    One,
    Segment,
    Any,
    User,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    pieces: Vec<Piece>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is empty, too long, or holds what has no meaning.
    pub fn parse(source: &str) -> Result<Self, Error> {
        if source.is_empty() {
            return Err(Error::Empty);
        }
        if source.len() > LONGEST {
            return Err(Error::Long);
        }
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some(next) = rest.chars().next() {
            let (piece, length) = match next {
                '*' if rest.starts_with("**") => (Piece::Any, rest.len() - rest.trim_start_matches('*').len()),
                '*' => (Piece::Segment, 1),
                '?' => (Piece::One, 1),
                '{' if rest.starts_with("{user}") => (Piece::User, "{user}".len()),
                '{' | '}' | '[' | ']' | '\\' | '!' => return Err(Error::Reserved(source.to_owned(), next)),
                _ => {
                    let end = rest.find(['*', '?', '{', '}', '[', ']', '\\', '!']).unwrap_or(rest.len());
                    (Piece::Text(rest[..end].to_owned()), end)
                }
            };
            pieces.push(piece);
            rest = &rest[length..];
        }
        if pieces.iter().filter(|piece| !matches!(piece, Piece::Text(_))).count() > MOST_WILDCARDS {
            return Err(Error::Wildcards(source.to_owned()));
        }
        Ok(Self { source: source.to_owned(), pieces })
    }

    /// Whether it matches all of a text; `user` is what `{user}` stands for.
    pub fn matches(&self, text: &str, user: Option<&str>) -> bool {
        match self.pieces.as_slice() {
            [Piece::Text(whole)] => return whole == text,
            [Piece::Any] => return true,
            [Piece::Text(start), Piece::Any] => return text.starts_with(start.as_str()),
            _ => {}
        }
        // Where the pieces so far may have ended: work in proportion to pieces × text, whatever the pattern.
        let mut ends = vec![0_usize];
        for piece in &self.pieces {
            ends = step(piece, &ends, text, user);
            if ends.is_empty() {
                return false;
            }
        }
        ends.last() == Some(&text.len())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// Ends after one more piece, ascending.
fn step(piece: &Piece, ends: &[usize], text: &str, user: Option<&str>) -> Vec<usize> {
    let literal = |word: &str| {
        let after = ends.iter().filter(|end| text[**end..].starts_with(word));
        after.map(|end| end + word.len()).collect()
    };
    match piece {
        Piece::Text(word) => literal(word),
        Piece::User => match user.filter(|user| !user.is_empty() && !user.contains('/')) {
            Some(user) => literal(user),
            None => Vec::new(),
        },
        Piece::One => {
            let next = |end: &usize| text[*end..].chars().next().filter(|c| *c != '/').map(|c| end + c.len_utf8());
            ends.iter().filter_map(next).collect()
        }
        Piece::Any => {
            let first = ends.first().copied().unwrap_or_default();
            (first..=text.len()).filter(|at| text.is_char_boundary(*at)).collect()
        }
        Piece::Segment => {
            let mut out: Vec<usize> = Vec::new();
            for end in ends {
                // What an earlier end has reached, all the way to the next slash, this one reaches too.
                let from = out.last().map_or(*end, |last| (last + 1).max(*end));
                let until = text[*end..].find('/').map_or(text.len(), |slash| end + slash);
                out.extend((from..=until).filter(|at| text.is_char_boundary(*at)));
            }
            out
        }
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(source: &str) -> Result<Self, Error> {
        Self::parse(source)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches() {
        let cases = [
            ("team/app", "team/app", true),
            ("team/app", "team/app2", false),
            ("team/*", "team/app", true),
            ("team/*", "team/a/b", false),
            ("team/*", "team", false),
            ("team/**", "team/a/b", true),
            ("team/**", "team", false),
            ("team/**", "teams/a", false),
            ("**", "anything/at/all", true),
            ("*", "one", true),
            ("*", "one/two", false),
            ("**/cache", "a/b/cache", true),
            ("**/cache", "cache", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdf", false),
            ("a*/b*", "aa/bb", true),
            ("a*/b*", "a/x/b", false),
            ("v?", "v1", true),
            ("v?", "v12", false),
            ("v?", "v/", false),
            ("*ab", "aab", true),
            ("*-*", "a-b-c", true),
            ("ü*", "übel", true),
            ("?", "ü", true),
            ("{user}/**", "alice/x", true),
            ("{user}/**", "bob/x", false),
            ("home/{user}", "home/alice", true),
            ("{user}{user}", "alicealice", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text, Some("alice")), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn nobody_and_paths_are_no_user() {
        let pattern = Pattern::parse("{user}/**").unwrap();
        for (user, text) in [(None, "/x"), (Some(""), "/x"), (Some("a/b"), "a/b/x")] {
            assert!(!pattern.matches(text, user), "{user:?}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for wrong in ["", "a{b,c}", "[a-z]", "a\\*", "!a", &"*a".repeat(17), &"a".repeat(513)] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_wildcards_cost_little() {
        let pattern = Pattern::parse(&format!("{}b", "*a".repeat(15))).unwrap();
        let started = std::time::Instant::now();
        assert!(!pattern.matches(&"a".repeat(4096), None));
        assert!(started.elapsed().as_secs() < 2);
    }

    proptest::proptest! {
        /// Against the textbook's recursion.
        #[test]
        fn as_the_recursion_has_it(pattern in "[ab/*?]{1,8}", text in "[ab/]{0,8}") {
            fn matches(pattern: &[u8], text: &[u8]) -> bool {
                match pattern {
                    [] => text.is_empty(),
                    [b'*', b'*', rest @ ..] => {
                        let rest = &rest[rest.iter().take_while(|byte| **byte == b'*').count()..];
                        (0..=text.len()).any(|at| matches(rest, &text[at..]))
                    }
                    [b'*', rest @ ..] => (0..=text.len())
                        .take_while(|at| !text[..*at].contains(&b'/'))
                        .any(|at| matches(rest, &text[at..])),
                    [b'?', rest @ ..] => text.first().is_some_and(|byte| *byte != b'/') && matches(rest, &text[1..]),
                    [byte, rest @ ..] => text.first() == Some(byte) && matches(rest, &text[1..]),
                }
            }
            let compiled = Pattern::parse(&pattern).unwrap();
            proptest::prop_assert_eq!(compiled.matches(&text, None), matches(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
