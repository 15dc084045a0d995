//! Ports of the host, taken before anything else is done: what is not to be had is said with whose it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::error::NetworkError;
use super::owner;
use super::ports::{self, ContainerPort, Protocol, Publish, Published};
use crate::config::{Network, NetworkMode};

/// Connections that wait until the forwarder takes them.
const BACKLOG: i32 = 1024;

/// How often another port is asked of the kernel when the first is taken in the other family of addresses.
const TRIES: usize = 16;

/// A port of the host that is ours.
#[derive(Debug)]
pub struct Claim {
    /// Where it listens, and where that leads.
    pub published: Published,
    /// The socket.
    pub socket: OwnedFd,
}

/// Takes every port that is asked for.
///
/// # Errors
/// The first that is not to be had, and why.
pub fn claim(wanted: &[Publish]) -> Result<Vec<Claim>, NetworkError> {
    let mut claims = Vec::with_capacity(wanted.len());
    for publish in wanted {
        if publish.container.protocol == Protocol::Sctp {
            return Err(NetworkError::Sctp(publish.container));
        }
        claims.extend(claim_one(publish)?);
    }
    Ok(claims)
}

fn claim_one(publish: &Publish) -> Result<Vec<Claim>, NetworkError> {
    let addresses = addresses(publish);
    let container = publish.container;
    match publish.host {
        Some((first, last)) if first == last => {
            at(&addresses, first, container).map_err(|refused| refused.explain(container.protocol))
        }
        Some((first, last)) => {
            for port in first..=last {
                match at(&addresses, port, container) {
                    Err(Refused { errno: Errno::ADDRINUSE, .. }) => {}
                    other => return other.map_err(|refused| refused.explain(container.protocol)),
                }
            }
            Err(NetworkError::RangeTaken { first, last, container })
        }
        None => {
            let mut tried = at(&addresses, 0, container);
            for _ in 1..TRIES {
                if !matches!(tried, Err(Refused { errno: Errno::ADDRINUSE, .. })) {
                    break;
                }
                tried = at(&addresses, 0, container);
            }
            tried.map_err(|refused| refused.explain(container.protocol))
        }
    }
}

/// A port of the host that somebody has.
#[derive(Debug)]
pub struct Busy {
    host: SocketAddr,
    protocol: Protocol,
    by: String,
}

impl Busy {
    /// The first of the ports that a container is to be given that somebody has who can be named: one of Estiba's containers,
    /// of which `mapped` tells, or a process. Looked for before a user namespace is entered: from inside, nobody may look into
    /// processes outside, and [`claim`] knows no name.
    pub fn find(config: &Network, mapped: impl FnOnce() -> Vec<(String, Published)>) -> Option<Self> {
        use NetworkMode::{Container, Host, None as Without};
        if matches!(config.mode, Host | Without | Container(_)) {
            return None;
        }
        let wanted = ports::wanted(config).ok()?;
        let busy = wanted.iter().find_map(|publish| {
            let port = publish.host.filter(|(first, last)| first == last)?.0;
            let taken = |refused: &Refused| refused.errno == Errno::ADDRINUSE;
            let refused = at(&addresses(publish), port, publish.container).err().filter(taken)?;
            Some((refused.host, publish.container.protocol))
        });
        let (host, protocol) = busy?;
        let same = |published: &Published| {
            let (ip, other) = (host.ip(), published.host.ip());
            let overlap =
                ip == other || ip.is_ipv4() == other.is_ipv4() && (ip.is_unspecified() || other.is_unspecified());
            overlap && published.host.port() == host.port() && published.container.protocol == protocol
        };
        let own = mapped().into_iter().find(|(_, published)| same(published));
        let by = own.map(|(name, _)| format!("container {name}")).or_else(|| owner::of(host, protocol))?;
        Some(Self { host, protocol, by })
    }

