//! What a RUN is told of the network: name servers and the hosts table. Both are mounted, never written into a layer.

use std::fs;

/// Where systemd-resolved keeps the servers behind its loopback address.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The machine's resolv.conf; where it names loopback servers only and systemd knows better ones, those.
///
/// A build shares the host's network by default, so that a loopback server does answer: it stays when there is no other.
pub(crate) fn resolv_conf() -> Vec<u8> {
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if has_outside_server(&own) {
        return without_loopback(&own).into_bytes();
    }
    match fs::read_to_string(UPSTREAM) {
        Ok(upstream) if has_outside_server(&upstream) => without_loopback(&upstream).into_bytes(),
        _ => own.into_bytes(),
    }
}

fn server(line: &str) -> Option<&str> {
    line.strip_prefix("nameserver")?.split_whitespace().next()
}

fn is_loopback(server: &str) -> bool {
    let address = server.split('%').next().unwrap_or_default();
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn has_outside_server(text: &str) -> bool {
    text.lines().filter_map(server).any(|server| !is_loopback(server))
}

fn without_loopback(text: &str) -> String {
    text.lines()
        .filter(|line| !server(line).is_some_and(is_loopback))
        .fold(String::new(), |out, line| out + line + "\n")
}

/// The hosts table.
pub(crate) fn hosts(host_name: &str) -> Vec<u8> {
    format!(
        "127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_go_where_there_are_others() {
        let text = "search example.org\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver ::1\n";
        assert!(has_outside_server(text));
        assert_eq!(without_loopback(text), "search example.org\nnameserver 10.0.0.1\n");
        assert!(!has_outside_server("nameserver 127.0.0.53\noptions edns0\n"));
    }
}
