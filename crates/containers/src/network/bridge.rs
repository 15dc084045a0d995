//! A network's bridge, its addresses and its packet rules.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use sys::netlink::{Family, Peer, Socket, Table};

use super::definition::Definition;
use super::lease::Leased;

/// What a bridge came to.
#[derive(Debug, Default)]
pub(super) struct SetUp {
    /// What could not be had, but is not needed inside.
    pub(super) note: Option<String>,
    /// Whether its rules are iptables', which must be asked to remove them.
    pub(super) by_program: bool,
}

/// Makes what of a network's bridge is not there.
///
/// # Errors
/// The kernel's.
pub(super) fn set_up(route: &mut Socket, rules: Option<&mut Socket>, network: &Definition) -> sys::Result<SetUp> {
    let name = network.bridge();
    let link = match route.link(&name)? {
        Some(link) => link,
        None => {
            route.add_bridge(&name, network.mtu())?;
            route.link(&name)?.ok_or_else(|| sys::Error::new("get interface", &name, rustix::io::Errno::NODEV))?
        }
    };
    for subnet in &network.subnets {
        route.add_address(link.index, subnet.gateway, subnet.subnet.prefix)?;
    }
    route.up(link.index)?;
    let subnets: Vec<(IpAddr, u8)> =
        network.subnets.iter().map(|subnet| (subnet.subnet.network().address, subnet.subnet.prefix)).collect();
    let masquerade =
        network.options.get("com.docker.network.bridge.enable_ip_masquerade").is_none_or(|on| on != "false");
    let table = Table { name: &name, bridge: &name, subnets: &subnets, internal: network.internal, masquerade };
    let set = match rules {
        Some(rules) => rules.set_table(&table).map_err(|error| error.to_string()),
        None => Err("the kernel has no nf_tables".to_owned()),
    };
    let Err(why) = set else { return Ok(SetUp::default()) };
    Ok(match by_program(&name, network) {
        Ok(()) => SetUp { note: None, by_program: true },
        Err(more) => {
            let lacks = "is not shut off from others, and has no way out";
            SetUp { note: Some(format!("network {} {lacks}: {why}; {more}", network.name)), by_program: false }
        }
    })
}

/// Removes a network's bridge, and with it all ports and rules.
///
/// # Errors
/// The kernel's.
pub(super) fn tear_down(route: &mut Socket, rules: Option<&mut Socket>, name: &str, programs: bool) -> sys::Result<()> {
    let removed = rules.map_or(Ok(()), |rules| rules.remove_table(name));
    if programs {
        forget_by_program(name);
    }
    route.remove_link(name)?;
    removed
}

/// Makes a pair of interfaces: one a port of the bridge, one in a container's namespace with its addresses. The first network that
/// something leaves is the way out.
///
/// # Errors
/// The kernel's; then nothing is left.
pub(super) fn plug_in(
    route: &mut Socket,
    inside: &mut Socket,
    namespace: std::os::fd::BorrowedFd<'_>,
    network: &Definition,
    leased: &Leased,
    metric: u32,
) -> sys::Result<()> {
    // What is left of a keeper that was killed.
    route.remove_link(&leased.port)?;
    inside.remove_link(&leased.interface)?;
    let peer = Peer { name: &leased.interface, namespace, mac: Some(leased.mac.0) };
    route.add_pair(&leased.port, &peer, network.mtu())?;
    let configured = configure(route, inside, network, leased, metric);
    if configured.is_err() {
        // The error that brought us here is the one to tell.
        let _ = route.remove_link(&leased.port);
    }
    configured
}

fn configure(
    route: &mut Socket,
    inside: &mut Socket,
    network: &Definition,
    leased: &Leased,
    metric: u32,
) -> sys::Result<()> {
    let missing = |name: &str| sys::Error::new("get interface", name, rustix::io::Errno::NODEV);
    let bridge = route.link(&network.bridge())?.ok_or_else(|| missing(&network.bridge()))?;
    let port = route.link(&leased.port)?.ok_or_else(|| missing(&leased.port))?;
    route.enslave(port.index, bridge.index)?;
    route.up(port.index)?;
    let own = inside.link(&leased.interface)?.ok_or_else(|| missing(&leased.interface))?;
    for address in &leased.addresses {
        inside.add_address(own.index, address.address, address.prefix)?;
    }
    inside.up(own.index)?;
    if !leased.internal {
        for gateway in &leased.gateways {
            inside.add_default_route(own.index, *gateway, metric)?;
        }
    }
    Ok(())
}

/// The rules of a bridge where the kernel has no nf_tables that we may use: by `iptables`, in chains of the bridge's own name.
fn by_program(name: &str, network: &Definition) -> Result<(), String> {
    forget_by_program(name);
    let subnet = network.subnets.iter().find(|subnet| subnet.subnet.address.is_ipv4());
    let forward: &[&[&str]] = if network.internal {
        &[&["-i", name, "-o", name, "-j", "ACCEPT"], &["-i", name, "-j", "DROP"], &["-o", name, "-j", "DROP"]]
    } else {
        &[
            &["-i", name, "-o", name, "-j", "ACCEPT"],
            &["-o", name, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"],
            &["-o", name, "-j", "DROP"],
            &["-i", name, "-j", "ACCEPT"],
        ]
    };
    run(&["-N", name])?;
    for rule in forward {
        run(&[&["-A", name], *rule].concat())?;
    }
    run(&["-I", "FORWARD", "-j", name])?;
    if let (Some(subnet), false) = (subnet, network.internal) {
        let from = subnet.subnet.network().to_string();
        run(&["-t", "nat", "-N", name])?;
        run(&["-t", "nat", "-A", name, "-s", &from, "!", "-o", name, "-j", "MASQUERADE"])?;
        run(&["-t", "nat", "-I", "POSTROUTING", "-j", name])?;
    }
    Ok(())
}

fn forget_by_program(name: &str) {
    if run(&["-n", "-L", name]).is_err() {
        return;
    }
    // What is not there cannot be removed, and need not be.
    for (table, hook) in [("filter", "FORWARD"), ("nat", "POSTROUTING")] {
        for words in [&["-D", hook, "-j", name][..], &["-F", name], &["-X", name]] {
            let _ = run(&[&["-t", table], words].concat());
        }
    }
}

/// Has the host forward nothing that no rule lets through, where it forwarded nothing at all before.
pub(super) fn drop_by_default(family: Family) -> Result<(), String> {
    match family {
        Family::V4 => run(&["-P", "FORWARD", "DROP"]),
        // None of our rules would let a bridge's packets through.
        Family::V6 => Err("iptables has no rules of ours for IPv6".to_owned()),
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new("iptables").arg("-w").args(words).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("iptables: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("iptables: {error}")),
    }
}
