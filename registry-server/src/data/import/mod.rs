//! Images of others: a data directory of distribution's registry, or an OCI layout.
//!
//! What is there already is left alone, so that a run that was cut off is simply run again. Nothing of the source is
//! changed; on one file system its bytes are shared, unless copies are asked for.

mod archive;
pub mod distribution;
mod layout;

use std::path::Path;

use oci::{RepositoryName, Tag};

use super::intake::{Brought, Choices, Imported, Intake};
use super::{Error, Progress, Result};
use crate::metadata::Metadata;
use crate::storage::Objects;

/// Longest manifest that is read.
const MANIFEST_LIMIT: u64 = 64 << 20;

/// Where a layout goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag of a layout's one image, where the layout names none.
    pub tag: Option<Tag>,
}

/// Brings in what lies at `source`: a folder of distribution's registry, an OCI layout, or a tar of one. `target` is for
/// layouts, which have no names of repositories. `progress` ends it by failing.
///
/// # Errors
/// When the source is neither, or cannot be read, or the registry fails. What merely is wrong in itself is left out and told.
pub fn import(
    objects: &dyn Objects,
    metadata: &dyn Metadata,
    source: &Path,
    target: Option<&Target>,
    choices: Choices,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Imported> {
    let intake = Intake::new(objects, metadata, choices);
    let is_file = std::fs::metadata(source).map_err(Error::io("open", source))?.is_file();
    let is_layout = is_file || source.join("oci-layout").exists() || source.join("index.json").exists();
    if !is_layout {
        return distribution::import(&intake, source, progress);
    }
    let Some(target) = target else {
        let why = "an OCI layout has no name of a repository: say where it goes".to_owned();
        return Err(Error::Malformed { what: source.display().to_string(), why });
    };
    layout::import(&intake, source, is_file, target, progress)
}

/// Adds up what happened.
fn count(report: &mut Imported, brought: Brought, new: impl FnOnce(&mut Imported)) {
    match brought {
        Brought::New => new(report),
        Brought::Known => report.known += 1,
        Brought::Not(why) => report.problem(why),
    }
}
