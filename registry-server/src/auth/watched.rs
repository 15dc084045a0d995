//! A file as a value: parsed at start, and again when it changes. A new state that is wrong changes
//! nothing but the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::stamp::{Stamps, read_bounded};

/// Why a file is no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is wrong.
    #[error("{path}:{reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// `LINE: what is wrong`.
        reason: String,
    },
}

/// Bytes to value; the error starts with the line.
type Parse<T> = fn(&[u8]) -> Result<T, String>;

/// A parsed file.
pub(crate) struct Watched<T>(Arc<Inner<T>>);

struct Inner<T> {
    path: PathBuf,
    limit: u64,
    parse: Parse<T>,
    stamps: Stamps,
    current: ArcSwap<T>,
}

impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads the file, of at most `limit` bytes.
    pub(crate) fn open(path: &Path, limit: u64, parse: Parse<T>) -> Result<Self, FileError> {
        let stamps = Stamps::of(vec![path.to_owned()]);
        let current = ArcSwap::from_pointee(read(path, limit, parse)?);
        Ok(Self(Arc::new(Inner { path: path.to_owned(), limit, parse, stamps, current })))
    }

    /// What the file says; looks at most once a second whether it changed. It is then read off the reactor: this answer is still the
    /// old one.
    pub(crate) fn get(&self) -> Guard<Arc<T>> {
        if self.0.stamps.changed() {
            let inner = Arc::clone(&self.0);
            super::stamp::off_the_reactor(move || inner.read_again());
        }
        self.0.current.load()
    }

    /// Looks at once.
    pub(crate) fn reload(&self) {
        if self.0.stamps.changed_now() {
            self.0.read_again();
        }
    }
}

impl<T> Inner<T> {
    fn read_again(&self) {
        match read(&self.path, self.limit, self.parse) {
            Ok(new) => {
                self.current.store(Arc::new(new));
                tracing::info!(path = %self.path.display(), "the file changed and was read again");
            }
            Err(error) => tracing::error!(%error, "the file changed and is wrong; what it said before holds"),
        }
    }
}

fn read<T>(path: &Path, limit: u64, parse: Parse<T>) -> Result<T, FileError> {
    let bytes = read_bounded(path, limit).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|reason| FileError::Content { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Result<u32, String> {
        std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| "1: no number".to_owned())
    }

    #[test]
    fn changes_count_and_mistakes_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, 10, number).unwrap();
        assert_eq!(**watched.get(), 1);
        for (text, expected) in [("22", 22), ("x", 22), ("12345678901", 22), ("333", 333)] {
            std::fs::write(&path, text).unwrap();
            watched.reload();
            assert_eq!(**watched.get(), expected, "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        watched.reload();
        assert_eq!(**watched.get(), 333);
        assert!(Watched::open(&path, 10, number).is_err());
    }
}
