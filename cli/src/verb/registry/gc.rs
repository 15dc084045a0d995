//! `estiba registry gc`.

use std::time::{Duration, Instant};

use registry_server::Registry;
use registry_server::collect::Report;
use registry_server::config::Duration as Span;
use registry_server::control::{Collect, Owner, collect};

use super::{Place, not_ours};
use crate::context::Context;
use crate::duration::size;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry gc --dry-run        What would go
  estiba registry gc                  While the registry serves, too
  estiba registry gc --grace 1h       Also what was used until an hour ago";

/// How often a line tells how far it is.
const PACE: Duration = Duration::from_secs(1);

/// Arguments of `estiba registry gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Say what would go, and keep it
    #[arg(long)]
    dry_run: bool,
    /// How long what nothing references stays after its last use [default: the configuration's, 24h]
    #[arg(long, value_name = "TIME")]
    grace: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let mut asked = Collect { dry_run: args.dry_run, grace: None };
    if let Some(text) = &args.grace {
        asked.grace =
            Some(Span::parse(text).ok_or_else(|| Error::usage(format!("--grace {text}: not a time such as 24h")))?);
    }
    let config = args.place.load(Vec::new())?;
    let root = Place::root(&config)?;
    if !root.join("version").exists() {
        return Err(Error::failed(format!("{} holds no registry", root.display())).hint("give --root DIR"));
    }
    let mut last = Instant::now();
    let mut progress = |report: &Report| {
        if last.elapsed() >= PACE {
            last = Instant::now();
            ui::err(&format!("{}\n", line(report)));
        }
        true
    };
    let report = match Owner::take(&root).map_err(not_ours)? {
        Owner::Running(client) => client.call("gc", &asked, |report: Report| {
            progress(&report);
        })?,
        Owner::Locked(lock) => {
            // Opening takes the lock again.
            drop(lock);
            let registry = Registry::open(config, &root).map_err(super::serve::not_opened)?;
            collect(&registry, asked, false, &mut progress).map_err(Error::failed)?
        }
    };
    ui::out(&summary(&report))?;
    Ok(0)
}

fn line(report: &Report) -> String {
    let words = if report.dry_run { "would remove" } else { "removed" };
    format!("{words} {} manifests, {} blobs, {}", report.manifests, report.blobs, size(report.bytes))
}

fn summary(report: &Report) -> String {
    let (done, reclaimed) = if report.dry_run { ("would remove", "reclaimable") } else { ("removed", "reclaimed") };
    let counts = [
        ("manifests", report.manifests),
        ("blobs of repositories", report.links),
        ("objects", report.blobs),
        ("abandoned uploads", report.uploads),
        ("files without a row", report.litter),
    ];
    let mut text: String =
        counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{done} {count} {what}\n")).collect();
    if report.failed > 0 {
        text.push_str(&format!(
            "could not remove the bytes of {} objects: they go with a later sweep\n",
            report.failed
        ));
    }
    if report.over_cap {
        text.push_str("the storage holds more than [storage] max_bytes, or leaves less than [storage] reserve: what is left is in use\n");
    }
    text.push_str(&format!("Total {reclaimed} space: {}\n", size(report.bytes)));
    text
}
