//! Debian's packages: `/var/lib/dpkg/status`, and `status.d/*` of images that were put together without dpkg.

use crate::stanza::{field, stanzas};
use crate::{Ecosystem, Package};

/// The packages that a status file lists and that have files in the tree.
pub(crate) fn packages(text: &[u8], path: &str) -> Vec<Package> {
    stanzas(text).filter_map(|fields| package(&fields, path)).collect()
}

fn package(fields: &[(&[u8], &[u8])], path: &str) -> Option<Package> {
    let status = field(fields, "Status");
    // `want flag status`; files of `status.d` have none.
    let state = status.as_deref().and_then(|status| status.split_whitespace().nth(2));
    if matches!(state, Some("not-installed" | "config-files")) {
        return None;
    }
    let name = field(fields, "Package")?;
    let source = field(fields, "Source").map(|source| match source.split_once(' ') {
        Some((source, _)) => source.to_owned(),
        None => source,
    });
    Some(Package {
        version: field(fields, "Version").unwrap_or_default(),
        architecture: field(fields, "Architecture"),
        source: source.filter(|source| *source != name),
        supplier: field(fields, "Maintainer"),
        homepage: field(fields, "Homepage"),
        ..Package::new(Ecosystem::Deb, name, path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_and_nothing_else() {
        let text = b"Package: a\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\nSource: s (9)\nDescription: x\n more: words\n\nPackage: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\nPackage: c\nVersion: 4\nSource: c\n";
        let all = packages(text, "p");
        let rows: Vec<_> =
            all.iter().map(|one| (one.name.as_str(), one.version.as_str(), one.source.as_deref())).collect();
        assert_eq!(rows, [("a", "1:2-3", Some("s")), ("c", "4", None)]);
    }
}
