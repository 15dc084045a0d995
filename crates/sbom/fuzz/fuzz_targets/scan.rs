//! Any bytes at every path that is read: the look at them ends, and never panics.

#![no_main]

use std::io::{self, Cursor};

use libfuzzer_sys::fuzz_target;
use sbom::{Content, Entry, Files, Kind};

const PATHS: [&str; 11] = [
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "x/site-packages/a-1.dist-info/METADATA",
    "x/node_modules/a/package.json",
    "x/package-lock.json",
    "x/Cargo.lock",
    "etc/os-release",
    "bin/program",
];

/// The same bytes at every path.
struct Same<'b>(&'b [u8]);

impl Files for Same<'_> {
    fn walk(&self, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<bool>) -> io::Result<()> {
        let kind = Kind::File { size: self.0.len() as u64, executable: true };
        PATHS.iter().try_for_each(|path| visit(&Entry { path: path.as_bytes(), kind }).map(drop))
    }

    fn open(&self, _path: &[u8]) -> io::Result<Option<Box<dyn Content + '_>>> {
        Ok(Some(Box::new(Cursor::new(self.0))))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let inventory = sbom::scan(&Same(bytes)).expect("the tree can be read");
    let subject = sbom::spdx::Subject { name: "a".into(), digest: "d".into(), created: "t".into(), tool: "t".into() };
    sbom::spdx::document(&inventory, &subject);
});
