//! The network: mode, ports, names.

use containers::config::{Network, NetworkMode};

use crate::error::{Error, Result};

/// Its network.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Its network: host or none
    #[arg(long, visible_alias = "net", value_name = "MODE", default_value = "host", hide_default_value = true)]
    network: String,
}

impl Options {
    pub(super) fn settle(&self) -> Result<Network> {
        let mode = match self.network.as_str() {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            written @ ("default" | "bridge" | "private" | "slirp4netns" | "pasta") => {
                return Err(Error::later(
                    &format!("`--network {written}`"),
                    "this version has host (the default) and none",
                ));
            }
            other => return Err(Error::usage(format!("--network {other}: expected host or none"))),
        };
        Ok(Network { mode, ..Network::default() })
    }
}
