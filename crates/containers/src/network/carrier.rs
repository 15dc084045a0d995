//! The way out of a private network: whichever program there is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use super::error::NetworkError;
use super::namespace::Made;
use super::sidecar::{self, Sidecar};
use super::{pasta, slirp};
use crate::config::{Carrier, MacAddress};
use crate::state::Place;

/// The device that both programs need.
const TUN: &str = "/dev/net/tun";

/// What is asked of a way out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// What the interface is to be called, in a network that several containers leave by; `None` for one of a container's own.
    pub interface: Option<&'w str>,
    /// Whether names are asked for at [`name_server`].
    pub names: bool,
    /// Ports that the program is to lead inside, if it does ([`carries`]).
    pub ports: &'w [super::ports::Published],
    /// Whether the gateway's address leads to the host's own services.
    pub host_gateway: bool,
    /// The hardware address of the interface.
    pub mac: Option<MacAddress>,
}

/// A way out.
#[derive(Debug)]
pub struct Carried {
    /// The program's name.
    pub driver: &'static str,
    /// Its process.
    pub sidecar: Sidecar,
    /// What it gave the namespace.
    pub place: Place,
}

/// Which program would carry a network; in words, why none would.
///
/// # Errors
/// What is missing, and how it is had.
pub fn choose(wanted: Carrier) -> Result<Carrier, String> {
    if let Err(error) = std::fs::File::options().read(true).write(true).open(TUN) {
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => format!("{TUN} is not for this user (`chmod 666 {TUN}` as root)"),
            _ => format!("there is no {TUN} here (`modprobe tun` as root; in a container: --device {TUN})"),
        });
    }
    let is_there = |program| sidecar::find(program).is_some();
    match wanted {
        Carrier::Any if is_there(pasta::PROGRAM) && leads_out() => Ok(Carrier::Pasta),
        Carrier::Any if is_there(slirp::PROGRAM) => Ok(Carrier::Slirp4netns),
        Carrier::Any if is_there(pasta::PROGRAM) => {
            Err("this machine has no default route, which pasta needs".to_owned())
        }
        Carrier::Any => Err("neither pasta (package passt) nor slirp4netns is installed".to_owned()),
        Carrier::Pasta if is_there(pasta::PROGRAM) => Ok(wanted),
        Carrier::Pasta => Err("pasta (package passt) is not installed".to_owned()),
        Carrier::Slirp4netns if is_there(slirp::PROGRAM) => Ok(wanted),
        Carrier::Slirp4netns => Err("slirp4netns is not installed".to_owned()),
    }
}

/// Whether a program leads such ports inside by itself.
pub fn carries(carrier: Carrier, protocol: super::ports::Protocol) -> bool {
    carrier == Carrier::Pasta && protocol == super::ports::Protocol::Tcp
}

/// A way out whose program has begun.
#[derive(Debug)]
pub struct Starting {
    carrier: Carrier,
    program: sidecar::Starting,
    mac: Option<MacAddress>,
}

/// Begins to connect a namespace. The caller is in the network that leads out.
///
/// # Errors
/// The program is not there, or cannot be executed.
pub fn start(made: &Made, carrier: Carrier, wanted: &Wanted<'_>) -> Result<Starting, NetworkError> {
    let program = if carrier == Carrier::Slirp4netns {
        slirp::start(made, wanted.interface.unwrap_or(slirp::INTERFACE), wanted.host_gateway, wanted.mac)?
    } else {
        let Wanted { interface, names, ports, host_gateway, mac } = *wanted;
        let options = pasta::Options { interface, names, ports, host_gateway, mac };
        pasta::start(made, &options)?
    };
    Ok(Starting { carrier, program, mac: wanted.mac })
}

/// Where names are asked for in a network that a program carries, where the host's servers are its own loopback's.
pub fn name_server(carrier: Carrier) -> IpAddr {
    if carrier == Carrier::Slirp4netns { slirp::NAME_SERVER.into() } else { pasta::NAME_SERVER.into() }
}

