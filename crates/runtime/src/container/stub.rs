//! Mount points that the image doesn't have: made before, unmade after, so that none of them is in a layer.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::{OpenFlags, Root, Timestamp};

use super::error::StartError;
use crate::snapshot::RootFs;

/// How many links one path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// What was made in a root file system for mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stubs {
    made: Vec<Stub>,
    touched: Vec<Touched>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stub {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Dir,
    /// With so many bytes.
    File(u64),
    Node,
}

/// A directory of the image in which a stub was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Touched {
    path: PathBuf,
    /// Whether it came into the writable layer only by that.
    copied_up: bool,
    before: Time,
    after: Time,
    /// Mode, user and group.
    owner: (u32, u32, u32),
}

type Time = (i64, u32);

/// Finds and makes mount points inside a root.
pub(super) struct MountPoints {
    root: Root,
    /// The writable layer, where there is one: it tells what was copied up only for a stub.
    upper: Option<Root>,
    pub(super) stubs: Stubs,
}

impl MountPoints {
    pub(super) fn new(root: Root, upper: Option<Root>) -> Self {
        Self { root, upper, stubs: Stubs::default() }
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The file or directory at `target`, links followed within the root; made where it is absent.
    pub(super) fn open(&mut self, target: &str, dir: bool) -> Result<OwnedFd, StartError> {
        let flags = OpenFlags::PATH | OpenFlags::CLOEXEC | if dir { OpenFlags::DIRECTORY } else { OpenFlags::empty() };
        match self.root.open_file(target, flags) {
            Ok(file) => return Ok(file.into()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.at(format!("mount target {target}")).into()),
        }
        let path = self.resolve(target)?;
        self.make(&path, dir).map_err(|error| error.at(format!("mount target {target}")))?;
        Ok(self.root.open_file(&path, flags | OpenFlags::NOFOLLOW)?.into())
    }

    /// A file with this content at `target`, for where nothing can be mounted; what the image has there stays.
    pub(super) fn write(&mut self, target: &str, data: &[u8], mode: u32) -> Result<(), StartError> {
        let path = self.resolve(target)?;
        if self.root.exists(&path)? {
            return Ok(());
        }
        self.make(&path, false)?;
        let mut file = self.root.create(&path, mode, false)?;
        std::io::Write::write_all(&mut file, data).map_err(|error| sys::Error::from_io("write", target, &error))?;
        self.root.chmod(&path, mode)?;
        if let Some(stub) = self.stubs.made.last_mut() {
            stub.kind = Kind::File(data.len() as u64);
        }
        Ok(())
    }

    /// A device at `target`, where the image has nothing and the kernel lets us.
    pub(super) fn device(&mut self, target: &str, number: (u32, u32)) -> Result<(), StartError> {
        const CHARACTER_FOR_ALL: u32 = 0o020_666;
        let path = self.resolve(target)?;
        if self.root.exists(&path)? || self.root.mknod(&path, CHARACTER_FOR_ALL, number).is_err() {
            return Ok(());
        }
        self.stubs.made.push(Stub { path, kind: Kind::Node });
        Ok(())
    }

    /// The path that `target` leads to when links are followed within the root, whether it exists or not.
    pub(super) fn resolve(&self, target: &str) -> Result<PathBuf, StartError> {
        let mut left: VecDeque<OsString> = parts(Path::new(target)).collect();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            match self.root.readlink(&next) {
                Ok(link) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(StartError::setup(format!("mount target {target}"), Errno::LOOP));
                    }
                    let link = PathBuf::from(link);
                    if link.is_absolute() {
                        at = PathBuf::new();
                    }
                    parts(&link).collect::<Vec<_>>().into_iter().rev().for_each(|part| left.push_front(part));
                }
                // Not a link, or nothing at all.
                Err(error) if matches!(error.errno(), Errno::INVAL | Errno::NOENT) => at = next,
                Err(error) => return Err(error.at(format!("mount target {target}")).into()),
            }
        }
        Ok(at)
    }

    fn make(&mut self, path: &Path, dir: bool) -> sys::Result<()> {
        let mut missing = Vec::new();
        let mut existing = path;
        while !existing.as_os_str().is_empty() && !self.root.exists(existing)? {
            missing.push(existing);
            existing = existing.parent().unwrap_or(Path::new(""));
        }
        self.remember(existing)?;
        while let Some(next) = missing.pop() {
            let is_dir = dir || !missing.is_empty();
            if is_dir {
                self.root.mkdir(next, 0o755)?;
            } else {
                self.root.create(next, 0o644, true)?;
            }
            let kind = if is_dir { Kind::Dir } else { Kind::File(0) };
            self.stubs.made.push(Stub { path: next.to_owned(), kind });
        }
        if let Some(touched) = self.stubs.touched.iter_mut().find(|touched| touched.path == existing) {
            touched.after = time(self.root.stat(existing)?.mtime);
        }
        Ok(())
    }

    /// Notes what the directory that is about to get an entry is like, and those above it that come into the writable
    /// layer with it; nothing of the root, which no layer records.
    fn remember(&mut self, dir: &Path) -> sys::Result<()> {
        for (above, path) in dir.ancestors().enumerate() {
            let known = self.stubs.touched.iter().any(|touched| touched.path == path);
            let made = self.stubs.made.iter().any(|stub| stub.path == path);
            if path.as_os_str().is_empty() || known || made {
                break;
            }
            let copied_up = match &self.upper {
                Some(upper) => !upper.exists(path)?,
                None => false,
            };
            if above > 0 && !copied_up {
                break;
            }
            let stat = self.root.stat(path)?;
            let before = time(stat.mtime);
            let owner = (stat.permissions(), stat.uid, stat.gid);
            self.stubs.touched.push(Touched { path: path.to_owned(), copied_up, before, after: before, owner });
        }
        Ok(())
    }
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn time(time: Timestamp) -> Time {
    (time.seconds, time.nanoseconds)
}

