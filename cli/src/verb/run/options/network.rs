//! The network: mode, ports, names.

use std::net::IpAddr;

use containers::config::{Carrier, Host, MacAddress, Network, NetworkMode};
use containers::network::{carrier, ports};
use oci::ContainerConfig;

use super::user_network;
use crate::error::{Error, Result};

/// Words of `--network` that are no network of the user's.
const MODES: &str = "private, host, none, container:NAME, pasta, slirp4netns, or a network (`estiba network ls`)";

/// Its network.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Its network: private (a network of its own with a way out), host, none, container:NAME, or a network of yours
    #[arg(long, visible_alias = "net", value_name = "MODE")]
    network: Vec<String>,
    #[command(flatten)]
    user_network: user_network::Options,
    /// Publish a port: [[ADDRESS:]HOST-PORT:]PORT[/udp], or ranges
    #[arg(short, long, value_name = "PORTS")]
    publish: Vec<String>,
    /// Publish every exposed port on a free one
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Expose a port or a range, for --publish-all
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// A name server, instead of the host's
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// A domain to look names up in; `.` for none
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of the resolver, as in resolv.conf
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// A line of /etc/hosts; host-gateway is the host's address
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// The hardware address of its interface
    #[arg(long, value_name = "MAC")]
    mac_address: Option<MacAddress>,
    /// Leave /etc/hosts as the image has it
    #[arg(long)]
    no_hosts: bool,
    /// Leave /etc/hostname as the image has it
    #[arg(long)]
    no_hostname: bool,
}

impl Options {
    pub(super) fn settle(&self, defaults: &ContainerConfig) -> Result<Network> {
        if self.no_hosts && !self.add_host.is_empty() {
            return Err(Error::usage("--no-hosts and --add-host: one or the other"));
        }
        let wrong = |option: &'static str| move |error: ports::PortError| Error::usage(format!("{option} {error}"));
        let mut published = Vec::new();
        for written in &self.publish {
            published.extend(ports::parse_publish(written).map_err(wrong("--publish"))?);
        }
        let mut exposed = Vec::new();
        for written in &self.expose {
            exposed.extend(ports::parse_exposed(written).map_err(wrong("--expose"))?);
        }
        for written in defaults.exposed_ports.keys() {
            // What an image says and nobody understands is not worth a container.
            exposed.extend(ports::parse_exposed(written).unwrap_or_default());
        }
        exposed.extend(published.iter().map(|published| published.container));
        exposed.sort_unstable();
        exposed.dedup();
        let mode = self.mode(!published.is_empty() || self.publish_all)?;
        if self.mac_address.is_some() && !matches!(mode, NetworkMode::Private(_) | NetworkMode::Networks(_)) {
            return Err(Error::usage("--mac-address: the container has no interface of its own to give it to"));
        }
        let network = Network {
            mode,
            ports: published,
            publish_all: self.publish_all,
            exposed,
            dns: self.dns.clone(),
            dns_search: self.dns_search.iter().map(|domain| word("--dns-search", domain)).collect::<Result<_>>()?,
            dns_options: self.dns_option.iter().map(|option| word("--dns-option", option)).collect::<Result<_>>()?,
            hosts: self.add_host.iter().map(|written| host(written)).collect::<Result<_>>()?,
            no_hosts: self.no_hosts,
            no_hostname: self.no_hostname,
            mac: self.mac_address,
        };
        ports::wanted(&network).map_err(wrong("--publish"))?;
        Ok(network)
    }

    /// Which network. `publishes` is whether ports lead inside: then it has to be one of its own.
    fn mode(&self, publishes: bool) -> Result<NetworkMode> {
        let (mut modes, mut networks) = (Vec::new(), Vec::new());
        for written in &self.network {
            match mode(written)? {
                Some(mode) => modes.push(mode),
                None => networks.push(written.clone()),
            }
        }
        let endpoints = self.user_network.settle(&networks, self.mac_address)?;
        match (modes.len(), modes.pop(), endpoints.is_empty()) {
            (0, _, true) => Ok(usual(publishes)),
            (0, _, false) => Ok(NetworkMode::Networks(endpoints)),
            (1, Some(mode), true) => Ok(mode),
            _ => {
                Err(Error::usage("--network: several can only be networks of yours").hint(format!("expected {MODES}")))
            }
        }
    }
}

