//! Inventories of real installs beside what their own tools say of them, and of trees that lie.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod databases;
mod hostile;
mod languages;
mod tree;

use std::path::Path;
use std::process::Command;

use sbom::{Ecosystem, Package};

/// What a tool prints; `None`, and a skip by name, where it is not there.
fn printed(what: &str, command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            fixtures::skip(&format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            None
        }
        Err(error) => {
            fixtures::skip(&format!("{what}: {error}"));
            None
        }
    }
}

/// The packages of one kind in a folder.
fn packages(root: &Path, ecosystem: Ecosystem) -> Vec<Package> {
    let inventory = sbom::scan(&tree::Tree::new(root)).unwrap();
    assert_eq!(inventory.problems, [], "{}", root.display());
    inventory.packages.into_iter().filter(|package| package.ecosystem == ecosystem).collect()
}

/// `name version` of each, sorted, none twice.
fn rows(packages: &[Package]) -> Vec<String> {
    sorted(packages.iter().map(|package| format!("{} {}", package.name, package.version)))
}

fn sorted(rows: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().collect();
    rows.sort();
    rows.dedup();
    rows
}
