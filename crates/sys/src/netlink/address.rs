//! Addresses and routes (rtnetlink(7)).

use std::net::IpAddr;

use rustix::io::Errno;

use super::Socket;
use super::message::{CREATE, EXCLUSIVE, Message};
use crate::Result;

const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;

/// An IPv6 address is used at once: nobody else on a bridge of ours has it.
const NO_DUPLICATE_DETECTION: u8 = 0x02;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const UNICAST: u8 = 1;

impl Socket {
    /// Gives an interface an address with its network's prefix. One that it has already is not an error.
    pub fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<()> {
        let mut header = vec![family(address), prefix, NO_DUPLICATE_DETECTION, SCOPE_UNIVERSE];
        header.extend_from_slice(&index.to_ne_bytes());
        let octets = octets(address);
        let message = Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE, &header);
        let message = message.attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets);
        let message = match address {
            IpAddr::V4(v4) if prefix < 31 => {
                let broadcast = u32::from(v4) | u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                message.attribute(IFA_BROADCAST, &broadcast.to_be_bytes())
            }
            _ => message,
        };
        match self.request(message, "add address", &format!("{address}/{prefix}")) {
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            other => other,
        }
    }

    /// The way to everywhere else, by a gateway that is a neighbour; the lowest `metric` is taken. One that is there already is not
    /// an error.
    pub fn add_default_route(&mut self, index: u32, gateway: IpAddr, metric: u32) -> Result<()> {
        let mut header = vec![family(gateway), 0, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, SCOPE_UNIVERSE, UNICAST];
        header.extend_from_slice(&0_u32.to_ne_bytes());
        let message = Message::new(NEW_ROUTE, CREATE | EXCLUSIVE, &header)
            .attribute(RTA_GATEWAY, &octets(gateway))
            .number(RTA_OIF, index);
        let message = if metric == 0 { message } else { message.number(RTA_PRIORITY, metric) };
        match self.request(message, "add default route", &gateway.to_string()) {
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            other => other,
        }
    }
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // Both are small.
    u8::try_from(family).unwrap_or_default()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
