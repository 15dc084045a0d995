//! The network of a container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::network::ports::{ContainerPort, Publish};

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Which.
    pub mode: Mode,
    /// Ports of the host that lead inside (`-p`).
    pub ports: Vec<Publish>,
    /// Whether every exposed port is published on a port of the kernel's choice (`-P`).
    pub publish_all: bool,
    /// Ports that the image or `--expose` names, each once, sorted.
    pub exposed: Vec<ContainerPort>,
    /// Name servers instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Domains that names are looked up in, instead of the host's; `.` alone is none.
    pub dns_search: Vec<String>,
    /// Options of the resolver, instead of the host's.
    pub dns_options: Vec<String>,
    /// More names for `/etc/hosts` (`--add-host`).
    pub hosts: Vec<Host>,
    /// Whether `/etc/hosts` is the image's own.
    pub no_hosts: bool,
    /// Whether `/etc/hostname` is the image's own.
    pub no_hostname: bool,
    /// The hardware address of its interface.
    pub mac: Option<MacAddress>,
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
    Private(Carrier),
    /// That of another container: its id; its name until it is settled.
    Container(String),
    /// Networks of the user; the first is the default route.
    Networks(Vec<Endpoint>),
}

/// Who carries a private network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// The best that there is.
    #[default]
    Any,
    /// The program `pasta`.
    Pasta,
    /// The program `slirp4netns`.
    Slirp4netns,
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
    pub mac: Option<MacAddress>,
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

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name.
    pub name: String,
    /// Its address; `None` is the host's, as the container reaches it (`host-gateway`).
    pub address: Option<IpAddr>,
}

/// The hardware address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// Not a hardware address that an interface can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the hardware address of one interface: six pairs of hexadecimal digits, as 02:42:ac:11:00:02")]
pub struct BadMac(pub String);

impl std::str::FromStr for MacAddress {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        // An odd first byte is that of a group.
        if parts.next().is_some() || bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for MacAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for MacAddress {
    type Error = BadMac;

    fn try_from(text: String) -> Result<Self, BadMac> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        let mac: MacAddress = "02:42:AC-11:00:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:ac:11:00:ff");
        for bad in
            ["", "02:42:ac:11:00", "02:42:ac:11:00:ff:00", "01:42:ac:11:00:ff", "00:00:00:00:00:00", "0:1:2:3:4:5"]
        {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }
}
