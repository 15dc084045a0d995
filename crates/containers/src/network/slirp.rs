//! `slirp4netns`: a network of its own for one namespace, behind an address translation in a process.

use std::net::Ipv4Addr;
use std::process::Command;

use super::error::NetworkError;
use super::namespace::Made;
use super::sidecar::{self, Start, Starting};
use crate::config::MacAddress;

/// The program.
pub const PROGRAM: &str = "slirp4netns";

/// The container's address in the network that slirp4netns makes.
pub const ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 100), 24);
/// The way out; the host's own services, where they are let in.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Where names are asked for.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The interface.
pub const INTERFACE: &str = "tap0";

/// Bytes of a packet: the most that it takes, as every packet costs it the same.
const MTU: &str = "65520";

/// Begins to connect a namespace.
///
/// # Errors
/// It is not there, or cannot be executed.
pub(super) fn start(
    made: &Made,
    interface: &str,
    host_gateway: bool,
    mac: Option<MacAddress>,
) -> Result<Starting, NetworkError> {
    let program = sidecar::find(PROGRAM).ok_or(NetworkError::NoProgram(PROGRAM))?;
    let (reader, writer) = std::io::pipe().map_err(|error| sys::Error::from_io("pipe", "", &error))?;
    let mut command = Command::new(program);
    command.args(["--configure", "--ready-fd=3", "--netns-type=path", "--mtu", MTU]);
    if !host_gateway {
        command.arg("--disable-host-loopback");
    }
    if let Some(mac) = mac {
        command.arg(format!("--macaddress={mac}"));
    }
    command.arg(made.path()).arg(interface);
    let third = Some(sys::exec::raise(&writer, 10)?);
    drop(writer);
    sidecar::start(Start { name: PROGRAM, command, users: made.users(), ready: reader.into(), third })
}
