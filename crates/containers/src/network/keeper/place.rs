//! Where bridges are: the host's network for root, a network namespace of the keeper's for everybody else.
//!
//! The keeper itself never leaves the host's network, where it asks other name servers. What must be made in another network
//! namespace is made by a child that steps in, and comes back as descriptors: a socket belongs to the namespace it was made in.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::channel::{self, Received};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;
use sys::netlink::Socket;
use sys::ns::Namespaces;

use super::KeeperError;
use crate::network::dns;

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
        let _ = forward();
        Ok(Self { namespace: None, route: Socket::route()?, rules: Socket::netfilter().ok() })
    }

    /// A network namespace of our own, for who is root in its user namespace.
    pub(super) fn new() -> Result<Self, KeeperError> {
        let mut made = elsewhere(|| {
            sys::ns::unshare(Namespaces::NEWNET)?;
            sys::netif::loopback_up()?;
            let namespace = std::fs::File::open("/proc/self/ns/net");
            let namespace = namespace.map_err(|error| sys::Error::from_io("open", "/proc/self/ns/net", &error))?;
            // Without it nothing leaves; a network without a way out is one all the same.
            let _ = forward();
            let rules = Socket::netfilter().ok().map(OwnedFd::from);
            Ok([Some(namespace.into()), Some(Socket::route()?.into()), rules].into_iter().flatten().collect())
        })?
        .into_iter();
        let (Some(namespace), Some(route)) = (made.next(), made.next()) else { return Err(KeeperError::Child) };
        let rules = made.next().map(Socket::from_fd);
        Ok(Self { namespace: Some(namespace), route: Socket::from_fd(route), rules })
    }

    /// Sockets of a name server on a gateway.
    pub(super) fn name_server(&self, gateway: IpAddr) -> Result<(UdpSocket, TcpListener), KeeperError> {
        let at = (gateway, dns::PORT);
        let open = || {
            let failed =
                |error: std::io::Error| sys::Error::from_io("bind", format!("{gateway}:{}", dns::PORT), &error);
            Ok((UdpSocket::bind(at).map_err(failed)?, TcpListener::bind(at).map_err(failed)?))
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

/// Lets packets through from one interface to another.
fn forward() -> std::io::Result<()> {
    // Where there is no IPv6, there is nothing to forward of it.
    drop(std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1"));
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
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
