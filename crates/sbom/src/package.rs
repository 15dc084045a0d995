//! One package, and the distribution it may belong to.

use serde::{Deserialize, Serialize};

/// Who keeps record of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// Debian's packages.
    Deb,
    /// Alpine's packages.
    Apk,
    /// Packages of Red Hat, SUSE and others.
    Rpm,
    /// Python's distributions.
    Python,
    /// Node's packages.
    Npm,
    /// Rust's crates.
    Cargo,
    /// Go's modules.
    Go,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Who keeps record of it.
    pub ecosystem: Ecosystem,
    /// Its name, as its tool shows it.
    pub name: String,
    /// Its version, as its tool shows it.
    pub version: String,
    /// The architecture, where its tool tells one.
    pub architecture: Option<String>,
    /// The package that it was made of, where that has another name: Debian's source package, Alpine's origin.
    pub source: Option<String>,
    /// The licence, in its own words.
    pub licence: Option<String>,
    /// Who made or keeps it.
    pub supplier: Option<String>,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// What it was downloaded as: an algorithm and hexadecimal digits.
    pub checksum: Option<(String, String)>,
    /// The path that told of it, from the root, without a slash in front.
    pub found_in: String,
}

/// What `os-release` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `debian`, `alpine`: one lower-case word.
    pub id: String,
    /// `12`, `3.20.1`; empty for those that have none.
    pub version: String,
    /// What people call it.
    pub name: String,
}

impl Package {
    /// A package of which its name alone is known.
    pub(crate) fn new(ecosystem: Ecosystem, name: String, found_in: &str) -> Self {
        Self {
            ecosystem,
            name,
            version: String::new(),
            architecture: None,
            source: None,
            licence: None,
            supplier: None,
            homepage: None,
            checksum: None,
            found_in: found_in.to_owned(),
        }
    }
}
