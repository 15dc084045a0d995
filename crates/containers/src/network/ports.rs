//! Published ports, as data: how `-p` is written, and what it means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The most ports that one container publishes: each is a socket, and a process has 1,024 descriptors by default.
pub const MAX_PUBLISHED: usize = 4096;

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
    /// Connections of SCTP, which nothing here carries: it is parsed so that it can be refused by name.
    Sctp,
}

impl Protocol {
    /// As it is written behind a port.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A port inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerPort {
    /// Its number.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

impl std::fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.as_str())
    }
}

/// One published port, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The host's address that it listens on; `None` is every one, of IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The host's ports that may be taken, first and last; `None` leaves it to the kernel.
    pub host: Option<(u16, u16)>,
    /// Where it leads.
    pub container: ContainerPort,
}

/// One published port, as it came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// Where it leads.
    pub container: ContainerPort,
    /// Where it listens; `0.0.0.0` and `::` are two of these.
    pub host: SocketAddr,
}

/// What is wrong with a port as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a number of a port.
    #[error("{written}: {part:?} is not a port (1-65535)")]
    Number {
        /// All of it.
        written: String,
        /// The part.
        part: String,
    },
    /// Not a range.
    #[error("{written}: the range {part} ends before it begins")]
    Backwards {
        /// All of it.
        written: String,
        /// The part.
        part: String,
    },
    /// Two ranges of different sizes.
    #[error(
        "{written}: {host} ports of the host for {container} of the container: the ranges must be as long as each other"
    )]
    Sizes {
        /// All of it.
        written: String,
        /// How many on the host.
        host: usize,
        /// How many in the container.
        container: usize,
    },
    /// Not an address.
    #[error("{written}: {part:?} is not an address (names are not looked up here)")]
    Address {
        /// All of it.
        written: String,
        /// The part.
        part: String,
    },
    /// Not a protocol.
    #[error("{written}: {part:?} is not a protocol: tcp, udp or sctp")]
    Protocol {
        /// All of it.
        written: String,
        /// The part.
        part: String,
    },
    /// No port of the container.
    #[error("{written}: the port of the container is missing: [[ADDRESS:]HOST-PORT:]CONTAINER-PORT[/PROTOCOL]")]
    Missing {
        /// All of it.
        written: String,
    },
    /// Too many.
    #[error("{count} ports are published: at most {MAX_PUBLISHED} can be")]
    TooMany {
        /// How many.
        count: usize,
    },
}

type Result<T> = std::result::Result<T, PortError>;

/// Reads `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, where HOST and CONTAINER are a port or a range, HOST may be empty, and an IPv6
/// address stands in brackets. One for each port of the container.
///
/// # Errors
/// What is wrong, with the part that is.
pub fn parse_publish(written: &str) -> Result<Vec<Publish>> {
    let (rest, protocol) = protocol(written)?;
    let (address, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once("]:").ok_or_else(|| bad_address(written, rest))?;
            let address = address.parse::<Ipv6Addr>().map_err(|_| bad_address(written, address))?;
            (Some(IpAddr::V6(address)), rest)
        }
        None => split_address(written, rest)?,
    };
    let (host, container) = match rest.rsplit_once(':') {
        Some((host, container)) => (host, container),
        None => ("", rest),
    };
    if container.is_empty() {
        return Err(PortError::Missing { written: written.to_owned() });
    }
    let (first, last) = range(written, container)?;
    // docker's other word for a port that the kernel chooses.
    let host = if host.is_empty() || host == "0" { None } else { Some(range(written, host)?) };
    pair(written, address, host, (first, last), protocol)
}

/// Host ports for container ports: one each, or a range of which one is taken for a single port.
fn pair(
    written: &str,
    address: Option<IpAddr>,
    host: Option<(u16, u16)>,
    (first, last): (u16, u16),
    protocol: Protocol,
) -> Result<Vec<Publish>> {
    let count = |(first, last): (u16, u16)| usize::from(last - first) + 1;
    let publish = |host, port| Publish { address, host, container: ContainerPort { port, protocol } };
    match host {
        Some(host) if first == last => Ok(vec![publish(Some(host), first)]),
        Some(host) if count(host) != count((first, last)) => {
            Err(PortError::Sizes { written: written.to_owned(), host: count(host), container: count((first, last)) })
        }
        Some((host, _)) => Ok((first..=last)
            .map(|port| (host + (port - first), port))
            .map(|(h, c)| publish(Some((h, h)), c))
            .collect()),
        None => Ok((first..=last).map(|port| publish(None, port)).collect()),
    }
}

/// Reads `PORT[-PORT][/PROTOCOL]`, as `EXPOSE` and `--expose` have it.
///
/// # Errors
/// What is wrong, with the part that is.
pub fn parse_exposed(written: &str) -> Result<Vec<ContainerPort>> {
    let (rest, protocol) = protocol(written)?;
    let (first, last) = range(written, rest)?;
    Ok((first..=last).map(|port| ContainerPort { port, protocol }).collect())
}

fn protocol(written: &str) -> Result<(&str, Protocol)> {
    let Some((rest, name)) = written.rsplit_once('/') else { return Ok((written, Protocol::Tcp)) };
    let protocol = match name.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(PortError::Protocol { written: written.to_owned(), part: name.to_owned() }),
    };
    Ok((rest, protocol))
}

