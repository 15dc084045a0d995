//! Why a call to a registry failed.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use oci::{Digest, ErrorCode};
use serde::Deserialize;

use crate::credential_program::HelperError;
use crate::credentials::AuthFileError;
pub use crate::distrust::Distrust;
pub use crate::rate_limit::RateLimit;
use crate::rate_limit::patience;
use crate::tls::PemError;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where a call went: the registry as the user names it, and the repository if the call is about one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Such as `docker.io`.
    pub registry: String,
    /// Such as `library/busybox`; empty where the call is about none.
    pub repository: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.registry)?;
        if self.repository.is_empty() { Ok(()) } else { write!(f, "/{}", self.repository) }
    }
}

/// One entry of the specification's error body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The code as it was sent: not all registries keep to the specification's.
    pub code: String,
    /// For people; cut to a line.
    pub message: String,
}

impl ApiError {
    /// The code, where it is one of the specification's.
    pub fn known(&self) -> Option<ErrorCode> {
        ErrorCode::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&self.code)).ok()
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry answered, and not with what was asked for.
    #[error("{place}: {what}: the registry answered {status}{}{}", listed(.errors), patience(.retry_after, .rate_limit))]
    Status {
        /// Where.
        place: Place,
        /// What was asked: `manifest latest`, `blob sha256:…`.
        what: String,
        /// The status line.
        status: StatusCode,
        /// The specification's error body, if there was one.
        errors: Vec<ApiError>,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
        /// How much one may ask, if it said so.
        rate_limit: Option<RateLimit>,
    },
    /// No connection, or it broke.
    #[error("{place}: {what}: {message}")]
    Transport {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// The chain of causes, without the address's query, which may hold signatures.
        message: String,
        /// Whether no connection came about at all.
        connect: bool,
    },
    /// One side does not believe the other's certificate.
    #[error("{place}: {what}: {message}")]
    Certificate {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// Which side, and why.
        distrust: Distrust,
        /// The chain of causes.
        message: String,
    },
    /// The bytes are not those of the digest.
    #[error("{place}: {what}: the content has digest {found}, not {expected}")]
    Digest {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The body is longer or shorter than it should be.
    #[error("{place}: {what}: {found} bytes instead of {expected}")]
    Length {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// What was announced.
        expected: u64,
        /// What came, or was announced later.
        found: u64,
    },
    /// The body is longer than we take.
    #[error("{place}: {what}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The answer breaks the specification.
    #[error("{place}: {what}: {problem}")]
    Malformed {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A redirect, realm or location that the rules of [`crate::hop`] forbid.
    #[error("{place}: refused to follow {kind} to {target}: {rule}")]
    Hop {
        /// Where.
        place: Place,
        /// `a redirect`, `the token realm`, `an upload location`, …
        kind: &'static str,
        /// Scheme, host and port.
        target: String,
        /// The rule it breaks.
        rule: crate::hop::Refused,
    },
    /// The registry wants a login that we do not have, or refuses the one we have.
    #[error("{place}: {what}: authentication required{}{}", if *.had_credentials { ", and the credentials were refused" } else { "" }, listed(.errors))]
    Unauthorized {
        /// Where.
        place: Place,
        /// What was asked.
        what: String,
        /// Whether credentials were sent.
        had_credentials: bool,
        /// The specification's error body, if there was one.
        errors: Vec<ApiError>,
    },
    /// A credential would have gone over an unencrypted connection.
    #[error("{place}: credentials are not sent to {target} over plain http")]
    Plaintext {
        /// Where.
        place: Place,
        /// The host.
        target: String,
    },
    /// The realm's answer is no token.
    #[error("{place}: the token service {realm} {problem}")]
    Token {
        /// Where.
        place: Place,
        /// The host of the realm.
        realm: String,
        /// What is wrong.
        problem: String,
    },
    /// The registry's name is no address.
    #[error("`{0}` is not the address of a registry")]
    Address(String),
    /// A name on the command line or in a file is no reference.
    #[error(transparent)]
    Reference(oci::ReferenceError),
    /// The registry is blocked by `registries.conf`.
    #[error("{registry} is blocked by {}", .file.display())]
    Blocked {
        /// What is blocked.
        registry: String,
        /// By which file.
        file: std::path::PathBuf,
    },
    /// The files that hold credentials are unusable.
    #[error(transparent)]
    AuthFile(#[from] AuthFileError),
    /// A credential helper failed.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// A file about hosts is unusable, or forbids what was asked.
    #[error(transparent)]
    Config(#[from] crate::hosts::ConfigError),
    /// A certificate is unusable.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The bytes that were to be sent could not be had.
    #[error("{place}: {what}: {source}")]
    Source {
        /// Where they should go.
        place: Place,
        /// What was sent.
        what: String,
        /// Why there were none.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The HTTP client could not be made.
    #[error("HTTP client: {0}")]
    Setup(String),
}

impl Error {
    /// The registry says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Status { status: StatusCode::NOT_FOUND, .. })
    }

    /// Trying later may help: no connection, a broken one, 408, 429, 5xx.
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Transport { .. } => true,
            Error::Status { status, .. } => crate::retry::is_temporary(*status),
            _ => false,
        }
    }

    /// The registry says that the bytes sent are not those of the digest.
    pub fn is_digest_refused(&self) -> bool {
        match self {
            Error::Status { status, errors, .. } => {
                *status == StatusCode::BAD_REQUEST
                    && errors.iter().any(|error| matches!(error.known(), Some(ErrorCode::DigestInvalid)))
            }
            _ => false,
        }
    }

    /// The status line, where there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Error::Status { status, .. } => Some(*status),
            Error::Unauthorized { .. } => Some(StatusCode::UNAUTHORIZED),
            _ => None,
        }
    }

    /// When the registry wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn listed(errors: &[ApiError]) -> String {
    let mut text = String::new();
    for error in errors {
        text.push_str(if text.is_empty() { ": " } else { "; " });
        text.push_str(&error.code);
        if !error.message.is_empty() {
            text.push_str(" (");
            text.push_str(&error.message);
            text.push(')');
        }
    }
    text
}

/// At most so many entries of an error body are kept, each cut to [`LONGEST_MESSAGE`].
const MOST_ERRORS: usize = 8;
/// Characters of a message: what a line of a log bears.
const LONGEST_MESSAGE: usize = 300;

/// Text of a registry as we print it: no control characters, one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
}

/// Reads an error body; nothing where it is none.
pub(crate) fn parse_errors(body: &[u8]) -> Vec<ApiError> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        message: Option<String>,
    }
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return Vec::new() };
    let entry = |entry: Entry| ApiError {
        code: printable(entry.code.as_str().unwrap_or("UNKNOWN")),
        message: printable(entry.message.as_deref().unwrap_or("")),
    };
    body.errors.into_iter().take(MOST_ERRORS).map(entry).collect()
}

/// The chain of causes of a transport failure, without the address.
pub(crate) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_read_kindly_and_printed_safely() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no\u001b[31m such\nthing"},{"code":7},{}]}"#;
        let errors = parse_errors(body);
        assert_eq!(errors.len(), 3);
        assert_eq!(errors[0].known(), Some(ErrorCode::ManifestUnknown));
        assert_eq!(errors[0].message, "no[31m suchthing");
        assert_eq!(errors[1].code, "UNKNOWN");
        for other in [&b"<html>"[..], b"", b"[]", b"{\"errors\":null}"] {
            assert_eq!(parse_errors(other), []);
        }
    }
}
