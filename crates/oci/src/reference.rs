//! Image references: `registry/repository:tag@digest`.
//!
//! Short names are completed as Docker does: `app` is `docker.io/library/app:latest`.
//! Grammar: OCI distribution-spec, "Pulling manifests"; distribution/reference.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// The registry that short names belong to.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of a reference that has neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// Docker's limit on registry and repository together.
const MAX_NAME: usize = 255;

/// A repository name in the specification's grammar, without its registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// A tag in the specification's grammar.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing, or a name that breaks the grammar.
    #[error("invalid reference `{0}`: a repository name is made of lower-case letters, digits, `.`, `_`, `-` and `/`")]
    Name(String),
    /// Upper-case letters in the repository name.
    #[error("invalid reference `{text}`: repository names are lower case; did you mean `{suggestion}`?")]
    UpperCase {
        /// What was written.
        text: String,
        /// The same in lower case.
        suggestion: String,
    },
    /// A tag that breaks the grammar.
    #[error(
        "invalid reference `{0}`: a tag has at most 128 letters, digits, `.`, `_`, `-`, and starts with none of `.` and `-`"
    )]
    Tag(String),
    /// A digest that breaks the grammar.
    #[error("invalid reference `{text}`: {source}")]
    Digest {
        /// What was written.
        text: String,
        /// What is wrong with the digest.
        source: crate::DigestError,
    },
    /// Longer than any registry takes.
    #[error("invalid reference `{0}…`: a repository name has at most 255 characters")]
    TooLong(String),
}

impl RepositoryName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One path component: runs of letters and digits, joined by `.`, `_`, `__` or hyphens.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return false;
    }
    bytes
        .split(alphanumeric)
        .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-'))
}

impl FromStr for RepositoryName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<RepositoryName, ReferenceError> {
        if text.len() > MAX_NAME {
            return Err(ReferenceError::TooLong(excerpt(text)));
        }
        if !text.split('/').all(is_component) {
            return Err(ReferenceError::Name(excerpt(text)));
        }
        Ok(RepositoryName(text.to_owned()))
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Tag, ReferenceError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(word);
        if !first || text.len() > 128 || !bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-') {
            return Err(ReferenceError::Tag(excerpt(text)));
        }
        Ok(Tag(text.to_owned()))
    }
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// A complete reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: RepositoryName,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host and port of the registry, such as `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The tag; absent only where a digest stands.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest of a manifest or index.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository without tag and digest, canonical.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository.0)
    }

    /// The shortest text that means the same repository to users of Docker: `docker.io/library/app` is `app`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        let repository = self.repository.as_str();
        match repository.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => repository.to_owned(),
        }
    }

    /// The familiar name with tag and digest.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag.as_str());
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

/// Whether the part before the first slash names a registry and not a part of the repository.
fn is_registry(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':', '[']) || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Host names, IPv4 and bracketed IPv6 addresses, with an optional port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("v6", after.strip_prefix(':').or(after.is_empty().then_some("0")))
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        },
    };
    let label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && inside && !label.starts_with('-') && !label.ends_with('-')
    };
    let digits =
        |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.split('.').all(label) && port.is_some_and(digits)
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let parsed = digest.parse().map_err(|source| ReferenceError::Digest { text: excerpt(text), source })?;
                (rest, Some(parsed))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => {
                (name, Some(tag.parse::<Tag>().map_err(|_| ReferenceError::Tag(excerpt(text)))?))
            }
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, name.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{name}")),
        };
        let (registry, repository) = match (registry, repository) {
            ("index.docker.io" | DEFAULT_REGISTRY, repository) if !repository.contains('/') => {
                (DEFAULT_REGISTRY, format!("library/{repository}"))
            }
            ("index.docker.io", repository) => (DEFAULT_REGISTRY, repository),
            other => other,
        };
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let suggestion = excerpt(&text.replacen(name, &name.to_lowercase(), 1));
            return Err(ReferenceError::UpperCase { text: excerpt(text), suggestion });
        }
        if !is_host(registry) {
            return Err(ReferenceError::Name(excerpt(text)));
        }
        if registry.len() + repository.len() + 1 > MAX_NAME {
            return Err(ReferenceError::TooLong(excerpt(text)));
        }
        let repository = repository.parse().map_err(|_| ReferenceError::Name(excerpt(text)))?;
        let tag = match (tag, &digest) {
            (None, None) => Some(Tag(DEFAULT_TAG.to_owned())),
            (tag, _) => tag,
        };
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text!(RepositoryName);
text!(Tag);

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn completes_short_names_as_docker_does() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, canonical, familiar) in [
            ("app", "docker.io/library/app:latest", "app:latest"),
            ("app:1", "docker.io/library/app:1", "app:1"),
            ("team/app", "docker.io/team/app:latest", "team/app:latest"),
            ("docker.io/app", "docker.io/library/app:latest", "app:latest"),
            ("index.docker.io/team/app", "docker.io/team/app:latest", "team/app:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("a.b/c__d--e:x", "a.b/c__d--e:x", "a.b/c__d--e:x"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.familiar(), familiar);
        }
        let pinned: Reference = format!("app@{digest}").parse().unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/app@{digest}"));
        let both: Reference = format!("app:1@{digest}").parse().unwrap();
        assert_eq!(both.familiar(), format!("app:1@{digest}"));
    }

    #[test]
    fn refuses_what_is_not_a_reference() {
        for bad in [
            "",
            ":",
            "a:",
            "/a",
            "a/",
            "a//b",
            "-a",
            "a_-b",
            "a___b",
            "a@sha256:0",
            "../x",
            "a b",
            "a:../b",
            "h:99999/a",
            "[::1/a",
            "a\u{0}b",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        let upper = "team/App:1".parse::<Reference>().unwrap_err();
        assert!(upper.to_string().contains("did you mean `team/app:1`"), "{upper}");
        assert!("a".repeat(300).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_round_trips(text in ".{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference.clone());
                prop_assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
