//! `Authorization`, and how callers reach us. RFC 9110 section 11, RFC 7617, RFC 6750.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;

use super::Peer;
use super::config::is_quotable;

/// The longest header that is read: a token as a password, in base64, with a name.
const LONGEST: usize = 24 * 1024;

/// Clients differ about padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a caller showed. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing; or, as some clients write it, an empty name and an empty password.
    None,
    /// Name and password.
    Basic {
        /// Before the first colon.
        name: String,
        /// After it.
        password: String,
    },
    /// A token.
    Bearer(String),
}

/// The header is none that could be answered with anything but a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Authorization header is malformed")]
pub struct Malformed;

impl Credentials {
    /// Those of a request.
    ///
    /// # Errors
    /// [`Malformed`], also where there are two.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Malformed> {
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        match (headers.next(), headers.next()) {
            (None, _) => Ok(Self::None),
            (Some(header), None) => Self::parse(header.to_str().map_err(|_| Malformed)?),
            (Some(_), Some(_)) => Err(Malformed),
        }
    }

    /// Reads the header's value.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(header: &str) -> Result<Self, Malformed> {
        if header.len() > LONGEST {
            return Err(Malformed);
        }
        let (scheme, rest) = header.trim().split_once(' ').ok_or(Malformed)?;
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(Malformed)?;
            let (name, password) = pair.split_once(':').ok_or(Malformed)?;
            if pair.chars().any(char::is_control) {
                return Err(Malformed);
            }
            if name.is_empty() && password.is_empty() {
                return Ok(Self::None);
            }
            return Ok(Self::Basic { name: name.to_owned(), password: password.to_owned() });
        }
        let token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() && rest.bytes().all(token68) {
            return Ok(Self::Bearer(rest.to_owned()));
        }
        Err(Malformed)
    }
}

/// How the caller reaches us: `https://host:port`. The configured URL; else what the request says, where that is a host and nothing
/// more. It only ever goes back to the one who said it.
pub(crate) fn origin(parts: &Parts, peer: &Peer, url: Option<&Arc<str>>) -> Option<Arc<str>> {
    if let Some(url) = url {
        return Some(Arc::clone(url));
    }
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(HOST)?.to_str().ok()?,
    };
    let plain = host.len() <= 255 && is_quotable(host) && !host.contains('/');
    let scheme = if peer.tls { "https" } else { "http" };
    plain.then(|| format!("{scheme}://{host}").into())
}

/// Whether a request goes on with an upload: `/v2/<name>/blobs/uploads/<id>`.
pub(crate) fn is_upload_session(parts: &Parts) -> bool {
    let mut segments = parts.uri.path().rsplit('/');
    let begins = parts.method == http::Method::POST;
    !begins
        && segments.next().is_some_and(|id| crate::storage::UploadId::parse(id).is_some())
        && segments.next() == Some("uploads")
        && segments.next() == Some("blobs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(name: &str, password: &str) -> Result<Credentials, Malformed> {
        Ok(Credentials::Basic { name: name.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn what_the_header_says() {
        let cases = [
            ("Basic YWxpY2U6c2VjcmV0", basic("alice", "secret")),
            ("basic  YWxpY2U6c2VjcmV0", basic("alice", "secret")),
            ("BASIC YWxpY2U6", basic("alice", "")),
            ("Basic YTpiOmM=", basic("a", "b:c")),
            ("Basic YTpiOmM", basic("a", "b:c")),
            ("Basic Og==", Ok(Credentials::None)),
            ("Basic YWxpY2U", Err(Malformed)),
            ("Basic YQpiOmM=", Err(Malformed)),
            ("Basic /////w==", Err(Malformed)),
            ("Basic", Err(Malformed)),
            ("Basic !", Err(Malformed)),
            ("", Err(Malformed)),
            ("Bearer a.b-c_d~e+f/g==", Ok(Credentials::Bearer("a.b-c_d~e+f/g==".to_owned()))),
            ("Bearer a b", Err(Malformed)),
            ("Bearer \"a\"", Err(Malformed)),
            ("Bearer ", Err(Malformed)),
            ("Digest username=x", Err(Malformed)),
            ("Negotiate abc", Err(Malformed)),
        ];
        for (header, expected) in cases {
            assert!(Credentials::parse(header) == expected, "{header}");
        }
        assert!(Credentials::parse(&format!("Bearer {}", "a".repeat(LONGEST))).is_err());
    }

    fn request(method: &str, uri: &str, host: &[&str]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for host in host {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn two_headers_are_none() {
        let mut parts = request("GET", "/v2/", &[]);
        parts.headers.append(AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert!(Credentials::of(&parts).is_ok());
        parts.headers.append(AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert!(Credentials::of(&parts).is_err());
    }

    #[test]
    fn where_callers_reach_us() {
        let peer = |tls| Peer { address: None, tls, certificate: None };
        let cases = [
            (request("GET", "/v2/", &["reg.example:5000"]), false, Some("http://reg.example:5000")),
            (request("GET", "/v2/", &["[::1]:5000"]), true, Some("https://[::1]:5000")),
            (request("GET", "http://other/v2/", &["reg"]), false, Some("http://other")),
            (request("GET", "/v2/", &["evil\",error=\"x"]), false, None),
            (request("GET", "/v2/", &["evil/path"]), false, None),
            (request("GET", "/v2/", &[]), false, None),
        ];
        for (parts, tls, expected) in cases {
            assert_eq!(origin(&parts, &peer(tls), None).as_deref(), expected);
        }
        let url: Arc<str> = "https://reg".into();
        assert_eq!(origin(&request("GET", "/v2/", &["x"]), &peer(false), Some(&url)).as_deref(), Some("https://reg"));
    }

    #[test]
    fn what_goes_on_with_an_upload() {
        let id = "0123456789abcdef0123456789abcdef";
        for (method, path, expected) in [
            ("PATCH", format!("/v2/team/app/blobs/uploads/{id}"), true),
            ("PUT", format!("/v2/app/blobs/uploads/{id}?digest=x"), true),
            ("GET", format!("/v2/app/blobs/uploads/{id}"), true),
            ("POST", format!("/v2/app/blobs/uploads/{id}"), false),
            ("POST", "/v2/app/blobs/uploads/".to_owned(), false),
            ("PUT", "/v2/app/manifests/latest".to_owned(), false),
            ("PUT", format!("/v2/blobs/uploads/manifests/{id}"), false),
            ("GET", "/v2/app/blobs/uploads/short".to_owned(), false),
        ] {
            assert_eq!(is_upload_session(&request(method, &path, &[])), expected, "{method} {path}");
        }
    }

    const SEEDS: &[&str] =
        &["Basic YWxpY2U6c2VjcmV0", "basic Og==", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AA", "Basic w6k6w7w=", ""];

    proptest::proptest! {
        #[test]
        fn what_is_nearly_right_is_read_or_refused(header in crate::auth::mutation::mutated(SEEDS)) {
            if let Ok(Credentials::Basic { name, password }) = Credentials::parse(&header) {
                proptest::prop_assert!(!name.contains(':'));
                proptest::prop_assert!(!name.is_empty() || !password.is_empty());
                proptest::prop_assert!(!name.chars().chain(password.chars()).any(char::is_control));
            }
        }
    }
}
