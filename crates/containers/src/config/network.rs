//! The network of a container.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Which.
    pub mode: Mode,
}

/// Which network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The host's.
    #[default]
    Host,
    /// Loopback only.
    None,
    /// One of its own, with a way out.
    Private,
    /// That of another container, by its id.
    Container(crate::ContainerId),
    /// Networks of the user; the first is the default route.
    Networks(Vec<Endpoint>),
}

/// A container's place in one network of the user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// The network, by name.
    pub network: String,
    /// More names that others in this network reach it by.
    pub aliases: Vec<String>,
    /// The address it wants.
    pub ip: Option<Ipv4Addr>,
    /// The IPv6 address it wants.
    pub ip6: Option<Ipv6Addr>,
    /// The hardware address it wants.
    pub mac: Option<[u8; 6]>,
    /// Names that only it sees, and which container (by name or id) each means: `--link`.
    pub links: Vec<Link>,
}

/// A name that one container sees another by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The other, by name or id.
    pub container: String,
    /// The name.
    pub alias: String,
}
