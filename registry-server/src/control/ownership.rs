//! Whose data directory it is.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sys::lock::Lock;

use super::{Client, Error, Result};

/// The file that the owner keeps locked; it holds the owner's process id, for messages.
pub const LOCK: &str = "lock";
/// The socket that the owner listens on.
pub const SOCKET: &str = "control.sock";

/// The one right to write below a data directory; dropping it gives it up.
#[derive(Debug)]
pub struct RootLock {
    root: PathBuf,
    _lock: Lock,
}

impl RootLock {
    /// Takes the right, and makes the data directory where there is none.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process has it.
    pub fn take(root: &Path) -> Result<Self> {
        let io = |call, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { call, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(io("mkdir", root))?;
        let path = root.join(LOCK);
        let mut options = File::options();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io("open", &path))?;
        let failed =
            |error: sys::Error| Error::Io { call: "flock", path: path.clone(), source: std::io::Error::other(error) };
        match Lock::try_exclusive(file).map_err(failed)? {
            Ok(lock) => {
                let mut file = lock.file();
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io("write", &path))?;
                Ok(Self { root: root.to_path_buf(), _lock: lock })
            }
            Err(mut file) => {
                let mut text = String::new();
                // Whoever holds it may be about to write it: no number is no failure.
                let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                Err(Error::InUse { root: root.to_path_buf(), pid })
            }
        }
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// How a verb may work on a data directory.
#[derive(Debug)]
pub enum Owner {
    /// By itself: nobody else does.
    Locked(RootLock),
    /// Through the server that owns it.
    Running(Client),
}

impl Owner {
    /// Becomes the owner, or finds the server that is.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process owns it that does not listen: another verb at work, or a server that is
    /// just starting or ending.
    pub fn take(root: &Path) -> Result<Self> {
        match RootLock::take(root) {
            Ok(lock) => Ok(Self::Locked(lock)),
            Err(in_use @ Error::InUse { .. }) => match Client::connect(root) {
                Ok(client) => Ok(Self::Running(client)),
                // The socket's permissions are worth telling; that nobody listens is not.
                Err(error @ Error::Io { .. }) if denied(&error) => Err(error),
                Err(_) => Err(in_use),
            },
            Err(error) => Err(error),
        }
    }
}

fn denied(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/root");
        let first = RootLock::take(&root).unwrap();
        let error = Owner::take(&root).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} is in use by another process (pid {})", root.display(), std::process::id())
        );
        drop(first);
        assert!(matches!(Owner::take(&root).unwrap(), Owner::Locked(_)));
    }
}
