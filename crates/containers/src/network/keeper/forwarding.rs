//! Forwarding: what lets packets pass from one interface to another, and what keeps a host from becoming everybody's router by it.
//!
//! All of it is about the network namespace that the caller is in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sys::netlink::{Family, Socket};

use crate::network::bridge;

/// Where the kernel's switches are.
const SETTINGS: &str = "/proc/sys/net";
/// The table that guards a host which forwarded nothing before us.
const GUARD: &str = "estiba-guard";
/// Of a route's flags: it was learned from an advertisement (RTF_ADDRCONF of linux/ipv6_route.h).
const LEARNED: u32 = 0x0004_0000;

/// Turns forwarding on where it is not, behind a guard that lets nothing pass but what a bridge takes part in. It stays on, and the
/// guard with it: other stores have keepers too, and a host without forwarding is another one's to make.
pub(super) fn on_host(mut rules: Option<&mut Socket>, six: bool) -> Result<(), String> {
    for family in families(six) {
        if !is_off(family) {
            continue;
        }
        let guarded = match &mut rules {
            Some(rules) => rules.set_guard(GUARD, family).map_err(|error| error.to_string()),
            None => Err("the kernel has no nf_tables".to_owned()),
        };
        guarded.or_else(|why| bridge::drop_by_default(family).map_err(|more| format!("{why}; {more}")))?;
        turn_on(family).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Turns forwarding on in a namespace in which there is nothing but what we made.
pub(super) fn in_own_namespace(six: bool) -> sys::Result<()> {
    families(six).filter(|family| is_off(*family)).try_for_each(turn_on)
}

/// No container is to tell the host where packets go.
pub(super) fn ignore_advertisements(interface: &str) {
    // Where there is no IPv6, there is none to be ignored.
    drop(std::fs::write(accepts(interface), "0"));
}

fn families(six: bool) -> impl Iterator<Item = Family> {
    [Family::V4, Family::V6].into_iter().take(if six { 2 } else { 1 })
}

fn switch(family: Family) -> &'static Path {
    Path::new(match family {
        Family::V4 => "/proc/sys/net/ipv4/ip_forward",
        Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    })
}

/// Whether there is a switch, and it is off. Where there is no IPv6, there is nothing to forward of it.
fn is_off(family: Family) -> bool {
    std::fs::read_to_string(switch(family)).is_ok_and(|text| text.trim() == "0")
}

fn turn_on(family: Family) -> sys::Result<()> {
    if family == Family::V6 {
        keep_learned_routes()?;
    }
    write(switch(family), "1")
}

/// An interface that forwards hears no advertisements, unless it is told to hear them all the same (2): a host whose way out was
/// advertised would lose it.
fn keep_learned_routes() -> sys::Result<()> {
    let routes = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    for interface in learned(&routes) {
        let path = accepts(interface);
        if std::fs::read_to_string(&path).is_ok_and(|text| text.trim() == "1") {
            write(&path, "2")?;
        }
    }
    Ok(())
}

/// The interfaces by which routes were advertised: the last word of a line, with flags before it.
fn learned(routes: &str) -> Vec<&str> {
    let mut found: Vec<&str> = routes
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [.., flags, interface] = words.as_slice() else { return None };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            (flags & LEARNED != 0).then_some(*interface)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn accepts(interface: &str) -> PathBuf {
    [SETTINGS, "ipv6/conf", interface, "accept_ra"].iter().collect()
}

fn write(path: &Path, value: &str) -> sys::Result<()> {
    match std::fs::write(path, value) {
        // It has gone meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        written => written.map_err(|error| sys::Error::from_io("write", path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_were_advertised() {
        let routes = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003 wlan0
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00040001 wlan0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000400 00000001 00000000 00000003 eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo
";
        assert_eq!(learned(routes), ["wlan0"]);
        assert!(learned("").is_empty());
    }

    /// In a network of its own, which forwards nothing at first.
    #[test]
    fn a_host_is_guarded_before_it_forwards() {
        if !rustix::process::geteuid().is_root() {
            fixtures::skip("only root makes a network without a user namespace");
            return;
        }
        let child = sys::fork::child(|| {
            sys::ns::unshare(sys::ns::Namespaces::NEWNET).unwrap();
            // What a namespace begins with is the host's, or the kernel's.
            for family in families(true) {
                write(switch(family), "0").unwrap();
            }
            let mut rules = Socket::netfilter().ok();
            on_host(rules.as_mut(), false).unwrap();
            assert!(!is_off(Family::V4) && std::fs::read_to_string(switch(Family::V6)).is_ok_and(|text| text == "0\n"));
            on_host(rules.as_mut(), true).unwrap();
            assert!(!is_off(Family::V6));
            0
        });
        assert_eq!(child.unwrap().wait().unwrap(), 0);
    }
}
