//! Files of the web: what `ADD` and build contexts name by an http or https address.
//!
//! A file is asked for with what is known of it (its `ETag`, when it was last changed), so that one that is still the same
//! costs no bytes. Redirects are followed by the rules of [`hop`]; a login goes to the host that it was given for, and to
//! no other. Conditional requests: RFC 9110, section 13.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use crate::client::Client;
use crate::hop;
use crate::retry::{dice, is_temporary, retry_after};

/// What was learned of a file when it was last fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`, as it was sent.
    pub last_modified: Option<String>,
}

/// The answer to a question for a file.
#[derive(Debug)]
pub enum Answer {
    /// It is what was seen.
    Same,
    /// It is sent.
    File(Box<File>),
}

/// A file on its way.
#[derive(Debug)]
pub struct File {
    response: reqwest::Response,
    shown: String,
    /// What to ask with next time.
    pub seen: Seen,
    /// Its length, where the server says it.
    pub length: Option<u64>,
}

/// Why a file could not be had. Addresses are without logins and queries.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Not an address.
    #[error("`{shown}` is not an http or https address: {why}")]
    Address {
        /// The address.
        shown: String,
        /// Why.
        why: String,
    },
    /// A redirect that is not followed.
    #[error("{shown} redirects to {target}: {rule}")]
    Redirect {
        /// The address.
        shown: String,
        /// Where to.
        target: String,
        /// Why not.
        rule: hop::Refused,
    },
    /// The server refused.
    #[error("{shown}: the server answered {status}")]
    Status {
        /// The address.
        shown: String,
        /// What it said.
        status: StatusCode,
    },
    /// The connection failed.
    #[error("{shown}: {why}")]
    Transport {
        /// The address.
        shown: String,
        /// Why.
        why: String,
    },
    /// The file ended too early.
    #[error("{shown}: the connection ended after {got} of {length} bytes")]
    Short {
        /// The address.
        shown: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced.
        length: u64,
    },
}

impl Client {
    /// Asks for a file. `authorization` replaces a login in the address; `seen` is what is known of it.
    ///
    /// # Errors
    /// [`WebError`].
    pub async fn web(&self, address: &str, authorization: Option<&str>, seen: &Seen) -> Result<Answer, WebError> {
        let (start, login) = split(address)?;
        let shown = shown(&start);
        let authorization = match authorization {
            Some(value) => Some(sensitive(value, &shown)?),
            None => login,
        };
        let mut url = start.clone();
        for _ in 0..=self.options().limits.redirects.max(10) {
            let mut headers = conditional(seen);
            if let Some(value) = authorization.as_ref().filter(|_| hop::same_origin(&start, &url)) {
                headers.insert(header::AUTHORIZATION, value.clone());
            }
            let response = self.ask(&start, &url, headers, &shown).await?;
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED {
                return Ok(Answer::Same);
            }
            if !status.is_redirection() {
                return if status == StatusCode::OK {
                    Ok(Answer::File(Box::new(File::new(response, shown))))
                } else {
                    Err(WebError::Status { shown, status })
                };
            }
            let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(target) = target.and_then(|target| url.join(target).ok()) else {
                return Err(WebError::Redirect { shown, target: "nowhere".into(), rule: hop::Refused::Malformed });
            };
            // Plain http was asked for, or it was not: an answer does not change that.
            hop::check(&url, &target, |_| url.scheme() == "http").map_err(|rule| WebError::Redirect {
                shown: shown.clone(),
                target: hop::origin(&target),
                rule,
            })?;
            url = target;
        }
        Err(WebError::Redirect { shown, target: hop::origin(&url), rule: hop::Refused::TooMany })
    }

