//! Somebody else's tokens.

use url::{Host, Url};

/// Whether a URL may be believed: nobody on the way can have changed what it answers.
pub(crate) fn trustworthy(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("`{text}` names no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err(format!("`{text}`: keys that arrive in the clear prove nothing; use https")),
    }
}
