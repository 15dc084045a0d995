//! Ports, as docker lists them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use containers::network::ports::{ContainerPort, Published};
use containers::{Container, Status};

/// "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp"; runs of neighbours are one range.
pub(in crate::verb) fn shown(container: &Container) -> String {
    let published = match container.state.status {
        Status::Running | Status::Paused => container.state.network.ports.as_slice(),
        Status::Created | Status::Restarting | Status::Exited => return String::new(),
    };
    let exposed = &container.config.network.exposed;
    let only_exposed: Vec<_> =
        exposed.iter().filter(|port| published.iter().all(|published| published.container != **port)).collect();
    list(published, &only_exposed)
}

fn list(published: &[Published], exposed: &[&ContainerPort]) -> String {
    // Those of one address and protocol, in order: neighbours on both sides are one range.
    let mut groups: BTreeMap<(u8, IpAddr), Vec<(u16, u16)>> = BTreeMap::new();
    for one in published {
        let key = (one.container.protocol as u8, one.host.ip());
        groups.entry(key).or_default().push((one.container.port, one.host.port()));
    }
    let protocol = |number: u8| {
        published
            .iter()
            .find(|one| one.container.protocol as u8 == number)
            .map_or("tcp", |one| one.container.protocol.as_str())
    };
    let mut out = Vec::new();
    for ((number, address), mut ports) in groups {
        ports.sort_unstable();
        for (first, last) in ranges(&ports) {
            let host = |port: u16| SocketAddr::new(address, port).to_string();
            let text = if first == last {
                format!("{}->{}/{}", host(first.1), first.0, protocol(number))
            } else {
                format!("{}-{}->{}-{}/{}", host(first.1), last.1, first.0, last.0, protocol(number))
            };
            out.push(text);
        }
    }
    out.extend(exposed.iter().map(ToString::to_string));
    out.join(", ")
}

/// The first and last of each run of neighbours.
fn ranges(ports: &[(u16, u16)]) -> Vec<((u16, u16), (u16, u16))> {
    let mut out: Vec<((u16, u16), (u16, u16))> = Vec::new();
    for &(inside, host) in ports {
        match out.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(inside) && last.1.checked_add(1) == Some(host) => {
                *last = (inside, host);
            }
            _ => out.push(((inside, host), (inside, host))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use containers::network::ports::Protocol;

    use super::*;

    #[test]
    fn neighbours_are_one_range() {
        let port = |port, protocol| ContainerPort { port, protocol };
        let one =
            |inside, host: &str| Published { container: port(inside, Protocol::Tcp), host: host.parse().unwrap() };
        let published = [
            one(80, "0.0.0.0:8080"),
            one(81, "0.0.0.0:8081"),
            one(82, "0.0.0.0:9000"),
            one(80, "[::]:8080"),
            Published { container: port(53, Protocol::Udp), host: "127.0.0.1:53".parse().unwrap() },
        ];
        assert_eq!(
            list(&published, &[&port(443, Protocol::Tcp)]),
            "0.0.0.0:8080-8081->80-81/tcp, 0.0.0.0:9000->82/tcp, [::]:8080->80/tcp, 127.0.0.1:53->53/udp, 443/tcp"
        );
        assert_eq!(list(&[], &[]), "");
    }
}
