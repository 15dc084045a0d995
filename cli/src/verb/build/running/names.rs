//! How RUN finds hosts: `--add-host`, `--dns`, and their like.

use std::net::IpAddr;

use builder::Dns;

use crate::error::{Error, Result};

/// A RUN shares the host's network: the way to the host is the loopback.
const HOST_GATEWAY: &str = "127.0.0.1";

/// Options about names.
#[derive(Debug, clap::Args)]
pub(super) struct NameArgs {
    /// Add a host to /etc/hosts of RUN (may be repeated); the address may be host-gateway
    #[arg(long = "add-host", value_name = "HOST:IP")]
    hosts: Vec<String>,
    /// Leave /etc/hosts of RUN as the image has it
    #[arg(long)]
    pub(super) no_hosts: bool,
    /// Leave /etc/hostname of RUN as the image has it
    #[arg(long)]
    pub(super) no_hostname: bool,
    /// A name server for RUN, or `none` to leave /etc/resolv.conf as the image has it (may be repeated)
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,
    /// A domain in which RUN looks names up (may be repeated)
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of the resolver of RUN (may be repeated)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
}

impl NameArgs {
    /// Name and address of each added host.
    pub(super) fn hosts(&self) -> Result<Vec<(String, String)>> {
        if self.no_hosts && !self.hosts.is_empty() {
            return Err(Error::usage("--no-hosts and --add-host exclude each other"));
        }
        let mut all = Vec::new();
        for written in &self.hosts {
            all.extend(host(written)?);
        }
        Ok(all)
    }

    /// What `resolv.conf` says.
    pub(super) fn dns(&self) -> Result<Dns> {
        let none = self.dns.iter().any(|server| server == "none");
        if none && (self.dns.len() > 1 || !self.dns_search.is_empty() || !self.dns_option.is_empty()) {
            return Err(Error::usage("--dns none stands alone"));
        }
        if let Some(bad) = self.dns.iter().find(|server| *server != "none" && server.parse::<IpAddr>().is_err()) {
            return Err(Error::usage(format!("--dns {bad}: expected an address")));
        }
        let words = self.dns_search.iter().chain(&self.dns_option);
        if let Some(bad) = words.clone().find(|word| word.is_empty() || word.contains(char::is_whitespace)) {
            return Err(Error::usage(format!("--dns-search, --dns-option: `{bad}` is not one word")));
        }
        let servers = if none { Vec::new() } else { self.dns.clone() };
        Ok(Dns { none, servers, search: self.dns_search.clone(), options: self.dns_option.clone() })
    }
}

/// `name:ip`, `name=ip`, `one;other:ip`.
fn host(written: &str) -> Result<Vec<(String, String)>> {
    let wrong = |why: &str| Error::usage(format!("--add-host {written}: {why}"));
    let (names, address) =
        written.split_once('=').or_else(|| written.split_once(':')).ok_or_else(|| wrong("expected HOST:IP"))?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = match bare {
        "host-gateway" => HOST_GATEWAY.to_owned(),
        bare => bare.parse::<IpAddr>().map_err(|_| wrong(&format!("`{address}` is no address")))?.to_string(),
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| !c.is_whitespace() && !"#,/".contains(c));
    names
        .split(';')
        .map(|name| if is_name(name) { Ok((name.to_owned(), address.clone())) } else { Err(wrong("no host name")) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_docker_and_podman_write_them() {
        let one = |written: &str| host(written).map(|found| found[0].clone());
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(one("db:10.0.0.1").unwrap(), pair("db", "10.0.0.1"));
        assert_eq!(one("db=10.0.0.1").unwrap(), pair("db", "10.0.0.1"));
        assert_eq!(one("db:::1").unwrap(), pair("db", "::1"));
        assert_eq!(one("db:[::1]").unwrap(), pair("db", "::1"));
        assert_eq!(one("me:host-gateway").unwrap(), pair("me", "127.0.0.1"));
        assert_eq!(host("a;b:10.0.0.1").unwrap().len(), 2);
        for bad in ["db", "db:nowhere", ":10.0.0.1", "a b:10.0.0.1", "a\n:10.0.0.1", "a;:10.0.0.1"] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }
}
