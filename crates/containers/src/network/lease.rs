//! Who is in which network, with which addresses: what the keeper knows, kept as `<store>/networks/.leases` for others to read.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::{self, Cidr};
use super::definition::{Definition, NetworkError, Subnet};
use crate::ContainerId;
use crate::config::{Endpoint, Link, MacAddress};
use crate::state::ProcessId;

/// All that a keeper keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Leases {
    /// The keeper.
    pub keeper: Option<ProcessId>,
    /// The boot in which that was so.
    pub boot: String,
    /// Who carries what leaves: `pasta`, `slirp4netns`, `bridge`.
    pub driver: Option<String>,
    /// Its processes, which end with it.
    #[serde(alias = "helpers")]
    pub carriers: Vec<ProcessId>,
    /// The containers.
    pub attachments: Vec<Attachment>,
}

/// One container's places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container.
    pub container: ContainerId,
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: Option<String>,
    /// Whose end is the end of this.
    pub supervisor: ProcessId,
    /// Servers that answer it instead of the host's.
    pub servers: Vec<IpAddr>,
    /// One a network.
    pub endpoints: Vec<Leased>,
    /// Those it had with a keeper that was killed, and could not be connected to again yet.
    #[serde(default)]
    pub lost: Vec<Leased>,
}

/// One place, as it came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub id: ContainerId,
    /// Whether nothing leaves it.
    pub internal: bool,
    /// The interface inside.
    pub interface: String,
    /// The interface outside: a port of the bridge.
    pub port: String,
    /// Its addresses, with their networks' prefixes.
    pub addresses: Vec<Cidr>,
    /// The bridge's, one a network.
    pub gateways: Vec<IpAddr>,
    /// Its hardware address.
    pub mac: MacAddress,
    /// More names.
    pub aliases: Vec<String>,
    /// Names that only it sees.
    pub links: Vec<Link>,
}

impl Leases {
    /// A container's places.
    pub fn of(&self, container: &ContainerId) -> Option<&Attachment> {
        self.attachments.iter().find(|attachment| attachment.container == *container)
    }

    /// The places in a network, each with its container's.
    pub fn within<'l>(&'l self, network: &'l ContainerId) -> impl Iterator<Item = (&'l Attachment, &'l Leased)> {
        self.attachments.iter().flat_map(move |attachment| {
            attachment
                .endpoints
                .iter()
                .filter(move |leased| leased.id == *network)
                .map(move |leased| (attachment, leased))
        })
    }

    /// Finds addresses in a network for a container, which is not in it.
    ///
    /// # Errors
    /// An address that is taken, or in no subnet; a network that is full.
    pub fn lease(
        &self,
        network: &Definition,
        wanted: &Endpoint,
        interface: String,
        port: String,
    ) -> Result<Leased, NetworkError> {
        let lost = self.attachments.iter().flat_map(|attachment| &attachment.lost);
        let lost = lost.filter(|leased| leased.id == network.id);
        let held = lost.chain(self.within(&network.id).map(|(_, leased)| leased));
        let all: Vec<IpAddr> = held.flat_map(|leased| &leased.addresses).map(|it| it.address).collect();
        let mut addresses = Vec::new();
        for subnet in &network.subnets {
            let asked =
                if subnet.subnet.address.is_ipv4() { wanted.ip.map(IpAddr::V4) } else { wanted.ip6.map(IpAddr::V6) };
            let last = all.iter().copied().rfind(|address| subnet.subnet.contains(*address));
            addresses.push(Cidr { address: one(network, subnet, asked, &all, last)?, prefix: subnet.subnet.prefix });
        }
        for stray in [wanted.ip.map(IpAddr::V4), wanted.ip6.map(IpAddr::V6)].into_iter().flatten() {
            if !addresses.iter().any(|address| address.address == stray) {
                return Err(NetworkError::Invalid(format!("{stray} is in no subnet of network {}", network.name)));
            }
        }
        let v4 = addresses.iter().find_map(|cidr| match cidr.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        let mut seed = [0; 5];
        if let Some(IpAddr::V6(v6)) = addresses.first().map(|cidr| cidr.address) {
            seed.copy_from_slice(&v6.octets()[11..]);
        }
        Ok(Leased {
            network: network.name.clone(),
            id: network.id.clone(),
            internal: network.internal,
            interface,
            port,
            gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
            addresses,
            mac: wanted.mac.unwrap_or_else(|| address::mac_of(v4, seed)),
            aliases: wanted.aliases.clone(),
            links: wanted.links.clone(),
        })
    }
}

