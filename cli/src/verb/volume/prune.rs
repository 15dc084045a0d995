//! `estiba volume prune`.

use std::io::{IsTerminal, Write};

use super::{Filter, volumes};
use crate::context::Context;
use crate::duration;
use crate::error::{Error, Result};
use crate::ui;

/// Arguments of `estiba volume prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Those with a name too, not only those that were made for one container
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only volumes that match: label=KEY[=VALUE], label!=…, all=true
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let volumes = volumes(context)?;
    let all = args.all || args.filter.iter().any(|filter| filter == "all=true" || filter == "all=1");
    let filters: Vec<_> = args.filter.iter().filter(|filter| !filter.starts_with("all=")).collect();
    let filters = filters.into_iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
    if !args.force && !confirmed(all)? {
        return Err(Error::silent(1));
    }
    let users = volumes.users()?;
    let chosen = volumes.list()?.into_iter().filter(|volume| {
        (all || volume.anonymous)
            && !users.contains_key(&volume.name)
            && filters.iter().all(|filter| filter.accepts(volume, false))
    });
    let names: Vec<String> = chosen.map(|volume| volume.name).collect();
    let Some(store) = context.existing_store()? else { return Ok(0) };
    let _locked = volumes.lock()?;
    crate::sandbox::enter(store.layout())?;
    let mut freed = 0u64;
    let mut gone = Vec::new();
    for name in names {
        let bytes = store::room::Meter::new().measure(&volumes.data(&name));
        // One that a container began to use meanwhile stays.
        if volumes.remove(&name, false).is_ok() {
            freed += bytes;
            gone.push(name);
        }
    }
    volumes.sweep()?;
    if !gone.is_empty() {
        ui::out(&format!("Deleted Volumes:\n{}\n\n", gone.join("\n")))?;
    }
    ui::out(&format!("Total reclaimed space: {}\n", duration::size(freed)))?;
    Ok(0)
}

fn confirmed(all: bool) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("standard input is no terminal to ask on").hint("--force does not ask"));
    }
    let which = if all { "all volumes" } else { "all volumes without a name" };
    ui::err(&format!("This removes {which} that no container uses. Go on? [y/N] "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
