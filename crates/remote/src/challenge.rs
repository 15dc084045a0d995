//! `WWW-Authenticate`: what a registry wants before it answers.
//! Grammar: RFC 9110, section 11.6.1; meaning: distribution's token specification.

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A token of `realm` is wanted.
    Bearer {
        /// Where tokens are given out; not checked yet.
        realm: String,
        /// For which service; empty where none is named.
        service: String,
        /// What the token must allow, one entry a scope.
        scopes: Vec<String>,
        /// Why the token that was sent is not enough: `invalid_token`, `insufficient_scope`; empty where nothing is said.
        error: String,
    },
    /// Name and password are wanted.
    Basic,
}

/// A header of a challenge longer than this is not read.
const LONGEST_HEADER: usize = 16 * 1024;
/// Challenges beyond these are not read.
const MOST_CHALLENGES: usize = 8;
/// Parameters of a challenge beyond these are not read.
const MOST_PARAMETERS: usize = 32;
/// Scopes beyond these are not asked for.
const MOST_SCOPES: usize = 16;

/// Reads the values of the header; what makes no sense is passed over, as are schemes that we do not speak.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in values {
        let Ok(text) = std::str::from_utf8(value) else { continue };
        if text.len() > LONGEST_HEADER {
            continue;
        }
        let mut scanner = Scanner { text, at: 0 };
        while let Some((scheme, parameters)) = scanner.challenge() {
            if found.len() == MOST_CHALLENGES {
                return found;
            }
            found.extend(interpret(scheme, &parameters));
        }
    }
    found
}

fn interpret(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| {
        parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).unwrap_or("")
    };
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") || get("realm").is_empty() {
        return None;
    }
    Some(Challenge::Bearer {
        realm: get("realm").to_owned(),
        service: get("service").to_owned(),
        scopes: get("scope").split_ascii_whitespace().take(MOST_SCOPES).map(str::to_owned).collect(),
        error: get("error").to_owned(),
    })
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }

    fn token(&mut self) -> &'a str {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        &self.text[start..self.at]
    }

    /// A scheme and its parameters. At bytes that are neither, one is passed over, so that the end is always reached.
    fn challenge(&mut self) -> Option<(&'a str, Vec<(String, String)>)> {
        let scheme = loop {
            self.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
            self.peek()?;
            let token = self.token();
            if !token.is_empty() {
                break token;
            }
            // A whole character, so that the next slice starts on one.
            self.at += self.text[self.at..].chars().next().map_or(1, char::len_utf8);
        };
        let mut parameters = Vec::new();
        loop {
            let start = self.at;
            self.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
            let name = self.token();
            self.skip(|byte| matches!(byte, b' ' | b'\t'));
            if name.is_empty() || self.peek() != Some(b'=') {
                // The next scheme, or the end.
                self.at = start;
                return Some((scheme, parameters));
            }
            self.at += 1;
            self.skip(|byte| matches!(byte, b' ' | b'\t'));
            let value = self.value();
            if parameters.len() < MOST_PARAMETERS {
                parameters.push((name.to_owned(), value));
            }
        }
    }

    fn value(&mut self) -> String {
        if self.peek() != Some(b'"') {
            let start = self.at;
            // Some registries leave the quotes out around addresses.
            self.skip(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'"'));
            return self.text[start..self.at].to_owned();
        }
        let mut value = String::new();
        let mut characters = self.text[self.at + 1..].char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += 1 + index + 1;
                    return value;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        self.at = self.text.len();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: &str, scopes: &[&str]) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            error: String::new(),
        }
    }

    #[test]
    fn read_as_registries_write_them() {
        let one = |text: &str| parse([text.as_bytes()]);
        assert_eq!(
            one(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull""#
            ),
            [bearer("https://auth.docker.io/token", "registry.docker.io", &["repository:library/busybox:pull"])]
        );
        assert_eq!(
            one(
                "bearer  realm=https://a/t , service=\"s, \\\"t\\\"\",scope=\"repository:a:pull,push repository:b:pull\""
            ),
            [bearer("https://a/t", "s, \"t\"", &["repository:a:pull,push", "repository:b:pull"])]
        );
        assert_eq!(
            one(r#"Negotiate, Basic realm="Registry", Bearer realm="https://a/t""#),
            [Challenge::Basic, bearer("https://a/t", "", &[])]
        );
        assert_eq!(one("Basic"), [Challenge::Basic]);
        assert_eq!(one("Digest qop=auth"), []);
        assert_eq!(one("Bearer service=x"), [], "without a realm there is nowhere to go");
        assert_eq!(
            one(r#"Bearer realm="https://a/t"#),
            [bearer("https://a/t", "", &[])],
            "an open quote ends with the line"
        );
        let scopes = "repository:a:pull ".repeat(100);
        match &one(&format!("Bearer realm=\"https://a/t\",scope=\"{scopes}\""))[..] {
            [Challenge::Bearer { scopes, .. }] => assert_eq!(scopes.len(), MOST_SCOPES),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bounded() {
        assert_eq!(parse([format!("Basic a={}", "x".repeat(LONGEST_HEADER)).as_bytes()]), []);
        assert_eq!(parse(["Basic, ".repeat(1000).as_bytes()]).len(), MOST_CHALLENGES);
        assert_eq!(parse([&b"Basic \xff"[..]]), []);
    }

    proptest! {
        #[test]
        fn never_panics_and_ends(text in "(Bearer|Basic|[a-z]{0,3}|realm|=|\"|,| |\\\\|é|\u{0}){0,40}") {
            parse([text.as_bytes()]);
        }
    }
}
