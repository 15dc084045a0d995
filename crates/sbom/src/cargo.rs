//! Rust's crates: `Cargo.lock`, and the list that cargo-auditable leaves in programs.

use std::io::{self, Read};

use serde::Deserialize;

use crate::bounded::{damaged, words};
use crate::{Ecosystem, Package};

/// The section of a program that has the list.
pub(crate) const SECTION: &[u8] = b".dep-v0";
/// The list, decompressed; cargo's own reader stops at the same size.
const MAX_LIST: u64 = 8 << 20;

/// Whether a path is a project's lock file; those of downloaded sources say nothing of what is installed.
pub(crate) fn is_lock(parts: &[&[u8]]) -> bool {
    let [folders @ .., b"Cargo.lock"] = parts else { return false };
    let downloaded = |pair: &[&[u8]]| matches!(pair, [b"registry", b"src"] | [b"git", b"checkouts"]);
    !folders.windows(2).any(downloaded)
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates of a lock file: those that `cargo metadata` lists.
pub(crate) fn locked(text: &[u8], path: &str) -> io::Result<Vec<Package>> {
    let text = std::str::from_utf8(text).map_err(|error| damaged(error.to_string()))?;
    let lock: Lock = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
    let one = |locked: Locked| {
        let sum = locked.checksum.filter(|sum| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Some(Package {
            version: words(locked.version.as_bytes()).unwrap_or_default(),
            checksum: sum.map(|sum| ("sha256".to_owned(), sum.to_ascii_lowercase())),
            ..Package::new(Ecosystem::Cargo, words(locked.name.as_bytes())?, path)
        })
    };
    Ok(lock.package.into_iter().filter_map(one).collect())
}

#[derive(Deserialize)]
struct Audit {
    packages: Vec<Audited>,
}

#[derive(Deserialize)]
struct Audited {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

/// The crates in a program. Those that only built it are not in it.
pub(crate) fn audited(section: &[u8], path: &str) -> io::Result<Vec<Package>> {
    let mut json = Vec::new();
    flate2::read::ZlibDecoder::new(section).take(MAX_LIST + 1).read_to_end(&mut json)?;
    if json.len() as u64 > MAX_LIST {
        return Err(damaged("the list of crates is too long"));
    }
    let audit: Audit = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
    let one = |audited: Audited| {
        Some(Package {
            version: words(audited.version.as_bytes()).unwrap_or_default(),
            ..Package::new(Ecosystem::Cargo, words(audited.name.as_bytes())?, path)
        })
    };
    let built_by = |audited: &Audited| audited.kind.as_deref() == Some("build");
    Ok(audit.packages.into_iter().filter(|one| !built_by(one)).filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::inventory::parts;

    #[test]
    fn locks_and_lists() {
        let lock = b"version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked(lock, "p").unwrap().len(), 2);
        assert!(locked(b"package = 3", "p").is_err());
        assert!(is_lock(&parts(b"src/Cargo.lock")));
        assert!(!is_lock(&parts(b"root/.cargo/registry/src/i/a-1/Cargo.lock")));
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(br#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","kind":"build"},{"name":"b","version":"2.0.0","source":"local","root":true}]}"#).unwrap();
        let found = audited(&out.finish().unwrap(), "p").unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "b"));
        assert!(audited(b"x", "p").is_err());
    }
}
