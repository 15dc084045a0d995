//! Python's distributions: the metadata of `*.dist-info` and `*.egg-info`.

use crate::stanza::{field, stanzas};
use crate::{Ecosystem, Package};

/// Folders that Python looks for modules in.
const ROOTS: [&[u8]; 2] = [b"site-packages", b"dist-packages"];

/// Whether a path is the metadata of a distribution that is installed where it stands. What another distribution brought along
/// for its own use (`setuptools/_vendor/…`) is part of that one, and pip does not list it.
pub(crate) fn is_metadata(parts: &[&[u8]]) -> bool {
    let root = match parts {
        [root @ .., info, b"METADATA"] if is_info(info, b".dist-info") => root,
        [root @ .., info, b"PKG-INFO"] if is_info(info, b".egg-info") => root,
        [root @ .., egg, b"EGG-INFO", b"PKG-INFO"] if is_info(egg, b".egg") => root,
        [root @ .., info] if is_info(info, b".egg-info") => root,
        _ => return false,
    };
    match root.iter().rposition(|part| ROOTS.contains(part)) {
        Some(at) => at + 1 == root.len(),
        None => true,
    }
}

/// pip passes over what begins with a tilde: it is left of a removal that was cut off.
fn is_info(name: &[u8], ending: &[u8]) -> bool {
    name.len() > ending.len() && name.ends_with(ending) && !name.starts_with(b"~")
}

/// The distribution that metadata describes.
pub(crate) fn package(text: &[u8], path: &str) -> Option<Package> {
    let fields = stanzas(text).next()?;
    let licence = field(&fields, "License-Expression").or_else(|| field(&fields, "License"));
    Some(Package {
        version: field(&fields, "Version").unwrap_or_default(),
        licence: licence.filter(|licence| licence != "UNKNOWN"),
        supplier: field(&fields, "Author").filter(|author| author != "UNKNOWN"),
        homepage: field(&fields, "Home-page").filter(|page| page != "UNKNOWN"),
        ..Package::new(Ecosystem::Python, field(&fields, "Name")?, path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parts;

    #[test]
    fn where_distributions_are_installed() {
        for yes in [
            "usr/lib/python3/dist-packages/six-1.16.0.egg-info",
            "usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO",
            "venv/lib/python3.11/site-packages/pip-23.dist-info/METADATA",
            "app/lib/requests-2.dist-info/METADATA",
            "x/site-packages/old-1.egg/EGG-INFO/PKG-INFO",
        ] {
            assert!(is_metadata(&parts(yes.as_bytes())), "{yes}");
        }
        for no in [
            "x/site-packages/setuptools/_vendor/wheel-1.dist-info/METADATA",
            "x/site-packages/~ip-1.dist-info/METADATA",
            "x/site-packages/pip-1.dist-info/RECORD",
            "METADATA",
        ] {
            assert!(!is_metadata(&parts(no.as_bytes())), "{no}");
        }
    }

    #[test]
    fn the_head_and_not_the_text_below() {
        let text = b"Metadata-Version: 2.1\nName: Flask_X\nVersion: 3.0\nLicense: UNKNOWN\nLicense-Expression: BSD-3-Clause\n\nName: other\n";
        let package = package(text, "p").unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("Flask_X", "3.0"));
        assert_eq!(package.licence.as_deref(), Some("BSD-3-Clause"));
    }
}
