//! How to pull: commands to copy, for the address under which the reader reached this server.

use maud::{Markup, html};
use oci::{Digest, RepositoryName, Tag};
use url::Url;

/// Where clients reach this registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// `host[:port]`.
    pub(crate) authority: String,
    /// Whether clients must be told that it is not encrypted.
    pub(crate) plain: bool,
}

impl Host {
    /// The address by the configuration, else the one of the request. What is no address of a host (a header can say anything) becomes `localhost`.
    pub(crate) fn new(external: Option<&Url>, authority: Option<&str>, encrypted: bool) -> Self {
        if let Some(url) = external
            && let Some(host) = url.host_str()
        {
            let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            return Self { authority, plain: url.scheme() == "http" };
        }
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let authority = authority.filter(|text| !text.is_empty() && text.len() <= 261 && text.chars().all(usual));
        Self { authority: authority.unwrap_or("localhost").to_owned(), plain: !encrypted }
    }

    /// Commands for a tag, or for whatever the reader chooses.
    pub(crate) fn pull_tag(&self, name: &RepositoryName, tag: Option<&Tag>) -> Markup {
        let tag = tag.map_or("TAG", Tag::as_str);
        self.commands(&format!("{}/{}:{tag}", self.authority, name.as_str()))
    }

    /// Commands for exactly this content.
    pub(crate) fn pull_digest(&self, name: &RepositoryName, digest: &Digest) -> Markup {
        self.commands(&format!("{}/{}@{digest}", self.authority, name.as_str()))
    }

    fn commands(&self, reference: &str) -> Markup {
        let podman = if self.plain { "podman pull --tls-verify=false" } else { "podman pull" };
        html! {
            section.pull aria-label="Pull" {
                pre.command { code { "docker pull " (reference) } }
                pre.command { code { (podman) " " (reference) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_configured_one_or_a_harmless_one() {
        let external = Url::parse("https://images.example:8443/").unwrap();
        let cases = [
            (Some(&external), Some("evil"), false, "images.example:8443", false),
            (None, Some("127.0.0.1:5000"), false, "127.0.0.1:5000", true),
            (None, Some("[::1]:5000"), true, "[::1]:5000", false),
            (None, Some("a; rm -rf ~"), false, "localhost", true),
            (None, Some("<b>"), true, "localhost", false),
            (None, None, true, "localhost", false),
        ];
        for (external, authority, encrypted, expected, plain) in cases {
            let host = Host::new(external, authority, encrypted);
            assert_eq!((host.authority.as_str(), host.plain), (expected, plain), "{authority:?}");
        }
    }
}
