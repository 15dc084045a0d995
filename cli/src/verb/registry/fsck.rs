//! `estiba registry fsck`.

use registry_server::control::Owner;
use registry_server::data::fsck::{self, Damage, Report};
use registry_server::data::rebuild::{Rebuilt, rebuild};
use registry_server::data::{Error as DataError, migrate};
use registry_server::storage::ObjectKey;

use super::Place;
use super::keeping::{Kept, Meter, ask, count, owner, problems};
use crate::context::Context;
use crate::duration::size;
use crate::error::{Error, Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry fsck             Read and hash everything; while it serves, too
  estiba registry fsck --repair    Take damaged blobs out of reach, so that they can be pushed again
  estiba registry fsck --rebuild   Make lost metadata anew from the blobs and the journal of names

It ends with 1 where something is wrong, or is lost.";

/// Where a repair puts what is damaged.
const QUARANTINE: &str = "quarantine";

/// Arguments of `estiba registry fsck`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Take what is damaged out of reach; its bytes stay in ROOT/quarantine
    #[arg(long, conflicts_with = "rebuild")]
    repair: bool,
    /// Make the metadata anew; the old stays in ROOT/metadata.before-<time>
    #[arg(long)]
    rebuild: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let (root, owner) = owner(&args.place)?;
    let mut meter = Meter::new("checked");
    let report: Report = match owner {
        Owner::Running(_) if args.repair || args.rebuild => {
            let option = if args.repair { "--repair" } else { "--rebuild" };
            return Err(Error::failed(format!(
                "{option} needs the data directory for itself, and a registry serves it"
            ))
            .hint("end the registry first; without the option it is checked as it serves"));
        }
        Owner::Running(client) => ask(&client, "fsck", &serde_json::Value::Null, "checked")?,
        Owner::Locked(lock) if args.rebuild => {
            migrate::prepare(&lock)?;
            let rebuilt = rebuild(lock.root(), &mut meter.listen())?;
            return told(&rebuilt);
        }
        Owner::Locked(lock) => {
            let kept = Kept::open(lock)?;
            let away = |key: &ObjectKey| quarantine(&root, key);
            let mut listen = meter.listen();
            if args.repair {
                fsck::repair(&kept.objects, &kept.metadata, &away, &mut listen)?
            } else {
                fsck::check(&kept.objects, &kept.metadata, &mut listen)?
            }
        }
    };
    ui::out(&summary(&report))?;
    Ok(if report.is_clean() { 0 } else { code::FAILED })
}

/// Moves an object's bytes where nobody serves them. One that has none is no trouble.
fn quarantine(root: &std::path::Path, key: &ObjectKey) -> registry_server::data::Result<()> {
    let failed = |call| {
        let path = root.join(QUARANTINE);
        move |source| DataError::Io { call, path, source }
    };
    std::fs::create_dir_all(root.join(QUARANTINE)).map_err(failed("mkdir"))?;
    let (from, to) = (root.join("blobs").join(&key.0), root.join(QUARANTINE).join(key.0.replace('/', "-")));
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("rename")(error)),
        _ => Ok(()),
    }
}

fn summary(report: &Report) -> String {
    let mut text: String = report.damaged.iter().map(line).collect();
    text.push_str(&problems(&report.rows, 0));
    let untold = report.damages - report.damaged.len() as u64;
    if untold > 0 {
        text.push_str(&format!("and {untold} more\n"));
    }
    text.push_str(&format!("read {}, {}\n", count(report.objects, "object"), size(report.bytes)));
    if report.litter > 0 {
        let files = count(report.litter, "file");
        text.push_str(&format!("{files} without a row, {}: the collector sweeps them\n", size(report.litter_bytes)));
    }
    text.push_str(&match (report.is_clean(), report.repaired) {
        (true, _) => "everything is sound\n".to_owned(),
        (false, true) => "what was damaged is out of reach: push it again\n".to_owned(),
        (false, false) if report.rows.is_empty() => format!("{} damaged\n", count(report.damages, "object")),
        (false, false) => "the metadata disagrees with itself: --rebuild makes it anew\n".to_owned(),
    });
    text
}

fn line(damage: &Damage) -> String {
    let whose = match damage.repositories.as_slice() {
        [] => "no repository".to_owned(),
        [first] => first.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    format!("{} of {whose}: {}\n", damage.digest, crate::ui::style::harmless(&damage.why))
}

fn told(rebuilt: &Rebuilt) -> Result<u8> {
    let mut text = problems(&rebuilt.problems, 0);
    if !rebuilt.journal {
        text.push_str("there is no names.journal: what could be recognised is in the repository `recovered`\n");
    }
    if rebuilt.damaged_lines > 0 {
        text.push_str(&format!("{} of names.journal could not be read\n", count(rebuilt.damaged_lines, "line")));
    }
    text.push_str(&format!(
        "read {}; rebuilt {}, {}, {}, {}\n",
        count(rebuilt.objects, "object"),
        if rebuilt.repositories == 1 {
            "1 repository".to_owned()
        } else {
            format!("{} repositories", rebuilt.repositories)
        },
        count(rebuilt.blobs, "blob"),
        count(rebuilt.manifests, "manifest"),
        count(rebuilt.tags, "tag"),
    ));
    if let Some(old) = &rebuilt.old {
        text.push_str(&format!("the old metadata is in {}\n", old.display()));
    }
    ui::out(&text)?;
    Ok(if rebuilt.problems.is_empty() && rebuilt.journal { 0 } else { code::FAILED })
}
