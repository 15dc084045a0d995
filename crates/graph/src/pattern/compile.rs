//! Patterns compiled to tokens, and tokens matched against paths in time that no pattern can blow up.

use std::cell::RefCell;

use super::PatternError;

/// One step of a compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// One character that is not `/`.
    One,
    /// Any characters that are not `/`.
    Star,
    /// One character of a class. Go lets a class match `/`.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// Nothing, or anything that ends in `/`.
    Directories,
    /// Anything.
    All,
}

/// Which language a pattern is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Go's `filepath.Match`: two stars are as one.
    Match,
    /// Ignore files: `**` spans directories.
    Ignore,
}

/// A compiled pattern with its common shapes singled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matcher {
    /// Exactly this path.
    Exact(Vec<u8>),
    /// Anything that begins so (`dir/**`).
    Prefix(Vec<u8>),
    /// Anything that ends so; and, where it begins with `/`, also itself without that (`**/name`).
    Suffix(Vec<u8>),
    /// `*` and then this, within one path part of the whole path (`*.md`).
    StarSuffix(Vec<u8>),
    /// `**/*` and then this, which holds no `/` (`**/*.o`).
    DeepStarSuffix(Vec<u8>),
    /// Anything else.
    Tokens(Tokens),
}

/// Tokens with what rejects a path quickly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    /// A bit a token: with more than one that can stretch, failures are remembered.
    stretches: usize,
}

