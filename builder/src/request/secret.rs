//! Secrets: where a build finds them. Their bytes are read when they are wanted, and kept in memory only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Deref;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// As large as a secret may be, which is BuildKit's limit: more is no password but a file somebody named by mistake.
pub const MAX_SECRET: u64 = 500 << 10;

/// Where one secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSource {
    /// The name that mounts know it by.
    pub id: String,
    /// What holds it.
    pub place: SecretPlace,
}

/// What holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPlace {
    /// A file.
    File(PathBuf),
    /// A variable of our own environment.
    Variable(String),
}

/// Why a secret that is there cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// More than [`MAX_SECRET`].
    #[error("secret {id:?}: {path} has more than {} KiB", MAX_SECRET >> 10)]
    TooLarge {
        /// Its name.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("secret {id:?}: read {path}: {why}")]
    Read {
        /// Its name.
        id: String,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        why: String,
    },
}

/// A secret's bytes. What is printed of it is its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// What reading one gave: a pipe is read once, also where that failed.
type Read = Result<Option<Secret>, SecretError>;

/// The secrets of a build, by id. Clones share what was read; as data, it is the places alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets {
    sources: Vec<SecretSource>,
    #[serde(skip)]
    known: Arc<Mutex<BTreeMap<String, Read>>>,
}

impl Secrets {
    /// Nothing is read yet. Of two with one id the later counts.
    pub fn new(sources: Vec<SecretSource>) -> Self {
        Self { sources, known: Arc::default() }
    }

    /// The variable that a secret was to come from.
    pub(crate) fn variable(&self, id: &str) -> Option<&str> {
        let source = self.sources.iter().rev().find(|source| source.id == id)?;
        match &source.place {
            SecretPlace::Variable(name) => Some(name),
            SecretPlace::File(_) => None,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The bytes of one; `None` where nobody gave it, or its variable is not set.
    ///
    /// # Errors
    /// [`SecretError`] where it was given and cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Secret>, SecretError> {
        let Some(source) = self.sources.iter().rfind(|source| source.id == id) else { return Ok(None) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(id.to_owned()).or_insert_with(|| read(source)).clone()
    }

    /// Reads all that can be read, now: later this process may be somebody else, who may not. What cannot be read is an
    /// error only for who wants it.
    pub fn read_all(&self) {
        for source in &self.sources {
            drop(self.get(&source.id));
        }
    }
}

fn read(source: &SecretSource) -> Read {
    let path = match &source.place {
        SecretPlace::Variable(name) => {
            return Ok(std::env::var_os(name).map(|value| Secret(value.into_vec().into())));
        }
        SecretPlace::File(path) => path,
    };
    let mut bytes = Vec::new();
    // A pipe has no size beforehand, and a file may grow: one byte more than the limit says that there is too much.
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut bytes))
        .map_err(|error| SecretError::Read { id: source.id.clone(), path: path.clone(), why: error.to_string() })?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(SecretError::TooLarge { id: source.id.clone(), path: path.clone() });
    }
    Ok(Some(Secret(bytes.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: PathBuf) -> Secrets {
        Secrets::new(vec![SecretSource { id: "s".to_owned(), place: SecretPlace::File(path) }])
    }

    #[test]
    fn bytes_come_as_they_are_and_only_from_who_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, b"a\0\xff\n").unwrap();
        let secrets = file(path.clone());
        assert_eq!(secrets.get("s").unwrap().as_deref(), Some(&b"a\0\xff\n"[..]));
        assert_eq!(secrets.get("other").unwrap(), None);
        assert_eq!(format!("{:?}", secrets.get("s").unwrap().unwrap()), "Secret(4 bytes)");
        std::fs::remove_file(&path).unwrap();
        assert!(secrets.clone().get("s").unwrap().is_some(), "it was read once");
        assert!(matches!(file(path).get("s"), Err(SecretError::Read { .. })));
    }

    #[test]
    fn half_a_megabyte_is_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, vec![b'x'; MAX_SECRET as usize]).unwrap();
        assert!(file(path.clone()).get("s").is_ok());
        std::fs::write(&path, vec![b'x'; MAX_SECRET as usize + 1]).unwrap();
        assert_eq!(file(path.clone()).get("s"), Err(SecretError::TooLarge { id: "s".to_owned(), path }));
    }

    #[test]
    fn as_data_it_is_places_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, "hunter2-hunter2").unwrap();
        let secrets = file(path);
        secrets.read_all();
        let text = serde_json::to_string(&secrets).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        let again: Secrets = serde_json::from_str(&text).unwrap();
        assert!(again.get("s").unwrap().is_some());
    }

    #[test]
    fn a_variable_that_is_not_set_is_no_secret() {
        let place = SecretPlace::Variable("SURELY_NOT_SET_ANYWHERE".to_owned());
        assert_eq!(Secrets::new(vec![SecretSource { id: "s".to_owned(), place }]).get("s"), Ok(None));
    }
}
