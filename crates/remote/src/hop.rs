//! Where a registry may send us: redirects, token realms, upload locations.
//!
//! A hostile registry must not turn us into its hands inside another network (SSRF), nor talk us out of encryption.
//! So whatever it names must be `http` or `https`, without a login in the address; never less encrypted than the call
//! that it answers; over plain `http` only to loopback hosts or hosts that the user named as insecure; and never this machine,
//! nor a link-local address (where clouds keep their metadata), unless the registry itself is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The rule that an address breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither `http` nor `https`.
    #[error("it is neither http nor https")]
    Scheme,
    /// From `https` to `http`.
    #[error("it would give up encryption")]
    Downgrade,
    /// `http` to a host that is not local and not named as insecure.
    #[error("plain http is used for loopback and where it was asked for")]
    Plain,
    /// A user name or password in the address.
    #[error("its address holds a login")]
    Login,
    /// This machine or a link-local address, named by a registry elsewhere.
    #[error("a registry elsewhere may not name an address of this machine or its link")]
    Inside,
    /// One redirect more than we follow.
    #[error("there are too many redirects")]
    TooMany,
    /// Not a URL.
    #[error("it is not a URL")]
    Malformed,
}

/// Whether `target`, named by the answer to a call to `from`, may be called. `insecure` tells of hosts that the user
/// named as such.
///
/// # Errors
/// The rule that it breaks.
pub fn check(from: &Url, target: &Url, insecure: impl Fn(&Url) -> bool) -> Result<(), Refused> {
    if !matches!(target.scheme(), "http" | "https") || target.host().is_none() {
        return Err(Refused::Scheme);
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(Refused::Login);
    }
    if from.scheme() == "https" && target.scheme() == "http" {
        return Err(Refused::Downgrade);
    }
    if target.scheme() == "http" && !is_local(target) && !insecure(target) {
        return Err(Refused::Plain);
    }
    if !same_origin(from, target) && is_inside(target) && !is_local(from) {
        return Err(Refused::Inside);
    }
    Ok(())
}

/// Same scheme, host and port: where credentials may go along.
pub fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// A loopback host: where plain http is the rule.
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

fn is_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => !may_be_named(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => !may_be_named(IpAddr::V6(address)),
        _ => is_local(url),
    }
}

/// Whether a registry elsewhere may name this address. Private networks may be named: registries and their storage live there.
pub fn may_be_named(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| {
        !(address.is_loopback()
            || address.is_link_local()
            || address.is_unspecified()
            || address.is_broadcast()
            || address.is_multicast()
            || address.octets()[0] == 0)
    };
    let v6 = |address: Ipv6Addr| {
        !(address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || address.segments()[0] & 0xffc0 == 0xfe80)
    };
    match address.to_canonical() {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

/// Scheme, host and port, for messages: paths and queries may hold signatures.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules() {
        let url = |text: &str| Url::parse(text).unwrap();
        let insecure = |url: &Url| url.host_str() == Some("plain.example");
        for (from, target, expected) in [
            ("https://r.example", "https://cdn.example/blob?sig=1", Ok(())),
            ("https://r.example", "https://r.example/other", Ok(())),
            ("https://r.example", "https://10.0.0.7/blob", Ok(())),
            ("https://r.example", "http://r.example/", Err(Refused::Downgrade)),
            ("https://r.example", "http://127.0.0.1/", Err(Refused::Downgrade)),
            ("https://r.example", "ftp://r.example/", Err(Refused::Scheme)),
            ("https://r.example", "file:///etc/passwd", Err(Refused::Scheme)),
            ("https://r.example", "gopher://127.0.0.1:6379/_x", Err(Refused::Scheme)),
            ("https://r.example", "https://user:word@r.example/", Err(Refused::Login)),
            ("https://r.example", "https://127.0.0.1/", Err(Refused::Inside)),
            ("https://r.example", "https://2130706433/", Err(Refused::Inside)),
            ("https://r.example", "https://0x7f.1/", Err(Refused::Inside)),
            ("https://r.example", "https://localhost./", Err(Refused::Inside)),
            ("https://r.example", "https://a.localhost/", Err(Refused::Inside)),
            ("https://r.example", "https://169.254.169.254/latest", Err(Refused::Inside)),
            ("https://r.example", "https://[::1]/", Err(Refused::Inside)),
            ("https://r.example", "https://[::ffff:127.0.0.1]/", Err(Refused::Inside)),
            ("https://r.example", "https://[fe80::1]/", Err(Refused::Inside)),
            ("https://r.example", "https://0.0.0.0/", Err(Refused::Inside)),
            ("http://plain.example", "http://plain.example/x", Ok(())),
            ("http://plain.example", "http://other.example/x", Err(Refused::Plain)),
            ("http://plain.example", "https://other.example/x", Ok(())),
            ("http://plain.example", "http://127.0.0.1/x", Err(Refused::Inside)),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/x", Ok(())),
            ("http://localhost:5000", "http://[::1]:9/x", Ok(())),
            ("http://127.0.0.1:5000", "http://other.example/x", Err(Refused::Plain)),
        ] {
            assert_eq!(check(&url(from), &url(target), insecure), expected, "{from} → {target}");
        }
    }

    #[test]
    fn origins() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(same_origin(&url("https://a.b/x"), &url("https://a.b:443/y?z")));
        for other in ["http://a.b/x", "https://a.b:444/x", "https://a.c/x", "https://b.a.b/x"] {
            assert!(!same_origin(&url("https://a.b/x"), &url(other)), "{other}");
        }
        assert_eq!(origin(&url("https://u:p@a.b:444/x?sig=secret")), "https://a.b:444");
    }
}
