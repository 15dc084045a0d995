//! `estiba network connect`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use containers::client::Client;
use containers::config::{Config, Endpoint, Link, NetworkMode};
use containers::network::keeper::{self, protocol::Join};
use containers::supervisor::protocol::Request;
use containers::{Container, Status};

use super::networks;
use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::verb::run::user_network::{checked, link};
use crate::{sandbox, ui};

/// How long a supervisor may take to hear of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `estiba network connect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The network, by name or id
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// One more name of the container in this network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Its address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// A name by which it alone sees another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let network = networks(context)?.find(&args.network)?;
    let containers = chosen::containers(context)?;
    let container = chosen::one(&containers, &args.container)?;
    let endpoint = Endpoint {
        network: network.name.clone(),
        aliases: args.alias.iter().map(|alias| checked(alias)).collect::<Result<_>>()?,
        ip: args.ip,
        ip6: args.ip6,
        mac: None,
        links: args.link.iter().map(|text| link(text)).collect::<Result<Vec<Link>>>()?,
    };
    let _lock = container.folder.lock_config()?;
    let mut config = container.folder.read_config().during(format!("read what {} is", args.container))?;
    let places = places(&mut config, &args.container)?;
    if places.iter().any(|place| place.network == network.name || place.network == network.id.as_str()) {
        return Err(Error::failed(format!("container {} is in network {} already", config.name, network.name)));
    }
    places.push(endpoint.clone());
    if matches!(container.state.status, Status::Running | Status::Paused) {
        join(&container, endpoint, context)?;
    }
    record(&container, &config)?;
    Ok(0)
}

/// The networks that a container is in.
pub(super) fn places<'c>(config: &'c mut Config, written: &str) -> Result<&'c mut Vec<Endpoint>> {
    match &mut config.network.mode {
        NetworkMode::Networks(places) => Ok(places),
        other => {
            let other = match other {
                NetworkMode::Host => "the host's network".to_owned(),
                NetworkMode::None => "no network".to_owned(),
                NetworkMode::Container(id) => format!("the network of container {id}"),
                NetworkMode::Private(_) | NetworkMode::Networks(_) => "a private network".to_owned(),
            };
            Err(Error::failed(format!("container {written} has {other}: it can join none of yours"))
                .hint("make it with `--network NAME`, then it can join more"))
        }
    }
}

/// Connects one that runs.
fn join(container: &Container, endpoint: Endpoint, context: &Context) -> Result {
    let config = &container.config;
    let (Some(supervisor), Some(init)) = (container.state.supervisor, container.state.init) else { return Ok(()) };
    let path = format!("/proc/{}/ns/net", init.pid);
    let namespace = std::fs::File::open(&path).during(format!("open {path}"))?;
    if !init.lives() {
        return Err(Error::failed(format!("container {} has just ended", config.name)));
    }
    let rung = sandbox::probe(&store::Layout::new(context.root()?))?.rung;
    let joined = keeper::ensure(context.root()?, &rung)?.join(
        Join {
            container: config.id.clone(),
            name: config.name.clone(),
            hostname: config.process.hostname.clone(),
            supervisor,
            servers: config.network.dns.clone(),
            endpoints: vec![endpoint],
            anew: false,
        },
        namespace.as_fd(),
    )?;
    joined.notes.iter().for_each(|note| ui::err(&format!("note: {note}\n")));
    Ok(())
}

/// Keeps what is asked of a container from now on, and tells its supervisor.
pub(super) fn record(container: &Container, config: &Config) -> Result {
    container.folder.write_config(config, container.durability())?;
    // One that does not run needs not be told.
    drop(Client::connect(&container.folder).and_then(|client| client.ask(&Request::Reload, Some(PATIENCE))));
    Ok(())
}
