//! Running a program in a tree.

use serde::{Deserialize, Serialize};

use crate::Mount;

/// A program and everything that can change what it does. Input 0 is its root file system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Proxy variables: given to the program, kept out of every digest.
    pub proxy_env: Vec<(String, String)>,
    /// Working directory, absolute.
    pub cwd: String,
    /// `user[:group]`, names or numbers, resolved in the tree; empty is root.
    pub user: String,
    /// Host name; the builder's default where absent.
    pub hostname: Option<String>,
    /// Which network it sees.
    pub network: Network,
    /// How far it is confined.
    pub security: Security,
    /// What is mounted for it, in order.
    pub mounts: Vec<Mount>,
}

/// Which network a program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// What the build was told to use.
    #[default]
    Default,
    /// Only a loopback of its own.
    None,
    /// The host's.
    Host,
}

/// How far a program is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Default capabilities, seccomp profile and masks.
    #[default]
    Sandbox,
    /// All capabilities that the builder itself has.
    Insecure,
}
