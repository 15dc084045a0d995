//! Interfaces: bridges and pairs of virtual Ethernet devices (rtnetlink(7), linux/if_link.h).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::Socket;
use super::message::{CREATE, EXCLUSIVE, Message, attributes, number, text};
use crate::{Error, Result};

const NEW: u16 = 16;
const DELETE: u16 = 17;
const GET: u16 = 18;

const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

const UP: u32 = 1;

/// The longest name of an interface.
pub(super) const NAME_LIMIT: usize = 15;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The number of the bridge that it is a port of.
    pub master: Option<u32>,
    /// Its hardware address; none where it has no such.
    pub mac: Option<[u8; 6]>,
}

/// The other end of a pair.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'p> {
    /// Its name.
    pub name: &'p str,
    /// The network namespace that it is made in.
    pub namespace: BorrowedFd<'p>,
    /// Its hardware address; `None`: the kernel's choice.
    pub mac: Option<[u8; 6]>,
}

impl Socket {
    /// Makes a bridge. EEXIST where the name is taken.
    pub fn add_bridge(&mut self, name: &str, mtu: Option<u32>) -> Result<()> {
        check(name)?;
        let message = Message::new(NEW, CREATE | EXCLUSIVE, &header(0, 0, 0)).text(NAME, name);
        let message = match mtu {
            Some(mtu) => message.number(MTU, mtu),
            None => message,
        };
        self.request(message.nest(INFO, |info| info.text(INFO_KIND, "bridge")), "add bridge", name)
    }

    /// Makes a pair: `name` here, `peer` in its namespace.
    pub fn add_pair(&mut self, name: &str, peer: &Peer<'_>, mtu: Option<u32>) -> Result<()> {
        check(name)?;
        check(peer.name)?;
        let with_mtu = |message: Message| match mtu {
            Some(mtu) => message.number(MTU, mtu),
            None => message,
        };
        let other = |data: Message| {
            data.nest(VETH_PEER, |inner| {
                let inner = inner.raw(&header(0, 0, 0)).text(NAME, peer.name);
                let inner = inner.number(NAMESPACE, peer.namespace.as_raw_fd().cast_unsigned());
                let inner = match peer.mac {
                    Some(mac) => inner.attribute(ADDRESS, &mac),
                    None => inner,
                };
                with_mtu(inner)
            })
        };
        let message = with_mtu(Message::new(NEW, CREATE | EXCLUSIVE, &header(0, 0, 0)).text(NAME, name));
        let message = message.nest(INFO, |info| info.text(INFO_KIND, "veth").nest(INFO_DATA, other));
        self.request(message, "add veth pair", name)
    }

    /// Brings an interface up.
    pub fn up(&mut self, index: u32) -> Result<()> {
        self.request(Message::new(NEW, 0, &header(index, UP, UP)), "set up interface", &index.to_string())
    }

    /// Makes an interface a port of a bridge.
    pub fn enslave(&mut self, index: u32, bridge: u32) -> Result<()> {
        let message = Message::new(NEW, 0, &header(index, 0, 0)).number(MASTER, bridge);
        self.request(message, "join bridge", &index.to_string())
    }

    /// Removes an interface, and with it the other end of a pair. What is not there is not an error.
    pub fn remove_link(&mut self, name: &str) -> Result<()> {
        check(name)?;
        let message = Message::new(DELETE, 0, &header(0, 0, 0)).text(NAME, name);
        match self.request(message, "remove interface", name) {
            Err(error) if error.errno() == Errno::NODEV => Ok(()),
            other => other,
        }
    }

    /// The interface of that name; `None` where there is none.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        check(name)?;
        let message = Message::new(GET, 0, &header(0, 0, 0)).text(NAME, name);
        let mut found = None;
        match self.get(message, |kind, body| found = found.take().or_else(|| parse(kind, body))) {
            Ok(()) => Ok(found),
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(Error::new("get interface", name, errno)),
        }
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        self.dump(Message::new(GET, 0, &header(0, 0, 0)), |kind, body| links.extend(parse(kind, body)))?;
        Ok(links)
    }
}

/// `struct ifinfomsg`.
fn header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for value in [index, flags, change] {
        bytes.extend_from_slice(&value.to_ne_bytes());
    }
    bytes
}

fn parse(kind: u16, body: &[u8]) -> Option<Link> {
    if kind != NEW {
        return None;
    }
    let mut link = Link { index: number(body.get(4..)?)?, name: String::new(), master: None, mac: None };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            NAME => link.name = text(value),
            MASTER => link.master = number(value),
            ADDRESS => link.mac = value.try_into().ok(),
            _ => {}
        }
    }
    Some(link)
}

fn check(name: &str) -> Result<()> {
    let fine = !name.is_empty() && name.len() <= NAME_LIMIT && !name.bytes().any(|b| b == b'/' || b <= b' ');
    if fine { Ok(()) } else { Err(Error::new("interface name", name, Errno::INVAL)) }
}
