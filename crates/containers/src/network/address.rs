//! Networks as addresses with a prefix, and who gets which address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::MacAddress;

/// How many addresses of a network are tried before it counts as full: a /16.
const TRIED: u128 = 1 << 16;
/// The networks that are given out where none is asked for: /24 each, 10.89.0.0 to 10.127.255.0, as few others use them.
const POOL: u32 = 10 << 24 | 89 << 16;
/// How many there are.
pub const POOL_SIZE: u32 = (128 - 89) << 8;
/// The prefix of each.
const POOL_PREFIX: u8 = 24;

/// An address and how many of its first bits name the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// The bits.
    pub prefix: u8,
}

/// What is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network: it is written as 10.89.0.0/24 or fd00:1::/64")]
pub struct CidrError(String);

impl Cidr {
    /// How many bits an address has.
    fn bits(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The bits that name a machine, set.
    fn host_mask(self) -> u128 {
        let host = u32::from(self.bits() - self.prefix);
        1_u128.checked_shl(host).map_or(u128::MAX, |size| size - 1)
    }

    fn value(self) -> u128 {
        value(self.address)
    }

    /// The network itself: the bits that name a machine are zero.
    #[must_use]
    pub fn network(self) -> Self {
        Self { address: self.at(self.value() & !self.host_mask()), ..self }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        let same = self.address.is_ipv4() == address.is_ipv4();
        same && value(address) & !self.host_mask() == self.value() & !self.host_mask()
    }

    /// Whether the two have addresses in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network().address) || other.contains(self.network().address)
    }

    /// The address that is `offset` behind the network's own.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        (offset <= self.host_mask()).then(|| self.at((self.value() & !self.host_mask()) + offset))
    }

    /// Whether machines may have this address: neither the network's own nor that of all.
    pub fn is_usable(self, address: IpAddr) -> bool {
        let host = value(address) & self.host_mask();
        let small = self.bits() - self.prefix < 2;
        self.contains(address) && (small || (host != 0 && (!address.is_ipv4() || host != self.host_mask())))
    }

    /// The first usable address that is not taken, `range` (or all) searched from `start` on, around.
    pub fn free(self, range: Option<Self>, taken: &BTreeSet<IpAddr>, start: Option<IpAddr>) -> Option<IpAddr> {
        let range = range.unwrap_or(self);
        let size = range.host_mask().saturating_add(1).min(TRIED);
        let first = start.filter(|start| range.contains(*start)).map_or(0, |start| value(start) & range.host_mask());
        (0..size)
            .filter_map(|step| range.nth((first + step) & range.host_mask()))
            .find(|address| self.is_usable(*address) && !taken.contains(address))
    }

    fn at(self, value: u128) -> IpAddr {
        match self.address {
            // The upper bits are zero: they are an IPv4 address' own.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(value).unwrap_or_default())),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(value)),
        }
    }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// A network of the pool, and the others that nobody uses: the first free one from `start` on, around.
pub fn from_pool(used: &[Cidr], start: u32) -> Option<Cidr> {
    (0..POOL_SIZE)
        .map(|step| POOL + ((start.wrapping_add(step) % POOL_SIZE) << 8))
        .map(|network| Cidr { address: IpAddr::V4(network.into()), prefix: POOL_PREFIX })
        .find(|candidate| !used.iter().any(|other| candidate.overlaps(*other)))
}

/// An IPv6 network that is ours by chance (RFC 4193): 40 bits of `seed`.
pub fn local_v6(seed: [u8; 5]) -> Cidr {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&seed);
    Cidr { address: IpAddr::V6(octets.into()), prefix: 64 }
}

/// The hardware address that goes with an address: of the kind that nobody registered.
pub fn mac_of(address: Option<Ipv4Addr>, seed: [u8; 5]) -> MacAddress {
    MacAddress(match address {
        Some(address) => {
            let [a, b, c, d] = address.octets();
            [0x02, 0x42, a, b, c, d]
        }
        None => [0x02, seed[0], seed[1], seed[2], seed[3], seed[4]],
    })
}

/// The networks that the caller's network namespace has routes to, the default route excepted.
pub fn routed() -> Vec<Cidr> {
    let v4 = std::fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    v4.lines().skip(1).filter_map(route_v4).chain(v6.lines().filter_map(route_v6)).collect()
}

