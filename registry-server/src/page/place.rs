//! THE TABLE of the page's addresses. All but `/` lie under `/-/`, which no name of the API reaches.
//!
//! ```text
//! /                          repositories           ?q=PREFIX &after=NAME
//! /-/repository/NAME         tags of one            ?after=TAG
//! /-/find                    to a tag by its name   ?repository=NAME &tag=TAG
//! /-/tag/NAME:TAG            history; POST undoes
//! /-/manifest/NAME@DIGEST    what it holds          ?tag=TAG (where the reader came from)
//! /-/storage                 what all of it takes
//! /-/login                   asks for name and password
//! /-/style.css  /-/icon.svg
//! ```
//!
//! Names, tags and digests have no character that an address must escape, and `:` and `@` occur in no name.

use std::fmt;

use oci::{Digest, RepositoryName, Tag};

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Home,
    Repository(RepositoryName),
    Find,
    Tag(RepositoryName, Tag),
    Manifest(RepositoryName, Digest),
    Storage,
    Login,
    Style,
    Icon,
}

impl Place {
    /// Reads the path of a request, as it stands on the wire; `None` where nothing is.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        if path == "/" {
            return Some(Self::Home);
        }
        let (kind, rest) = match path.strip_prefix("/-/")?.split_once('/') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (path.strip_prefix("/-/")?, None),
        };
        Some(match (kind, rest) {
            ("storage", None) => Self::Storage,
            ("find", None) => Self::Find,
            ("login", None) => Self::Login,
            ("style.css", None) => Self::Style,
            ("icon.svg", None) => Self::Icon,
            ("repository", Some(name)) => Self::Repository(name.parse().ok()?),
            ("tag", Some(rest)) => {
                let (name, tag) = rest.split_once(':')?;
                Self::Tag(name.parse().ok()?, tag.parse().ok()?)
            }
            ("manifest", Some(rest)) => {
                let (name, digest) = rest.split_once('@')?;
                Self::Manifest(name.parse().ok()?, digest.parse().ok()?)
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => f.write_str("/"),
            Self::Repository(name) => write!(f, "/-/repository/{}", name.as_str()),
            Self::Find => f.write_str("/-/find"),
            Self::Tag(name, tag) => write!(f, "/-/tag/{}:{}", name.as_str(), tag.as_str()),
            Self::Manifest(name, digest) => write!(f, "/-/manifest/{}@{digest}", name.as_str()),
            Self::Storage => f.write_str("/-/storage"),
            Self::Login => f.write_str("/-/login"),
            Self::Style => f.write_str("/-/style.css"),
            Self::Icon => f.write_str("/-/icon.svg"),
        }
    }
}

impl maud::Render for Place {
    fn render_to(&self, buffer: &mut String) {
        maud::display(self).render_to(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        let name: RepositoryName = "team/app".parse().unwrap();
        let places = [
            Place::Home,
            Place::Repository(name.clone()),
            Place::Find,
            Place::Tag(name.clone(), "v1.0".parse().unwrap()),
            Place::Manifest(name, Digest::sha256(b"x")),
            Place::Storage,
            Place::Login,
            Place::Style,
            Place::Icon,
        ];
        for place in places {
            assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
    }

    #[test]
    fn nothing_else_is_there() {
        for path in [
            "",
            "//",
            "/-",
            "/-/",
            "/-/storage/",
            "/-/repository/",
            "/-/repository/UPPER",
            "/-/repository/a%2fb",
            "/-/repository/../x",
            "/-/tag/app",
            "/-/tag/app:",
            "/-/tag/app:-x",
            "/-/manifest/app@sha256:00",
            "/-/manifest/app:latest",
            "/v2/",
            "/-/style.css/x",
            "/-/repository/a\u{0}b",
        ] {
            assert_eq!(Place::parse(path), None, "{path}");
        }
    }
}