impl Starting {
    /// Waits until the namespace is connected, so long at most.
    ///
    /// # Errors
    /// What the program said.
    pub fn wait(self, made: &Made, patience: Duration) -> Result<Carried, NetworkError> {
        let sidecar = self.program.wait(patience)?;
        if self.carrier == Carrier::Slirp4netns {
            let (address, length) = slirp::ADDRESS;
            let place = Place {
                interface: slirp::INTERFACE.to_owned(),
                addresses: vec![(address.into(), length)],
                gateways: vec![slirp::GATEWAY.into()],
                mac: self.mac,
                ..Place::default()
            };
            return Ok(Carried { driver: slirp::PROGRAM, sidecar, place });
        }
        let place = place(&made.read("route"), &made.read("fib_trie"), &made.read("if_inet6"));
        Ok(Carried { driver: pasta::PROGRAM, sidecar, place: Place { mac: self.mac, ..place } })
    }
}

/// What a namespace has, by the files of `/proc/<pid>/net`.
fn place(routes: &str, trie: &str, inet6: &str) -> Place {
    let mut place = Place::default();
    let mut networks = Vec::new();
    let number = |hex: &str| u32::from_str_radix(hex, 16).map(|raw| Ipv4Addr::from(raw.to_ne_bytes()));
    for line in routes.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [interface, target, gateway, _, _, _, _, mask, ..] = fields[..] else { continue };
        let (Ok(target), Ok(gateway), Ok(mask)) = (number(target), number(gateway), number(mask)) else { continue };
        if target.is_unspecified() && mask.is_unspecified() {
            interface.clone_into(&mut place.interface);
            if !gateway.is_unspecified() {
                place.gateways.push(gateway.into());
            }
        } else {
            networks.push((u32::from(target), u32::from(mask)));
        }
    }
    for address in local_addresses(trie) {
        let within = networks.iter().filter(|(target, mask)| u32::from(address) & mask == *target);
        let length = within.map(|(_, mask)| mask.leading_ones()).max().unwrap_or(32);
        place.addresses.push((address.into(), u8::try_from(length).unwrap_or(32)));
    }
    for line in inet6.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // 20 is a scope of one link, 10 of the machine itself.
        let [address, _, length, "00", _, interface, ..] = fields[..] else { continue };
        let (Ok(raw), Ok(length)) = (u128::from_str_radix(address, 16), u8::from_str_radix(length, 16)) else {
            continue;
        };
        if place.interface.is_empty() {
            interface.clone_into(&mut place.interface);
        }
        place.addresses.push((Ipv6Addr::from(raw).into(), length));
    }
    place
}

/// The addresses in `fib_trie` that are the namespace's own, but for loopback's: each is followed by a line that says `host LOCAL`.
fn local_addresses(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            last = leaf.parse::<Ipv4Addr>().ok();
        } else if line.ends_with("host LOCAL") {
            found.extend(last.filter(|address| !address.is_loopback() && !found.contains(address)));
        }
    }
    found
}

/// The way out of the host itself: the address that a container reaches the host's services by, with pasta.
pub fn default_gateway() -> Option<IpAddr> {
    let routes = std::fs::read_to_string(Path::new("/proc/net/route")).ok()?;
    place(&routes, "", "").gateways.first().copied()
}

/// Whether the machine has a default route: pasta does not start without one.
fn leads_out() -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    has_default(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
}

/// By the kernel's tables, in its hexadecimal form.
fn has_default(routes: &str, routes6: &str) -> bool {
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let of_four = |fields: Vec<String>| fields.len() > 7 && fields[1] == "00000000" && fields[7] == "00000000";
    let of_six = |fields: Vec<String>| {
        fields.len() > 9 && fields[0].bytes().all(|digit| digit == b'0') && fields[1] == "00" && fields[9] != "lo"
    };
    routes.lines().map(fields).any(of_four) || routes6.lines().map(fields).any(of_six)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_one_that_leads_away() {
        let four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let zero = "00000000000000000000000000000000";
        let six = |interface| format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 {interface}\n");
        assert!(!has_default(four, &six("lo")) && has_default(four, &six("eth0")));
        let leading = format!("{four}eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
        assert!(has_default(&leading, ""));
    }

    #[test]
    fn what_the_kernel_tells() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 4\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\nLocal:\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fd000000000000000000000000000002 02 40 00 80     eth0\n\
            fe80000000000000307efcfffe745d01 02 40 20 80     eth0\n";
        let place = place(routes, trie, inet6);
        assert_eq!(place.interface, "eth0");
        assert_eq!(place.gateways, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let shown: Vec<_> = place.addresses.iter().map(|(a, l)| format!("{a}/{l}")).collect();
        assert_eq!(shown, ["192.0.2.2/24", "fd00::2/64"]);
    }
}
