//! `estiba network`: THE TABLE of its verbs.

mod connect;
mod create;
mod disconnect;
mod inspect;
mod ls;
mod prune;
mod rm;

use clap::{ArgMatches, Command};
use containers::config::NetworkMode;
use containers::layout::Layout;
use containers::network::definition::{Definition, Networks};
use containers::network::keeper;
use containers::network::lease::Leases;
use serde_json::{Value, json};

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::{Error, Result};

const VERBS: &[Verb] = &[
    verb!(create, "Make a network"),
    verb!(ls, &["list"], "List networks"),
    verb!(inspect, "Show everything about networks, and who is in them"),
    verb!(connect, "Connect a container to a network"),
    verb!(disconnect, "Disconnect a container from a network"),
    verb!(rm, &["remove"], "Remove networks that no container is in"),
    verb!(prune, "Remove all networks that no container uses"),
];

const EXAMPLES: &str = "\
Examples:
  estiba network create front
  estiba run -d --name db --network front postgres
  estiba run --rm --network front app ping db       Containers find each other by name
  estiba network create --internal back             Nothing leaves this one
  estiba network connect --alias store back db
  estiba network inspect front

A network is for the containers of one user and one store. As root it is a bridge on the host; for all others
it is in a network namespace, and pasta or slirp4netns carries what leaves it.";

/// Adds the verbs to `estiba network`.
pub(super) fn arguments(command: Command) -> Command {
    group::arguments(command.after_help(EXAMPLES), VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    group::run(matches, context, VERBS)
}

/// The store's networks.
fn networks(context: &Context) -> Result<Networks> {
    Ok(Networks::new(&Layout::new(&store::Layout::new(context.root()?))))
}

/// Who is in them now.
fn leases(context: &Context) -> Result<Leases> {
    Ok(keeper::leases(context.root()?)?)
}

/// Cleans up after a keeper that was killed, so that no bridge stays whose network is gone.
fn tidy(context: &Context) -> Result {
    let layout = store::Layout::new(context.root()?);
    if !layout.root().join("networks").is_dir() {
        return Ok(());
    }
    Ok(keeper::tidy(context.root()?, &crate::sandbox::probe(&layout)?.rung)?)
}

/// Who is in a network now, by name.
fn members(leases: &Leases, network: &Definition) -> Vec<String> {
    leases.within(&network.id).map(|(attachment, _)| attachment.name.clone()).collect()
}

/// The networks that containers want to be in, whether they run or not, as each calls them.
fn wanted_by_containers(context: &Context) -> Result<Vec<String>> {
    let containers = crate::chosen::containers(context)?.list_whole()?;
    Ok(containers
        .into_iter()
        .flat_map(|container| match container.config.network.mode {
            NetworkMode::Networks(places) => places,
            _ => Vec::new(),
        })
        .map(|place| place.network)
        .collect())
}

/// docker's JSON of a network.
fn shown(network: &Definition, leases: &Leases) -> Value {
    let six = |address: &std::net::IpAddr| address.is_ipv6();
    let config = |subnet: &containers::network::definition::Subnet| {
        let mut config = json!({ "Subnet": subnet.subnet, "Gateway": subnet.gateway });
        if let Some(range) = subnet.range {
            config["IPRange"] = json!(range);
        }
        config
    };
    let mut members = serde_json::Map::new();
    for (attachment, leased) in leases.within(&network.id) {
        let address = |v6: bool| leased.addresses.iter().find(|cidr| six(&cidr.address) == v6).map(ToString::to_string);
        let member = json!({
            "Name": attachment.name,
            "EndpointID": "",
            "MacAddress": leased.mac,
            "IPv4Address": address(false).unwrap_or_default(),
            "IPv6Address": address(true).unwrap_or_default(),
        });
        members.insert(attachment.container.to_string(), member);
    }
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": created(network),
        "Scope": "local",
        "Driver": DRIVER,
        "EnableIPv4": network.subnets.iter().any(|subnet| !six(&subnet.gateway)),
        "EnableIPv6": network.subnets.iter().any(|subnet| six(&subnet.gateway)),
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": network.subnets.iter().map(config).collect::<Vec<_>>(),
        },
        "Internal": network.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": members,
        "Options": network.options,
        "Labels": network.labels,
        "DNSEnabled": network.dns,
        "Interface": network.bridge(),
    })
}

/// The one driver that there is.
const DRIVER: &str = "bridge";

fn created(network: &Definition) -> oci::Timestamp {
    let since = network.created.system().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    oci::Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or_default(), since.subsec_nanos())
}

/// `24h` ago, or a moment.
fn before(time: &str) -> Result<std::time::SystemTime> {
    let ago = crate::duration::parse(time).and_then(|span| std::time::SystemTime::now().checked_sub(span));
    let moment = || containers::time::Moment::parse_rfc3339(time).map(containers::time::Moment::system);
    ago.or_else(moment).ok_or_else(|| Error::usage(format!("--filter until={time}: expected a time such as 24h")))
}

/// One `--filter`.
#[derive(Debug)]
enum Filter {
    Dangling(bool),
    Driver(String),
    Id(String),
    Label(bool, String, Option<String>),
    Name(String),
    /// Whether those are meant that users make: there are no others.
    Custom(bool),
    Until(std::time::SystemTime),
}

impl Filter {
    fn parse(text: &str) -> Result<Self> {
        let label = |is: bool, value: &str| {
            let (key, value) =
                value.split_once('=').map_or((value, None), |(key, value)| (key, Some(value.to_owned())));
            Self::Label(is, key.to_owned(), value)
        };
        match text.split_once('=') {
            Some(("dangling", "true" | "1")) => Ok(Self::Dangling(true)),
            Some(("dangling", "false" | "0")) => Ok(Self::Dangling(false)),
            Some(("driver", driver)) => Ok(Self::Driver(driver.to_owned())),
            Some(("id", id)) => Ok(Self::Id(id.to_owned())),
            Some(("label!", value)) => Ok(label(false, value)),
            Some(("label", value)) => Ok(label(true, value)),
            Some(("name", name)) => Ok(Self::Name(name.to_owned())),
            Some(("scope", scope)) => Ok(Self::Custom(scope == "local")),
            Some(("type", "custom")) => Ok(Self::Custom(true)),
            Some(("type", "builtin")) => Ok(Self::Custom(false)),
            Some(("until", time)) => Ok(Self::Until(before(time)?)),
            _ => Err(Error::usage(format!("--filter {text}: unknown filter")).hint(
                "there are dangling=true|false, driver=, id=, label=KEY[=VALUE], name=, scope=, type=custom|builtin, until=",
            )),
        }
    }

    fn accepts(&self, network: &Definition, leases: &Leases) -> bool {
        match self {
            Self::Dangling(dangling) => *dangling == leases.within(&network.id).next().is_none(),
            Self::Driver(driver) => driver == DRIVER,
            Self::Id(id) => network.id.as_str().contains(id.as_str()),
            Self::Label(is, key, value) => {
                let found = network.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found)) == *is
            }
            Self::Name(part) => network.name.contains(part.as_str()),
            Self::Custom(custom) => *custom,
            Self::Until(time) => network.created.system() < *time,
        }
    }
}
