//! `certs.d/HOST/`: roots (`*.crt`) and client certificates (`*.cert` with `*.key`) of a host.
//! Format: docker's "Verify repository client with certificates"; containers-certs.d(5).

use std::path::{Path, PathBuf};

use super::file::{self, ConfigError};
use crate::error::Result;
use crate::tls::{Identity, Pem};

/// Files of such a folder.
const MOST_FILES: usize = 256;

/// Whom to believe at a host, and who we are there, beside what holds everywhere.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// Roots.
    pub roots: Vec<Pem>,
    /// Who we are: of several client certificates the first by the name of its file.
    pub identity: Option<Identity>,
}

impl Certificates {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.identity.is_none()
    }

    /// Reads the files of a folder; `None` where there is no folder.
    pub(super) fn of_folder(folder: &Path) -> Result<Option<Self>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let files = file::entries(folder, MOST_FILES)?;
        let mut found = Self::default();
        for path in &files {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.roots.push(Pem::read(path)?),
                Some("cert") if found.identity.is_none() => {
                    found.identity = Some(Identity::read(path, &key_of(path)?)?)
                }
                Some("key") if !path.with_extension("cert").exists() => return Err(alone(path, "cert").into()),
                _ => {}
            }
        }
        Ok(Some(found))
    }

    /// Reads the files that a `hosts.toml` names.
    pub(super) fn of_files(roots: &[PathBuf], identities: &[(PathBuf, Option<PathBuf>)]) -> Result<Self> {
        let roots = roots.iter().map(|path| Pem::read(path)).collect::<std::result::Result<_, _>>()?;
        let identity = |(certificate, key): &(PathBuf, Option<PathBuf>)| {
            Identity::read(certificate, key.as_ref().unwrap_or(certificate))
        };
        Ok(Self { roots, identity: identities.first().map(identity).transpose()? })
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.roots.extend(other.roots);
        self.identity = self.identity.take().or(other.identity);
    }
}

fn key_of(certificate: &Path) -> Result<PathBuf, ConfigError> {
    let key = certificate.with_extension("key");
    if key.exists() { Ok(key) } else { Err(alone(certificate, "key")) }
}

fn alone(path: &Path, missing: &str) -> ConfigError {
    let other = path.with_extension(missing);
    let problem = format!("{} belongs to it, and is not there", other.display());
    ConfigError::Read { path: path.to_owned(), source: std::io::Error::other(problem) }
}
