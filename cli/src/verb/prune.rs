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
  estiba prune --all -f --filter until=168h
  estiba prune -f --max-used-space 20GB           What was used longest ago, until 20 GB are left
  estiba prune --all -f --filter type=exec.cachemount
  estiba prune --all --dry-run         Only say what would go";

/// Arguments of `estiba prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Also build cache that is still good, and cache mounts
    #[arg(short, long)]
    all: bool,
    /// Only what was not used for a time (until=24h), of a kind (type=regular, exec.cachemount, source.local,
    /// source.git.checkout, internal, logs, downloads), or one cache mount (id=/root/.cache)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Remove what was used longest ago until the store is this small
    #[arg(long, value_name = "SIZE", visible_alias = "keep-storage")]
    max_used_space: Option<String>,
    /// Remove what was used longest ago until the disk has this much free
    #[arg(long, value_name = "SIZE")]
    min_free_space: Option<String>,
    /// Keep this much in any case
    #[arg(long, value_name = "SIZE")]
    reserved_space: Option<String>,
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
        add_filter(&mut options, filter)?;
    }
    options.keep_storage = space("max-used-space", args.max_used_space.as_deref())?;
    options.min_free = space("min-free-space", args.min_free_space.as_deref())?;
    options.reserved = space("reserved-space", args.reserved_space.as_deref())?;
    Ok(options)
}

fn space(flag: &str, text: Option<&str>) -> Result<Option<u64>> {
    let bad = |text: &str| Error::usage(format!("--{flag} {text}: not a size such as 10g"));
    text.map(|text| parse_size(text).ok_or_else(|| bad(text))).transpose()
}

fn add_filter(options: &mut PruneOptions, filter: &str) -> Result<()> {
    let usage = |what: String| Error::usage(format!("--filter {filter}: {what}"));
    match filter.split_once('=') {
        Some(("until" | "unused-for", span)) => {
            options.until = Some(parse(span).ok_or_else(|| usage(format!("`{span}` is not a time such as 24h")))?);
        }
        Some(("type", kind)) if builder::gc::kinds().contains(&kind) => options.kinds.push(kind.to_owned()),
        Some(("type", kind)) => {
            let known = builder::gc::kinds().join(", ");
            return Err(usage(format!("unknown type {kind}")).hint(format!("there are {known}")));
        }
        Some(("id", id)) => {
            options.kinds.push("exec.cachemount".to_owned());
            options.mounts.push(id.to_owned());
        }
        _ => return Err(usage("unknown filter".to_owned()).hint("there are until=24h, type=KIND and id=MOUNT")),
    }
    Ok(())
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
    // Who asks for one kind of thing, or one cache mount, asks for no image.
    if !options.kinds.is_empty() || !options.mounts.is_empty() {
        return Ok(Vec::new());
    }
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
