//! Words of a command line in a unit file (systemd.service(5), "Command lines"): quotes, escapes, and back.

/// What is no list of words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A quote that does not end.
    #[error("a quote is not closed: {0}")]
    Quote(String),
    /// An escape that there is not.
    #[error("unknown escape `\\{0}`")]
    Escape(char),
    /// An escape of a character by its number that is none.
    #[error("`\\{0}` is no character")]
    Character(String),
}

/// The words of a value.
///
/// # Errors
/// A quote that does not end, an unknown escape.
pub fn split(text: &str) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (_, '\\') => unescape(&mut rest, word.get_or_insert_default())?,
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(WordError::Quote(text.chars().take(60).collect()));
    }
    words.extend(word);
    Ok(words)
}

/// One escape, the backslash taken already.
fn unescape(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordError> {
    let Some(c) = rest.next() else {
        word.push('\\');
        return Ok(());
    };
    let plain = match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        's' => ' ',
        '\\' | '"' | '\'' => c,
        'x' => numbered(rest, c, 2, 16)?,
        'u' => numbered(rest, c, 4, 16)?,
        'U' => numbered(rest, c, 8, 16)?,
        other => return Err(WordError::Escape(other)),
    };
    word.push(plain);
    Ok(())
}

fn numbered(rest: &mut std::str::Chars<'_>, kind: char, digits: usize, radix: u32) -> Result<char, WordError> {
    let text: String = rest.take(digits).collect();
    let number = u32::from_str_radix(&text, radix).ok().filter(|number| *number != 0 && text.len() == digits);
    number.and_then(char::from_u32).ok_or_else(|| WordError::Character(format!("{kind}{text}")))
}

/// A word as a command line of a unit takes it. Its `%` and `$` stay systemd's to expand.
pub fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_ascii_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\' | ';');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() && c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A word that systemd is to expand nothing in.
pub fn quote_literally(word: &str) -> String {
    quote(&word.replace('%', "%%").replace('$', "$$"))
}

/// Words as one command line.
pub fn join<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_back() {
        for (text, expected) in [
            ("a b  c", vec!["a", "b", "c"]),
            (r#"a "b c" 'd "e'"#, vec!["a", "b c", "d \"e"]),
            (r#"x"y z"w"#, vec!["xy zw"]),
            (r"a\x20b \n \u00e4", vec!["a b", "\n", "ä"]),
            (r#""" ''"#, vec!["", ""]),
            ("", vec![]),
        ] {
            let words = split(text).unwrap();
            assert_eq!(words, expected, "{text}");
            assert_eq!(split(&join(words.iter().map(String::as_str))).unwrap(), words, "{text}");
        }
        for bad in ["\"a", "'", r"\q", r"\x0", r"\x00", r"\ud800"] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert_eq!(quote_literally("a%b$c d"), "\"a%%b$$c d\"");
    }
}
