//! `pasta`, of passt: it gives a namespace the addresses of the host and carries its traffic by the host's own sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::error::NetworkError;
use super::namespace::Made;
use super::ports::{Protocol, Published};
use super::sidecar::{self, Start, Starting};
use crate::config::MacAddress;

/// The program.
pub const PROGRAM: &str = "pasta";

/// Where the container asks for names when the host's servers can be reached by the host alone.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// What it is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'o> {
    /// What its interface is called; `None`: as the host's.
    pub interface: Option<&'o str>,
    /// Whether names are asked for at [`NAME_SERVER`]. Only then it listens there: as it hands on questions, it (passt 2023_03) takes the
    /// answers that the container's own questions get from the same server for answers to those, and they never arrive.
    pub names: bool,
    /// What leads inside.
    pub ports: &'o [Published],
    /// Whether the gateway's address leads to the host's own services.
    pub host_gateway: bool,
    /// The hardware address of the interface.
    pub mac: Option<MacAddress>,
}

/// Begins to connect a namespace.
///
/// # Errors
/// It is not there, or cannot be executed.
pub(super) fn start(made: &Made, options: &Options<'_>) -> Result<Starting, NetworkError> {
    let program = sidecar::find(PROGRAM).ok_or(NetworkError::NoProgram(PROGRAM))?;
    let (mailbox, ready) = made.mailbox()?;
    let mut command = command(&program);
    command.args(arguments(options)).arg("--netns").arg(made.path());
    // The process's number is written there once everything is set up.
    command.arg("--pid").arg(mailbox);
    sidecar::start(Start { name: PROGRAM, command, users: made.users(), ready, third: None })
}

/// On processors that have AVX2 the program only executes its other build: then we do, which saves it one start of two.
fn command(program: &Path) -> Command {
    let mut other = program.as_os_str().to_owned();
    other.push(".avx2");
    let mut command =
        Command::new(if has_avx2() && Path::new(&other).is_file() { other.as_os_str() } else { program.as_os_str() });
    command.arg0(program);
    command
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn arguments(options: &Options<'_>) -> Vec<String> {
    let mut words: Vec<String> = ["--foreground", "--quiet", "--config-net"].map(str::to_owned).to_vec();
    if let Some(interface) = options.interface {
        words.extend(["--ns-ifname".to_owned(), interface.to_owned()]);
    }
    if options.names {
        words.extend(["--dns-forward".to_owned(), NAME_SERVER.to_string()]);
    }
    if !options.host_gateway {
        words.push("--no-map-gw".to_owned());
    }
    if let Some(mac) = options.mac {
        words.extend(["--ns-mac-addr".to_owned(), mac.to_string()]);
    }
    for (protocol, switch) in [(Protocol::Tcp, "--tcp-ports"), (Protocol::Udp, "--udp-ports")] {
        let ports = specifications(options.ports, protocol);
        if ports.is_empty() {
            words.extend([switch.to_owned(), "none".to_owned()]);
        }
        words.extend(ports.into_iter().flat_map(|port| [switch.to_owned(), port]));
    }
    // The container's own attempts to reach what listens on the host's loopback are refused: they are not its business.
    words.extend(["--tcp-ns", "none", "--udp-ns", "none"].map(str::to_owned));
    words
}

/// As pasta writes ports: without an address, it listens on all, of both families.
fn specifications(ports: &[Published], protocol: Protocol) -> Vec<String> {
    let mut words = Vec::new();
    for published in ports.iter().filter(|published| published.container.protocol == protocol) {
        let everywhere =
            |ip: IpAddr| ports.contains(&Published { host: (ip, published.host.port()).into(), ..*published });
        let ports = format!("{}:{}", published.host.port(), published.container.port);
        let both = everywhere(Ipv4Addr::UNSPECIFIED.into()) && everywhere(Ipv6Addr::UNSPECIFIED.into());
        words.push(match published.host.ip() {
            address if address.is_unspecified() && both => ports,
            address => format!("{address}/{ports}"),
        });
    }
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::super::ports::ContainerPort;
    use super::*;

    #[test]
    fn ports_as_pasta_has_them() {
        let published = |host: &str, port, protocol| Published {
            container: ContainerPort { port, protocol },
            host: host.parse().unwrap(),
        };
        let ports = [
            published("0.0.0.0:8080", 80, Protocol::Tcp),
            published("[::]:8080", 80, Protocol::Tcp),
            published("0.0.0.0:8081", 81, Protocol::Tcp),
            published("127.0.0.1:53", 5353, Protocol::Udp),
            published("[::1]:53", 5353, Protocol::Udp),
        ];
        assert_eq!(specifications(&ports, Protocol::Tcp), ["0.0.0.0/8081:81", "8080:80"]);
        assert_eq!(specifications(&ports, Protocol::Udp), ["127.0.0.1/53:5353", "::1/53:5353"]);
        let words = arguments(&Options { ports: &ports[3..], ..Options::default() }).join(" ");
        assert!(words.contains("--no-map-gw --tcp-ports none --udp-ports 127.0.0.1/53:5353"), "{words}");
    }

    #[test]
    fn names_are_handed_on_where_they_are_asked_for() {
        for (interface, names) in [(None, false), (None, true), (Some("out0"), false)] {
            let words = arguments(&Options { interface, names, ..Options::default() }).join(" ");
            assert_eq!(words.contains("--dns-forward 169.254.1.1"), names, "{words}");
            assert_eq!(words.contains("--ns-ifname out0"), interface.is_some(), "{words}");
        }
    }
}
