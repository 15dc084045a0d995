//! A small language of patterns: what people write in `--filter name=`.
//!
//! docker takes a regular expression there. `^`, `$`, `.`, `*`, `+`, `?`, `[…]` and `|` at the top are what is met; anything else is
//! itself. It matches anywhere unless it is anchored.

/// Whether a text has the pattern in it.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    pattern.split('|').any(|pattern| one(&pattern.chars().collect::<Vec<_>>(), &text))
}

fn one(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        Some(('^', rest)) => here(rest, text),
        _ => (0..=text.len()).any(|start| here(pattern, &text[start..])),
    }
}

/// One character's worth of a pattern: how long it is, and what it takes.
fn atom(pattern: &[char]) -> (usize, impl Fn(char) -> bool) {
    let closing = match pattern.first() {
        // A bracket that closes at once is one of the characters.
        Some('[') => pattern.iter().skip(2).position(|c| *c == ']').map(|at| at + 2),
        _ => None,
    };
    let length = match (pattern.first(), closing) {
        (_, Some(end)) => end + 1,
        (Some('\\'), None) if pattern.len() > 1 => 2,
        _ => 1,
    };
    let taken: Vec<char> = pattern[..length.min(pattern.len())].to_vec();
    (length, move |c| match taken.as_slice() {
        ['.'] => true,
        ['\\', escaped] => *escaped == c,
        ['[', inner @ .., ']'] if !inner.is_empty() => class(inner, c),
        [literal, ..] => *literal == c,
        [] => false,
    })
}

fn class(inner: &[char], c: char) -> bool {
    let (negated, inner) = match inner {
        ['^', rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, inner),
    };
    let mut at = 0;
    let mut found = false;
    while at < inner.len() {
        if at + 2 < inner.len() && inner[at + 1] == '-' {
            found |= (inner[at]..=inner[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= inner[at] == c;
            at += 1;
        }
    }
    found != negated
}

fn here(pattern: &[char], text: &[char]) -> bool {
    if pattern.is_empty() {
        return true;
    }
    if pattern == ['$'] {
        return text.is_empty();
    }
    let (length, takes) = atom(pattern);
    let rest = &pattern[length.min(pattern.len())..];
    let (least, most, rest) = match rest.split_first() {
        Some(('*', rest)) => (0, usize::MAX, rest),
        Some(('+', rest)) => (1, usize::MAX, rest),
        Some(('?', rest)) => (0, 1, rest),
        _ => (1, 1, rest),
    };
    let longest = text.iter().take(most).take_while(|c| takes(**c)).count();
    (least..=longest).any(|taken| here(rest, &text[taken..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn what_people_write() {
        for (pattern, text, expected) in [
            ("web", "my-web-1", true),
            ("^web", "my-web-1", false),
            ("^web$", "web", true),
            ("^/web$", "/web", true),
            ("web.*1$", "my-web-1", true),
            ("^web-[0-9]+$", "web-12", true),
            ("^web-[^0-9]$", "web-1", false),
            ("^(web", "(web", true),
            ("a|b", "xb", true),
            ("db?$", "d", true),
            ("", "x", true),
            ("w.b", "wxb", true),
            (r"w\.b", "wxb", false),
            ("[", "[", true),
            ("*", "*", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
