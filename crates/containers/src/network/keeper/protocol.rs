//! What is said on the keeper's socket: packets of JSON, a request and its answer at a time. A connection is also a hold: while one
//! is open, the keeper stays.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ContainerId;
use crate::config::Endpoint;
use crate::network::lease::Leased;
use crate::state::ProcessId;

/// What is asked of a keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Who are you?
    Hello,
    /// Connect a container; the network namespace is the descriptor beside it. One that is connected keeps what it has and gets
    /// more; one that was connected with another namespace loses what it had.
    Join(Box<Join>),
    /// Disconnect a container, from all networks or one.
    Leave {
        /// The container.
        container: ContainerId,
        /// The network's id.
        network: Option<ContainerId>,
    },
    /// A container has another name.
    Rename {
        /// The container.
        container: ContainerId,
        /// The name.
        name: String,
    },
}

/// A container that is to be connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The container.
    pub container: ContainerId,
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: Option<String>,
    /// Whose end is the end of this.
    pub supervisor: ProcessId,
    /// Name servers that answer it instead of the host's.
    pub servers: Vec<IpAddr>,
    /// Where.
    pub endpoints: Vec<Endpoint>,
    /// Whether this is all that it is to have: what it has already is let go of first.
    pub anew: bool,
}

/// What a container's networks came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Joined {
    /// All that it has now.
    pub endpoints: Vec<Leased>,
    /// What answers names for it; empty where its networks have no such.
    pub name_servers: Vec<IpAddr>,
    /// Who carries what leaves.
    pub driver: Option<String>,
    /// What could not be had.
    pub notes: Vec<String>,
}

/// What a keeper answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// This process.
    Here(ProcessId),
    /// Connected.
    Joined(Joined),
    /// Done.
    Done,
    /// Not done; why.
    Failed(String),
}
