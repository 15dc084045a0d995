//! `estiba registry import`.

use std::path::PathBuf;

use registry_server::control::{Owner, RootLock};
use registry_server::data::import::import;
use registry_server::data::served::Import;
use registry_server::data::{Choices, Imported};

use super::keeping::{Kept, Meter, ask, count, problems};
use super::{Place, not_ours};
use crate::context::Context;
use crate::duration::size;
use crate::error::{Error, Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry import /var/lib/docker-registry        All of a CNCF distribution (docker-registry) data directory
  estiba registry import --to team/app ./layout          An OCI layout, a folder or a tar, with the tags it names
  estiba registry import --to team/app:v1 image.tar

What is there already stays as it is: run it again after an interruption. Nothing of the source is changed. On one file
system its bytes are shared (reflink, else hard link): where somebody may write to the source's files later, give --copy.";

/// Arguments of `estiba registry import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// A data directory of distribution, an OCI layout, or a tar of one
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The repository of an OCI layout; with a tag for its one image that has none
    #[arg(long, value_name = "NAME[:TAG]")]
    to: Option<String>,
    /// Copy bytes even where they could be shared with the source
    #[arg(long)]
    copy: bool,
    /// Bring in manifests even where something that they reference is absent
    #[arg(long)]
    allow_sparse: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let root = Place::root(&args.place.load(Vec::new())?)?;
    let (repository, tag) = match args.to.as_deref().map(|to| to.split_once(':').unwrap_or((to, ""))) {
        Some((repository, tag)) => (Some(repository.to_owned()), (!tag.is_empty()).then(|| tag.to_owned())),
        None => (None, None),
    };
    let choices = Choices { copy: args.copy, allow_sparse: args.allow_sparse };
    let asked = Import { source: std::path::absolute(&args.source)?, repository, tag, choices };
    let target = asked.target()?;
    let imported: Imported = match Owner::take(&root).map_err(not_ours)? {
        Owner::Running(client) => ask(&client, "import", &asked, "imported")?,
        Owner::Locked(lock) => here(lock, &asked, target.as_ref())?,
    };
    ui::out(&summary(&imported))?;
    Ok(if imported.problems.is_empty() { 0 } else { code::FAILED })
}

fn here(lock: RootLock, asked: &Import, target: Option<&registry_server::data::import::Target>) -> Result<Imported> {
    let (kept, mut meter) = (Kept::open(lock)?, Meter::new("imported"));
    let done = import(&kept.objects, &kept.metadata, &asked.source, target, asked.choices, &mut meter.listen());
    done.map_err(|error| match (&error, target) {
        (registry_server::data::Error::Malformed { .. }, None) => {
            Error::from(error).hint("--to NAME says where an OCI layout goes")
        }
        _ => Error::from(error),
    })
}

fn summary(imported: &Imported) -> String {
    let mut text = problems(&imported.problems, imported.more_problems);
    let repositories = match imported.repositories {
        1 => "1 repository".to_owned(),
        many => format!("{many} repositories"),
    };
    text.push_str(&format!(
        "{repositories}: {}, {}, {} new; {} there already; {} read\n",
        count(imported.blobs, "blob"),
        count(imported.manifests, "manifest"),
        count(imported.tags, "tag"),
        imported.known,
        size(imported.bytes),
    ));
    text
}
