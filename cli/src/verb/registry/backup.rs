//! `estiba registry backup`.

use std::path::PathBuf;

use registry_server::control::Owner;
use registry_server::data::backup::{Copied, backup};
use registry_server::data::served::Backup;

use super::Place;
use super::keeping::{Kept, Meter, ask, count, owner, problems};
use crate::context::Context;
use crate::duration::size;
use crate::error::{Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry backup /mnt/backup/registry           While the registry serves; again copies what is new
  estiba registry backup --copy /srv/copy               With bytes of its own, on the same disk too
  estiba registry restore /mnt/backup/registry --root DIR

The copy is of one moment. On the registry's own file system it shares the blobs' bytes (reflink, else hard link):
that guards against deletion, not against a broken disk. Uploads and the keys that sign tokens are not in it.";

/// Arguments of `estiba registry backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Where it goes: an empty folder, or an earlier backup
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// Copy bytes even where they could be shared
    #[arg(long)]
    copy: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let dest = std::path::absolute(&args.dest)?;
    let (_, owner) = owner(&args.place)?;
    let copied: Copied = match owner {
        Owner::Running(client) => ask(&client, "backup", &Backup { dest, copy: args.copy }, "copied")?,
        Owner::Locked(lock) => {
            let (kept, mut meter) = (Kept::open(lock)?, Meter::new("copied"));
            backup(&kept.objects, &kept.metadata, &dest, args.copy, &mut meter.listen())?
        }
    };
    let mut text = problems(&copied.problems, 0);
    text.push_str(&format!(
        "{}, {}; new: {}, {}; removed: {}\n",
        count(copied.objects, "object"),
        size(copied.bytes),
        count(copied.new_objects, "object"),
        size(copied.new_bytes),
        count(copied.removed, "object"),
    ));
    if !copied.problems.is_empty() {
        text.push_str("the backup is not complete: `estiba registry fsck` says what is wrong\n");
    }
    ui::out(&text)?;
    Ok(if copied.problems.is_empty() { 0 } else { code::FAILED })
}
