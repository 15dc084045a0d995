//! `[mirror]`: which registries are mirrored, and how.

use std::collections::BTreeSet;
use std::path::PathBuf;

use oci::RepositoryName;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::auth::policy::pattern::Pattern;
use crate::config::{Complaints, Duration, Size};

/// `[mirror]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The upstream of names that are not here and whose request says nothing (docker's `registry-mirrors`): its `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Cached tags that nobody has asked for in so long are removed, and what only they named goes with the next
    /// collections. `"0"`: never.
    pub expiry: Duration,
    /// How long a client with a cached tag waits for the upstream before it gets the cached one.
    pub patience: Duration,
    /// `[[mirror.upstream]]`.
    pub upstream: Vec<Upstream>,
}

impl Default for Config {
    fn default() -> Self {
        Self { default: None, expiry: Duration::days(30), patience: Duration::seconds(5), upstream: Vec::new() }
    }
}

/// `[[mirror.upstream]]`: one registry.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Its name in references, which clients send as `ns`: `docker.io`, `registry.example.com:5000`.
    pub name: String,
    /// The repositories below which its content is kept. Without one, its name, `-` in place of `:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Where it is asked: an address, or several that are tried in turn. Without one, its name by https.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub url: Vec<String>,
    /// The name that it is asked under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file with the password or token of `user`; its first line counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Certificates that it may be known by, beside the system's: a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether plain http is allowed and certificates are not verified. Loopback addresses need no permission for http.
    pub insecure: bool,
    /// Its repositories that may be asked for, as globs: `library/*`, `**`.
    pub repositories: Vec<String>,
    /// How long a tag is believed before the upstream is asked again.
    pub ttl: Duration,
    /// How long "there is no such thing" is believed.
    pub negative_ttl: Duration,
    /// Blobs fetched at once; more wait.
    pub fetches: usize,
    /// No blob is larger.
    pub largest_blob: Size,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: String::new(),
            namespace: None,
            url: Vec::new(),
            user: None,
            password_file: None,
            ca: None,
            insecure: false,
            repositories: vec!["**".to_owned()],
            ttl: Duration::seconds(300),
            negative_ttl: Duration::seconds(30),
            fetches: 16,
            largest_blob: Size::gibibytes(64),
        }
    }
}

impl Upstream {
    /// The first part of its repositories here.
    pub(super) fn namespace(&self) -> String {
        self.namespace.clone().unwrap_or_else(|| self.name.to_ascii_lowercase().replace(':', "-"))
    }

    /// Where it is asked.
    pub(super) fn addresses(&self) -> Vec<String> {
        if !self.url.is_empty() {
            return self.url.clone();
        }
        let host = if self.name == "docker.io" { "registry-1.docker.io" } else { &self.name };
        vec![format!("https://{host}/")]
    }
}

/// Blobs that one upstream may be asked for at once, at most: each holds a thread.
const MOST_FETCHES: usize = 64;

impl Config {
    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        let (mut names, mut namespaces) = (BTreeSet::new(), Vec::<String>::new());
        for (index, upstream) in self.upstream.iter().enumerate() {
            let field = |name: &str| format!("upstream.{index}.{name}");
            if !names.insert(upstream.name.as_str()) {
                wrong.about(&field("name"), format!("`{}` is there twice", upstream.name));
            }
            let namespace = upstream.namespace();
            if namespace.parse::<RepositoryName>().is_err() {
                wrong.about(
                    &field("namespace"),
                    format!("`{namespace}` is not the name of a repository: set one that is"),
                );
            }
            let inside = |one: &str, other: &str| one == other || one.starts_with(&format!("{other}/"));
            if let Some(other) = namespaces.iter().find(|other| inside(&namespace, other) || inside(other, &namespace))
            {
                wrong.about(&field("namespace"), format!("`{namespace}` and `{other}` hold one another"));
            }
            namespaces.push(namespace);
            upstream.validate(&field, wrong);
        }
        if let Some(default) = &self.default
            && !names.contains(default.as_str())
        {
            wrong.about("default", format!("there is no upstream `{default}`"));
        }
    }
}

impl Upstream {
    fn validate(&self, field: &dyn Fn(&str) -> String, wrong: &mut Complaints) {
        if self.name.is_empty() {
            wrong.about(&field("name"), "an upstream needs the name by which references call it, such as `docker.io`");
        }
        for address in self.addresses() {
            match Url::parse(&address) {
                Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                    wrong.about(
                        &field("url"),
                        format!("`{address}` must start with https:// or http:// and name a host"),
                    );
                }
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    wrong.about(&field("url"), "a login belongs into `user` and `password_file`");
                }
                Ok(url) if url.scheme() == "http" && !self.insecure && !remote::hop::is_local(&url) => {
                    wrong.about(
                        &field("url"),
                        format!("`{address}` is not encrypted: say `insecure = true` if that is meant"),
                    );
                }
                Ok(_) => {}
                Err(error) => wrong.about(&field("url"), format!("`{address}` is not a URL: {error}")),
            }
        }
        if self.user.is_some() != self.password_file.is_some() {
            wrong.about(&field("user"), "`user` and `password_file` belong together");
        }
        for pattern in &self.repositories {
            if let Err(error) = Pattern::parse(pattern) {
                wrong.about(&field("repositories"), format!("`{pattern}` is not a pattern: {error}"));
            }
        }
        if self.fetches == 0 || self.fetches > MOST_FETCHES {
            wrong.about(&field("fetches"), format!("it must be between 1 and {MOST_FETCHES}"));
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(one) => vec![one],
        Given::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(text).unwrap();
        let mut wrong = Complaints::default();
        config.validate(&mut wrong);
        wrong.into_vec().into_iter().map(|complaint| complaint.field).collect()
    }

    #[test]
    fn says_what_cannot_be() {
        assert_eq!(complaints("default = \"docker.io\"\n[[upstream]]\nname = \"docker.io\"\n"), [""; 0]);
        for (text, field) in [
            ("default = \"x\"", "default"),
            ("[[upstream]]\nname = \"a.b\"\n[[upstream]]\nname = \"a.b\"\nnamespace = \"c\"", "upstream.1.name"),
            ("[[upstream]]\nname = \"a.b:1\"\n[[upstream]]\nname = \"a.b-1\"", "upstream.1.namespace"),
            (
                "[[upstream]]\nname = \"a.b\"\n[[upstream]]\nname = \"c.d\"\nnamespace = \"a.b/c\"",
                "upstream.1.namespace",
            ),
            ("[[upstream]]\nname = \"[::1]:5000\"\nurl = \"http://[::1]:5000\"", "upstream.0.namespace"),
            ("[[upstream]]\nname = \"a.b\"\nurl = \"ftp://a.b\"", "upstream.0.url"),
            ("[[upstream]]\nname = \"a.b\"\nurl = [\"https://a.b\", \"http://a.b\"]", "upstream.0.url"),
            ("[[upstream]]\nname = \"a.b\"\nurl = \"https://me:word@a.b\"", "upstream.0.url"),
            ("[[upstream]]\nname = \"a.b\"\nuser = \"me\"", "upstream.0.user"),
            ("[[upstream]]\nname = \"a.b\"\nrepositories = [\"[\"]", "upstream.0.repositories"),
            ("[[upstream]]\nname = \"a.b\"\nfetches = 0", "upstream.0.fetches"),
        ] {
            assert_eq!(complaints(text), [field], "{text}");
        }
        assert!(complaints("[[upstream]]\n").contains(&"upstream.0.name".to_owned()));
    }
}
