//! Who has a port of the host: the process that listens on it, as `/proc` tells.

use std::net::{IpAddr, SocketAddr};

use super::ports::Protocol;

/// In words; `None` where that cannot be seen.
pub(super) fn of(host: SocketAddr, protocol: Protocol) -> Option<String> {
    let name = protocol.as_str();
    let tables = [format!("/proc/net/{name}"), format!("/proc/net/{name}6")];
    let inode = tables.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().skip(1).find_map(|line| listener(line, host, protocol))
    })?;
    holder(&format!("socket:[{inode}]"))
}

/// The inode of a line's socket, if that is what keeps `host` from being had.
fn listener(line: &str, host: SocketAddr, protocol: Protocol) -> Option<u64> {
    /// As the kernel numbers them: TCP that listens.
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (address, port) = local.rsplit_once(':')?;
    let same = u16::from_str_radix(port, 16).ok()? == host.port();
    let listens = protocol != Protocol::Tcp || *state == LISTEN;
    let overlaps = address.bytes().all(|digit| digit == b'0') || host.ip().is_unspecified() || is(address, host.ip());
    (same && listens && overlaps).then(|| inode.parse().ok()).flatten()
}

/// Addresses are words of the machine's own byte order, in hexadecimal.
fn is(hex: &str, address: IpAddr) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    words.map(|word| format!("{word:08X}")).collect::<String>() == hex
}

/// The process that has a socket open.
fn holder(socket: &str) -> Option<String> {
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        // Only processes of the same user show theirs.
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == socket));
        if has {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
            return Some(format!("{name} (process {pid})"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1";
        let inode = |host: &str, protocol| listener(line, host.parse().unwrap(), protocol);
        assert_eq!(inode("127.0.0.1:8080", Protocol::Tcp), Some(4242));
        assert_eq!(inode("0.0.0.0:8080", Protocol::Tcp), Some(4242));
        assert_eq!(inode("127.0.0.2:8080", Protocol::Tcp), None);
        assert_eq!(inode("127.0.0.1:8081", Protocol::Tcp), None);
        assert!(is("00000000000000000000000001000000", "::1".parse().unwrap()));
    }
}
