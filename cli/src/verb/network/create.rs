//! `estiba network create`.

use std::net::IpAddr;

use containers::network::address::Cidr;
use containers::network::definition::Wanted;

use super::{DRIVER, networks};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::keyed::pairs;
use crate::ui;

/// Options of docker's driver that mean something here.
const OPTIONS: &[&str] =
    &["mtu", "com.docker.network.driver.mtu", "com.docker.network.bridge.enable_ip_masquerade", "isolate"];

/// Arguments of `estiba network create`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Its addresses, as 10.89.5.0/24; one of IPv4 and one of IPv6 can be given
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<Cidr>,
    /// The bridge's address: where names resolve and packets leave [default: the subnet's first]
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// The part of the subnet that containers get addresses of
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<Cidr>,
    /// Nothing leaves it, and nothing comes in
    #[arg(long)]
    internal: bool,
    /// Also IPv6 addresses: of --subnet, or else of a local prefix of its own
    #[arg(long)]
    ipv6: bool,
    /// Names do not resolve
    #[arg(long)]
    disable_dns: bool,
    /// A label, KEY=VALUE
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// What makes it: bridge
    #[arg(short, long, value_name = "DRIVER", default_value = DRIVER, hide_default_value = true)]
    driver: String,
    /// An option of the driver: mtu=BYTES
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// A network of that name is no error
    #[arg(long)]
    ignore: bool,
    /// Any container may join: so it is always
    #[arg(long, hide = true)]
    attachable: bool,
    #[arg(long, hide = true, value_name = "DRIVER")]
    ipam_driver: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if args.driver != DRIVER {
        return Err(Error::usage(format!("--driver {}: there is only `{DRIVER}`", args.driver))
            .hint("`estiba run --network host`, `none` and `private` need no network to be made"));
    }
    if let Some(driver) = args.ipam_driver.filter(|driver| driver != "default" && driver != "host-local") {
        return Err(Error::usage(format!("--ipam-driver {driver}: addresses are given out here, by `default`")));
    }
    let options = pairs(&args.opt, "--opt")?;
    if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
        return Err(
            Error::usage(format!("--opt {unknown}: unknown option")).hint(format!("there are {}", OPTIONS.join(", ")))
        );
    }
    let mtus = options.iter().filter(|(key, _)| key.ends_with("mtu"));
    for (key, value) in mtus {
        if !value.parse::<u32>().is_ok_and(|mtu| (1280..=65_535).contains(&mtu)) {
            return Err(Error::usage(format!("--opt {key}={value}: expected 1280 to 65535 bytes")));
        }
    }
    // The store comes with its first use.
    context.store()?;
    let networks = networks(context)?;
    let wanted = Wanted {
        name: args.name.clone(),
        subnets: args.subnet,
        gateways: args.gateway,
        ranges: args.ip_range,
        ipv6: args.ipv6,
        internal: args.internal,
        disable_dns: args.disable_dns,
        labels: pairs(&args.label, "--label")?,
        options,
    };
    let made = match networks.create(&wanted) {
        Err(containers::network::definition::NetworkError::Exists(_)) if args.ignore => networks.find(&args.name)?,
        made => made?,
    };
    ui::out(&format!("{}\n", made.id))?;
    Ok(0)
}
