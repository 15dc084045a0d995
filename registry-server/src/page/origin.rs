//! Whether a form was sent by a page of ours.
//!
//! A browser sends the password of a site along with whatever another site makes it send. What tells the two apart are
//! headers that no script of another site can set: `Sec-Fetch-Site`, else `Origin`, else `Referer`.
//! Specification: W3C Fetch Metadata; RFC 6454; RFC 9110, 10.1.3.

use http::HeaderMap;
use http::header::{HOST, ORIGIN, REFERER};
use url::Url;

/// Tells whether a request that changes something comes from a page of this server, which the client reached as
/// `authority` (`host[:port]`) or which says that it is at `external`.
pub(crate) fn is_ours(headers: &HeaderMap, authority: Option<&str>, external: Option<&Url>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("sec-fetch-site") {
        return text("sec-fetch-site") == Some("same-origin");
    }
    let claimed = if headers.contains_key(ORIGIN) { text(ORIGIN.as_str()) } else { text(REFERER.as_str()) };
    // `Origin: null` is a page without one, such as a frame in a sandbox: it does not parse.
    let Some(claimed) = claimed.and_then(|text| Url::parse(text).ok()) else { return false };
    let host = authority.or_else(|| text(HOST.as_str()));
    let reached = host.and_then(|host| Url::parse(&format!("{}://{host}", claimed.scheme())).ok());
    let web = matches!(claimed.scheme(), "http" | "https");
    web && [reached.as_ref(), external].into_iter().flatten().any(|own| own.origin() == claimed.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &str)]) -> bool {
        let map = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        is_ours(&map, None, Some(&Url::parse("https://images.example/").unwrap()))
    }

    #[test]
    fn only_pages_of_ours_may_send_forms() {
        let host = ("host", "127.0.0.1:5000");
        for ours in [
            &[host, ("sec-fetch-site", "same-origin")][..],
            &[host, ("origin", "http://127.0.0.1:5000")],
            &[host, ("origin", "https://images.example")],
            &[("host", "images.example"), ("origin", "https://images.example:443")],
            &[host, ("referer", "http://127.0.0.1:5000/-/tag/app:latest")],
        ] {
            assert!(asked(ours), "{ours:?}");
        }
        for foreign in [
            &[host][..],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:5000")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("origin", "http://127.0.0.1:5001")],
            &[host, ("origin", "null"), ("referer", "http://127.0.0.1:5000/")],
            &[host, ("origin", "http://127.0.0.1:5000.evil.example")],
            &[host, ("referer", "http://evil.example/http://127.0.0.1:5000/")],
            &[host, ("origin", "file://127.0.0.1:5000")],
            &[("origin", "http://evil.example")],
        ] {
            assert!(!asked(foreign), "{foreign:?}");
        }
    }
}
