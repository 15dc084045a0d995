//! The network, and the files that tell of it.

use runtime::container::{Network, Spec};

use crate::Config;
use crate::config::NetworkMode;

/// What the names of machines are looked up in where there is no network but loopback.
const LOOPBACK_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The longest of the host's files that are copied into a container.
const MAX_HOST_FILE: u64 = 1 << 20;

pub(super) fn apply(config: &Config, spec: &mut Spec) {
    spec.network = match config.network.mode {
        NetworkMode::Host => Network::Host,
        NetworkMode::None | NetworkMode::Private(_) | NetworkMode::Container(_) | NetworkMode::Networks(_) => {
            Network::None
        }
    };
    spec.resolv_conf = host_file("/etc/resolv.conf");
    spec.hosts = Some(hosts(spec.network, config.process.hostname.as_deref().unwrap_or("localhost")));
}

/// A file of the host's, as it is: with the host's network its name servers are reachable, loopback ones too.
fn host_file(path: &str) -> Option<Vec<u8>> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > MAX_HOST_FILE { None } else { std::fs::read(path).ok() }
}

fn hosts(network: Network, hostname: &str) -> Vec<u8> {
    let mut text = match network {
        Network::Host => host_file("/etc/hosts").unwrap_or_else(|| LOOPBACK_HOSTS.into()),
        Network::None | Network::Joined { .. } => LOOPBACK_HOSTS.into(),
    };
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(format!("127.0.0.1\t{hostname}\n").as_bytes());
    text
}
