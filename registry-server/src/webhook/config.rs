//! `[webhook]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Complaints, Duration, Secret};

use super::Kind;

/// `[webhook]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// What the events name as their source; without it the server's `url`, or its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How long an event is tried before it is written to `dead-letters.jsonl` in the data directory.
    pub give_up: Duration,
    /// The longest pause between two tries.
    pub backoff: Duration,
    /// Who gets events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint: Vec<Endpoint>,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { source: None, give_up: Duration::days(7), backoff: Duration::hours(1), endpoint: Vec::new() }
    }
}

/// `[[webhook.endpoint]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where events are posted. Redirects are not followed.
    pub url: String,
    /// What the log calls it, and what an event on its way is kept under; without it the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which events: kinds, or globs over them such as `tag.*`. Pulls are sent only where they are asked for by name.
    #[serde(default = "everything_but_pulls")]
    pub events: Vec<String>,
    /// Which repositories: patterns, `*` within a segment of the name, `**` across.
    #[serde(default = "every_repository")]
    pub repositories: Vec<String>,
    /// A file with the key that signs each delivery (HMAC-SHA256 in `X-Estiba-Signature`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Further headers, such as `Authorization`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How long one try may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

impl Endpoint {
    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }
}

fn everything_but_pulls() -> Vec<String> {
    vec!["*".to_owned()]
}

fn every_repository() -> Vec<String> {
    vec!["**".to_owned()]
}

fn ten_seconds() -> Duration {
    Duration::seconds(10)
}

impl Webhook {
    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        if self.give_up.get().is_zero() {
            wrong.about("give_up", "events need some time to arrive");
        }
        if self.backoff.get().is_zero() {
            wrong.about("backoff", "a pause of no time would flood an endpoint that is down");
        }
        for (index, endpoint) in self.endpoint.iter().enumerate() {
            wrong.section(&format!("endpoint.{index}"), |wrong| endpoint.validate(wrong));
            if self.endpoint[..index].iter().any(|other| other.name() == endpoint.name()) {
                wrong.about(
                    &format!("endpoint.{index}.name"),
                    format!("`{}` is there already: give each its own `name`", endpoint.name()),
                );
            }
        }
    }
}

impl Endpoint {
    fn validate(&self, wrong: &mut Complaints) {
        if !url::Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            wrong.about("url", format!("`{}` is not a URL such as \"https://example.com/hook\"", self.url));
        }
        for pattern in &self.events {
            match globset::Glob::new(pattern) {
                Ok(glob) => {
                    let matcher = glob.compile_matcher();
                    if !Kind::ALL.iter().any(|kind| matcher.is_match(kind.as_str())) {
                        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                        wrong.about("events", format!("`{pattern}` matches no event; there are {}", known.join(", ")));
                    }
                }
                Err(error) => wrong.about("events", error.to_string()),
            }
        }
        for pattern in &self.repositories {
            if let Err(error) = crate::auth::policy::Pattern::parse(pattern) {
                wrong.about("repositories", error.to_string());
            }
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name).is_err() || http::HeaderValue::try_from(value.expose()).is_err() {
                wrong.about(&format!("headers.{name}"), "it is not a header");
            }
        }
        if let Some(file) = &self.secret_file
            && let Err(error) = std::fs::metadata(file)
        {
            wrong.about("secret_file", format!("{}: {error}", file.display()));
        }
        if self.timeout.get().is_zero() {
            wrong.about("timeout", "no time at all would let nothing arrive");
        }
    }
}
