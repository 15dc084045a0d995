//! In a network namespace of a child, as root or in a user namespace.

use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::process::geteuid;

use super::*;
use crate::ns::{self, IdKind, IdMap, Namespaces};

/// Runs `work` in a new network namespace; whether it returned true. `None` where there are no namespaces to be had.
fn in_namespace(work: impl FnOnce() -> bool) -> Option<bool> {
    const REFUSED: u8 = 77;
    let (uid, gid) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
    let child = crate::fork::child(move || {
        if ns::unshare(Namespaces::NEWUSER | Namespaces::NEWNET).is_err() {
            return REFUSED;
        }
        let _ = ns::deny_setgroups("self");
        let map = |outside| [IdMap { inside: 0, outside, count: 1 }];
        ns::write_map("self", IdKind::User, &map(uid)).unwrap();
        ns::write_map("self", IdKind::Group, &map(gid)).unwrap();
        u8::from(!work())
    });
    match child.unwrap().wait().unwrap() {
        REFUSED => None,
        code => Some(code == 0),
    }
}

#[test]
fn bridges_pairs_addresses_and_routes() {
    let worked = in_namespace(|| {
        let mut here = Socket::route().unwrap();
        here.add_bridge("br0", Some(1400)).unwrap();
        assert_eq!(here.add_bridge("br0", None).unwrap_err().errno(), Errno::EXIST);
        let bridge = here.link("br0").unwrap().unwrap();
        here.add_address(bridge.index, "10.9.0.1".parse().unwrap(), 24).unwrap();
        here.add_address(bridge.index, "10.9.0.1".parse().unwrap(), 24).unwrap();
        here.add_address(bridge.index, "fd00::1".parse().unwrap(), 64).unwrap();
        here.up(bridge.index).unwrap();
        let home = std::fs::File::open("/proc/self/ns/net").unwrap();
        ns::unshare(Namespaces::NEWNET).unwrap();
        let away = std::fs::File::open("/proc/self/ns/net").unwrap();
        let mut there = Socket::route().unwrap();
        let mac = [2, 0, 0, 0, 0, 9];
        here.add_pair("v0", &Peer { name: "eth0", namespace: away.as_fd(), mac: Some(mac) }, None).unwrap();
        let port = here.link("v0").unwrap().unwrap();
        here.enslave(port.index, bridge.index).unwrap();
        here.up(port.index).unwrap();
        assert_eq!(here.link("v0").unwrap().unwrap().master, Some(bridge.index));
        let eth = there.link("eth0").unwrap().unwrap();
        assert_eq!(eth.mac, Some(mac));
        there.add_address(eth.index, "10.9.0.2".parse().unwrap(), 24).unwrap();
        there.up(eth.index).unwrap();
        there.add_default_route(eth.index, "10.9.0.1".parse().unwrap(), 0).unwrap();
        there.add_default_route(eth.index, "10.9.0.1".parse().unwrap(), 0).unwrap();
        // A port of the bridge's own namespace is reached from the other one.
        rustix::thread::move_into_link_name_space(home.as_fd(), None).unwrap();
        let listener = std::net::TcpListener::bind("10.9.0.1:0").unwrap();
        let port = listener.local_addr().unwrap();
        rustix::thread::move_into_link_name_space(away.as_fd(), None).unwrap();
        std::net::TcpStream::connect_timeout(&port, std::time::Duration::from_secs(5)).unwrap();
        here.remove_link("v0").unwrap();
        here.remove_link("v0").unwrap();
        assert!(there.link("eth0").unwrap().is_none());
        here.links().unwrap().iter().any(|link| link.name == "br0") && here.add_bridge("a/b", None).is_err()
    });
    if worked.is_none() {
        eprintln!("skipped: no user namespaces here");
    }
    assert_ne!(worked, Some(false));
}

