//! The house's own registry, running for one test.

use std::net::SocketAddr;
use std::sync::Arc;

use registry_server::Registry;
use registry_server::config::{Address, Addresses, Config};
use registry_server::server::{self, Listener};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A registry at a free port, with a data directory that goes with it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _root: TempDir,
    stop: CancellationToken,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let mut config = Config::default();
        config.server.address = Addresses(vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))]);
        let root = tempfile::tempdir().unwrap();
        let registry = Registry::open(config.clone(), root.path()).unwrap();
        let listener = Listener::bind(&config.server.address.0[0]).unwrap();
        let Address::Tcp(address) = *listener.address() else { panic!("tests listen at TCP addresses") };
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(Arc::clone(&registry), vec![listener], None, stop.clone()));
        Self { address, _root: root, stop }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
