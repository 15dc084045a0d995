//! `--ssh`: agents that RUNs may speak to. Keys stay in this process; what a RUN gets is a socket that signs.

mod key;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use self::key::Key;
use self::serve::Answerer;

pub use self::key::KeyError;
pub use self::serve::Listener;

/// Where one agent comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSource {
    /// The name that mounts know it by: `default` where nothing else is written.
    pub id: String,
    /// What answers.
    pub place: AgentPlace,
}

/// What answers a RUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPlace {
    /// The socket of an agent: a RUN may list keys and have things signed, and nothing else.
    Socket(PathBuf),
    /// Any socket: every byte is passed on.
    Raw(PathBuf),
    /// Files of private keys: we are the agent.
    Keys(Vec<PathBuf>),
}

/// Why an agent cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its socket.
    #[error("make the agent's socket in {folder}: {source}")]
    Socket {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Who may use a socket: its mode, user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its mode.
    pub mode: u32,
    /// Its owner, and group; `None` leaves them ours.
    pub owner: Option<(u32, u32)>,
}

/// The agents of a build, by id. Clones share what was read; as data, it is the places alone.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Agents {
    sources: Vec<AgentSource>,
    #[serde(skip)]
    keys: Arc<Mutex<BTreeMap<String, Arc<Vec<Key>>>>>,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Agents").field(&self.sources).finish()
    }
}

impl Agents {
    /// Nothing is read yet. Of two with one id the later counts.
    pub fn new(sources: Vec<AgentSource>) -> Self {
        Self { sources, keys: Arc::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Where one comes from.
    pub fn source(&self, id: &str) -> Option<&AgentSource> {
        self.sources.iter().rfind(|source| source.id == id)
    }

    /// Reads all keys, now: later this process may be somebody else, who may not.
    ///
    /// # Errors
    /// The first file that gives no key.
    pub fn read_all(&self) -> Result<(), KeyError> {
        self.sources.iter().try_for_each(|source| match &source.place {
            AgentPlace::Keys(files) => self.keys(&source.id, files).map(drop),
            AgentPlace::Socket(_) | AgentPlace::Raw(_) => Ok(()),
        })
    }

    fn keys(&self, id: &str, files: &[PathBuf]) -> Result<Arc<Vec<Key>>, KeyError> {
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = known.get(id) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(files.iter().map(|file| Key::read(file)).collect::<Result<Vec<_>, _>>()?);
        known.insert(id.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }

    /// Opens a socket in `folder` (which is made) on which the agent answers until the listener is dropped; its path is
    /// what `SSH_AUTH_SOCK` wants. `None` where nobody gave this agent.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn listen(&self, id: &str, folder: &Path, access: Access) -> Result<Option<Listener>, AgentError> {
        let Some(source) = self.source(id) else { return Ok(None) };
        let answerer = match &source.place {
            AgentPlace::Socket(path) => Answerer::Socket(path.clone()),
            AgentPlace::Raw(path) => Answerer::Raw(path.clone()),
            AgentPlace::Keys(files) => Answerer::Keys(self.keys(id, files)?),
        };
        let opened = || {
            std::fs::create_dir_all(folder)?;
            let listener = Listener::start(folder, "agent", answerer)?;
            std::fs::set_permissions(listener.path(), std::fs::Permissions::from_mode(access.mode))?;
            if let Some((uid, gid)) = access.owner {
                std::os::unix::fs::chown(listener.path(), Some(uid), Some(gid))?;
            }
            Ok(listener)
        };
        opened().map(Some).map_err(|source| AgentError::Socket { folder: folder.to_path_buf(), source })
    }
}
