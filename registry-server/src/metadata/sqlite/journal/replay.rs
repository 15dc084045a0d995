//! Reading a journal: what the names were.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use oci::{Digest, RepositoryName, Tag};

use super::super::super::Result;
use super::append::failed;
use super::line::Line;
use crate::time::Instant;

/// What a journal tells.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct State {
    /// What each repository held.
    pub repositories: BTreeMap<RepositoryName, Names>,
    /// Lines that could be read.
    pub lines: u64,
    /// Lines that could not: the last of a process that was killed, or damage.
    pub damaged: u64,
}

/// The names of one repository.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    /// Blobs, and when they came.
    pub blobs: BTreeMap<Digest, Instant>,
    /// Manifests.
    pub manifests: BTreeMap<Digest, NamedManifest>,
    /// Tags.
    pub tags: BTreeMap<Tag, NamedTag>,
    /// What the tags named before and name now, oldest first.
    pub history: Vec<Moved>,
}

/// A manifest that a repository held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedManifest {
    /// Its content type; the rest is in its bytes.
    pub media_type: String,
    /// When it came.
    pub at: Instant,
}

/// What a tag named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTag {
    /// The manifest.
    pub digest: Digest,
    /// Who wrote it.
    pub actor: String,
    /// When.
    pub at: Instant,
}

/// A tag was written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The tag.
    pub tag: Tag,
    /// What it came to name; `None` when it was removed.
    pub digest: Option<Digest>,
    /// By whom.
    pub actor: String,
    /// When.
    pub at: Instant,
}

/// Reads the journal at `path`; an absent one tells nothing. Damaged lines are counted and passed over.
///
/// # Errors
/// When the file cannot be read.
pub fn replay(path: &Path) -> Result<State> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(failed("open", path, &error)),
    };
    let mut state = State::default();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|error| failed("read", path, &error))? == 0 {
            return Ok(state);
        }
        match serde_json::from_slice(&line).ok().and_then(|line| state.apply(line)) {
            Some(()) => state.lines += 1,
            None => state.damaged += 1,
        }
    }
}

impl State {
    /// `None` where the line holds what is no name.
    fn apply(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Whole { .. } => {}
            Line::Blob { repository, digest, at } => {
                self.names(&repository)?.blobs.insert(digest, at);
            }
            Line::BlobGone { repository, digest } => {
                self.names(&repository)?.blobs.remove(&digest);
            }
            Line::Manifest { repository, digest, media_type, at } => {
                self.names(&repository)?.manifests.insert(digest, NamedManifest { media_type, at });
            }
            Line::ManifestGone { repository, digest } => {
                self.names(&repository)?.manifests.remove(&digest);
            }
            Line::Tag { repository, tag, digest, actor, at } => {
                let tag: Tag = tag.parse().ok()?;
                let names = self.names(&repository)?;
                names.history.push(Moved { tag: tag.clone(), digest: Some(digest), actor: actor.clone(), at });
                names.tags.insert(tag, NamedTag { digest, actor, at });
            }
            Line::TagGone { repository, tag, actor, at } => {
                let tag: Tag = tag.parse().ok()?;
                let names = self.names(&repository)?;
                names.tags.remove(&tag);
                names.history.push(Moved { tag, digest: None, actor, at });
            }
        }
        Some(())
    }

    fn names(&mut self, repository: &str) -> Option<&mut Names> {
        Some(self.repositories.entry(repository.parse().ok()?).or_default())
    }
}
