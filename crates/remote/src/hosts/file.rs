//! A file of TOML: bounded, and with errors that name the line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// No such file is larger.
const MOST_BYTES: u64 = 1 << 20;

/// Why a file about hosts is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than any such file.
    #[error("{}: larger than {MOST_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// It does not say what such a file may say.
    #[error("{}:{line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A short name means several things, and the file wants none to be guessed.
    #[error("the short name `{name}` is ambiguous, and {} forbids to guess: write one of {}", .path.display(), .candidates.join(", "))]
    Ambiguous {
        /// As it was written.
        name: String,
        /// The file.
        path: PathBuf,
        /// What it could mean.
        candidates: Vec<String>,
    },
}

/// The text of a file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::Line { path: path.to_owned(), line, problem: "not UTF-8".to_owned() }
    })?;
    Ok(Some(text))
}

pub(crate) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// The entries of a folder, by name; none where there is no folder, and no more than `most`.
pub(super) fn entries(folder: &Path, most: usize) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { path: folder.to_owned(), source };
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found =
        listed.take(most).map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    found.sort();
    Ok(found)
}

/// A text that is being read: turns places of it into lines.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, crate::error::printable(error.message()))
        })
    }

    /// An error at a byte of the text.
    pub(super) fn wrong(self, at: usize, problem: impl Into<String>) -> ConfigError {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::Line { path: self.path.to_owned(), line, problem: problem.into() }
    }
}
