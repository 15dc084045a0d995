//! `estiba prune`.

use std::io::{BufRead, IsTerminal};

use builder::gc::{PruneOptions, Pruned};
use store::Store;

use crate::context::Context;
use crate::duration::{parse, parse_size, size};
use crate::error::{Error, Result};
use crate::image::is_anonymous;
use crate::{rootfs, ui};

const EXAMPLES: &str = "\
Examples:
  estiba prune                         What nothing needs: old layers, images without a name, litter
  estiba prune --all -f                The whole build cache and cache mounts, too; images stay
  estiba prune --all --filter until=168h
  estiba prune --all --dry-run         Only say what would go";

/// Arguments of `estiba prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Also build cache that is still good, and cache mounts
    #[arg(short, long)]
    all: bool,
    /// Only what was not used for a time: until=24h
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Stop when the store is this small
    #[arg(long, value_name = "SIZE", visible_alias = "max-used-space")]
    keep_storage: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Say what would go, and keep it
    #[arg(long)]
    dry_run: bool,
    /// Volumes come in a later version: accepted for docker's sake
    #[arg(long, hide = true)]
    volumes: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let mut options = options(&args)?;
    let Some(store) = context.existing_store()? else {
        ui::out("Total reclaimed space: 0B\n")?;
        return Ok(0);
    };
    if !args.dry_run && !args.force && !confirmed(&args)? {
        return Ok(0);
    }
    // Layers of the sandbox belong to ids that only the sandbox may touch.
    let (store, _) = rootfs::enter(store)?;
    options.forget = unnamed(&store, &options)?;
    let pruned = builder::gc::prune(&store, &options)?;
    let words = if args.dry_run { ("would remove", "reclaimable") } else { ("removed", "reclaimed") };
    ui::out(&format!("{}Total {} space: {}\n", counts(&pruned, words.0), words.1, size(pruned.bytes)))?;
    Ok(0)
}

fn options(args: &Args) -> Result<PruneOptions> {
    let mut options = PruneOptions { all: args.all, dry_run: args.dry_run, ..PruneOptions::default() };
    for filter in &args.filter {
        options.until = match filter.split_once('=') {
            Some(("until" | "unused-for", span)) => Some(
                parse(span)
                    .ok_or_else(|| Error::usage(format!("--filter {filter}: `{span}` is not a time such as 24h")))?,
            ),
            _ => return Err(Error::usage(format!("--filter {filter}: unknown filter")).hint("there is until=24h")),
        };
    }
    if let Some(text) = &args.keep_storage {
        options.keep_storage = Some(
            parse_size(text).ok_or_else(|| Error::usage(format!("--keep-storage {text}: not a size such as 10g")))?,
        );
    }
    Ok(options)
}

fn confirmed(args: &Args) -> Result<bool> {
    let what = if args.all { "all build cache, cache mounts" } else { "build cache that nothing needs" };
    ui::err(&format!("This removes {what}, and images without a name. Go on? [y/N] "));
    if !std::io::stdin().is_terminal() {
        ui::err("\n");
        return Err(Error::usage("nobody is there to answer").hint("--force does not ask"));
    }
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The rows that keep images without a name.
fn unnamed(store: &Store, options: &PruneOptions) -> Result<Vec<String>> {
    let oldest = options
        .until
        .map_or(i64::MAX, |span| crate::duration::now() - i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
    let rows = store.index().images()?.into_iter();
    Ok(rows.filter(|row| is_anonymous(&row.name) && row.created <= oldest).map(|row| row.name).collect())
}

fn counts(pruned: &Pruned, done: &str) -> String {
    let lines = [
        ("cache records", pruned.records),
        ("layers", pruned.layers),
        ("blobs", pruned.blobs),
        ("cache mounts", pruned.mounts),
    ];
    lines.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{done} {count} {what}\n")).collect()
}