impl Stubs {
    /// Unmakes them in the layer that received them, once nothing has it mounted. What the program put into a stub, or
    /// made of it, stays.
    pub(super) fn remove(&self, rootfs: &RootFs) -> sys::Result<()> {
        if self.made.is_empty() {
            return Ok(());
        }
        let root = match rootfs {
            RootFs::Overlay { upper, .. } => Root::open(upper)?,
            RootFs::Dir(dir) => Root::open(dir)?,
            RootFs::View { .. } => return Ok(()),
        };
        // Read before the removals change them.
        let mut untouched_since = Vec::new();
        for touched in &self.touched {
            untouched_since.push(root.stat(&touched.path).ok());
        }
        for stub in self.made.iter().rev() {
            let unchanged = root.stat(&stub.path).is_ok_and(|stat| match stub.kind {
                Kind::Dir => stat.is_dir(),
                Kind::File(size) => stat.is_file() && stat.size == size,
                Kind::Node => stat.kind() == sys::FileKind::Char,
            });
            if unchanged {
                ignore_if(root.remove(&stub.path), &[Errno::NOTEMPTY, Errno::NOENT, Errno::EXIST])?;
            }
        }
        for (touched, stat) in self.touched.iter().zip(untouched_since) {
            let Some(stat) = stat else { continue };
            if time(stat.mtime) != touched.after {
                continue;
            }
            if touched.copied_up && (stat.permissions(), stat.uid, stat.gid) == touched.owner {
                // It is in the layer only for the stub it held; anything else in it keeps it there.
                ignore_if(root.remove(&touched.path), &[Errno::NOTEMPTY, Errno::NOENT, Errno::EXIST])?;
            }
            let before = Timestamp { seconds: touched.before.0, nanoseconds: touched.before.1 };
            ignore_if(root.utimens(&touched.path, before, before), &[Errno::NOENT])?;
        }
        Ok(())
    }
}

fn ignore_if(result: sys::Result<()>, expected: &[Errno]) -> sys::Result<()> {
    match result {
        Err(error) if expected.contains(&error.errno()) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_root_even_to_what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("../run/stub", dir.path().join("etc/resolv.conf")).unwrap();
        std::os::unix::fs::symlink("/../../up", dir.path().join("etc/out")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        let points = MountPoints::new(Root::open(dir.path()).unwrap(), None);
        let resolved = |target| points.resolve(target).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(resolved("/etc/resolv.conf").unwrap(), "run/stub");
        assert_eq!(resolved("/etc/out/x").unwrap(), "up/x");
        assert_eq!(resolved("../../a/./b").unwrap(), "a/b");
        assert!(resolved("loop/x").is_err());
    }

    #[test]
    fn what_was_made_is_unmade_and_what_was_filled_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let etc = || std::fs::metadata(dir.path().join("etc")).unwrap().modified().unwrap();
        let before = etc();
        let mut points = MountPoints::new(Root::open(dir.path()).unwrap(), None);
        points.open("/etc/hosts", false).unwrap();
        points.open("/srv/cache/deep", true).unwrap();
        points.open("/opt/kept", true).unwrap();
        std::fs::write(dir.path().join("opt/mine"), "x").unwrap();
        points.stubs.remove(&RootFs::Dir(dir.path().to_owned())).unwrap();
        assert!(!dir.path().join("etc/hosts").exists() && !dir.path().join("srv").exists());
        assert!(dir.path().join("opt/mine").exists() && !dir.path().join("opt/kept").exists());
        assert_eq!(etc(), before);
    }
}
