//! Calls to addresses that the configuration names: collectors of traces, receivers of events.

use std::time::Duration;

/// A client that follows no redirects: only what is configured is ever called.
///
/// # Errors
/// In words, when TLS cannot be set up.
pub(crate) fn client(patience: Duration) -> Result<reqwest::Client, String> {
    let tls = remote::tls_config(true, &[], None, true).map_err(|error| error.to_string())?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(patience)
        .user_agent(concat!("estiba-registry/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}
