//! Where what it says goes.

use containers::config::Logging;
use containers::log::Settings;

use crate::error::{Error, Result};

/// Where what it says goes.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Who keeps what it says: local (64 MB in each of 5 files), json-file, journald, none, passthrough
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// How it is kept: max-size=10m, max-file=3, tag=, labels=, env=
    #[arg(long = "log-opt", value_name = "NAME=VALUE")]
    log_options: Vec<String>,
}

impl Options {
    pub(super) fn settle(&self) -> Result<Logging> {
        let mut logging = Logging { driver: self.log_driver.clone(), ..Logging::default() };
        for option in &self.log_options {
            let (name, value) = option.split_once('=').ok_or_else(|| {
                Error::usage(format!("--log-opt {option}: expected NAME=VALUE, such as max-size=10m"))
            })?;
            logging.options.insert(name.to_owned(), value.to_owned());
        }
        Settings::of(&logging).map_err(|error| Error::usage(error.to_string()))?;
        Ok(logging)
    }
}
