//! The host's own name servers: those of `/etc/resolv.conf`, as it is now.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use super::PORT;

/// The most that the file is read of.
const FILE_LIMIT: u64 = 64 << 10;
/// The most servers that are asked, as in the C library.
const SERVERS: usize = 3;

/// The host's servers, read again when the file changes.
#[derive(Debug)]
pub(super) struct Upstream {
    path: PathBuf,
    read: Option<SystemTime>,
    servers: Vec<SocketAddr>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { path: PathBuf::from("/etc/resolv.conf"), read: None, servers: Vec::new() }
    }
}

impl Upstream {
    #[cfg(test)]
    pub(super) fn fixed(server: SocketAddr) -> Self {
        Self { path: PathBuf::from("/nonexistent"), read: None, servers: vec![server] }
    }

    /// They.
    pub(super) fn servers(&mut self) -> Vec<SocketAddr> {
        let Ok(found) = std::fs::metadata(&self.path) else { return self.servers.clone() };
        let changed = found.modified().ok();
        if (changed.is_none() || changed != self.read) && found.len() <= FILE_LIMIT {
            self.read = changed;
            self.servers = parse(&std::fs::read_to_string(&self.path).unwrap_or_default());
        }
        self.servers.clone()
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, PORT))
    };
    let servers: Vec<SocketAddr> = text.lines().filter_map(server).take(SERVERS).collect();
    // As the C library has it: the machine itself.
    if servers.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], PORT))] } else { servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_of_the_file() {
        let text = "# x\nsearch a b\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n nameserver fd00::1 \nnameserver\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[fd00::1]:53", "1.1.1.1:53"]);
        assert_eq!(parse("").len(), 1);
    }
}
