//! `--ssh`: agents that RUNs may speak to. Keys stay in this process; what a RUN gets is a socket that signs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

/// The agents of a build, by id. As data, it is the places alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Agents {
    sources: Vec<AgentSource>,
}

impl Agents {
    /// Nothing is read yet. Of two with one id the later counts.
    pub fn new(sources: Vec<AgentSource>) -> Self {
        Self { sources }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Where one comes from.
    pub fn source(&self, id: &str) -> Option<&AgentSource> {
        self.sources.iter().rfind(|source| source.id == id)
    }
}
