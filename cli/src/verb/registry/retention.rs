//! `estiba registry retention`.

use registry_server::Registry;
use registry_server::collect::retention::Deletion;
use registry_server::control::Owner;
use registry_server::data::served::{Retain, retain};

use super::keeping::{ask, count};
use super::{Place, not_ours};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry retention --dry-run    Which tags the rules of [[retention]] would let go, and why
  estiba registry retention              Let them go; while it serves, too

A server does it by itself, as often as it collects. Only tags go: what they named goes with a later collection.";

/// Arguments of `estiba registry retention`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Say what would go, and keep it
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let config = args.place.load(Vec::new())?;
    let root = Place::root(&config)?;
    if !root.join("version").exists() {
        return Err(Error::failed(format!("{} holds no registry", root.display())).hint("give --root DIR"));
    }
    let asked = Retain { dry_run: args.dry_run };
    let deletions: Vec<Deletion> = match Owner::take(&root).map_err(not_ours)? {
        // By the rules that the server was started with.
        Owner::Running(client) => ask(&client, "retention", &asked, "looked at")?,
        Owner::Locked(lock) => {
            // Opening takes the lock again.
            drop(lock);
            let registry = Registry::open(config, &root).map_err(super::serve::not_opened)?;
            retain(&registry, asked)?
        }
    };
    let mut text: String = deletions
        .iter()
        .map(|gone| format!("{}:{} ({}: {})\n", gone.repository, gone.tag, gone.rule, gone.why))
        .collect();
    let words = if args.dry_run { "would go" } else { "went" };
    text.push_str(&format!("{} {words}\n", count(deletions.len() as u64, "tag")));
    ui::out(&text)?;
    Ok(0)
}
