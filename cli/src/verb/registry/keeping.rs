//! What the verbs that work on a whole data directory share: whose it is, and how far they are.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use registry_server::control::{Client, Owner, RootLock};
use registry_server::data::{self, Progress, migrate};
use registry_server::metadata::SqliteMetadata;
use registry_server::storage::FsObjects;

use super::{Place, not_ours};
use crate::duration::size;
use crate::error::{Error, Result};
use crate::ui;

/// How often a line tells how far it is.
const PACE: Duration = Duration::from_secs(1);

/// A data directory that nobody serves, open.
pub(super) struct Kept {
    pub(super) objects: FsObjects,
    pub(super) metadata: SqliteMetadata,
    // Last: it is ours until all else is closed.
    _lock: RootLock,
}

impl Kept {
    /// Opens what a lock holds.
    pub(super) fn open(lock: RootLock) -> Result<Self> {
        migrate::prepare(&lock)?;
        let (objects, metadata) = (FsObjects::open(lock.root())?, SqliteMetadata::open(lock.root())?);
        Ok(Self { objects, metadata, _lock: lock })
    }
}

/// Where a registry is, and who has it.
pub(super) fn owner(place: &Place) -> Result<(PathBuf, Owner)> {
    let root = Place::root(&place.load(Vec::new())?)?;
    if !holds_registry(&root) {
        return Err(Error::failed(format!("{} holds no registry", root.display())).hint("give --root DIR"));
    }
    let owner = Owner::take(&root).map_err(not_ours)?;
    Ok((root, owner))
}

fn holds_registry(root: &Path) -> bool {
    ["version", "metadata.sqlite", "blobs"].iter().any(|name| root.join(name).exists())
}

/// Has a server do something, and shows how far it is.
pub(super) fn ask<R: serde::de::DeserializeOwned>(
    client: &Client,
    command: &str,
    arguments: &impl serde::Serialize,
    verb: &'static str,
) -> Result<R> {
    let mut meter = Meter::new(verb);
    Ok(client.call(command, arguments, |far: Progress| meter.tell(far))?)
}

/// Tells how far a long work is, a line a second on standard error.
pub(super) struct Meter {
    verb: &'static str,
    last: Instant,
}

impl Meter {
    /// `verb` is what is being done: `checked`.
    pub(super) fn new(verb: &'static str) -> Self {
        Self { verb, last: Instant::now() }
    }

    /// Shows progress if it is time to.
    pub(super) fn tell(&mut self, far: Progress) {
        if self.last.elapsed() < PACE {
            return;
        }
        self.last = Instant::now();
        let whole = if far.total > 0 { format!(" of {}", size(far.total)) } else { String::new() };
        ui::err(&format!("{} {} objects, {}{whole}\n", self.verb, far.objects, size(far.bytes)));
    }

    /// The same as the library wants it.
    pub(super) fn listen(&mut self) -> impl FnMut(Progress) -> data::Result<()> + '_ {
        |far| {
            self.tell(far);
            Ok(())
        }
    }
}

/// `1 object`, `2 objects`.
pub(super) fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Lines of problems, with the number of those that are not shown.
pub(super) fn problems(lines: &[String], more: u64) -> String {
    let shown = lines.iter().map(|line| format!("{}\n", crate::ui::style::harmless(line)));
    let mut text: String = shown.collect();
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}
