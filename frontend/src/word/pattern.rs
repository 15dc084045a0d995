//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and literals.
//!
//! `*` and `?` do not match a line feed, as in BuildKit, which turns patterns
//! into regular expressions. Everything here runs in time proportional to
//! pattern × value, which [`MAX_STEPS`] bounds.

/// The product of pattern and value lengths that is still tried: about 0.1 s.
const MAX_STEPS: usize = 1 << 26;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `*`: any run of characters.
    Run,
    /// `?`: any one character.
    Any,
    /// This character.
    Just(char),
}

impl Token {
    fn takes(self, c: char) -> bool {
        match self {
            Token::Run | Token::Any => c != '\n',
            Token::Just(wanted) => c == wanted,
        }
    }
}

fn tokens(pattern: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Run,
            '?' => Token::Any,
            // `}` and `/` are escaped for the sake of `${…}`, not of the pattern.
            '\\' if matches!(rest.peek(), Some('}' | '/')) => continue,
            '\\' => match rest.next() {
                Some(c @ ('*' | '?' | '\\')) => Token::Just(c),
                Some(c) => return Err(format!("invalid escape `\\{c}` in pattern `{pattern}`")),
                None => return Err(format!("pattern `{pattern}` ends in an escape")),
            },
            c => Token::Just(c),
        });
    }
    Ok(tokens)
}

fn check_cost(pattern: &[Token], value: &str) -> Result<(), String> {
    if (pattern.len() + 1).saturating_mul(value.len() + 1) > MAX_STEPS {
        return Err(format!(
            "a pattern of {} characters on a value of {} bytes is too much",
            pattern.len(),
            value.len()
        ));
    }
    Ok(())
}

/// The set of pattern positions that are reached.
struct States {
    now: Vec<bool>,
    next: Vec<bool>,
}

impl States {
    fn new(pattern: &[Token]) -> States {
        let mut states = States { now: vec![false; pattern.len() + 1], next: vec![false; pattern.len() + 1] };
        states.next[0] = true;
        states.settle(pattern);
        states
    }

    /// Follows `*` matching nothing, and makes `next` the present.
    fn settle(&mut self, pattern: &[Token]) {
        for (at, token) in pattern.iter().enumerate() {
            if self.next[at] && *token == Token::Run {
                self.next[at + 1] = true;
            }
        }
        std::mem::swap(&mut self.now, &mut self.next);
        self.next.fill(false);
    }

    /// Takes a character; false when no state is left.
    fn step(&mut self, pattern: &[Token], c: char) -> bool {
        let mut alive = false;
        for (at, token) in pattern.iter().enumerate() {
            if self.now[at] && token.takes(c) {
                let to = if *token == Token::Run { at } else { at + 1 };
                self.next[to] = true;
                alive = true;
            }
        }
        self.settle(pattern);
        alive
    }

    fn accepts(&self) -> bool {
        self.now[self.now.len() - 1]
    }
}

/// Where a match that begins at the start of `value` ends, in characters.
fn end_of_match(pattern: &[Token], value: impl Iterator<Item = char>, longest: bool) -> Option<usize> {
    let mut states = States::new(pattern);
    let mut end = states.accepts().then_some(0);
    for (at, c) in value.enumerate() {
        if end.is_some() && !longest {
            break;
        }
        if !states.step(pattern, c) {
            break;
        }
        if states.accepts() {
            end = Some(at + 1);
        }
    }
    end
}

/// `${v#p}` and `${v##p}`.
pub(super) fn trim_prefix(pattern: &str, value: &str, longest: bool) -> Result<String, String> {
    let pattern = tokens(pattern)?;
    check_cost(&pattern, value)?;
    let skip = end_of_match(&pattern, value.chars(), longest).unwrap_or(0);
    Ok(value.chars().skip(skip).collect())
}

