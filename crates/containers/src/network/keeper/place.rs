//! Where bridges are: the host's network for root, a network namespace of the keeper's for everybody else.
//!
//! The keeper itself never leaves the host's network, where it asks other name servers. What must be made in another network
//! namespace is made by a child that steps in, and comes back as descriptors: a socket belongs to the namespace it was made in.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::channel::{self, Received};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;
use sys::netlink::Socket;
use sys::ns::Namespaces;

use super::{KeeperError, forwarding};
use crate::network::definition::Definition;
use crate::network::dns;

/// Connections that wait until the name server takes them: as many as the standard library has.
const BACKLOG: i32 = 128;

/// Where bridges are.
#[derive(Debug)]
pub(super) struct Place {
    /// The network namespace; `None`: the host's, where the keeper is.
    pub(super) namespace: Option<OwnedFd>,
    /// Its interfaces.
    pub(super) route: Socket,
    /// Its packet rules; `None` where the kernel has none.
    pub(super) rules: Option<Socket>,
}

impl Place {
    /// The host's network.
    pub(super) fn host() -> Result<Self, KeeperError> {
        Ok(Self { namespace: None, route: Socket::route()?, rules: Socket::netfilter().ok() })
    }

    /// A network namespace of our own, for who is root in its user namespace.
    pub(super) fn new() -> Result<Self, KeeperError> {
        let mut made = elsewhere(|| {
            sys::ns::unshare(Namespaces::NEWNET)?;
            sys::netif::loopback_up()?;
            let namespace = std::fs::File::open("/proc/self/ns/net");
            let namespace = namespace.map_err(|error| sys::Error::from_io("open", "/proc/self/ns/net", &error))?;
            let rules = Socket::netfilter().ok().map(OwnedFd::from);
            Ok([Some(namespace.into()), Some(Socket::route()?.into()), rules].into_iter().flatten().collect())
        })?
        .into_iter();
        let (Some(namespace), Some(route)) = (made.next(), made.next()) else { return Err(KeeperError::Child) };
        let rules = made.next().map(Socket::from_fd);
        Ok(Self { namespace: Some(namespace), route: Socket::from_fd(route), rules })
    }

    /// Lets packets of a network's bridge through; why they are not.
    pub(super) fn forward(&mut self, network: &Definition) -> Result<(), String> {
        let bridge = network.bridge();
        let six = network.subnets.iter().any(|subnet| subnet.gateway.is_ipv6());
        let Some(namespace) = &self.namespace else {
            forwarding::ignore_advertisements(&bridge);
            return if network.internal { Ok(()) } else { forwarding::on_host(self.rules.as_mut(), six) };
        };
        let done = elsewhere(|| {
            step_into(namespace.as_fd())?;
            forwarding::ignore_advertisements(&bridge);
            if !network.internal {
                forwarding::in_own_namespace(six)?;
            }
            Ok(Vec::new())
        });
        done.map(drop).map_err(|error| error.to_string())
    }

    /// Sockets of a name server on a gateway, which hear nobody who is not at its bridge.
    pub(super) fn name_server(&self, gateway: IpAddr, bridge: &str) -> Result<(UdpSocket, TcpListener), KeeperError> {
        let open = || {
            let at = SocketAddr::new(gateway, dns::PORT);
            Ok((listen(SocketType::DGRAM, at, bridge)?.into(), listen(SocketType::STREAM, at, bridge)?.into()))
        };
        let Some(namespace) = &self.namespace else { return Ok(open()?) };
        let made = elsewhere(|| {
            step_into(namespace.as_fd())?;
            let (datagrams, streams) = open()?;
            Ok(vec![datagrams.into(), streams.into()])
        })?;
        let [datagrams, streams] = <[OwnedFd; 2]>::try_from(made).map_err(|_| KeeperError::Child)?;
        Ok((datagrams.into(), streams.into()))
    }
}

/// The interfaces of another network namespace.
pub(super) fn interfaces(namespace: BorrowedFd<'_>) -> Result<Socket, KeeperError> {
    let made = elsewhere(|| {
        step_into(namespace)?;
        Ok(vec![Socket::route()?.into()])
    })?;
    made.into_iter().next().map(Socket::from_fd).ok_or(KeeperError::Child)
}

pub(super) fn step_into(namespace: BorrowedFd<'_>) -> sys::Result<()> {
    let network = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(namespace, network).map_err(|errno| sys::Error::new("setns", "", errno))
}

/// A socket on an address, of one interface.
fn listen(kind: SocketType, at: SocketAddr, interface: &str) -> sys::Result<OwnedFd> {
    let failed = |call| move |errno| sys::Error::new(call, at.to_string(), errno);
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(failed("socket"))?;
    sys::netif::bind_to(&socket, interface)?;
    if kind == SocketType::STREAM {
        // Connections that have just ended are no reason not to listen again.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true).map_err(failed("setsockopt"))?;
    }
    rustix::net::bind(&socket, &at).map_err(failed("bind"))?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG).map_err(failed("listen"))?;
    }
    Ok(socket)
}

/// Has a child do something wherever it goes, and gives the descriptors that it came to.
fn elsewhere(work: impl FnOnce() -> sys::Result<Vec<OwnedFd>>) -> Result<Vec<OwnedFd>, KeeperError> {
    let (ours, theirs) = channel::pair()?;
    let child = sys::fork::child(|| {
        let (word, fds) = match work() {
            Ok(fds) => (0, fds),
            Err(error) => (error.errno().raw_os_error(), Vec::new()),
        };
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        u8::from(channel::send(&theirs, &word.to_ne_bytes(), &borrowed).is_err())
    })?;
    drop(theirs);
    let received = channel::receive(&ours, true);
    child.wait()?;
    match received? {
        Received::Packet(bytes, fds) => match <[u8; 4]>::try_from(bytes.as_slice()).map(i32::from_ne_bytes) {
            Ok(0) => Ok(fds),
            Ok(errno) => Err(sys::Error::new("network namespace", "", Errno::from_raw_os_error(errno)).into()),
            Err(_) => Err(KeeperError::Child),
        },
        Received::Nothing | Received::End => Err(KeeperError::Child),
    }
}
