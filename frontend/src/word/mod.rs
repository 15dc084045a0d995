//! Words: quoting and the expansion of variables.
//!
//! A [`Word`] is text as written; a `String` is what became of it.
//! `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p}
//! ${v%%p} ${v/p/r} ${v//p/r}` expand, and nest. Single quotes and the escape
//! character stop expansion; double quotes stop splitting.
//! This follows BuildKit's `shell.Lex` to the letter where it is odd: an escape
//! before any character drops itself, an unset name expands to nothing.

mod pattern;

use std::collections::BTreeSet;
use std::fmt;
use std::str::Chars;

use crate::source::Span;

/// How deep `${…}` may nest. Recursion follows it; nobody writes ten.
pub(crate) const MAX_DEPTH: usize = 64;

/// How many bytes an expansion may add to a word. A kernel takes no argument
/// above 128 KiB; without a limit, ENV lines that double a value reach
/// terabytes after forty lines.
pub(crate) const MAX_GROWTH: usize = 1 << 20;

/// Text as written, with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text, quotes and escapes included.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where variables come from.
pub trait Variables {
    /// The value of a variable, where it is set.
    fn value(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
pub(crate) struct NoVariables;

impl Variables for NoVariables {
    fn value(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Variables for std::collections::BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// What an expansion gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text as one word.
    pub text: String,
    /// The text split at blanks that no quote protects.
    pub words: Vec<String>,
    /// Names that were found.
    pub used: BTreeSet<String>,
    /// Names that were not set, and for which the word says nothing else to use.
    pub missing: BTreeSet<String>,
}

/// Why a word does not expand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordError {
    /// What is wrong, in one line.
    pub message: String,
    /// The byte of the word it was noticed at.
    pub at: usize,
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WordError {}

/// How words expand: which escape character, and what stays as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expander {
    escape: char,
    /// Quotes stay in the result.
    keep_quotes: bool,
    /// Escapes stay in the result.
    keep_escapes: bool,
    /// Variables that are not set stay as written.
    keep_unset: bool,
    /// Quotes mean nothing.
    ignore_quotes: bool,
}

impl Expander {
    /// The usual one.
    pub fn new(escape: char) -> Expander {
        Expander { escape, keep_quotes: false, keep_escapes: false, keep_unset: false, ignore_quotes: false }
    }

    /// For heredoc bodies: quotes mean nothing.
    pub fn body() -> Expander {
        Expander { ignore_quotes: true, ..Expander::new('\\') }
    }

    /// For showing commands: quotes and unset variables stay.
    pub fn shown(escape: char) -> Expander {
        Expander { keep_quotes: true, keep_unset: true, ..Expander::new(escape) }
    }

    /// For finding the words of a line: everything stays.
    pub(crate) fn splitter() -> Expander {
        Expander { keep_quotes: true, keep_escapes: true, keep_unset: true, ..Expander::new('\\') }
    }

    /// For the delimiter of a heredoc: variables stay.
    pub(crate) fn delimiter() -> Expander {
        Expander { keep_unset: true, ..Expander::new('\\') }
    }

    /// Expands a word.
    ///
    /// # Errors
    /// Quotes or braces that do not close, an unknown modifier, a wrong pattern,
    /// `${v:?}` of an unset variable, or a limit.
    pub fn expand(&self, word: &str, variables: &dyn Variables) -> Result<Expanded, WordError> {
        if !word.contains(['$', '\'', '"', self.escape]) {
            let words = word.split_whitespace().map(str::to_owned).collect();
            return Ok(Expanded { text: word.to_owned(), words, ..Expanded::default() });
        }
        let mut walk = Walk {
            how: self,
            word,
            rest: word.chars(),
            variables,
            depth: 0,
            room: word.len() + MAX_GROWTH,
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
        };
        let (text, words) = walk.until(None, self.keep_escapes)?;
        Ok(Expanded { text, words, used: walk.used, missing: walk.missing })
    }
}

/// The words of a text under construction.
#[derive(Default)]
struct Words {
    word: String,
    words: Vec<String>,
    inside: bool,
}

impl Words {
    fn push_plain(&mut self, c: char) {
        if !c.is_whitespace() {
            self.push_quoted(c);
        } else if self.inside && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
            self.inside = false;
        }
    }

    fn push_quoted(&mut self, c: char) {
        self.word.push(c);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Walk<'a> {
    how: &'a Expander,
    word: &'a str,
    rest: Chars<'a>,
    variables: &'a dyn Variables,
    depth: usize,
    /// Bytes that may still be produced, over all levels.
    room: usize,
    used: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, WordError> {
        let at = self.word.len() - self.rest.as_str().len();
        Err(WordError { message: message.into(), at })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), WordError> {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                Ok(())
            }
            None => self.error(format!("the expansion grows by more than {MAX_GROWTH} bytes")),
        }
    }

