//! Packages of Red Hat, SUSE and others: a database of headers, in one of the three forms it had over time.

mod berkeley;
mod header;
mod ndb;
mod sqlite;

use std::io;

use crate::{Content, Package};

/// Where rpm keeps its database, and where distributions have moved it.
const FOLDERS: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];
/// Headers of one database; a full desktop has a few thousand.
const MAX_HEADERS: usize = 200_000;
/// One header. Those of packages with very many files have some MiB.
const MAX_HEADER: usize = 64 << 20;
/// All headers of one database together.
const MAX_ALL: usize = 1 << 30;

/// Whether a path is a database.
pub(crate) fn is_database(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    FOLDERS.contains(&folder) && ["rpmdb.sqlite", "Packages.db", "Packages"].contains(&name)
}

/// Takes headers, one after the other.
struct Taker<'t> {
    path: &'t str,
    packages: Vec<Package>,
    taken: usize,
    /// Why the first of those that could not be read could not.
    bad: Option<io::Error>,
}

impl Taker<'_> {
    fn take(&mut self, blob: &[u8]) -> io::Result<()> {
        self.taken += blob.len();
        if self.packages.len() >= MAX_HEADERS || self.taken > MAX_ALL {
            return Err(crate::bounded::damaged("too many packages"));
        }
        match header::package(blob, self.path) {
            Ok(package) => self.packages.push(package),
            Err(error) => drop(self.bad.get_or_insert(error)),
        }
        Ok(())
    }
}

/// The packages of a database, and what is wrong with it, if anything is.
pub(crate) fn packages(content: &mut dyn Content, path: &str) -> (Vec<Package>, Option<io::Error>) {
    let mut taker = Taker { path, packages: Vec::new(), taken: 0, bad: None };
    let name = path.rsplit('/').next().unwrap_or_default();
    let read = match name {
        "rpmdb.sqlite" => sqlite::headers(content, &mut |blob| taker.take(blob)),
        "Packages.db" => ndb::headers(content, &mut |blob| taker.take(blob)),
        _ => berkeley::headers(content, &mut |blob| taker.take(blob)),
    };
    (taker.packages, read.err().or(taker.bad))
}
