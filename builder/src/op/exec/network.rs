//! What a RUN is told of the network: name servers and the hosts table. Both are mounted, never written into a layer.

use std::fs;

use crate::Dns;

/// Where systemd-resolved keeps the servers behind its loopback address.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The machine's resolv.conf; where it names loopback servers only and systemd knows better ones, those.
///
/// A build shares the host's network by default, so that a loopback server does answer: it stays when there is no other.
pub(crate) fn resolv_conf(dns: &Dns) -> Vec<u8> {
    adjusted(&of_machine(), dns).into_bytes()
}

/// With what was asked for instead of what is there, kind by kind.
fn adjusted(text: &str, dns: &Dns) -> String {
    let kinds = [("nameserver", &dns.servers), ("search", &dns.search), ("options", &dns.options)];
    let mut out = String::new();
    for line in text.lines() {
        let keyword = line.split_whitespace().next().unwrap_or_default();
        // `domain` is a search list of one.
        let keyword = if keyword == "domain" { "search" } else { keyword };
        if kinds.iter().all(|(kind, given)| *kind != keyword || given.is_empty()) {
            out.push_str(line);
            out.push('\n');
        }
    }
    for server in &dns.servers {
        out.push_str(&format!("nameserver {server}\n"));
    }
    for (kind, given) in &kinds[1..] {
        // A dot alone asks for no search list at all.
        if !given.is_empty() && given.as_slice() != ["."] {
            out.push_str(&format!("{kind} {}\n", given.join(" ")));
        }
    }
    out
}

fn of_machine() -> String {
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if has_outside_server(&own) {
        return without_loopback(&own);
    }
    match fs::read_to_string(UPSTREAM) {
        Ok(upstream) if has_outside_server(&upstream) => without_loopback(&upstream),
        _ => own,
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

/// The hosts table, with what was added to it.
pub(crate) fn hosts(host_name: &str, added: &[(String, String)]) -> Vec<u8> {
    let mut text = format!(
        "127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    );
    for (name, address) in added {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.into_bytes()
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

    #[test]
    fn what_is_given_stands_instead_of_what_is_there() {
        let text = "nameserver 10.0.0.1\ndomain a.example\noptions edns0\n";
        assert_eq!(adjusted(text, &Dns::default()), text);
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let dns = Dns { servers: list(&["9.9.9.9", "::1"]), search: list(&["b", "c"]), ..Dns::default() };
        assert_eq!(adjusted(text, &dns), "options edns0\nnameserver 9.9.9.9\nnameserver ::1\nsearch b c\n");
        let dns = Dns { search: list(&["."]), options: list(&["ndots:2"]), ..Dns::default() };
        assert_eq!(adjusted(text, &dns), "nameserver 10.0.0.1\noptions ndots:2\n");
    }

    #[test]
    fn names_are_added_at_the_end() {
        let text = String::from_utf8(hosts("me", &[("db".to_owned(), "10.0.0.2".to_owned())])).unwrap();
        assert!(text.starts_with("127.0.0.1\tlocalhost me\n") && text.ends_with("\n10.0.0.2\tdb\n"), "{text}");
    }
}