/// Compiles `pattern`, which must be well formed in Go's sense.
pub(super) fn compile(pattern: &[u8], language: Language) -> Result<Matcher, PatternError> {
    check(pattern)?;
    let mut tokens = Vec::new();
    let mut rest = pattern;
    // What the reference implementation compares instead of a regular expression; `None` from the first
    // character on that needs one.
    let mut plain = Some(Plain::Exact);
    let mut first = true;
    while let Some(&byte) = rest.first() {
        rest = &rest[1..];
        match byte {
            b'*' if language == Language::Ignore && rest.first() == Some(&b'*') => {
                rest = &rest[1..];
                rest = rest.strip_prefix(b"/").unwrap_or(rest);
                if rest.is_empty() {
                    plain = plain.filter(|plain| *plain == Plain::Exact).map(|_| Plain::Prefix);
                    tokens.push(Token::All);
                } else {
                    plain = None;
                    tokens.push(Token::Directories);
                }
                if first {
                    plain = Some(Plain::Suffix);
                }
            }
            b'*' => {
                plain = None;
                if tokens.last() != Some(&Token::Star) {
                    tokens.push(Token::Star);
                }
            }
            b'?' => {
                plain = None;
                tokens.push(Token::One);
            }
            b'[' => {
                plain = None;
                let (class, after) = class(rest).ok_or_else(|| syntax(pattern))?;
                tokens.push(class);
                rest = after;
            }
            b'\\' => {
                plain = None;
                let (&escaped, after) = rest.split_first().ok_or_else(|| syntax(pattern))?;
                literal(&mut tokens, escaped);
                rest = after;
            }
            // A closing bracket alone stands for itself, but the reference needs its regular expression for it.
            b']' => {
                plain = None;
                literal(&mut tokens, byte);
            }
            _ => literal(&mut tokens, byte),
        }
        first = false;
    }
    Ok(match plain {
        Some(Plain::Exact) => Matcher::Exact(pattern.to_vec()),
        Some(Plain::Prefix) => Matcher::Prefix(pattern[..pattern.len() - 2].to_vec()),
        Some(Plain::Suffix) => Matcher::Suffix(pattern[2..].to_vec()),
        None => shape(tokens),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plain {
    Exact,
    Prefix,
    Suffix,
}

fn shape(tokens: Vec<Token>) -> Matcher {
    match &tokens[..] {
        [Token::Star, Token::Literal(tail)] if !tail.contains(&b'/') => Matcher::StarSuffix(tail.clone()),
        [Token::Directories, Token::Star, Token::Literal(tail)] if !tail.contains(&b'/') => {
            Matcher::DeepStarSuffix(tail.clone())
        }
        _ => {
            let stretchy = |token: &&Token| matches!(token, Token::Star | Token::Directories | Token::All);
            let stretches = tokens.iter().filter(stretchy).count();
            Matcher::Tokens(Tokens { tokens, stretches })
        }
    }
}

fn literal(tokens: &mut Vec<Token>, byte: u8) {
    match tokens.last_mut() {
        Some(Token::Literal(bytes)) => bytes.push(byte),
        _ => tokens.push(Token::Literal(vec![byte])),
    }
}

fn syntax(pattern: &[u8]) -> PatternError {
    PatternError::Syntax { pattern: String::from_utf8_lossy(pattern).into_owned() }
}

/// Whether Go's `filepath.Match` accepts the pattern.
fn check(pattern: &[u8]) -> Result<(), PatternError> {
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'[' => class(after).ok_or_else(|| syntax(pattern))?.1,
            b'\\' => after.get(1..).ok_or_else(|| syntax(pattern))?,
            _ => after,
        };
    }
    Ok(())
}

/// Reads a class after its `[`.
fn class(mut rest: &[u8]) -> Option<(Token, &[u8])> {
    let negated = rest.first() == Some(&b'^');
    if negated {
        rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            return Some((Token::Class { negated, ranges }, &rest[1..]));
        }
        let (low, after) = class_character(rest)?;
        rest = after;
        let high = if rest.first() == Some(&b'-') {
            let (high, after) = class_character(&rest[1..])?;
            rest = after;
            high
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// One character of a class, which may not be `-` or `]` unless escaped, nor the pattern's last.
fn class_character(rest: &[u8]) -> Option<(char, &[u8])> {
    let rest = match rest.first()? {
        b'-' | b']' => return None,
        b'\\' => &rest[1..],
        _ => rest,
    };
    rest.first()?;
    let (character, length) = decode(rest);
    let after = &rest[length..];
    // Go refuses broken UTF-8 here, and a class that ends with the pattern.
    if (character == char::REPLACEMENT_CHARACTER && length == 1) || after.is_empty() {
        return None;
    }
    Some((character, after))
}

/// The first character of `bytes`, which has one, and its length. A byte that is not UTF-8 stands for itself as the
/// replacement character, as in Go.
fn decode(bytes: &[u8]) -> (char, usize) {
    if bytes[0] < 0x80 {
        return (char::from(bytes[0]), 1);
    }
    let end = bytes.len().min(4);
    let chunk = bytes[..end].utf8_chunks().next();
    match chunk.and_then(|chunk| chunk.valid().chars().next()) {
        Some(character) => (character, character.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

impl Matcher {
    /// Whether the whole path matches.
    #[inline]
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Matcher::Exact(exact) => path == &exact[..],
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix) || (suffix.first() == Some(&b'/') && path == &suffix[1..])
            }
            Matcher::StarSuffix(tail) => path.ends_with(tail) && !path[..path.len() - tail.len()].contains(&b'/'),
            Matcher::DeepStarSuffix(tail) => path.ends_with(tail),
            Matcher::Tokens(tokens) => tokens.matches(path),
        }
    }

    /// Whether it can match something below the directory `dir`.
    pub(super) fn reaches_below(&self, dir: &[u8]) -> bool {
        match self {
            Matcher::Exact(exact) => exact.len() > dir.len() && exact.starts_with(dir) && exact[dir.len()] == b'/',
            Matcher::Prefix(prefix) => {
                let common = prefix.len().min(dir.len());
                prefix[..common] == dir[..common] && (prefix.len() <= dir.len() || prefix[dir.len()] == b'/')
            }
            Matcher::Suffix(_) | Matcher::DeepStarSuffix(_) => true,
            Matcher::StarSuffix(_) => false,
            Matcher::Tokens(tokens) => tokens.reaches_below(dir),
        }
    }
}

thread_local! {
    /// Where a walk has failed already: one bit for a token and a position. Kept between calls for its memory.
    static FAILED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Tokens {
    fn matches(&self, path: &[u8]) -> bool {
        // The last literal is the cheapest to look at, and rejects most.
        if let Some(Token::Literal(tail)) = self.tokens.last()
            && !path.ends_with(tail)
        {
            return false;
        }
        if let Some(Token::Literal(head)) = self.tokens.first()
            && !path.starts_with(head)
        {
            return false;
        }
        if self.stretches < 2 {
            return walk(&self.tokens, path, &mut NoMemory);
        }
        FAILED.with_borrow_mut(|bits| {
            bits.clear();
            bits.resize((self.tokens.len() * (path.len() + 1)).div_ceil(64), 0);
            walk(&self.tokens, path, &mut Bits { bits, width: path.len() + 1 })
        })
    }

    /// Walks the tokens along `dir/`: whatever is left unmatched may match something below.
    fn reaches_below(&self, dir: &[u8]) -> bool {
        let mut path = dir.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        let mut bits = vec![0; (self.tokens.len() * (path.len() + 1)).div_ceil(64)];
        reach(&self.tokens, &path, &mut Bits { bits: &mut bits, width: path.len() + 1 })
    }
}

/// Whether tokens can consume all of `path` with at least one of them left over to go on with.
fn reach(tokens: &[Token], path: &[u8], memory: &mut Bits<'_>) -> bool {
    let Some((token, rest)) = tokens.split_first() else { return false };
    if path.is_empty() {
        return true;
    }
    match token {
        // What spans directories may stop anywhere below.
        Token::Directories | Token::All => true,
        Token::Literal(bytes) => {
            let common = bytes.len().min(path.len());
            bytes[..common] == path[..common] && (bytes.len() > path.len() || reach(rest, &path[common..], memory))
        }
        Token::Star => {
            if memory.visited(tokens.len(), path.len()) {
                return false;
            }
            let stop = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
            (0..=stop).any(|taken| reach(rest, &path[taken..], memory))
        }
        Token::One | Token::Class { .. } => {
            let (character, length) = decode(path);
            token.accepts(character) && reach(rest, &path[length..], memory)
        }
    }
}

impl Token {
    fn accepts(&self, character: char) -> bool {
        match self {
            Token::One => character != '/',
            Token::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (low..=high).contains(&&character)) != *negated
            }
            Token::Literal(_) | Token::Star | Token::Directories | Token::All => false,
        }
    }
}

/// Remembers where a walk failed.
trait Memory {
    /// Notes a visit of `tokens` tokens left with `path` bytes left; `true` if it was visited before.
    fn visited(&mut self, tokens: usize, path: usize) -> bool;
}

struct NoMemory;

impl Memory for NoMemory {
    #[inline]
    fn visited(&mut self, _tokens: usize, _path: usize) -> bool {
        false
    }
}

struct Bits<'a> {
    bits: &'a mut Vec<u64>,
    width: usize,
}

