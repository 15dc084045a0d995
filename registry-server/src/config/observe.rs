//! `[log]`, `[metrics]`, `[tracing]` and `[page]`: what the outside gets to see.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Complaints, Secret};

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,registry_server::mirror=debug`.
    pub level: String,
    /// Lines for people, or a JSON object a line.
    pub format: Format,
    /// A line for each request that was answered.
    pub requests: bool,
    /// Where logins, refusals and writes are kept besides the log: a file, appended to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text, requests: false, audit: None }
    }
}

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether `/metrics` answers.
    pub enabled: bool,
    /// An address of its own for `/metrics`, `/healthz` and `/readyz`; without one they answer beside the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true, address: None }
    }
}

/// `[tracing]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// Where spans go: the OTLP/HTTP endpoint of a collector, `http://127.0.0.1:4318`. Without one there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Which share of the requests is traced, 0 to 1; a caller's own decision (`traceparent`) goes first.
    pub ratio: f64,
    /// Headers for the collector, such as its key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// The name under which the spans appear.
    pub service: String,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { endpoint: None, ratio: 1.0, headers: BTreeMap::new(), service: "estiba-registry".to_owned() }
    }
}

/// `[page]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// Whether `/` shows the registry.
    pub enabled: bool,
    /// What stands at its top.
    pub title: String,
}

impl Default for Page {
    fn default() -> Self {
        Self { enabled: true, title: "Registry".to_owned() }
    }
}

impl Log {
    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.level) {
            wrong.about("level", format!("`{}` is not a level such as \"info\": {error}", self.level));
        }
    }
}

impl Tracing {
    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        if !(0.0..=1.0).contains(&self.ratio) {
            wrong.about("ratio", format!("{} is not between 0 and 1", self.ratio));
        }
        if let Some(endpoint) = &self.endpoint
            && !url::Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            wrong.about("endpoint", format!("`{endpoint}` is not a URL such as \"http://127.0.0.1:4318\""));
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name).is_err() || http::HeaderValue::try_from(value.expose()).is_err() {
                wrong.about(&format!("headers.{name}"), "it is not a header");
            }
        }
    }
}
