//! `estiba config`: what holds for every process that works on the store.

use store::room::{Config, parse_size};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba config                         All settings
  estiba config store.limit 20GB        A hard cap on what the store takes on disk
  estiba config store.limit none        No cap

The store's config.toml keeps them. $ESTIBA_STORE_LIMIT counts more than store.limit.";

/// The one setting there is.
const LIMIT: &str = "store.limit";

/// Arguments of `estiba config`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The setting: store.limit
    name: Option<String>,
    /// What it is to be; none takes it away
    value: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if let Some(name) = args.name.as_deref().filter(|name| *name != LIMIT) {
        return Err(Error::usage(format!("{name}: unknown setting")).hint(format!("there is {LIMIT}")));
    }
    match args.value {
        Some(value) => set(context, value),
        None => show(context, args.name.is_some()),
    }
}

fn set(context: &Context, value: String) -> Result<u8> {
    let store = context.store()?;
    let mut config = Config::read(store.layout()).map_err(store::Error::from)?;
    config.store.limit = if value == "none" {
        None
    } else if parse_size(&value).is_some_and(|bytes| bytes > 0) {
        Some(value)
    } else {
        return Err(Error::usage(format!("{LIMIT} {value}: not a size such as 20GB")));
    };
    config.write(store.layout()).map_err(store::Error::from)?;
    Ok(0)
}

fn show(context: &Context, bare: bool) -> Result<u8> {
    let config = match context.existing_store()? {
        Some(store) => Config::read(store.layout()).map_err(store::Error::from)?,
        None => Config::default(),
    };
    let limit = config.store.limit.unwrap_or_else(|| "none".to_owned());
    ui::out(&if bare { format!("{limit}\n") } else { format!("{LIMIT} = {limit}\n") })?;
    Ok(0)
}
