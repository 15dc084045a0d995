//! Work on a data directory that is served: what the control socket is asked for, and how it is asked.

use std::path::PathBuf;
use std::sync::Arc;

use oci::{RepositoryName, Tag};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::import::Target;
use super::{Choices, Error, Progress, Result};
use crate::Registry;
use crate::collect::retention::{self, Deletion, Rules};
use crate::control::{self, Reply, Running};
use crate::time::Instant;
use crate::webhook::Event;

/// How retention is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {
    /// Only say what would go.
    pub dry_run: bool,
}

/// How a backup is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Where it goes: an absolute path, as the server sees it.
    pub dest: PathBuf,
    /// Bytes of its own for every object.
    pub copy: bool,
}

/// How an import is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// What comes in: an absolute path, as the server sees it.
    pub source: PathBuf,
    /// Where a layout goes.
    pub repository: Option<String>,
    /// The tag of a layout's one image.
    pub tag: Option<String>,
    /// How.
    #[serde(flatten)]
    pub choices: Choices,
}

impl Import {
    /// Where a layout goes, parsed.
    ///
    /// # Errors
    /// When a name is none.
    pub fn target(&self) -> Result<Option<Target>> {
        let wrong = |what: &str, why: String| Error::Malformed { what: what.to_owned(), why };
        let Some(name) = &self.repository else { return Ok(None) };
        let repository: RepositoryName =
            name.parse().map_err(|error: oci::ReferenceError| wrong(name, error.to_string()))?;
        let tag = self.tag.as_deref().map(str::parse::<Tag>).transpose();
        let tag = tag.map_err(|error| wrong(self.tag.as_deref().unwrap_or_default(), error.to_string()))?;
        Ok(Some(Target { repository, tag }))
    }
}

/// Deletes the tags that the configuration's rules let go, and tells others of it; with `dry_run` only says which.
///
/// # Errors
/// When the metadata fails.
pub fn retain(registry: &Registry, asked: Retain) -> crate::metadata::Result<Vec<Deletion>> {
    // Patterns were checked when the configuration was read.
    let rules = Rules::new(&registry.config.retention).unwrap_or_default();
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let now = Instant::now();
    let immutable = |name: &RepositoryName, tag: &Tag| registry.gate.immutable(name, tag);
    if asked.dry_run {
        let mut found = Vec::new();
        retention::decide(&*registry.metadata, &rules, &immutable, now, &mut |deletions| {
            found.extend(deletions);
            Ok(())
        })?;
        return Ok(found);
    }
    let gone = retention::apply(&*registry.metadata, &rules, &immutable, now)?;
    for deletion in &gone {
        let event = Event::TagDeleted { tag: deletion.tag.clone(), previous: Some(deletion.digest) };
        registry.tell(&deletion.repository, &format!("retention:{}", deletion.rule), now, &[event]);
        tracing::info!(repository = %deletion.repository, tag = %deletion.tag, rule = deletion.rule, "a tag went by retention");
    }
    Ok(gone)
}

/// The command `retention`.
pub(crate) fn retention(running: &Arc<Running>, given: Value, _: &mut control::Progress<'_>) -> Reply {
    let asked = control::arguments(given)?;
    control::answer(&retain(&running.registry, asked).map_err(|error| error.to_string())?)
}

/// The command `fsck`: it only looks.
pub(crate) fn fsck(running: &Arc<Running>, _: Value, progress: &mut control::Progress<'_>) -> Reply {
    let registry = &running.registry;
    let checked = super::fsck::check(&*registry.objects, &*registry.metadata, &mut |far| told(progress, far));
    control::answer(&checked.map_err(|error| error.to_string())?)
}

/// The command `backup`.
pub(crate) fn backup(running: &Arc<Running>, given: Value, progress: &mut control::Progress<'_>) -> Reply {
    let Backup { dest, copy } = control::arguments(given)?;
    let registry = &running.registry;
    let work =
        || super::backup::backup(&*registry.objects, &*registry.metadata, &dest, copy, &mut |far| told(progress, far));
    control::answer(&registry.collector.at_rest(work).map_err(|error| error.to_string())?)
}

/// The command `import`.
pub(crate) fn import(running: &Arc<Running>, given: Value, progress: &mut control::Progress<'_>) -> Reply {
    let asked: Import = control::arguments(given)?;
    let target = asked.target().map_err(|error| error.to_string())?;
    let (objects, metadata) = (&*running.registry.objects, &*running.registry.metadata);
    let work = super::import::import(objects, metadata, &asked.source, target.as_ref(), asked.choices, &mut |far| {
        told(progress, far)
    });
    control::answer(&work.map_err(|error| error.to_string())?)
}

fn told(progress: &mut control::Progress<'_>, far: Progress) -> Result<()> {
    let heard = serde_json::to_value(far).is_ok_and(&mut *progress);
    if heard { Ok(()) } else { Err(Error::Interrupted) }
}