    /// Walks to `stop` (and over it), or to the end where there is none.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<(String, Vec<String>), WordError> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.rest.next();
                return Ok((text, words.finish()));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    self.spend(value.len())?;
                    value.chars().for_each(|c| words.push_plain(c));
                    text.push_str(&value);
                }
                '\'' | '"' if !self.how.ignore_quotes => {
                    let inner = if c == '"' { self.double_quoted(keep_escapes)? } else { self.single_quoted()? };
                    words.word.push_str(&inner);
                    words.inside = true;
                    text.push_str(&inner);
                }
                _ => {
                    self.rest.next();
                    if c == self.how.escape {
                        if keep_escapes {
                            words.push_quoted(c);
                            text.push(c);
                        }
                        let Some(escaped) = self.rest.next() else { break };
                        words.push_quoted(escaped);
                        text.push(escaped);
                    } else {
                        words.push_plain(c);
                        text.push(c);
                    }
                }
            }
        }
        match stop {
            Some('}') => self.error("missing `}`"),
            Some(_) => self.error("missing `/` in `${…}`"),
            None => Ok((text, words.finish())),
        }
    }

    fn single_quoted(&mut self) -> Result<String, WordError> {
        self.rest.next();
        let Some((inner, _)) = self.rest.as_str().split_once('\'') else {
            self.rest = "".chars();
            return self.error("missing closing single quote");
        };
        self.rest = self.rest.as_str()[inner.len() + 1..].chars();
        Ok(if self.how.keep_quotes { format!("'{inner}'") } else { inner.to_owned() })
    }

    fn double_quoted(&mut self, keep_escapes: bool) -> Result<String, WordError> {
        self.rest.next();
        let mut text = String::new();
        if self.how.keep_quotes {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => return self.error("missing closing double quote"),
                Some('"') => {
                    self.rest.next();
                    if self.how.keep_quotes {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    self.spend(value.len())?;
                    text.push_str(&value);
                }
                Some(mut c) => {
                    self.rest.next();
                    if c == self.how.escape {
                        if keep_escapes {
                            text.push(c);
                        }
                        match self.peek() {
                            None => continue,
                            Some(next) if next == '"' || next == '$' || next == self.how.escape => {
                                self.rest.next();
                                c = next;
                            }
                            Some(_) => {}
                        }
                    }
                    text.push(c);
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, WordError> {
        let start = self.rest.as_str();
        self.rest.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.get(name) {
                None if self.how.keep_unset => format!("${name}"),
                value => value.unwrap_or_default().to_owned(),
            });
        }
        self.rest.next();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error(format!("`${{…}}` nests more than {MAX_DEPTH} deep"));
        }
        let value = self.braces(start);
        self.depth -= 1;
        value
    }

    /// What follows `${`, up to and over its `}`.
    fn braces(&mut self, start: &'a str) -> Result<String, WordError> {
        match self.peek() {
            None => return self.error("missing `}`"),
            Some('{' | '}' | ':') => return self.error("bad substitution"),
            Some(_) => {}
        }
        let name = self.name();
        let Some(first) = self.rest.next() else { return self.error("missing `}`") };
        let value = match first {
            '}' => self.get(name).unwrap_or_default().to_owned(),
            '/' => self.replaced(name)?,
            ':' => match self.rest.next() {
                Some(modifier) => self.modified(name, modifier, true)?,
                None => return self.error("missing `}`"),
            },
            modifier => self.modified(name, modifier, false)?,
        };
        if self.how.keep_unset && self.variables.value(name).is_none() {
            let length = start.len() - self.rest.as_str().len();
            return Ok(start[..length].to_owned());
        }
        Ok(value)
    }

    fn modified(&mut self, name: &'a str, modifier: char, empty_is_unset: bool) -> Result<String, WordError> {
        if !matches!(modifier, '-' | '+' | '?' | '#' | '%') {
            let colon = if empty_is_unset { ":" } else { "" };
            return self.error(format!("unsupported modifier `{colon}{modifier}` in `${{{name}…}}`"));
        }
        let (word, _) = self.until(Some('}'), matches!(modifier, '#' | '%'))?;
        let value = self.variables.value(name);
        match modifier {
            '-' | '+' | '?' if value.is_none() => {}
            _ => drop(self.get(name)),
        }
        let present = value.is_some_and(|value| !(empty_is_unset && value.is_empty()));
        let value = value.unwrap_or_default();
        match modifier {
            '-' if !present => Ok(word),
            '+' => Ok(if present { word } else { String::new() }),
            '?' if !present && !self.how.keep_unset => {
                let why = if self.variables.value(name).is_some() { "empty" } else { "unset" };
                let message = if word.is_empty() { format!("is not allowed to be {why}") } else { word };
                self.error(format!("{name}: {message}"))
            }
            '#' | '%' => {
                // The doubled sign is looked for after expansion, as BuildKit does.
                let (pattern, longest) = match word.strip_prefix(modifier) {
                    Some(rest) => (rest, true),
                    None => (word.as_str(), false),
                };
                let trimmed = if modifier == '#' {
                    pattern::trim_prefix(pattern, value, longest)
                } else {
                    pattern::trim_suffix(pattern, value, longest)
                };
                trimmed.or_else(|message| self.error(message))
            }
            _ => Ok(value.to_owned()),
        }
    }

    fn replaced(&mut self, name: &'a str) -> Result<String, WordError> {
        let all = self.peek() == Some('/');
        if all {
            self.rest.next();
        }
        let (wanted, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let value = self.get(name).unwrap_or_default();
        pattern::replace(&wanted, value, &replacement, all, self.room).or_else(|message| self.error(message))
    }

    /// A name; a run of digits; or one of the shell's special parameters.
    fn name(&mut self) -> &'a str {
        let text = self.rest.as_str();
        let length = match text.chars().next() {
            Some(c) if c.is_numeric() => text.find(|c: char| !c.is_numeric()).unwrap_or(text.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()),
        };
        self.rest = text[length..].chars();
        &text[..length]
    }

    fn get(&mut self, name: &str) -> Option<&'a str> {
        let value = self.variables.value(name);
        let names = if value.is_some() { &mut self.used } else { &mut self.missing };
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        value
    }
}

#[cfg(test)]
mod tests;
