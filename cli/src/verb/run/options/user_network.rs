//! Networks of the user: which, by what names, with which addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use containers::config::{Endpoint, Link, MacAddress};
use containers::id::check_name;

use crate::error::{Error, Result};
use crate::keyed::Keyed;

/// The keys behind a network's name.
const KEYS: &[&str] = &["alias", "ip", "ip6", "mac", "name"];

/// Its places in networks of the user.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// One more name in its networks
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Its address, in its first network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its IPv6 address, in its first network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// A name by which it alone sees another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
}

impl Options {
    /// Its places in the networks of these names, `NAME[:KEY=VALUE,…]` each. Without any, no option may be there that means one.
    pub(in crate::verb) fn settle(&self, networks: &[String], mac: Option<MacAddress>) -> Result<Vec<Endpoint>> {
        if networks.is_empty() {
            return self.refuse();
        }
        let mut endpoints = networks.iter().map(|text| endpoint(text)).collect::<Result<Vec<Endpoint>>>()?;
        for (at, endpoint) in endpoints.iter().enumerate() {
            if endpoints[..at].iter().any(|other| other.network == endpoint.network) {
                return Err(Error::usage(format!("--network {}: given twice", endpoint.network)));
            }
        }
        let links = self.link.iter().map(|text| link(text)).collect::<Result<Vec<Link>>>()?;
        let aliases = self.network_alias.iter().map(|alias| checked(alias)).collect::<Result<Vec<String>>>()?;
        for endpoint in &mut endpoints {
            endpoint.aliases.extend(aliases.iter().cloned());
            endpoint.links.clone_from(&links);
        }
        if let Some(first) = endpoints.first_mut() {
            first.ip = first.ip.or(self.ip);
            first.ip6 = first.ip6.or(self.ip6);
            first.mac = first.mac.or(mac);
        }
        Ok(endpoints)
    }

    fn refuse(&self) -> Result<Vec<Endpoint>> {
        let given = [
            ("--network-alias", !self.network_alias.is_empty()),
            ("--ip", self.ip.is_some()),
            ("--ip6", self.ip6.is_some()),
            ("--link", !self.link.is_empty()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(Vec::new()),
            Some((option, _)) => Err(Error::usage(format!("{option} is for a network of yours"))
                .hint("`estiba network create NAME` makes one, `--network NAME` joins it")),
        }
    }
}

/// One `--network NAME[:KEY=VALUE,…]`, or `name=NAME,KEY=VALUE,…` as docker has it.
fn endpoint(text: &str) -> Result<Endpoint> {
    let (name, rest) = match text.split_once(':') {
        Some((name, rest)) if !name.contains('=') => (Some(name.to_owned()), rest),
        _ if text.contains('=') => (None, text),
        _ => (Some(text.to_owned()), ""),
    };
    let mut keyed = if rest.is_empty() { Keyed::default() } else { Keyed::parse(rest)? };
    let named = keyed.take(&["name"]);
    let Some(network) = name.or(named).filter(|name| !name.is_empty()) else {
        return Err(Error::usage(format!("--network {text}: the network's name is missing")));
    };
    let aliases = keyed.take_all(|key| key == "alias");
    let mut address = |keys: &[&str]| keyed.take(keys);
    let (ip, ip6, mac) = (address(&["ip", "ip4"]), address(&["ip6"]), address(&["mac", "mac-address", "mac_address"]));
    keyed.finish(&format!("--network {network}"), KEYS)?;
    let parsed =
        |what: &str, value: &str| Error::usage(format!("--network {network}: {what}={value}: no such address"));
    Ok(Endpoint {
        aliases: aliases.iter().map(|(_, alias)| checked(alias)).collect::<Result<_>>()?,
        ip: ip.map(|ip| ip.parse().map_err(|_| parsed("ip", &ip))).transpose()?,
        ip6: ip6.map(|ip| ip.parse().map_err(|_| parsed("ip6", &ip))).transpose()?,
        mac: mac.map(|mac| mac.parse().map_err(|_| parsed("mac", &mac))).transpose()?,
        links: Vec::new(),
        network,
    })
}

/// `CONTAINER[:ALIAS]`.
pub(in crate::verb) fn link(text: &str) -> Result<Link> {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    let container = container.trim_start_matches('/');
    Ok(Link { container: checked(container)?, alias: checked(alias.trim_start_matches('/'))? })
}

/// A name that names can be asked for.
pub(in crate::verb) fn checked(name: &str) -> Result<String> {
    // A single letter is no container's name, but a fine one in a network.
    if name.len() == 1 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(name.to_owned());
    }
    match check_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(_) => Err(Error::usage(format!("{name:?} cannot be a name in a network"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_people_write_it() {
        let options = Options { network_alias: vec!["web".into()], ip: "10.0.0.9".parse().ok(), ..Options::default() };
        let networks = ["front".to_owned(), "back:alias=a,alias=b,mac=02:00:00:00:00:01".to_owned()];
        let settled = options.settle(&networks, None).unwrap();
        assert_eq!((settled[0].network.as_str(), settled[0].ip), ("front", "10.0.0.9".parse().ok()));
        assert_eq!(settled[1].aliases, ["a", "b", "web"]);
        assert_eq!((settled[1].ip, settled[1].mac.map(|mac| mac.0[5])), (None, Some(1)));
        let long = Options::default().settle(&["name=front,ip=10.0.0.3,ip6=fd00::3".to_owned()], None).unwrap();
        assert_eq!((long[0].network.as_str(), long[0].ip6), ("front", "fd00::3".parse().ok()));
        let links = Options { link: vec!["db".into(), "/db:store".into()], ..Options::default() };
        let links = links.settle(&["front".to_owned()], None).unwrap().remove(0).links;
        assert_eq!(
            (links[0].alias.as_str(), links[1].alias.as_str(), links[1].container.as_str()),
            ("db", "store", "db")
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |networks: &[&str]| {
            let networks: Vec<String> = networks.iter().map(|text| (*text).to_owned()).collect();
            Options::default().settle(&networks, None).map(|_| ()).unwrap_err().message().to_owned()
        };
        for (networks, words) in [
            (&["front:ip=x"][..], "ip=x"),
            (&["front:colour=red"], "colour"),
            (&["front", "front"], "twice"),
            (&["ip=10.0.0.1"], "name is missing"),
            (&["front:alias=a b"], "cannot be a name"),
            (&["front:mac=01:00:00:00:00:00"], "mac="),
        ] {
            assert!(refused(networks).contains(words), "{}", refused(networks));
        }
        let alias = Options { network_alias: vec!["web".into()], ..Options::default() };
        assert!(alias.settle(&[], None).unwrap_err().message().contains("network of yours"));
    }
}
