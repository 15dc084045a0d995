//! `[server]`: where it listens, and what it lets itself be asked at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Complaints, Duration, Size};
use crate::tls::TlsConfig;

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where it listens: one address or a list.
    pub address: Addresses,
    /// The data directory; see [`super::default_root`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// How clients reach it, where that is not its address: `https://registry.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Threads that serve; 0 takes one for each processor, at least 2.
    pub workers: usize,
    /// How long requests under way may take after a signal to stop.
    pub drain: Duration,
    /// `[server.limits]`.
    pub limits: Limits,
    /// `[server.tls]`.
    pub tls: TlsConfig,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: Addresses::default(),
            root: None,
            url: None,
            workers: 0,
            drain: Duration::seconds(30),
            limits: Limits::default(),
            tls: TlsConfig::default(),
        }
    }
}

impl Server {
    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        if self.address.0.is_empty() {
            wrong.about("address", "no address is given; there would be nothing to listen on");
        }
        if self.workers > MOST_WORKERS {
            wrong.about("workers", format!("{} threads are more than {MOST_WORKERS}", self.workers));
        }
        if let Some(url) = &self.url {
            match url::Url::parse(url) {
                Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() => {
                    wrong.about("url", "it must start with https:// or http:// and name a host");
                }
                Ok(parsed) if parsed.query().is_some() || parsed.fragment().is_some() || parsed.path() != "/" => {
                    wrong.about("url", "it must end with the host: clients add /v2/ themselves");
                }
                Ok(_) => {}
                Err(error) => wrong.about("url", format!("`{url}` is not a URL: {error}")),
            }
        }
        wrong.section("limits", |wrong| self.limits.validate(wrong));
        wrong.section("tls", |wrong| self.tls.validate(wrong));
    }
}

/// More threads than any machine's processors: a slip of the finger.
const MOST_WORKERS: usize = 1024;

/// One place to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An address and a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// `unix:/path`: a socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(format!("`{text}`: the path after `unix:` must start with /"))
            };
        }
        // `:5000`, as other servers read it, is every address.
        let full = match text.strip_prefix(':') {
            Some(port) => format!("[::]:{port}"),
            None => text.replacen("localhost:", "127.0.0.1:", 1),
        };
        full.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "`{text}` is not an address such as \"127.0.0.1:5000\", \"[::1]:5000\", \":5000\" or \"unix:/path\""
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a server listens: in the file one address or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

impl Default for Addresses {
    fn default() -> Self {
        Self(vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 5000)))])
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:5000\", or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
                text.parse().map(|address| Addresses(vec![address])).map_err(E::custom)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(text) = items.next_element::<String>()? {
                    addresses.push(text.parse().map_err(serde::de::Error::custom)?);
                }
                Ok(Addresses(addresses))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Addresses {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

/// `[server.limits]`: what one caller, or all together, may ask at once.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once; more wait in the kernel.
    pub connections: usize,
    /// Requests answered at once, over all connections; more get 429.
    pub requests: usize,
    /// Requests answered at once for one principal or address; more get 429. 0: no limit.
    pub requests_per_principal: usize,
    /// Uploads that one principal may have open.
    pub uploads_per_principal: usize,
    /// Bytes that all unfinished uploads may hold together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploads_total_bytes: Option<Size>,
    /// Requests per second for one principal, or one address where nobody logged in. 0: no limit.
    pub rate: u32,
    /// Requests that may come at once before `rate` holds; 0 takes ten seconds' worth.
    pub burst: u32,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a body may stand still.
    pub body_timeout: Duration,
    /// The largest manifest; the specification asks for at least 4 MiB.
    pub manifest_bytes: Size,
    /// How many `?tag=` one manifest upload may carry; the specification asks for at least 10.
    pub tag_params: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 2048,
            requests_per_principal: 0,
            uploads_per_principal: 1024,
            uploads_total_bytes: None,
            rate: 0,
            burst: 0,
            header_timeout: Duration::seconds(15),
            body_timeout: Duration::seconds(60),
            manifest_bytes: Size::mebibytes(8),
            tag_params: 32,
        }
    }
}

impl Limits {
    fn validate(&self, wrong: &mut Complaints) {
        for (field, value) in [
            ("connections", self.connections),
            ("requests", self.requests),
            ("uploads_per_principal", self.uploads_per_principal),
        ] {
            if value == 0 {
                wrong.about(field, "0 would let nothing in");
            }
        }
        for (field, value) in [("header_timeout", self.header_timeout), ("body_timeout", self.body_timeout)] {
            if value.get().is_zero() {
                wrong.about(field, "no time at all would let nothing in");
            }
        }
        if !(LEAST_MANIFEST..=MOST_MANIFEST).contains(&self.manifest_bytes.get()) {
            wrong.about(
                "manifest_bytes",
                "it must lie between 4MiB, which the specification asks for, and 64MiB, which are held in memory",
            );
        }
        if !(10..=1000).contains(&self.tag_params) {
            wrong.about("tag_params", "it must lie between 10, which the specification asks for, and 1000");
        }
        if self.rate == 0 && self.burst > 0 {
            wrong.about("burst", "it means nothing without `rate`");
        }
    }
}

/// What the specification says a registry should accept.
const LEAST_MANIFEST: u64 = 4 << 20;
/// A manifest is held in memory while it is checked.
const MOST_MANIFEST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("127.0.0.1:5000", Some("127.0.0.1:5000"), true),
            ("localhost:5000", Some("127.0.0.1:5000"), true),
            ("[::1]:5000", Some("[::1]:5000"), true),
            ("[::ffff:127.0.0.1]:1", Some("[::ffff:127.0.0.1]:1"), true),
            (":5000", Some("[::]:5000"), false),
            ("0.0.0.0:80", Some("0.0.0.0:80"), false),
            ("unix:/run/r.sock", Some("unix:/run/r.sock"), true),
            ("unix:r.sock", None, false),
            ("5000", None, false),
            ("registry.example.com:5000", None, false),
        ];
        for (text, shown, local) in cases {
            let read: Option<Address> = text.parse().ok();
            assert_eq!(read.as_ref().map(ToString::to_string).as_deref(), shown, "{text}");
            assert_eq!(read.is_some_and(|address| address.is_local()), local, "{text}");
        }
    }
}
