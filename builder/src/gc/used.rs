//! When results were last used, by builds that found everything and wrote nothing to the index.
//!
//! Such a build leaves a file named by the key of its result, whose time is now, and which lists the keys of all its steps:
//! the first one writes it, the others set its time, which is one call.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::SystemTime;

use oci::Digest;
use store::Store;

/// Marks the keys of a build as used now; `root` is the key of its result. Losing a mark costs a step that is run again some
/// day, so that errors are nobody's.
pub(crate) fn mark<'k>(store: &Store, root: &Digest, keys: impl Iterator<Item = &'k Digest>) {
    let path = folder(store).join(root.hex());
    let marked = match File::options().write(true).open(&path) {
        Ok(file) => file.set_modified(SystemTime::now()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(store, &path, keys),
        Err(error) => Err(error),
    };
    // A store that cannot be written to is read all the same.
    drop(marked);
}

fn folder(store: &Store) -> PathBuf {
    store.layout().used()
}

fn write<'k>(store: &Store, path: &std::path::Path, keys: impl Iterator<Item = &'k Digest>) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder(store))?;
    let text = keys.fold(String::new(), |text, key| text + &key.to_string() + "\n");
    let partial = path.with_extension(format!("{}.new", std::process::id()));
    File::create(&partial).and_then(|mut file| file.write_all(text.as_bytes()))?;
    fs::rename(&partial, path)
}

/// When each key was last marked, in seconds since 1970; and the files, by the key that names them.
pub(super) fn read(store: &Store) -> (HashMap<Digest, i64>, Vec<(String, PathBuf)>) {
    let (mut used, mut files) = (HashMap::new(), Vec::new());
    for entry in fs::read_dir(folder(store)).into_iter().flatten().flatten() {
        let path = entry.path();
        let time = entry.metadata().and_then(|metadata| metadata.modified());
        let (Ok(time), Ok(text)) = (time, fs::read_to_string(&path)) else { continue };
        let seconds = super::seconds(time);
        for key in text.lines().filter_map(|line| line.parse::<Digest>().ok()) {
            let last = used.entry(key).or_insert(seconds);
            *last = seconds.max(*last);
        }
        files.push((entry.file_name().to_string_lossy().into_owned(), path));
    }
    (used, files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_finds_everything_marks_all_its_steps() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let keys = [Digest::sha256(b"a"), Digest::sha256(b"b")];
        assert!(read(&store).0.is_empty());
        mark(&store, &keys[1], keys.iter());
        let file = File::options().write(true).open(folder(&store).join(keys[1].hex())).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(read(&store).0, HashMap::from([(keys[0], 0), (keys[1], 0)]));
        mark(&store, &keys[1], keys.iter());
        assert!(read(&store).0.values().all(|used| *used > 1_000_000_000));
    }
}