impl Memory for Bits<'_> {
    fn visited(&mut self, tokens: usize, path: usize) -> bool {
        let bit = (tokens - 1) * self.width + path;
        let word = &mut self.bits[bit / 64];
        let mask = 1 << (bit % 64);
        let seen = *word & mask != 0;
        *word |= mask;
        seen
    }
}

fn walk(mut tokens: &[Token], mut path: &[u8], memory: &mut impl Memory) -> bool {
    while let Some((token, rest)) = tokens.split_first() {
        match token {
            Token::Literal(bytes) => match path.strip_prefix(&bytes[..]) {
                Some(after) => path = after,
                None => return false,
            },
            Token::One | Token::Class { .. } => {
                if path.is_empty() {
                    return false;
                }
                let (character, length) = decode(path);
                if !token.accepts(character) {
                    return false;
                }
                path = &path[length..];
            }
            Token::Star | Token::Directories | Token::All => {
                if memory.visited(tokens.len(), path.len()) {
                    return false;
                }
                return stretch(token, rest, path, memory);
            }
        }
        tokens = rest;
    }
    path.is_empty()
}

/// Tries every length that `token` may take.
fn stretch(token: &Token, rest: &[Token], path: &[u8], memory: &mut impl Memory) -> bool {
    match token {
        Token::All => rest.is_empty() || (0..=path.len()).any(|taken| walk(rest, &path[taken..], memory)),
        Token::Directories => {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).any(|taken| walk(rest, &path[taken..], memory))
        }
        _ => {
            let stop = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
            if rest.is_empty() {
                return stop == path.len();
            }
            (0..=stop).any(|taken| walk(rest, &path[taken..], memory))
        }
    }
}
