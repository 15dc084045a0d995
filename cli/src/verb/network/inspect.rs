//! `estiba network inspect`.

use super::{leases, networks, shown};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

/// Arguments of `estiba network inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The networks, by name or id
    #[arg(required = true, value_name = "NETWORK")]
    names: Vec<String>,
    /// Print by a Go template, or as `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// As it is always
    #[arg(short, long, hide = true)]
    verbose: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let (networks, leases) = (networks(context)?, leases(context)?);
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for name in &args.names {
        match networks.find(name) {
            Ok(network) => found.push(shown(&network, &leases)),
            Err(error) => failed.push(error.to_string()),
        }
    }
    match &args.format {
        Some(format) => found.iter().try_for_each(|network| Ok::<_, Error>(ui::out(&ui::object(format, network)?)?))?,
        None => ui::out(&format!("{}\n", serde_json::to_string_pretty(&found)?))?,
    }
    if failed.is_empty() { Ok(0) } else { Err(Error::failed(failed.join("\n"))) }
}