/// The network of who asks for none: one of its own, where it would have a way out.
fn usual(publishes: bool) -> NetworkMode {
    if publishes || carrier::choose(Carrier::Any).is_ok() {
        NetworkMode::Private(Carrier::Any)
    } else {
        NetworkMode::Host
    }
}

/// `None` for what is a network of the user's.
fn mode(written: &str) -> Result<Option<NetworkMode>> {
    let mode = match written.split_once(':').unwrap_or((written, "")) {
        ("host", "") => NetworkMode::Host,
        ("none", "") => NetworkMode::None,
        ("private" | "default" | "bridge", "") => NetworkMode::Private(Carrier::Any),
        ("pasta", "") => NetworkMode::Private(Carrier::Pasta),
        ("slirp4netns", "") => NetworkMode::Private(Carrier::Slirp4netns),
        ("container", name) if !name.is_empty() => NetworkMode::Container(name.to_owned()),
        ("container" | "host" | "none", _) => {
            return Err(Error::usage(format!("--network {written}: expected {MODES}")));
        }
        _ => return Ok(None),
    };
    Ok(Some(mode))
}

/// A word for resolv.conf: nothing that would begin another line.
fn word(option: &str, written: &str) -> Result<String> {
    let fine = |c: char| !c.is_whitespace() && !c.is_control();
    if written.is_empty() || !written.chars().all(fine) {
        return Err(Error::usage(format!("{option} {written:?}: expected one word")));
    }
    Ok(written.to_owned())
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; IPv6 may stand in brackets.
fn host(written: &str) -> Result<Host> {
    let wrong =
        |why: &str| Error::usage(format!("--add-host {written}: {why}")).hint("as db:10.0.0.5, or db:host-gateway");
    let (name, address) = written.split_once(['=', ':']).ok_or_else(|| wrong("the address is missing"))?;
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || !name.chars().all(fine) {
        return Err(wrong(&format!("{name:?} is not a name")));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = match bare {
        "host-gateway" => None,
        bare => Some(bare.parse().map_err(|_| wrong(&format!("{address:?} is not an address")))?),
    };
    Ok(Host { name: name.to_owned(), address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_people_write_them() {
        for (written, expected) in [
            ("host", NetworkMode::Host),
            ("none", NetworkMode::None),
            ("bridge", NetworkMode::Private(Carrier::Any)),
            ("pasta", NetworkMode::Private(Carrier::Pasta)),
            ("container:db", NetworkMode::Container("db".to_owned())),
        ] {
            assert_eq!(mode(written).unwrap(), Some(expected), "{written}");
        }
        assert!(mode("container:").is_err());
        assert!(mode("host:x").is_err());
        assert_eq!(mode("mine:ip=10.0.0.5").unwrap(), None);
    }

    #[test]
    fn lines_for_the_files() {
        let address = |written: &str| host(written).unwrap().address.map(|address| address.to_string());
        assert_eq!(address("db:10.0.0.5").as_deref(), Some("10.0.0.5"));
        assert_eq!(address("db=::1").as_deref(), Some("::1"));
        assert_eq!(address("db:[fd00::2]").as_deref(), Some("fd00::2"));
        assert_eq!(address("host.docker.internal:host-gateway"), None);
        for bad in ["db", "db:", ":1.2.3.4", "d b:1.2.3.4", "db:1.2.3", "db:x\n1.2.3.4 evil"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert!(word("--dns-search", "a\nnameserver 6.6.6.6").is_err());
        assert!(word("--dns-search", ".").is_ok());
    }

    #[test]
    fn exposed_ports_come_from_the_image_the_user_and_what_is_published() {
        let options = Options {
            network: vec!["none".to_owned()],
            publish: vec!["8080:80".to_owned()],
            expose: vec!["90-91/udp".to_owned()],
            ..Options::default()
        };
        let defaults = ContainerConfig {
            exposed_ports: ["80/tcp", "443", "nonsense"].map(|port| (port.to_owned(), Default::default())).into(),
            ..ContainerConfig::default()
        };
        let exposed: Vec<String> = options.settle(&defaults).unwrap().exposed.iter().map(ToString::to_string).collect();
        assert_eq!(exposed, ["80/tcp", "90/udp", "91/udp", "443/tcp"]);
    }
}
