//! Query strings.
//!
//! A `+` is itself and no space: none of our values has a space, and clients send media types such as
//! `application/spdx+json` both ways.

use http::StatusCode;
use oci::ErrorCode;

use crate::refusal::{Refusal, Result};

/// Parameters of one query. The tags of a manifest are the only ones that repeat, and have a limit of their own below it.
const PARAMETERS: usize = 1_000;

/// A parsed query: names and values, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what follows the `?`.
    ///
    /// # Errors
    /// 400 where a value is not UTF-8 or holds a control character, 414 for too many parameters.
    pub fn parse(text: &str) -> Result<Self> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == PARAMETERS {
                return Err(Refusal::new(
                    StatusCode::URI_TOO_LONG,
                    ErrorCode::Unsupported,
                    format!("a query has at most {PARAMETERS} parameters"),
                ));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter that may be given once; `None` where it is absent.
    ///
    /// # Errors
    /// 400 where it is given twice: whoever checks the first and uses the last is fooled.
    pub fn one(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => Err(bad(format!("the parameter `{name}` is given twice"))),
        }
    }

    /// All values of a parameter, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The parameter `n`, a page's length: `default` where it is absent, and never more than `most`.
    ///
    /// # Errors
    /// 400 where it is no number.
    pub fn page(&self, default: usize, most: usize) -> Result<usize> {
        let Some(text) = self.one("n")? else { return Ok(default) };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad("the parameter `n` is not a number".to_owned()));
        }
        // All digits: what does not fit is more than any page.
        Ok(text.parse::<usize>().unwrap_or(usize::MAX).min(most))
    }
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(value) if !value.chars().any(char::is_control) => Ok(value.into_owned()),
        _ => Err(bad("the query is not plain text".to_owned())),
    }
}

fn bad(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_send() {
        let query = Query::parse("n=3&last=v1.0&artifactType=application/spdx+json&x&tag=a&tag=b%2Bc&=y").unwrap();
        assert_eq!(query.one("last").unwrap(), Some("v1.0"));
        assert_eq!(query.one("artifactType").unwrap(), Some("application/spdx+json"));
        assert_eq!(query.one("x").unwrap(), Some(""));
        assert_eq!(query.one("none").unwrap(), None);
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b+c"]);
        assert!(query.one("tag").is_err());
        assert_eq!(query.page(10, 100).unwrap(), 3);
    }

    #[test]
    fn bounds_a_page() {
        for (text, expected) in
            [("", Some(10)), ("n=0", Some(0)), ("n=101", Some(100)), ("n=99999999999999999999999", Some(100))]
        {
            assert_eq!(Query::parse(text).unwrap().page(10, 100).ok(), expected, "{text}");
        }
        for text in ["n=", "n=-1", "n=1e3", "n=0x10", "n=%31%00", "n=1&n=2", "n=٣"] {
            assert!(Query::parse(text).and_then(|query| query.page(10, 100)).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_text() {
        for text in ["a=%00", "a=%ff", "a=%c0%af", "%0d%0aX=1", "a=%e2%80"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        assert_eq!(Query::parse(&"a&".repeat(1_001)).unwrap_err().status, StatusCode::URI_TOO_LONG);
    }
}
