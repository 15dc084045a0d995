//! Files that live in memory only.

use std::fs::File;
use std::io::{Seek, Write};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::{Error, Result};

/// An empty file in memory, called `name` where `/proc` shows it; closed on exec.
pub fn create(name: &str) -> Result<File> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map(File::from)
        .map_err(|errno| Error::new("memfd_create", name, errno))
}

/// A file in memory with these bytes, rewound, which nobody can change any more.
pub fn sealed(name: &str, bytes: &[u8]) -> Result<File> {
    let mut file = create(name)?;
    file.write_all(bytes).and_then(|()| file.rewind()).map_err(|error| Error::from_io("write", name, &error))?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(|errno| Error::new("fcntl F_ADD_SEALS", name, errno))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn sealed_bytes_stay() {
        let mut file = sealed("test", b"plan").unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "plan");
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