    /// One call, tried again while that may help.
    async fn ask(
        &self,
        start: &Url,
        url: &Url,
        headers: HeaderMap,
        shown: &str,
    ) -> Result<reqwest::Response, WebError> {
        let options = self.options();
        let transport = |why: String| WebError::Transport { shown: shown.to_owned(), why };
        let insecure = options.is_insecure(url);
        let pool = self.pool(start, url, insecure).map_err(|error| transport(error.to_string()))?;
        let mut failures = 0;
        loop {
            let result = pool.get(url.clone()).headers(headers.clone()).send().await;
            failures += 1;
            let asked = match &result {
                Ok(response) if !is_temporary(response.status()) => None,
                Ok(response) => Some(retry_after(response.headers(), SystemTime::now())),
                Err(_) => Some(None),
            };
            let wait = asked.and_then(|asked| options.retry.wait(failures, asked, dice()));
            match (wait, result) {
                (Some(wait), _) => tokio::time::sleep(wait).await,
                (None, Ok(response)) => return Ok(response),
                (None, Err(error)) => return Err(transport(reason(&error))),
            }
        }
    }
}

impl File {
    fn new(response: reqwest::Response, shown: String) -> Self {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let seen = Seen { etag: text(header::ETAG), last_modified: text(header::LAST_MODIFIED) };
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        Self { response, shown, seen, length }
    }

    /// The next bytes; `None` at the end. `got` is how many there were before.
    ///
    /// # Errors
    /// When the connection fails, or ends before all came.
    pub async fn chunk(&mut self, got: u64) -> Result<Option<Bytes>, WebError> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| WebError::Transport { shown: self.shown.clone(), why: reason(&error) })?;
        match (&chunk, self.length) {
            (None, Some(length)) if got < length => Err(WebError::Short { shown: self.shown.clone(), got, length }),
            _ => Ok(chunk),
        }
    }
}

/// When a file was last changed, in seconds since 1970, by what its server says (an HTTP date).
pub fn modified(last_modified: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(last_modified).ok().map(|time| time.timestamp().as_second())
}

/// The address without its login, and the login as a header.
fn split(address: &str) -> Result<(Url, Option<HeaderValue>), WebError> {
    let hidden = || match address.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
        None => address.to_owned(),
    };
    let wrong = |why: String| WebError::Address { shown: hidden(), why };
    let mut url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("its scheme is {}", url.scheme())));
    }
    let login = (!url.username().is_empty() || url.password().is_some())
        .then(|| basic(url.username(), url.password().unwrap_or_default()));
    let login = login.map(|value| sensitive(&value, &hidden())).transpose()?;
    // They cannot fail for a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    Ok((url, login))
}

/// `Basic …`, of a name and a password as they stand in an address.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let plain = |text: &str| percent_decoded(text);
    let mut joined = plain(user);
    joined.push(b':');
    joined.extend(plain(password));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(joined))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn sensitive(value: &str, shown: &str) -> Result<HeaderValue, WebError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| WebError::Address { shown: shown.to_owned(), why: "its login is no header".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

fn conditional(seen: &Seen) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // What is hashed is the file, not a transport's encoding of it.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut put = |name, value: &Option<String>| {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    };
    put(header::IF_NONE_MATCH, &seen.etag);
    if seen.etag.is_none() {
        put(header::IF_MODIFIED_SINCE, &seen.last_modified);
    }
    headers
}

/// An address as messages show it: queries may hold signatures.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.to_string()
}

/// An error with its causes, without the address.
fn reason(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    // The last one says it; those above say that something below failed.
    let last = words.pop().unwrap_or_else(|| if error.is_timeout() { "timed out".into() } else { "failed".into() });
    crate::error::printable(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_leave_the_address() {
        let (url, login) = split("https://me:p%40ss@h/x?y#z").unwrap();
        assert_eq!(url.as_str(), "https://h/x?y");
        assert_eq!(login.unwrap().to_str().unwrap(), "Basic bWU6cEBzcw==");
        for bad in ["ftp://me:word@h/x", "file:///etc/passwd", "http://", "https://me:word@"] {
            let error = split(bad).unwrap_err().to_string();
            assert!(!error.contains("word"), "{error}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(modified("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480));
        assert_eq!(modified("yesterday"), None);
    }
}
