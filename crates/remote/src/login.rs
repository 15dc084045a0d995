//! Credentials that are kept: written after the registry took them, taken away again.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::setup::Setup;

/// Where a credential is kept, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In a file.
    File(PathBuf),
    /// By `docker-credential-NAME`.
    Helper(String),
}

/// Asks the registry whether it takes name and password, and keeps them under `key`: a registry, or a part of one
/// (`registry/namespace`).
///
/// # Errors
/// When the registry refuses them ([`Error::Unauthorized`]) or cannot be asked, and when they cannot be kept.
pub async fn login(
    setup: &Setup,
    variable: impl Fn(&str) -> Option<OsString>,
    key: &str,
    user: &str,
    password: &str,
) -> Result<Kept> {
    let _ = (setup, variable(""), key, user, password);
    Err(Error::Setup("login is not there yet".to_owned()))
}

/// Forgets the credential of `key`, or with `None` all. Gives what was forgotten; nothing if there was none.
///
/// # Errors
/// When a file or helper fails.
pub async fn logout(
    setup: &Setup,
    variable: impl Fn(&str) -> Option<OsString>,
    key: Option<&str>,
) -> Result<Vec<(String, Kept)>> {
    let _ = (setup, variable(""), key);
    Err(Error::Setup("logout is not there yet".to_owned()))
}

/// The name under which one is logged in at `key`; `None` where one is not.
///
/// # Errors
/// When a file or helper fails.
pub async fn get_login(
    setup: &Setup,
    variable: impl Fn(&str) -> Option<OsString>,
    key: &str,
) -> Result<Option<String>> {
    let _ = (setup, variable(""), key);
    Err(Error::Setup("login is not there yet".to_owned()))
}