/// A line of `/proc/net/route`: numbers in the machine's order, in hexadecimal.
fn route_v4(line: &str) -> Option<Cidr> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok().map(u32::to_ne_bytes);
    let (address, mask) = (number(1)?, u32::from_be_bytes(number(7)?));
    let prefix = u8::try_from(mask.leading_ones()).ok()?;
    (prefix > 0).then_some(Cidr { address: IpAddr::from(address), prefix })
}

/// A line of `/proc/net/ipv6_route`; loopback and what every link has are left out.
fn route_v6(line: &str) -> Option<Cidr> {
    let mut fields = line.split_ascii_whitespace();
    let address = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
    let prefix = u8::from_str_radix(fields.next()?, 16).ok()?;
    let every = address.is_loopback() || address.is_multicast() || address.segments()[0] & 0xffc0 == 0xfe80;
    (prefix > 0 && prefix <= 128 && !every).then_some(Cidr { address: IpAddr::V6(address), prefix })
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let cidr = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            (cidr.prefix <= cidr.bits()).then_some(cidr)
        };
        parse().ok_or_else(|| CidrError(text.to_owned()))
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_or_refused() {
        for (text, network) in [
            ("10.1.2.3/24", "10.1.2.0/24"),
            ("fd00::5/64", "fd00::/64"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("9.9.9.9/0", "0.0.0.0/0"),
        ] {
            assert_eq!(cidr(text).network().to_string(), network);
        }
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "a/1"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlap_and_use() {
        assert!(cidr("10.0.0.0/8").overlaps(cidr("10.89.0.0/24")) && cidr("10.89.0.0/24").overlaps(cidr("10.0.0.0/8")));
        assert!(!cidr("10.89.0.0/24").overlaps(cidr("10.89.1.0/24")) && !cidr("::/0").overlaps(cidr("10.0.0.0/8")));
        let net = cidr("10.0.0.0/30");
        assert!(!net.is_usable(ip("10.0.0.0")) && net.is_usable(ip("10.0.0.1")) && !net.is_usable(ip("10.0.0.3")));
        assert!(cidr("10.0.0.0/31").is_usable(ip("10.0.0.1")) && cidr("fd00::/64").is_usable(ip("fd00::ffff")));
    }

    #[test]
    fn addresses_are_given_until_there_are_none() {
        let net = cidr("10.0.0.0/29");
        let mut taken = BTreeSet::from([ip("10.0.0.1")]);
        for expected in ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"] {
            let free = net.free(None, &taken, None).unwrap();
            assert_eq!(free, ip(expected));
            taken.insert(free);
        }
        assert_eq!(net.free(None, &taken, None), None);
        taken.remove(&ip("10.0.0.3"));
        // From the last one on, around.
        assert_eq!(net.free(None, &taken, Some(ip("10.0.0.6"))), Some(ip("10.0.0.3")));
        let range = Some(cidr("10.0.0.4/30"));
        assert_eq!(net.free(range, &BTreeSet::new(), None), Some(ip("10.0.0.4")));
        assert_eq!(cidr("fd00::/64").free(None, &BTreeSet::from([ip("fd00::1")]), None), Some(ip("fd00::2")));
    }

    #[test]
    fn the_pool_goes_around_what_is_used() {
        assert_eq!(from_pool(&[], 0).unwrap().to_string(), "10.89.0.0/24");
        assert_eq!(from_pool(&[cidr("10.89.0.0/16")], 0).unwrap().to_string(), "10.90.0.0/24");
        assert_eq!(from_pool(&[], POOL_SIZE - 1).unwrap().to_string(), "10.127.255.0/24");
        assert_eq!(from_pool(&[cidr("10.0.0.0/8")], 5), None);
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(mac_of(Some(Ipv4Addr::new(10, 89, 0, 2)), [0; 5]).to_string(), "02:42:0a:59:00:02");
        assert_eq!(mac_of(None, [1, 2, 3, 4, 5]).to_string(), "02:01:02:03:04:05");
    }

    #[test]
    fn routes_of_the_kernel() {
        let line = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        assert_eq!(route_v4(line).unwrap().to_string(), "192.168.2.0/24");
        assert!(route_v4("eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0").is_none());
        assert!(route_v6("fe800000000000000000000000000000 40 0 00 0 0 0 0 0 eth0").is_none());
        assert_eq!(route_v6("fd000000000000010000000000000000 40 00 00").unwrap().to_string(), "fd00:0:0:1::/64");
    }
}