    /// Names who has the port in what was said when it was not to be had.
    pub fn name_in(&self, said: &str) -> String {
        let Self { host, protocol, by } = self;
        let taken =
            |by: &str| NetworkError::Taken { host: *host, protocol: *protocol, by: Some(by.to_owned()) }.to_string();
        // Whoever it named: root is told of a container's forwarder, others of nobody.
        match said.split_once(&taken("")) {
            Some((before, _)) => format!("{before}{}", taken(by)),
            None => said.to_owned(),
        }
    }
}

/// Where it is to listen.
fn addresses(publish: &Publish) -> Vec<IpAddr> {
    match publish.address {
        Some(address) => vec![address],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    }
}

/// Why one address was not to be had.
#[derive(Debug)]
struct Refused {
    host: SocketAddr,
    errno: Errno,
}

impl Refused {
    fn explain(self, protocol: Protocol) -> NetworkError {
        match self.errno {
            Errno::ADDRINUSE => NetworkError::Taken { host: self.host, protocol, by: owner::of(self.host, protocol) },
            Errno::ACCESS | Errno::PERM => {
                NetworkError::Privileged { port: self.host.port(), least: first_free_port() }
            }
            Errno::ADDRNOTAVAIL => NetworkError::NoSuchAddress(self.host.ip()),
            errno => sys::Error::new("listen", self.host.to_string(), errno).into(),
        }
    }
}

/// The first port of the host that is everybody's.
pub(super) fn first_free_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// Takes one port at all addresses. Where it is 0, the kernel chooses at the first, and the others follow.
fn at(addresses: &[IpAddr], port: u16, container: ContainerPort) -> Result<Vec<Claim>, Refused> {
    let (mut claims, mut port) = (Vec::new(), port);
    for address in addresses {
        let host = SocketAddr::new(*address, port);
        match listen(host, container.protocol) {
            Ok((host, socket)) => {
                port = host.port();
                claims.push(Claim { published: Published { container, host }, socket });
            }
            // A machine without IPv6 has all that it can have.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if !claims.is_empty() => {}
            Err(errno) => return Err(Refused { host, errno }),
        }
    }
    Ok(claims)
}

fn listen(host: SocketAddr, protocol: Protocol) -> Result<(SocketAddr, OwnedFd), Errno> {
    let family = if host.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if protocol == Protocol::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if host.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections that ended a moment ago keep nobody from listening.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &host)?;
    if protocol == Protocol::Tcp {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    let bound = rustix::net::getsockname(&socket)?;
    let bound = SocketAddr::try_from(bound).map_err(|_| Errno::AFNOSUPPORT)?;
    Ok((bound, socket))
}

#[cfg(test)]
mod tests {
    use super::super::ports::parse_publish;
    use super::*;

    fn one(written: &str) -> Result<Vec<Claim>, NetworkError> {
        claim(&parse_publish(written).unwrap())
    }

    #[test]
    fn both_families_have_the_same_port_of_the_kernels_choice() {
        let claims = one("80").unwrap();
        let port = claims[0].published.host.port();
        assert!(port > 0 && claims.iter().all(|claim| claim.published.host.port() == port));
        let again = one(&format!("{port}:80")).unwrap_err();
        let said = again.to_string();
        assert!(said.contains(&format!(":{port}/tcp is taken by ")), "{said}");
        assert!(said.contains(&std::process::id().to_string()), "{said}");
    }

    #[test]
    fn one_of_a_range_is_taken() {
        let first = one("127.0.0.1::80/udp").unwrap();
        let port = first[0].published.host.port();
        let second = one(&format!("127.0.0.1:{port}-{}:80/udp", port.saturating_add(20))).unwrap();
        assert_ne!(second[0].published.host.port(), port);
        let said = one(&format!("127.0.0.1:{port}:80/udp")).unwrap_err().to_string();
        assert!(said.contains("/udp is taken"), "{said}");
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        assert!(one("192.0.2.77:8080:80").unwrap_err().to_string().contains("no address of this host"));
        assert!(one("8080:80/sctp").unwrap_err().to_string().contains("SCTP"));
    }
}
