//! Template text to tokens.

use super::TemplateError;

/// One piece of the template.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// Text that is copied.
    Text(String),
    /// What stood between `{{` and `}}`, and where it began.
    Action(usize, Vec<Token>),
}

/// One token of an action.
#[derive(Debug, PartialEq, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: usize,
    /// Whether white space stood before it: `.A .B` is two operands, `.A.B` one.
    pub(super) spaced: bool,
}

#[derive(Debug, PartialEq, Clone)]
pub(super) enum TokenKind {
    Word(String),
    Dot,
    Field(String),
    Variable(String),
    Text(String),
    Number(serde_json::Number),
    Open,
    Close,
    Pipe,
    Comma,
    Assign,
    Declare,
}

/// Splits `text` into copied text and actions, and applies the trim markers.
pub(super) fn lex(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let rest = &text[at..];
        let open = rest.find("{{");
        let literal = &rest[..open.unwrap_or(rest.len())];
        let mut literal = if trim_next { literal.trim_start() } else { literal };
        let Some(open) = open else {
            push_text(&mut pieces, literal);
            return Ok(pieces);
        };
        let start = at + open;
        let mut inner = start + 2;
        if is_left_trim(&text[inner..]) {
            literal = literal.trim_end();
            inner += 1;
        }
        push_text(&mut pieces, literal);
        let (tokens, end, trim) = action(text, start, inner)?;
        if !tokens.is_empty() {
            pieces.push(Piece::Action(start, tokens));
        }
        trim_next = trim;
        at = end;
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn is_left_trim(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

/// Reads one action from `at`; gives its tokens, the offset after `}}`, and
/// whether the text after it is trimmed.
fn action(text: &str, start: usize, mut at: usize) -> Result<(Vec<Token>, usize, bool), TemplateError> {
    let mut tokens = Vec::new();
    let mut spaced = true;
    loop {
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            return Err(TemplateError::new(start, "`{{` is not closed by `}}`"));
        };
        if rest.starts_with("}}") {
            return Ok((tokens, at + 2, false));
        }
        if spaced && rest.starts_with("-}}") {
            return Ok((tokens, at + 3, true));
        }
        if first.is_whitespace() {
            at += first.len_utf8();
            spaced = true;
            continue;
        }
        if rest.starts_with("/*") {
            let Some(end) = rest.find("*/") else {
                return Err(TemplateError::new(at, "comment is not closed"));
            };
            at += end + 2;
            continue;
        }
        let (kind, length) = token(rest, at)?;
        tokens.push(Token { kind, at, spaced });
        at += length;
        spaced = false;
    }
}

fn token(rest: &str, at: usize) -> Result<(TokenKind, usize), TemplateError> {
    let first = rest.chars().next().unwrap_or('\0');
    let next = rest[first.len_utf8()..].chars().next().unwrap_or('\0');
    Ok(match first {
        '(' => (TokenKind::Open, 1),
        ')' => (TokenKind::Close, 1),
        '|' => (TokenKind::Pipe, 1),
        ',' => (TokenKind::Comma, 1),
        '=' => (TokenKind::Assign, 1),
        ':' if next == '=' => (TokenKind::Declare, 2),
        '"' => quoted(rest, at)?,
        '\'' => character(rest, at)?,
        '`' => match rest[1..].find('`') {
            Some(end) => (TokenKind::Text(rest[1..=end].to_owned()), end + 2),
            None => return Err(TemplateError::new(at, "string is not closed")),
        },
        '.' if is_word_start(next) => {
            let name = word(&rest[1..]);
            (TokenKind::Field(name.to_owned()), 1 + name.len())
        }
        '.' if !next.is_ascii_digit() => (TokenKind::Dot, 1),
        '$' => {
            let name = word(&rest[1..]);
            (TokenKind::Variable(name.to_owned()), 1 + name.len())
        }
        '+' | '-' | '.' | '0'..='9' => number(rest, at)?,
        other if is_word_start(other) => {
            let name = word(rest);
            (TokenKind::Word(name.to_owned()), name.len())
        }
        other => return Err(TemplateError::new(at, format!("unexpected {other:?}"))),
    })
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn number(rest: &str, at: usize) -> Result<(TokenKind, usize), TemplateError> {
    let end = rest
        .char_indices()
        .find(|&(i, c)| !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || (i == 0 && (c == '+' || c == '-'))))
        .map_or(rest.len(), |(i, _)| i);
    let written = &rest[..end];
    let plain = written.replace('_', "");
    let hex = plain.strip_prefix("0x").and_then(|hex| i64::from_str_radix(hex, 16).ok());
    let value = match hex.or_else(|| plain.parse::<i64>().ok()) {
        Some(whole) => Some(whole.into()),
        None => plain.parse::<f64>().ok().and_then(serde_json::Number::from_f64),
    };
    match value {
        Some(value) => Ok((TokenKind::Number(value), end)),
        None => Err(TemplateError::new(at, format!("bad number `{written}`"))),
    }
}

fn quoted(rest: &str, at: usize) -> Result<(TokenKind, usize), TemplateError> {
    let (text, length) = escaped(rest, at, '"')?;
    Ok((TokenKind::Text(text), length))
}

/// A character constant is a number in Go.
fn character(rest: &str, at: usize) -> Result<(TokenKind, usize), TemplateError> {
    let (text, length) = escaped(rest, at, '\'')?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Ok((TokenKind::Number(u32::from(only).into()), length)),
        _ => Err(TemplateError::new(at, "a character constant holds one character; use \"…\" for text")),
    }
}

fn escaped(rest: &str, at: usize, quote: char) -> Result<(String, usize), TemplateError> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((out, i + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('\\' | '"' | '\'')) => out.push(c),
                other => {
                    let shown = other.map_or_else(String::new, String::from);
                    return Err(TemplateError::new(at + i, format!("unknown escape `\\{shown}`")));
                }
            },
            '\n' => break,
            c => out.push(c),
        }
    }
    Err(TemplateError::new(at, "string is not closed"))
}
