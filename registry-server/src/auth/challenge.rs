//! Refusals for want of rights, and the challenges that tell a client what would help.
//! RFC 6750 section 3; distribution's token specification.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use oci::ErrorCode;

use super::jwt;
use crate::refusal::Refusal;

/// How a client logs in here.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// At the token endpoint of this origin, for this service.
    Bearer { origin: &'a str, service: &'a str },
    /// With each request.
    Basic,
}

/// The value of `WWW-Authenticate`.
pub(super) fn challenge(way: Way<'_>, scope: Option<&str>, error: Option<&str>) -> String {
    match way {
        Way::Basic => "Basic realm=\"registry\"".to_owned(),
        Way::Bearer { origin, service } => {
            let mut text = format!("Bearer realm=\"{origin}/token\",service=\"{service}\"");
            for (name, value) in [("scope", scope), ("error", error)] {
                if let Some(value) = value {
                    text.push_str(&format!(",{name}=\"{value}\""));
                }
            }
            text
        }
    }
}

/// 401: the client shall log in, or bring something better.
pub(super) fn unauthorized(message: &str, challenge: &str) -> Refusal {
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message);
    match HeaderValue::try_from(challenge) {
        Ok(value) => refusal.with(WWW_AUTHENTICATE, value),
        Err(_) => refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"registry\"")),
    }
}

/// 403: nothing that this caller can bring would help.
pub(super) fn denied(message: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
}

/// 429: later.
pub(super) fn wait(wait: std::time::Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = "too many wrong logins, or too many at once: come back later";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
        .with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

/// 503: the keys to check a token with cannot be had; the token may be good.
pub(super) fn unavailable(error: &jwt::Error) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unauthorized, error.to_string())
        .with(RETRY_AFTER, HeaderValue::from_static("5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_are_told() {
        let way = Way::Bearer { origin: "https://reg:5000", service: "reg" };
        let cases = [
            (challenge(way, None, None), r#"Bearer realm="https://reg:5000/token",service="reg""#),
            (
                challenge(way, Some("repository:a:pull,push"), Some("invalid_token")),
                r#"Bearer realm="https://reg:5000/token",service="reg",scope="repository:a:pull,push",error="invalid_token""#,
            ),
            (challenge(Way::Basic, Some("x"), None), r#"Basic realm="registry""#),
        ];
        for (given, expected) in cases {
            assert_eq!(given, expected);
        }
        assert_eq!(unauthorized("x", "a\nb").headers.len(), 1);
    }
}
