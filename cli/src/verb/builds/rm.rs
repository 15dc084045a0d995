//! `estiba builds rm`.

use std::collections::HashSet;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::{self, Outcome};
use crate::ui;

/// Arguments of `estiba builds rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Builds: ids, beginnings of ids, or `latest`
    #[arg(value_name = "BUILD", required_unless_present = "all")]
    builds: Vec<String>,
    /// All that are not at work
    #[arg(long, conflicts_with = "builds")]
    all: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let layout = store::Layout::new(context.root()?);
    let mut meant = if args.all { record::list(&layout)? } else { Vec::new() };
    for word in &args.builds {
        meant.push(record::find(&layout, word)?);
    }
    if let (Some(busy), false) = (meant.iter().find(|line| line.outcome == Outcome::Running), args.all) {
        return Err(Error::failed(format!("build {} is at work", busy.id)));
    }
    meant.retain(|line| line.outcome != Outcome::Running);
    let ids: HashSet<String> = meant.iter().map(|line| line.id.clone()).collect();
    record::remove(&layout, &ids)?;
    for id in &ids {
        ui::out(&format!("{id}\n"))?;
    }
    Ok(0)
}