/// An address of one subnet: that which is asked for, or the next one behind the last that was given out, so that what a container
/// had is not another's at once.
fn one(
    network: &Definition,
    subnet: &Subnet,
    asked: Option<IpAddr>,
    all: &[IpAddr],
    last: Option<IpAddr>,
) -> Result<IpAddr, NetworkError> {
    let taken: BTreeSet<IpAddr> = all.iter().copied().chain([subnet.gateway]).collect();
    let Some(asked) = asked else {
        let full = || {
            NetworkError::Invalid(format!("network {} is full: {} has no free address", network.name, subnet.subnet))
        };
        return subnet.subnet.free(subnet.range, &taken, last).ok_or_else(full);
    };
    let why = if !subnet.subnet.is_usable(asked) {
        format!("cannot be a container's in {}", subnet.subnet)
    } else if asked == subnet.gateway {
        "is the gateway's".to_owned()
    } else if taken.contains(&asked) {
        "is another container's".to_owned()
    } else {
        return Ok(asked);
    };
    Err(NetworkError::Invalid(format!("address {asked} of network {} {why}", network.name)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::network::definition::{Networks, Wanted};

    /// Two networks, of which `app` is in both, `db` in the second only.
    pub(crate) fn sample() -> Leases {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::at(dir.path().join("networks"));
        let network = |name: &str, subnet: &str, internal| {
            let wanted =
                Wanted { name: name.into(), subnets: vec![subnet.parse().unwrap()], internal, ..Wanted::default() };
            networks.create(&wanted).unwrap()
        };
        let (front, back) = (network("front", "10.201.0.0/24", false), network("back", "10.202.0.0/24", true));
        let mut leases = Leases::default();
        let supervisor = ProcessId { pid: 1, start: 1 };
        for (name, networks, alias) in
            [("app", &[&front, &back][..], "web"), ("db", &[&back][..], "store"), ("db2", &[&back][..], "store")]
        {
            let id = ContainerId::random().unwrap();
            let links = vec![Link { container: "db2".into(), alias: "peer".into() }];
            let wanted = Endpoint { aliases: vec![alias.into()], links, ..Endpoint::default() };
            let endpoints =
                networks.iter().map(|network| leases.lease(network, &wanted, "eth0".into(), "v0".into()).unwrap());
            let endpoints = endpoints.collect();
            let (name, hostname) = (name.to_owned(), Some(format!("{name}-host")));
            leases.attachments.push(Attachment {
                container: id,
                name,
                hostname,
                supervisor,
                servers: Vec::new(),
                endpoints,
                lost: Vec::new(),
            });
        }
        leases
    }

    #[test]
    fn addresses_are_given_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::at(dir.path().join("networks"));
        let wanted = Wanted { name: "n1".into(), subnets: vec!["10.203.0.0/30".parse().unwrap()], ..Wanted::default() };
        let network = networks.create(&wanted).unwrap();
        let mut leases = Leases::default();
        let lease = |leases: &Leases, ip: &str| {
            let wanted = Endpoint { ip: ip.parse().ok(), ..Endpoint::default() };
            leases.lease(&network, &wanted, "eth0".into(), "v0".into())
        };
        for (ip, words) in [("10.203.0.1", "gateway's"), ("10.203.0.3", "cannot be"), ("10.204.0.2", "cannot be")] {
            let refused = lease(&leases, ip).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        let first = lease(&leases, "").unwrap();
        assert_eq!(first.addresses[0].to_string(), "10.203.0.2/30");
        assert_eq!(first.mac.to_string(), "02:42:0a:cb:00:02");
        let supervisor = ProcessId { pid: 1, start: 1 };
        leases.attachments.push(Attachment {
            container: ContainerId::random().unwrap(),
            name: "a".into(),
            hostname: None,
            supervisor,
            servers: Vec::new(),
            endpoints: vec![first],
            lost: Vec::new(),
        });
        assert!(lease(&leases, "10.203.0.2").unwrap_err().to_string().contains("another container's"));
        assert!(lease(&leases, "").unwrap_err().to_string().contains("is full"));
        let six = Endpoint { ip6: "fd00::2".parse().ok(), ..Endpoint::default() };
        assert!(Leases::default().lease(&network, &six, String::new(), String::new()).is_err());
    }

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let older = r#"{"boot":"b","helpers":[{"pid":7,"start":8}],"attachments":[]}"#;
        let leases: Leases = serde_json::from_str(older).unwrap();
        assert_eq!(leases.carriers, [ProcessId { pid: 7, start: 8 }]);
    }
}
