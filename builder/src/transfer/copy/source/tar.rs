//! Where each member of a tar is: it is read through once, and from then on in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use layer::{Compression, Kind, TarReader, WhiteoutNames};

use super::member::Member;
use crate::transfer::copy::CopyError;

/// Members that one archive may have.
const MAX_MEMBERS: usize = 200_000;
/// What is read at once.
const BUFFER: usize = 1 << 20;
/// The longest magic number that [`Compression::detect`] looks for.
const MAGIC: u64 = 6;

/// The files of a tar by their paths.
#[derive(Debug)]
pub(super) struct Members {
    file: Arc<File>,
    at: BTreeMap<String, (u64, u64)>,
}

impl Members {
    /// Reads through a file.
    pub(super) fn scan(path: &Path) -> Result<Self, CopyError> {
        let failed = |call| move |error| CopyError::io(call, path, error);
        let mut file = File::open(path).map_err(failed("open"))?;
        let mut start = Vec::new();
        (&mut file).take(MAGIC).read_to_end(&mut start).map_err(failed("read"))?;
        let compression = Compression::detect(&start);
        if compression != Compression::None {
            return Err(CopyError::Compressed { path: path.to_path_buf(), compression: compression.name() });
        }
        file.rewind().map_err(failed("seek"))?;
        let tar_error = |source| CopyError::Tar { path: path.to_path_buf(), source };
        let reading = file.try_clone().map_err(failed("dup"))?;
        let mut tar = TarReader::new(BufReader::with_capacity(BUFFER, reading)).whiteout_names(WhiteoutNames::Plain);
        let mut at = BTreeMap::new();
        while let Some((entry, content)) = tar.next_entry().map_err(tar_error)? {
            if entry.kind == Kind::File && content.extents().is_empty() {
                let name = String::from_utf8_lossy(&entry.path).into_owned();
                at.insert(name, (content.offset(), entry.size));
            }
            if at.len() > MAX_MEMBERS {
                return Err(CopyError::TooMany { limit: MAX_MEMBERS, what: "members" });
            }
        }
        Ok(Self { file: Arc::new(file), at })
    }

    /// A member by its path.
    pub(super) fn get(&self, archive: &Path, name: &str) -> Option<Member> {
        let (start, size) = *self.at.get(name)?;
        Some(Member { file: Arc::clone(&self.file), path: archive.join(name), start, size })
    }
}
