//! What the service manager hears.

use containers::config::{Notify, Ready};

use crate::error::Result;

/// What the service manager hears.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Who tells the service manager that it is ready: container, conmon (its supervisor), healthy or ignore
    #[arg(long, value_name = "WHO", value_parser = ready)]
    sdnotify: Option<Ready>,
}

fn ready(word: &str) -> std::result::Result<Ready, String> {
    match word {
        "container" => Ok(Ready::Container),
        "conmon" => Ok(Ready::Conmon),
        "healthy" => Ok(Ready::Healthy),
        "ignore" => Ok(Ready::Ignore),
        _ => Err("expected container, conmon, healthy or ignore".to_owned()),
    }
}

impl Options {
    #[expect(clippy::unnecessary_wraps, reason = "what is written is checked here")]
    pub(super) fn settle(&self) -> Result<Notify> {
        Ok(Notify { ready: self.sdnotify.unwrap_or_default() })
    }
}
