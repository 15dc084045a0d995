//! The configuration: one TOML file, the environment, the command line; the later win.
//!
//! Each section is a struct beside the code that obeys it; [`Config`] lists them. A field is added in three
//! places that a test holds together: the struct, its line in `default.toml` (which `--print-default` shows and
//! which names every variable of the environment), and the code that reads it.
//! Nothing is ignored: an unknown field or variable is an error that names its place and the nearest word.

mod complaint;
mod duration;
mod load;
mod observe;
mod problem;
mod reference;
mod secret;
mod server;
mod size;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::auth::Auth;
use crate::collect::{Gc, quota, retention};
use crate::mirror;
use crate::storage::Storage;
use crate::webhook::Webhook;

pub use complaint::{Complaint, Complaints};
pub use duration::Duration;
pub use load::Override;
pub use observe::{Format, Log, Metrics, Page, Tracing};
pub use problem::{Problem, Problems};
pub use reference::DEFAULT as REFERENCE;
pub use secret::Secret;
pub use server::{Address, Addresses, Limits, Server};
pub use size::Size;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[auth]`.
    pub auth: Auth,
    /// `[storage]`.
    pub storage: Storage,
    /// `[gc]`.
    pub gc: Gc,
    /// `[[quota]]`.
    pub quota: Vec<quota::Limit>,
    /// `[[retention]]`.
    pub retention: Vec<retention::Rule>,
    /// `[mirror]`.
    pub mirror: mirror::Config,
    /// `[webhook]`.
    pub webhook: Webhook,
    /// `[log]`.
    pub log: Log,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[tracing]`.
    pub tracing: Tracing,
    /// `[page]`.
    pub page: Page,
}

impl Config {
    /// Says what cannot be, field by field: one line a section.
    pub fn validate(&self, wrong: &mut Complaints) {
        wrong.section("server", |wrong| self.server.validate(wrong));
        wrong.section("auth", |wrong| self.auth.validate(wrong));
        wrong.section("gc", |wrong| self.gc.validate(wrong));
        wrong.section("quota", |wrong| quota::validate(&self.quota, wrong));
        wrong.section("retention", |wrong| retention::validate(&self.retention, wrong));
        wrong.section("storage", |wrong| self.storage.validate(wrong));
        wrong.section("mirror", |wrong| self.mirror.validate(wrong));
        wrong.section("webhook", |wrong| self.webhook.validate(wrong));
        wrong.section("log", |wrong| self.log.validate(wrong));
        wrong.section("tracing", |wrong| self.tracing.validate(wrong));
    }
}

/// The data directory where nobody names one: `$ESTIBA_REGISTRY_ROOT`, else for root `/var/lib/estiba-registry`,
/// else below the user's data. `None` where there is no home.
pub fn default_root(variable: impl Fn(&str) -> Option<std::ffi::OsString>, uid: u32) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(root) = set("ESTIBA_REGISTRY_ROOT") {
        return Some(root);
    }
    if uid == 0 {
        return Some(PathBuf::from("/var/lib/estiba-registry"));
    }
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("estiba-registry"))
}
