//! `estiba registry restore`.

use std::path::PathBuf;

use registry_server::control::RootLock;
use registry_server::data::backup::restore;

use super::keeping::{Meter, count, problems};
use super::{Place, not_ours};
use crate::context::Context;
use crate::duration::size;
use crate::error::{Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry restore /mnt/backup/registry --root /var/lib/estiba-registry
  estiba registry restore --keep-going /mnt/backup/registry --root DIR   Without what is damaged";

/// Arguments of `estiba registry restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// A backup
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Copy bytes even where they could be shared with the backup
    #[arg(long)]
    copy: bool,
    /// Go on without objects that are damaged
    #[arg(long)]
    keep_going: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let root = Place::root(&args.place.load(Vec::new())?)?;
    let lock = RootLock::take(&root).map_err(not_ours)?;
    let mut meter = Meter::new("restored");
    let copied = restore(&args.source, lock.root(), args.copy, args.keep_going, &mut meter.listen())?;
    let mut text = problems(&copied.problems, 0);
    text.push_str(&match (copied.problems.is_empty(), args.keep_going) {
        (true, _) => format!("restored {}, {}\n", count(copied.objects, "object"), size(copied.bytes)),
        (false, true) => "restored without them: `estiba registry fsck --repair` takes their names away\n".to_owned(),
        (false, false) => "not restored: --keep-going goes on without them\n".to_owned(),
    });
    ui::out(&text)?;
    Ok(if copied.problems.is_empty() { 0 } else { code::FAILED })
}
