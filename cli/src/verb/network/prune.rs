//! `estiba network prune`.

use std::io::IsTerminal;

use super::{Filter, leases, members, networks};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

/// Arguments of `estiba network prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only networks that match: label=KEY[=VALUE], label!=…, until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
    if !args.force && !confirmed()? {
        return Err(Error::silent(1));
    }
    super::tidy(context)?;
    let (networks, leases) = (networks(context)?, leases(context)?);
    let wanted = super::wanted_by_containers(context)?;
    let mut gone = Vec::new();
    for network in networks.list()? {
        let used = !members(&leases, &network).is_empty()
            || wanted.iter().any(|name| *name == network.name || *name == network.id.as_str());
        if !used && filters.iter().all(|filter| filter.accepts(&network, &leases)) {
            networks.remove(&network)?;
            gone.push(network.name);
        }
    }
    if !gone.is_empty() {
        ui::out(&format!("Deleted Networks:\n{}\n", gone.join("\n")))?;
    }
    Ok(0)
}

fn confirmed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("standard input is no terminal to ask on").hint("--force does not ask"));
    }
    ui::err("This removes all networks that no container uses. Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