/// An address without brackets, of `A:H:C`. IPv6 can stand there too: what is behind the last two colons are the ports.
fn split_address<'w>(written: &str, rest: &'w str) -> Result<(Option<IpAddr>, &'w str)> {
    let mut colons = rest.rmatch_indices(':').map(|(at, _)| at);
    let Some(at) = colons.nth(1) else {
        return match rest.split_once(':') {
            // An address, and one port: the host's is left out by mistake more often than not, but docker takes `IP::PORT` only.
            Some((before, _)) if before.contains('.') => {
                before.parse::<Ipv4Addr>().map_err(|_| bad_address(written, before))?;
                Err(PortError::Missing { written: written.to_owned() })
            }
            _ => Ok((None, rest)),
        };
    };
    let (address, ports) = (&rest[..at], &rest[at + 1..]);
    if address.is_empty() {
        return Ok((None, ports));
    }
    let address = match address {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other.parse().map_err(|_| bad_address(written, other))?,
    };
    Ok((Some(address), ports))
}

fn bad_address(written: &str, part: &str) -> PortError {
    PortError::Address { written: written.to_owned(), part: part.to_owned() }
}

fn range(written: &str, part: &str) -> Result<(u16, u16)> {
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(PortError::Number { written: written.to_owned(), part: text.to_owned() }),
    };
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(part)?, number(part)?),
    };
    if last < first {
        return Err(PortError::Backwards { written: written.to_owned(), part: part.to_owned() });
    }
    Ok((first, last))
}

/// What is asked for in all: `-p`, and with `-P` every exposed port that no `-p` names.
///
/// # Errors
/// More than a process has descriptors for.
pub fn wanted(config: &crate::config::Network) -> Result<Vec<Publish>> {
    let mut all = config.ports.clone();
    if config.publish_all {
        let named = |port: &ContainerPort| config.ports.iter().any(|publish| publish.container == *port);
        let rest = config.exposed.iter().filter(|port| !named(port));
        all.extend(rest.map(|port| Publish { address: None, host: None, container: *port }));
    }
    if all.len() > MAX_PUBLISHED {
        return Err(PortError::TooMany { count: all.len() });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(written: &str) -> String {
        let publish = match parse_publish(written) {
            Ok(publish) => publish,
            Err(error) => return error.to_string(),
        };
        let one = |p: &Publish| {
            let host = p.host.map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
            format!(
                "{}|{}>{}",
                p.address.map(|a| a.to_string()).unwrap_or_default(),
                host.unwrap_or_default(),
                p.container
            )
        };
        publish.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ports_as_people_write_them() {
        for (written, expected) in [
            ("80", "|>80/tcp"),
            ("53/udp", "|>53/udp"),
            ("8080:80", "|8080>80/tcp"),
            ("8080:80/UDP", "|8080>80/udp"),
            ("5000:5000/sctp", "|5000>5000/sctp"),
            (":80", "|>80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1|8080>80/tcp"),
            ("127.0.0.1::80", "127.0.0.1|>80/tcp"),
            ("localhost:8080:80", "127.0.0.1|8080>80/tcp"),
            ("0:80", "|>80/tcp"),
            ("[::1]:8080:80/tcp", "::1|8080>80/tcp"),
            ("[::1]::80", "::1|>80/tcp"),
            ("[::]:80", "::|>80/tcp"),
            ("::1:8080:80", "::1|8080>80/tcp"),
            ("8000-8002:80-82", "|8000>80/tcp |8001>81/tcp |8002>82/tcp"),
            ("8000-8010:80", "|8000-8010>80/tcp"),
            ("80-81", "|>80/tcp |>81/tcp"),
            ("127.0.0.1:7000-7001:7000-7001/udp", "127.0.0.1|7000>7000/udp 127.0.0.1|7001>7001/udp"),
        ] {
            assert_eq!(shown(written), expected, "{written}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (written, part) in [
            ("", "is missing"),
            ("8080:", "is missing"),
            ("0", "\"0\" is not a port"),
            ("65536", "\"65536\" is not a port"),
            ("+80", "\"+80\" is not a port"),
            ("http", "\"http\" is not a port"),
            ("80/icmp", "\"icmp\" is not a protocol"),
            ("82-80", "ends before it begins"),
            ("8000-8001:80-82", "2 ports of the host for 3 of the container"),
            ("example.org:80:80", "\"example.org\" is not an address"),
            ("[1.2.3.4]:80:80", "\"1.2.3.4\" is not an address"),
            ("[::1:80:80", "is not an address"),
            ("1.2.3:80:80", "\"1.2.3\" is not an address"),
            ("127.0.0.1:80", "the port of the container is missing"),
        ] {
            let said = shown(written);
            assert!(said.contains(part), "{written}: {said}");
        }
    }

    #[test]
    fn all_that_is_exposed_once() {
        let exposed = parse_exposed("80-82").unwrap();
        let ports = parse_publish("8080:81").unwrap();
        let config = crate::config::Network { exposed, ports, publish_all: true, ..Default::default() };
        let numbers: Vec<_> = wanted(&config).unwrap().iter().map(|p| p.container.port).collect();
        assert_eq!(numbers, [81, 80, 82]);
    }
}
