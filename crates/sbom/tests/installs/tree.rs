//! A folder of this machine as a tree to look at, and a tree that is only written down.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sbom::{Content, Entry, Files, Kind};

/// A folder.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.to_path_buf())
    }

    fn below(&self, at: &[u8], visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<bool>) -> io::Result<()> {
        let mut names: Vec<_> =
            fs::read_dir(self.path(at))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let name = name.into_vec();
            let path = if at.is_empty() { name } else { [at, b"/", &name[..]].concat() };
            let about = fs::symlink_metadata(self.path(&path))?;
            let kind = match about.file_type() {
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_file() => {
                    Kind::File { size: about.len(), executable: about.permissions().mode() & 0o111 != 0 }
                }
                _ => Kind::Other,
            };
            if visit(&Entry { path: &path, kind })? && kind == Kind::Folder {
                self.below(&path, visit)?;
            }
        }
        Ok(())
    }

    fn path(&self, at: &[u8]) -> PathBuf {
        self.0.join(std::ffi::OsStr::from_bytes(at))
    }
}

impl Files for Tree {
    fn walk(&self, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<bool>) -> io::Result<()> {
        self.below(b"", visit)
    }

    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn Content + '_>>> {
        match fs::File::open(self.path(path)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Files by path, all of them programs.
pub(crate) struct Written(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Files for Written {
    fn walk(&self, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<bool>) -> io::Result<()> {
        for (path, bytes) in &self.0 {
            visit(&Entry { path, kind: Kind::File { size: bytes.len() as u64, executable: true } })?;
        }
        Ok(())
    }

    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn Content + '_>>> {
        Ok(self.0.get(path).map(|bytes| Box::new(Cursor::new(bytes.as_slice())) as Box<dyn Content>))
    }
}
