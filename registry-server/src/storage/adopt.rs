//! Files that become objects as they are.

use std::fs::File;
use std::os::fd::AsRawFd;

use oci::Digest;
use rustix::fs::{AtFlags, CWD, OFlags};
use rustix::io::Errno;

use super::directory::Directory;
use super::fs::{new_name, settle};
use super::{Error, ObjectKey, Result};

/// Gives the file's bytes a name in `directory`, by a reflink or else a hard link; `None` where neither works.
pub(super) fn adopt(directory: &Directory, digest: &Digest, file: &File) -> Result<Option<ObjectKey>> {
    let name = new_name(digest)?;
    let key = ObjectKey(format!("{}/{name}", digest.algorithm().name()));
    let path = directory.path().join(&name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let fresh = directory.file(&name, flags).map_err(|errno| Error::call("create", &path, errno))?;
    if rustix::fs::ioctl_ficlone(&fresh, file).is_ok() {
        settle(&fresh, directory, &name)?;
        return Ok(Some(key));
    }
    rustix::fs::unlinkat(directory, &name, AtFlags::empty()).map_err(|errno| Error::call("unlink", &path, errno))?;
    // By descriptor: what was hashed is what is linked, whatever its path leads to by now.
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, source.as_str(), directory, &name, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => {}
        // Another file system, one without links, somebody else's file, no /proc.
        Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::NOENT | Errno::OPNOTSUPP | Errno::ACCESS) => {
            return Ok(None);
        }
        Err(errno) => return Err(Error::call("link", &path, errno)),
    }
    settle(file, directory, &name)?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use crate::storage::{FsObjects, Objects as _};

    #[test]
    fn a_file_of_the_same_file_system_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let objects = FsObjects::open(dir.path()).unwrap();
        let path = dir.path().join("elsewhere");
        std::fs::write(&path, "content").unwrap();
        let digest = oci::Digest::sha256(b"content");
        let file = std::fs::File::open(&path).unwrap();
        let key = objects.adopt(&digest, &file).unwrap().expect("one file system");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(objects.open(&key).unwrap().size, 7);
        let mut seen = Vec::new();
        objects
            .walk(&mut |key, digest, size| {
                seen.push((key, digest, size));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(key, digest, 7)]);
    }

    #[test]
    fn a_file_of_another_file_system_is() {
        let (Ok(here), Ok(there)) = (tempfile::tempdir(), tempfile::tempdir_in("/dev/shm")) else { return };
        let objects = FsObjects::open(here.path()).unwrap();
        let path = there.path().join("elsewhere");
        std::fs::write(&path, "content").unwrap();
        use std::os::unix::fs::MetadataExt as _;
        if std::fs::metadata(here.path()).unwrap().dev() == std::fs::metadata(&path).unwrap().dev() {
            return;
        }
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(objects.adopt(&oci::Digest::sha256(b"content"), &file).unwrap(), None);
        objects.walk(&mut |key, _, _| panic!("{key:?} was left")).unwrap();
    }
}
