//! What a container may know of others: the names in the networks that it is in, and no others.

use std::net::IpAddr;

use super::{Asker, message};
use crate::id::SHORT;
use crate::network::lease::{Attachment, Leased, Leases};

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// The name of an address.
    Name(String),
    /// Nothing: these servers are asked, or the host's where there are none.
    Ask(Vec<IpAddr>),
    /// Nothing, and nobody is asked: who asks is not to reach the world.
    Nothing,
    /// Nothing by way of this network, which is internal; another one of who asks may know.
    Elsewhere,
    /// Who asks has no address of this network, and gets no answer.
    Stranger,
}

/// Looks a name up for who asks from an address. An address can be made up: it counts only in the network that it was given in, and
/// what comes by an internal network goes no further, whoever it says to be.
pub(super) fn look_up(leases: &Leases, asker: Asker, name: &str, kind: u16) -> Known {
    let has = |leased: &Leased, address| leased.addresses.iter().any(|cidr| cidr.address == address);
    let is_here = |leased: &&Leased| has(leased, asker.client) && leased.gateways.contains(&asker.gateway);
    let find = |one| -> Option<(&Attachment, &Leased)> { Some((one, one.endpoints.iter().find(is_here)?)) };
    let Some((asks, here)) = leases.attachments.iter().find_map(find) else { return Known::Stranger };
    let visible =
        || asks.endpoints.iter().flat_map(|own| leases.within(&own.id).map(move |(who, leased)| (own, who, leased)));
    if kind == message::PTR {
        if let Some(address) = message::reversed(name) {
            let found = visible().find(|(_, _, leased)| has(leased, address));
            if let Some((_, who, leased)) = found {
                return Known::Name(format!("{}.{}", who.name, leased.network));
            }
        }
    } else {
        let matching = visible().filter(|(own, who, leased)| {
            let plain = name.strip_suffix(&leased.network.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.'));
            [Some(name), plain].into_iter().flatten().any(|name| goes_by(name, who, leased) || is_link(name, own, who))
        });
        let mut addresses: Vec<IpAddr> =
            matching.flat_map(|(_, _, leased)| leased.addresses.iter().map(|cidr| cidr.address)).collect();
        addresses.dedup();
        if !addresses.is_empty() {
            return Known::Addresses(addresses);
        }
    }
    match here.internal {
        false => Known::Ask(asks.servers.clone()),
        true if asks.endpoints.iter().all(|leased| leased.internal) => Known::Nothing,
        true => Known::Elsewhere,
    }
}

fn goes_by(name: &str, who: &Attachment, leased: &Leased) -> bool {
    let id = who.container.as_str();
    who.name.eq_ignore_ascii_case(name)
        || name == id
        || name == &id[..SHORT]
        || who.hostname.as_deref().is_some_and(|hostname| hostname.eq_ignore_ascii_case(name))
        || leased.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
}

fn is_link(name: &str, own: &Leased, who: &Attachment) -> bool {
    own.links.iter().any(|link| {
        let id = who.container.as_str();
        let meant = who.name == link.container || (link.container.len() >= SHORT && id.starts_with(&link.container));
        meant && link.alias.eq_ignore_ascii_case(name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::{A, PTR};
    use super::*;
    use crate::network::lease::tests::sample;

    #[test]
    fn names_are_seen_within_ones_networks() {
        let leases = sample();
        let address = |who: usize, endpoint: usize| leases.attachments[who].endpoints[endpoint].addresses[0].address;
        let (app_front, app_back, db, db2) = (address(0, 0), address(0, 1), address(1, 0), address(2, 0));
        let short = leases.attachments[1].container.short().to_owned();
        let (front, back) = ("10.201.0.1".parse().unwrap(), "10.202.0.1".parse().unwrap());
        let ask = |client: IpAddr, gateway: IpAddr, name: &str| look_up(&leases, Asker { client, gateway }, name, A);
        let found = |addresses: &[IpAddr]| Known::Addresses(addresses.to_vec());
        for (client, gateway, name, expected) in [
            (db, back, "app", found(&[app_back])),
            (db, back, "web", found(&[app_back])),
            (db, back, "app-host", found(&[app_back])),
            (db, back, "app.back", found(&[app_back])),
            (db, back, "app.front", Known::Nothing),
            (app_front, front, "app", found(&[app_front, app_back])),
            (app_front, front, "store", found(&[db, db2])),
            (app_front, front, "peer", found(&[db2])),
            (app_front, front, "example.org", Known::Ask(Vec::new())),
            (db, back, "example.org", Known::Nothing),
            (app_back, back, &short, found(&[db])),
            // Made-up addresses: nobody's, another network's, and a neighbour's that may reach the world.
            ("9.9.9.9".parse().unwrap(), front, "app", Known::Stranger),
            ("10.202.0.77".parse().unwrap(), back, "example.org", Known::Stranger),
            (app_front, back, "example.org", Known::Stranger),
            (app_back, back, "example.org", Known::Elsewhere),
        ] {
            assert_eq!(ask(client, gateway, name), expected, "{client} {name}");
        }
        let IpAddr::V4(v4) = db2 else { panic!() };
        let [a, b, c, d] = v4.octets();
        let reversed = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
        assert_eq!(
            look_up(&leases, Asker { client: app_front, gateway: front }, &reversed, PTR),
            Known::Name("db2.back".to_owned())
        );
    }
}
