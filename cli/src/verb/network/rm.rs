//! `estiba network rm`.

use containers::network::definition::NetworkError;

use super::{leases, members, networks};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

/// Arguments of `estiba network rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The networks, by name or id
    #[arg(required = true, value_name = "NETWORK")]
    names: Vec<String>,
    /// A network that is not there is no error
    #[arg(short, long)]
    force: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    super::tidy(context)?;
    let (networks, leases) = (networks(context)?, leases(context)?);
    let mut failed = Vec::new();
    let mut used = false;
    for name in &args.names {
        let removed = networks.find(name).and_then(|network| {
            let members = members(&leases, &network);
            if members.is_empty() {
                networks.remove(&network)
            } else {
                used = true;
                Err(NetworkError::InUse(network.name, members.join(", ")))
            }
        });
        match removed {
            Ok(()) => ui::out(&format!("{name}\n"))?,
            Err(NetworkError::Missing(_)) if args.force => {}
            Err(error) => failed.push(error.to_string()),
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    let error = Error::failed(failed.join("\n"));
    Err(if used { error.hint("stop them, or `estiba network disconnect NETWORK CONTAINER`") } else { error })
}
