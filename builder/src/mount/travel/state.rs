//! What is known of a mount since it last travelled, beside it: so that what did not change is neither read nor sent again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;
use serde::{Deserialize, Serialize};

use super::TravelError;
use super::index::{Entry, Index, Kind};
use super::scan::Stamp;
use super::text;

/// The last index, and how the files looked that it was made of. Losing it costs time only.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// Of the index as it travelled.
    pub(super) digest: Digest,
    pub(super) index: Index,
    stamps: Vec<Known>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Known(#[serde(with = "text")] Vec<u8>, Stamp);

impl State {
    pub(super) fn new(digest: Digest, index: Index, stamps: HashMap<Vec<u8>, Stamp>) -> Self {
        let stamps = stamps.into_iter().map(|(path, stamp)| Known(path, stamp)).collect();
        Self { digest, index, stamps }
    }

    /// The state beside an instance; `None` where there is none that can be read.
    pub(super) fn read(instance: &Path) -> Option<Self> {
        let packed = fs::read(file(instance)).ok()?;
        let json = zstd::stream::decode_all(packed.as_slice()).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Keeps it beside an instance.
    pub(super) fn write(&self, instance: &Path) -> Result<(), TravelError> {
        let path = file(instance);
        let partial = path.with_extension("state.new");
        let json = serde_json::to_vec(self).map_err(|error| TravelError::Index(error.to_string()))?;
        let packed = zstd::bulk::compress(&json, 1).map_err(|source| TravelError::Compress { source })?;
        let failed = |source| TravelError::Io { call: "write", path: path.clone(), source };
        fs::write(&partial, packed).and_then(|()| fs::rename(&partial, &path)).map_err(failed)
    }

    /// Forgets what is known of an instance.
    pub(super) fn forget(instance: &Path) -> Result<(), TravelError> {
        let path = file(instance);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(TravelError::Io { call: "unlink", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Entries and stamps of the files, by path.
    pub(super) fn files(&self) -> HashMap<&[u8], (&Entry, Stamp)> {
        let stamps: HashMap<&[u8], Stamp> =
            self.stamps.iter().map(|Known(path, stamp)| (path.as_slice(), *stamp)).collect();
        let files = self.index.entries.iter().filter(|entry| matches!(entry.kind, Kind::File(_)));
        files.filter_map(|entry| Some((entry.path.as_slice(), (entry, *stamps.get(entry.path.as_slice())?)))).collect()
    }
}

/// `<mounts>/<id>/0.state` beside `<mounts>/<id>/0`.
fn file(instance: &Path) -> PathBuf {
    instance.with_extension("state")
}
