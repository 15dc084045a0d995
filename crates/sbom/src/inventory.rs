//! The look at a tree: which paths tell of packages, and what they tell.

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};

use crate::bounded::{start, whole, words};
use crate::elf::Elf;
use crate::{Distribution, Ecosystem, Files, Kind, Package, apk, cargo, deb, distribution, go, npm, python, rpm};

/// Lists of packages: a full desktop's `status` has 10 MB.
const MAX_LIST: u64 = 128 << 20;
/// The head of a distribution's metadata; what is longer goes on with a page of text.
const MAX_HEAD: u64 = 1 << 20;
/// A `package.json`.
const MAX_MANIFEST: u64 = 8 << 20;
/// The list of crates in a program, compressed.
const MAX_AUDIT: u64 = 4 << 20;
/// Paths that are read, and packages that are kept: more is an attack, or no image.
const MAX_PATHS: usize = 1_000_000;
/// Problems that are told.
const MAX_PROBLEMS: usize = 100;

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The path, from the root.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// What is installed in a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The distribution.
    pub distribution: Option<Distribution>,
    /// The packages, sorted, none twice.
    pub packages: Vec<Package>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// How a path tells of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Deb,
    Apk,
    Rpm,
    Python,
    NpmPackage,
    NpmLock,
    CargoLock,
    Program,
}

/// Looks for packages in a tree.
///
/// # Errors
/// When the tree itself cannot be read.
pub fn scan(files: &dyn Files) -> io::Result<Inventory> {
    let mut found = Vec::new();
    // Folders with packages of their own: lock files beside them say the same again, and what is not installed, too.
    let mut installed: BTreeSet<Vec<u8>> = BTreeSet::new();
    files.walk(&mut |entry| {
        if entry.path.ends_with(b"/node_modules") || entry.path == b"node_modules" {
            installed.insert(parent(entry.path).to_vec());
        }
        if let Kind::File { size, executable } = entry.kind
            && let Some(source) = source(entry.path, size, executable)
            && found.len() < MAX_PATHS
        {
            found.push((entry.path.to_vec(), source));
        }
        Ok(true)
    })?;
    let mut inventory = Inventory { distribution: distribution::read(files)?, ..Inventory::default() };
    for (path, source) in found {
        if source == Source::NpmLock && installed.contains(parent(&path)) {
            continue;
        }
        let shown = words(&path).unwrap_or_default();
        let (packages, problem) = match read(files, &path, &shown, source) {
            Ok(read) => read,
            Err(error) => (Vec::new(), Some(error)),
        };
        let room = MAX_PATHS.saturating_sub(inventory.packages.len());
        inventory.packages.extend(packages.into_iter().take(room));
        if let Some(error) = problem.filter(|_| inventory.problems.len() < MAX_PROBLEMS) {
            inventory.problems.push(Problem { path: shown, message: error.to_string() });
        }
    }
    inventory.packages.sort();
    inventory.packages.dedup();
    Ok(inventory)
}

/// The parts of a path.
pub(crate) fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').collect()
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}

fn source(path: &[u8], size: u64, executable: bool) -> Option<Source> {
    let parts = parts(path);
    let name = *parts.last()?;
    match path {
        b"var/lib/dpkg/status" => return Some(Source::Deb),
        b"lib/apk/db/installed" | b"usr/lib/apk/db/installed" => return Some(Source::Apk),
        _ => {}
    }
    if let [b"var", b"lib", b"dpkg", b"status.d", name] = parts[..] {
        return (!name.ends_with(b".md5sums")).then_some(Source::Deb);
    }
    if std::str::from_utf8(path).is_ok_and(rpm::is_database) {
        return Some(Source::Rpm);
    }
    if python::is_metadata(&parts) {
        return Some(Source::Python);
    }
    match name {
        b"package.json" => return npm::is_manifest(&parts).then_some(Source::NpmPackage),
        b"package-lock.json" => return npm::is_lock(&parts).then_some(Source::NpmLock),
        b"Cargo.lock" => return cargo::is_lock(&parts).then_some(Source::CargoLock),
        _ => {}
    }
    let library = || name.windows(3).any(|window| window == b".so");
    (size > 64 && (executable || library())).then_some(Source::Program)
}

type Read = (Vec<Package>, Option<io::Error>);

fn read(files: &dyn Files, path: &[u8], shown: &str, source: Source) -> io::Result<Read> {
    let text = |limit| Ok::<_, io::Error>(whole(files, path, limit)?.unwrap_or_default());
    let packages = match source {
        Source::Deb => deb::packages(&text(MAX_LIST)?, shown),
        Source::Apk => apk::packages(&text(MAX_LIST)?, shown),
        Source::Rpm => {
            let Some(mut content) = files.open(path)? else { return Ok((Vec::new(), None)) };
            return Ok(rpm::packages(&mut content, shown));
        }
        Source::Python => {
            let head = start(files, path, MAX_HEAD)?.unwrap_or_default();
            python::package(&head, shown).into_iter().collect()
        }
        Source::NpmPackage => vec![npm::package(&text(MAX_MANIFEST)?, &parts(path), shown)?],
        Source::NpmLock => npm::locked(&text(MAX_LIST)?, shown)?,
        Source::CargoLock => cargo::locked(&text(MAX_LIST)?, shown)?,
        Source::Program => program(files, path, shown)?,
    };
    Ok((packages, None))
}

fn program(files: &dyn Files, path: &[u8], shown: &str) -> io::Result<Vec<Package>> {
    let Some(content) = files.open(path)? else { return Ok(Vec::new()) };
    let Some(mut elf) = Elf::read(content)? else { return Ok(Vec::new()) };
    let mut packages = go::packages(&mut elf, shown)?;
    if let Some(section) = elf.section(cargo::SECTION, MAX_AUDIT)? {
        packages.extend(cargo::audited(&section, shown)?);
    }
    debug_assert!(packages.iter().all(|one| matches!(one.ecosystem, Ecosystem::Go | Ecosystem::Cargo)));
    Ok(packages)
}
