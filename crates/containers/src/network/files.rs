//! The files that tell a container of its network: `/etc/resolv.conf` and `/etc/hosts`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::Config;
use crate::state::Place;

/// What every machine calls itself.
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The longest of the host's files that are copied into a container.
const MAX_HOST_FILE: u64 = 1 << 20;

/// The resolver of C libraries takes three servers, and musl's all of them; more are a mistake.
const MAX_SERVERS: usize = 8;

/// Who answers for names when the machine names nobody: as docker has it.
const FALLBACK: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(8, 8, 4, 4)];

/// What a container's names are looked up with.
#[derive(Debug, Clone, Copy)]
pub enum Servers<'s> {
    /// The host's, as they are: with its network, those on its loopback are reachable too.
    Host,
    /// The host's; those on its loopback are asked by way of this address.
    Instead(Option<IpAddr>),
    /// These.
    Given(&'s [IpAddr]),
}

/// A file of the host's, as it is.
pub fn of_host(path: &str) -> Option<Vec<u8>> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > MAX_HOST_FILE { None } else { std::fs::read(path).ok() }
}

/// `/etc/resolv.conf`; `None` where the host has none and nothing was asked.
pub fn resolv_conf(config: &Config, servers: Servers<'_>) -> Option<Vec<u8>> {
    let host = of_host("/etc/resolv.conf");
    let network = &config.network;
    let asked = !(network.dns.is_empty() && network.dns_search.is_empty() && network.dns_options.is_empty());
    if matches!(servers, Servers::Host) && !asked {
        return host;
    }
    let text = host.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    Some(resolver(&text, network, servers).into_bytes())
}

fn resolver(host: &str, asked: &crate::config::Network, servers: Servers<'_>) -> String {
    let found = servers_of(host);
    let servers: Vec<String> = match servers {
        // They know the names of containers, and ask those that were asked for about all else.
        Servers::Given(given) if !given.is_empty() => given.iter().map(ToString::to_string).collect(),
        _ if !asked.dns.is_empty() => asked.dns.iter().map(ToString::to_string).collect(),
        Servers::Host => found,
        Servers::Given(_) => reachable(&found, None),
        Servers::Instead(instead) => reachable(&found, instead),
    };
    let mut text = String::new();
    let search =
        if asked.dns_search.is_empty() { words_of(host, &["search", "domain"]) } else { asked.dns_search.clone() };
    // A dot alone says that there are none.
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    for server in servers.iter().take(MAX_SERVERS) {
        let _ = writeln!(text, "nameserver {server}");
    }
    let options = if asked.dns_options.is_empty() { words_of(host, &["options"]) } else { asked.dns_options.clone() };
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// Whether a `resolv.conf` has names asked for there.
pub fn asks(text: &[u8], server: IpAddr) -> bool {
    servers_of(&String::from_utf8_lossy(text)).iter().any(|found| found.parse() == Ok(server))
}

fn servers_of(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.split_ascii_whitespace().next()).map(str::to_owned).collect()
}

/// Those of the host's servers that can be reached from another network. One of an interface (`fe80::1%eth0`) can't.
fn reachable(found: &[String], instead: Option<IpAddr>) -> Vec<String> {
    let far = |server: &&String| server.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback());
    let servers: Vec<String> = found.iter().filter(far).cloned().collect();
    match (servers.is_empty(), instead) {
        (false, _) => servers,
        (true, Some(instead)) => vec![instead.to_string()],
        (true, None) => FALLBACK.iter().map(ToString::to_string).collect(),
    }
}

/// The words behind the last line with one of these keys: a later line replaces an earlier one.
fn words_of(text: &str, keys: &[&str]) -> Vec<String> {
    let words = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        keys.contains(&words.next()?).then(|| words.map(str::to_owned).collect::<Vec<_>>())
    };
    text.lines().filter_map(words).next_back().unwrap_or_default()
}

/// `/etc/hosts` with the host's network: its own names hold.
pub fn hosts_of_host(config: &Config) -> Vec<u8> {
    let mut text = of_host("/etc/hosts").unwrap_or_else(|| LOOPBACK.into());
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(added(config, Some(Ipv4Addr::LOCALHOST.into())).as_bytes());
    text.extend_from_slice(own(config, &[Ipv4Addr::LOCALHOST.into()]).as_bytes());
    text
}

/// `/etc/hosts` with a network of its own. `gateway` is where the host's services are reached.
pub fn hosts(config: &Config, places: &[Place], gateway: Option<IpAddr>) -> Vec<u8> {
    let mut text = LOOPBACK.to_owned();
    text.push_str(&added(config, gateway));
    let mut addresses: Vec<IpAddr> =
        places.iter().flat_map(|place| &place.addresses).map(|(address, _)| *address).collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    text.push_str(&own(config, &addresses));
    text.into_bytes()
}

/// What `--add-host` adds.
fn added(config: &Config, gateway: Option<IpAddr>) -> String {
    let lines = config.network.hosts.iter().filter_map(|host| Some((host.address.or(gateway)?, &host.name)));
    lines.map(|(address, name)| format!("{address}\t{name}\n")).collect()
}

/// Its own name, at each of its addresses.
fn own(config: &Config, addresses: &[IpAddr]) -> String {
    let name = config.process.hostname.as_deref().unwrap_or("localhost");
    let names = match &config.isolation.domainname {
        Some(domain) if !name.contains('.') => format!("{name}.{domain} {name}"),
        _ => name.to_owned(),
    };
    addresses.iter().map(|address| format!("{address}\t{names}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Network;

    const RESOLVED: &str = "# made by a daemon\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
    const PLAIN: &str = "domain old.example\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver ::1\nsearch a.example b.example\n";

    #[test]
    fn servers_that_only_the_host_reaches_are_replaced() {
        let none = Network::default();
        let [far, near] = ["1.1.1.1", "169.254.1.1"]
            .map(|server| Network { dns: vec![server.parse().unwrap()], ..Network::default() });
        let forward = Servers::Instead(Some("169.254.1.1".parse().unwrap()));
        assert_eq!(resolver(RESOLVED, &none, forward), "search lan\nnameserver 169.254.1.1\noptions edns0 trust-ad\n");
        assert_eq!(resolver(PLAIN, &none, forward), "search a.example b.example\nnameserver 10.0.0.1\n");
        for (host, asked, through) in
            [(RESOLVED, &none, true), (PLAIN, &none, false), (RESOLVED, &far, false), (PLAIN, &near, true)]
        {
            assert_eq!(
                asks(resolver(host, asked, forward).as_bytes(), "169.254.1.1".parse().unwrap()),
                through,
                "{host}"
            );
        }
        assert_eq!(resolver("", &none, Servers::Instead(None)), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        let given = ["10.89.0.1".parse().unwrap()];
        assert_eq!(
            resolver(PLAIN, &none, Servers::Given(&given)),
            "search a.example b.example\nnameserver 10.89.0.1\n"
        );
    }

    #[test]
    fn what_was_asked_replaces_what_the_host_has() {
        let network = Network {
            dns: vec!["1.1.1.1".parse().unwrap(), "::5".parse().unwrap()],
            dns_search: vec![".".to_owned()],
            dns_options: vec!["ndots:2".to_owned()],
            ..Network::default()
        };
        let expected = "nameserver 1.1.1.1\nnameserver ::5\noptions ndots:2\n";
        for servers in [Servers::Host, Servers::Instead(None), Servers::Given(&[])] {
            assert_eq!(resolver(RESOLVED, &network, servers), expected);
        }
    }
}