#[test]
fn rules_are_set_again_and_removed() {
    let worked = in_namespace(|| {
        let mut rules = Socket::netfilter().unwrap();
        let subnets: Vec<(IpAddr, u8)> = vec![("10.9.0.0".parse().unwrap(), 20), ("fd00::".parse().unwrap(), 64)];
        let table = Table { name: "estiba-t", bridge: "br0", subnets: &subnets, internal: false, masquerade: true };
        if let Err(error) = rules.set_table(&table) {
            // A kernel without nf_tables.
            eprintln!("skipped: {error}");
            return matches!(error.errno(), Errno::OPNOTSUPP | Errno::NOENT | Errno::PROTONOSUPPORT);
        }
        rules.set_table(&table).unwrap();
        if let Ok(listed) = std::process::Command::new("nft").args(["list", "ruleset"]).output() {
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            for line in [
                "iifname \"br0\" oifname \"br0\" accept",
                "oifname \"br0\" ct state established,related accept",
                "oifname \"br0\" drop",
                "ip saddr 10.9.0.0/20 oifname != \"br0\" masquerade",
                "ip6 saddr fd00::/64 oifname != \"br0\" masquerade",
            ] {
                assert_eq!(listed.matches(line).count(), 1, "{listed}");
            }
        }
        rules.set_table(&Table { internal: true, ..table }).unwrap();
        rules.remove_table("estiba-t").unwrap();
        rules.remove_table("estiba-t").is_ok()
    });
    assert_ne!(worked, Some(false));
}

/// Three networks in a row, of which the middle one forwards: guarded, only what a bridge takes part in.
#[test]
fn a_guard_lets_through_what_a_bridge_takes_part_in() {
    let worked = in_namespace(|| {
        let home = std::fs::File::open("/proc/self/ns/net").unwrap();
        let enter = |at: &std::fs::File| rustix::thread::move_into_link_name_space(at.as_fd(), None).unwrap();
        let mut here = Socket::route().unwrap();
        here.add_bridge("br0", None).unwrap();
        let bridge = here.link("br0").unwrap().unwrap().index;
        let mut ends = Vec::new();
        for net in [1, 2] {
            ns::unshare(Namespaces::NEWNET).unwrap();
            let away = std::fs::File::open("/proc/self/ns/net").unwrap();
            let mut there = Socket::route().unwrap();
            enter(&home);
            let (name, ours) = (format!("v{net}"), IpAddr::from([10, 9, net, 1]));
            here.add_pair(&name, &Peer { name: "eth0", namespace: away.as_fd(), mac: None }, None).unwrap();
            let port = here.link(&name).unwrap().unwrap().index;
            here.add_address(if net == 1 { bridge } else { port }, ours, 24).unwrap();
            here.up(port).unwrap();
            let eth = there.link("eth0").unwrap().unwrap().index;
            there.add_address(eth, [10, 9, net, 2].into(), 24).unwrap();
            there.up(eth).unwrap();
            there.add_default_route(eth, ours, 0).unwrap();
            ends.push((away, port));
        }
        here.enslave(ends[0].1, bridge).unwrap();
        here.up(bridge).unwrap();
        let mut rules = Socket::netfilter().unwrap();
        if let Err(error) = rules.set_guard("estiba-g", Family::V4) {
            eprintln!("skipped: {error}");
            return true;
        }
        rules.set_guard("estiba-g", Family::V6).unwrap();
        rules.set_guard("estiba-g", Family::V4).unwrap();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        enter(&ends[1].0);
        let listener = std::net::TcpListener::bind("10.9.2.2:0").unwrap();
        let at = listener.local_addr().unwrap();
        let reaches = || {
            enter(&ends[0].0);
            let reached = std::net::TcpStream::connect_timeout(&at, std::time::Duration::from_millis(1500)).is_ok();
            enter(&home);
            reached
        };
        let by_bridge = reaches();
        // The same without the bridge.
        here.remove_link("br0").unwrap();
        here.add_address(ends[0].1, [10, 9, 1, 1].into(), 24).unwrap();
        let guarded = !reaches();
        // It is not for the link.
        enter(&ends[0].0);
        let refused = std::net::TcpStream::connect_timeout(
            &"10.9.1.1:1".parse().unwrap(),
            std::time::Duration::from_millis(1500),
        );
        let refused = refused.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        assert!(by_bridge && guarded && refused, "{by_bridge} {guarded} {refused}");
        true
    });
    assert_ne!(worked, Some(false));
}
