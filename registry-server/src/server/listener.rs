//! Where connections come in: TCP addresses, Unix sockets, and sockets that the service manager opened.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use tokio::net::{TcpListener, UnixListener};

use super::stream::Stream;
use crate::config::Address;

/// Connections that wait to be accepted, as many as the kernel's own default bound.
const BACKLOG: u32 = 4096;

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {source}")]
pub struct ListenError {
    /// The address.
    pub address: String,
    /// Why not.
    pub source: io::Error,
}

/// An open listener.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    address: Address,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Opens one. Within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bind(address: &Address) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: address.to_string(), source };
        match address {
            Address::Tcp(wanted) => tcp(*wanted).map_err(failed),
            Address::Unix(path) => unix(path).map_err(failed),
        }
    }

    /// Takes a listening socket that another process opened, such as systemd.
    ///
    /// # Errors
    /// When it is no stream socket that listens.
    pub fn inherited(socket: OwnedFd) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: "an inherited socket".to_owned(), source };
        let name = rustix::net::getsockname(&socket).map_err(|error| failed(error.into()))?;
        let listener = if name.address_family() == rustix::net::AddressFamily::UNIX {
            let listener = std::os::unix::net::UnixListener::from(socket);
            let path = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
            listener.set_nonblocking(true).map_err(failed)?;
            let kind = Kind::Unix(UnixListener::from_std(listener).map_err(failed)?);
            Self { kind, address: Address::Unix(path.unwrap_or_default()) }
        } else {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true).map_err(failed)?;
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            let address = Address::Tcp(listener.local_addr().map_err(failed)?);
            Self { kind: Kind::Tcp(listener), address }
        };
        Ok(listener)
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection, and the address of its other end.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<std::net::IpAddr>)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers leave at once: without it, a small one waits for the client's acknowledgement.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Kind::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

fn tcp(wanted: SocketAddr) -> io::Result<Listener> {
    let socket = match wanted {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // A server that starts again need not wait until the kernel forgets its old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(wanted)?;
    let listener = socket.listen(BACKLOG)?;
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Listener { kind: Kind::Tcp(listener), address })
}

/// A socket that a dead server left is replaced; one that answers is not.
fn unix(path: &Path) -> io::Result<Listener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    Ok(Listener { kind: Kind::Unix(listener), address: Address::Unix(path.to_owned()) })
}