/// `${v%p}` and `${v%%p}`.
pub(super) fn trim_suffix(pattern: &str, value: &str, longest: bool) -> Result<String, String> {
    let mut pattern = tokens(pattern)?;
    check_cost(&pattern, value)?;
    pattern.reverse();
    let skip = end_of_match(&pattern, value.chars().rev(), longest).unwrap_or(0);
    let keep = value.chars().count() - skip;
    Ok(value.chars().take(keep).collect())
}

/// For each place of `value` and its end: whether a match can begin there.
fn beginnings(pattern: &[Token], value: &[char]) -> Vec<bool> {
    let m = pattern.len();
    let mut found = vec![false; value.len() + 1];
    // after[p]: pattern[p..] can match from the place to the right.
    let mut after = vec![false; m + 1];
    let mut here = vec![false; m + 1];
    for place in (0..=value.len()).rev() {
        here[m] = true;
        for p in (0..m).rev() {
            let c = value.get(place).copied();
            let takes = c.is_some_and(|c| pattern[p].takes(c));
            here[p] = match pattern[p] {
                Token::Run => here[p + 1] || (takes && after[p]),
                Token::Any | Token::Just(_) => takes && after[p + 1],
            };
        }
        found[place] = here[0];
        std::mem::swap(&mut after, &mut here);
    }
    found
}

/// `${v/p/r}` and `${v//p/r}`: leftmost, longest matches.
pub(super) fn replace(pattern: &str, value: &str, replacement: &str, all: bool, room: usize) -> Result<String, String> {
    let pattern = tokens(pattern)?;
    check_cost(&pattern, value)?;
    let value: Vec<char> = value.chars().collect();
    let begins = beginnings(&pattern, &value);
    let mut out = String::new();
    let mut at = 0;
    let mut done = false;
    // An empty match right after another match does not count, as in Go.
    let mut last_end = None;
    while at <= value.len() {
        if !done && begins[at] {
            let length = end_of_match(&pattern, value[at..].iter().copied(), true).unwrap_or(0);
            if length > 0 || last_end != Some(at) {
                out.push_str(replacement);
                done = !all;
                last_end = Some(at + length);
                if out.len() > room {
                    return Err("the replacement grows too large".to_owned());
                }
            }
            if length > 0 {
                at += length;
                continue;
            }
        }
        out.extend(value.get(at));
        at += 1;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_all_kinds() {
        assert_eq!(trim_prefix("*/", "a/b/c", false).unwrap(), "b/c");
        assert_eq!(trim_prefix("*/", "a/b/c", true).unwrap(), "c");
        assert_eq!(trim_suffix("/*", "a/b/c", false).unwrap(), "a/b");
        assert_eq!(trim_suffix("/*", "a/b/c", true).unwrap(), "a");
        assert_eq!(trim_prefix("?\\?", "???y", false).unwrap(), "?y");
        assert_eq!(trim_prefix("*", "a\nb", true).unwrap(), "\nb");
        assert!(trim_prefix("\\x", "v", true).is_err());
        assert!(trim_prefix("a\\", "v", true).is_err());
    }

    #[test]
    fn replacements() {
        let all = |p, v, r| replace(p, v, r, true, 1000).unwrap();
        assert_eq!(all("a", "banana", "o"), "bonono");
        assert_eq!(replace("a", "banana", "o", false, 1000).unwrap(), "bonana");
        assert_eq!(all("a*n", "banana", "-"), "b-a");
        assert_eq!(all("", "ab", "-"), "-a-b-");
        assert_eq!(replace("", "ab", "-", false, 1000).unwrap(), "-ab");
        assert_eq!(all("x", "", "-"), "");
    }

    #[test]
    fn hostile_patterns_end() {
        let value = "a".repeat(60_000);
        let pattern = "*a".repeat(500) + "b";
        assert_eq!(replace(&pattern, &value, "x", true, 1 << 20).unwrap(), value);
        assert!(replace(&"*".repeat(60_000), &value, "x", true, 1 << 20).is_err());
    }
}
