//! Why a container's network is not to be had.

use std::net::SocketAddr;

use super::ports::{ContainerPort, PortError, Protocol};

/// Why a container's network is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused.
    #[error("network: {0}")]
    Sys(#[from] sys::Error),
    /// A published port makes no sense.
    #[error("{0}")]
    Port(#[from] PortError),
    /// Somebody listens there already.
    #[error("port {host}/{} is taken{}", .protocol.as_str(), who(.by.as_deref()))]
    Taken {
        /// Where on the host.
        host: SocketAddr,
        /// How it is spoken to.
        protocol: Protocol,
        /// Who has it, in words, where that could be found out.
        by: Option<String>,
    },
    /// Every port of a range is taken.
    #[error("all ports of the host from {first} to {last} are taken: none is left for {container}")]
    RangeTaken {
        /// The first.
        first: u16,
        /// The last.
        last: u16,
        /// What wanted one.
        container: ContainerPort,
    },
    /// Only root may listen there.
    #[error(
        "port {port} of the host is root's: publish one from {least} on, or have the machine's root say \
         `sysctl -w net.ipv4.ip_unprivileged_port_start={port}`"
    )]
    Privileged {
        /// The port.
        port: u16,
        /// The first that is everybody's.
        least: u16,
    },
    /// Not an address of this host.
    #[error("{0} is no address of this host: ports can be published on those of `ip address`, or on 0.0.0.0 and [::]")]
    NoSuchAddress(std::net::IpAddr),
    /// Nothing carries it.
    #[error("{0}: SCTP cannot be published here: the forwarders know TCP and UDP")]
    Sctp(ContainerPort),
    /// The program that was to carry the traffic is not there.
    #[error("{0} is not installed: have it installed, or leave it to `--network private` to take what there is")]
    NoProgram(&'static str),
    /// The program that was to carry the traffic failed.
    #[error("{program} did not connect the container: {said}")]
    Carrier {
        /// Its name.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// The container whose network was to be shared does not run.
    #[error("container {0} does not run: its network can't be shared")]
    NotRunning(String),
    /// Ports can't be published there.
    #[error("ports are published by who owns the network: with `--network {0}` this container does not")]
    NoPorts(&'static str),
    /// A file of ours could not be written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A network of the user.
    #[error("{0}")]
    User(String),
}

fn who(who: Option<&str>) -> String {
    match who {
        Some(who) => format!(" by {who}"),
        None => " by another process (`ss -lnp` as root says which)".to_owned(),
    }
}
