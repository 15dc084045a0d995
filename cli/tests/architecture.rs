//! The arrows between the crates, and what must stay absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may stand on whom.
const MAY: &[(&str, &[&str])] = &[
    ("estiba-oci", &[]),
    ("estiba-graph", &["estiba-oci"]),
    ("estiba-layer", &["estiba-oci"]),
    ("estiba-sys", &[]),
    ("estiba-sbom", &["estiba-oci"]),
    ("estiba-store", &["estiba-oci", "estiba-sys"]),
    ("estiba-runtime", &["estiba-oci", "estiba-layer", "estiba-sys"]),
    ("estiba-containers", &["estiba-oci", "estiba-runtime", "estiba-store", "estiba-sys"]),
    ("estiba-frontend", &["estiba-graph", "estiba-oci"]),
    (
        "estiba-builder",
        &[
            "estiba-graph",
            "estiba-layer",
            "estiba-oci",
            "estiba-remote",
            "estiba-runtime",
            "estiba-sbom",
            "estiba-store",
            "estiba-sys",
        ],
    ),
    ("estiba-remote", &["estiba-layer", "estiba-oci", "estiba-store"]),
    ("estiba-registry-server", &["estiba-oci", "estiba-remote", "estiba-store", "estiba-sys"]),
    (
        "estiba",
        &[
            "estiba-builder",
            "estiba-containers",
            "estiba-frontend",
            "estiba-graph",
            "estiba-layer",
            "estiba-oci",
            "estiba-registry-server",
            "estiba-remote",
            "estiba-runtime",
            "estiba-sbom",
            "estiba-store",
            "estiba-sys",
        ],
    ),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The workspace's own dependencies, by crate; those of tests alone left out. `None` where this user has no cargo.
fn arrows() -> Option<BTreeMap<String, BTreeSet<String>>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version=1", "--offline"]).current_dir(workspace());
    let output = match command.output() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            fixtures::skip("the arrows between the crates: this user cannot run cargo");
            return None;
        }
        other => other.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let own: BTreeSet<String> = packages.iter().map(name).collect();
    let uses = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|one| one["kind"].as_str() != Some("dev")).map(name).filter(|one| own.contains(one)).collect()
    };
    Some(packages.iter().map(|package| (name(package), uses(package))).collect())
}

#[test]
fn every_arrow_is_allowed() {
    let Some(arrows) = arrows() else { return };
    for (name, allowed) in MAY {
        let uses = arrows.get(*name).unwrap_or_else(|| panic!("crate {name} is gone: change the table with it"));
        for used in uses {
            assert!(allowed.contains(&used.as_str()), "{name} must not stand on {used}");
        }
    }
    let known: BTreeSet<&str> =
        MAY.iter().map(|(name, _)| *name).chain(["estiba-fixtures", "estiba-benches"]).collect();
    for name in arrows.keys() {
        assert!(known.contains(name.as_str()), "crate {name} has no row in the table");
    }
}

/// Every Rust file below these folders of the workspace.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    let mut todo: Vec<PathBuf> = folders.iter().map(|folder| workspace().join(folder)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).unwrap();
            all.push((path, text));
        }
    }
    assert!(!all.is_empty(), "{folders:?} hold no source");
    all
}

/// Tests may read corpora and print.
fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs" || name == "figures.rs")
        || path
            .components()
            .any(|part| ["tests", "fuzz", "benches", "examples"].iter().any(|folder| part.as_os_str() == *folder))
}

/// The lines of a file before its tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    let lines = text[..end].lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn pure_crates_have_no_effects() {
    let effects = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::net::ToSocketAddrs",
        "std::process",
        "std::env::",
        "std::thread",
        "std::io::std",
        "rustix::",
        "libc::",
    ];
    for (path, text) in sources(&["crates/oci/src", "crates/graph/src", "crates/sbom/src", "frontend/src"]) {
        for (number, line) in code(&text) {
            let found = effects.iter().find(|effect| line.contains(**effect) && !line.contains("std::env::consts"));
            assert!(found.is_none(), "{}:{number}: {line}", path.display());
        }
    }
}

#[test]
fn unsafe_has_one_address() {
    let others = [
        "crates/oci",
        "crates/graph",
        "crates/layer",
        "crates/store",
        "crates/runtime",
        "crates/remote",
        "crates/sbom",
        "frontend",
        "builder",
        "registry-server",
        "cli/src",
        "testdata/src",
    ];
    // Spelled apart, or this line would be a find.
    let words = [
        concat!("unsafe", " {"),
        concat!("unsafe", " fn"),
        concat!("unsafe", " impl"),
        concat!("allow(", "unsafe_code"),
    ];
    for (path, text) in sources(&others) {
        for word in words {
            assert!(!text.contains(word), "{}: `{word}` belongs into crates/sys", path.display());
        }
    }
}

#[test]
fn only_the_command_line_prints() {
    for (path, text) in sources(&["crates", "frontend/src", "builder/src", "registry-server/src"]) {
        for (number, line) in code(&text) {
            let prints =
                ["println!(", "print!(", "io::stdout()", "io::stderr()"].iter().any(|word| line.contains(word));
            // The exporters' archive may go to standard output: they are handed its descriptor, or open it as a file.
            assert!(
                !prints
                    || path.ends_with("export/mod.rs")
                    || path.components().any(|part| part.as_os_str() == "export"),
                "{}:{number}: {line}",
                path.display()
            );
        }
    }
}
