//! Alpine's packages: `/lib/apk/db/installed`, one letter a field.

use crate::bounded::words;
use crate::stanza::stanzas;
use crate::{Ecosystem, Package};

/// The packages of an `installed` file.
pub(crate) fn packages(text: &[u8], path: &str) -> Vec<Package> {
    stanzas(text).filter_map(|fields| package(&fields, path)).collect()
}

fn package(fields: &[(&[u8], &[u8])], path: &str) -> Option<Package> {
    // `p:` and `P:` are two fields.
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name.as_bytes()).and_then(|(_, value)| words(value));
    let name = field("P")?;
    Some(Package {
        version: field("V").unwrap_or_default(),
        architecture: field("A"),
        source: field("o").filter(|origin| *origin != name),
        licence: field("L"),
        supplier: field("m"),
        homepage: field("U"),
        ..Package::new(Ecosystem::Apk, name, path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_both_cases() {
        let text = b"C:Q1x=\nP:libcrypto3\nV:3.3.2-r0\nA:x86_64\nS:1\nL:Apache-2.0\no:openssl\nm:Ariadne <a@b>\np:so:libcrypto.so.3=3\nF:lib\nR:libcrypto.so.3\n\nP:musl\nV:1.2.5-r0\no:musl\n\n";
        let all = packages(text, "lib/apk/db/installed");
        assert_eq!((all[0].name.as_str(), all[0].version.as_str()), ("libcrypto3", "3.3.2-r0"));
        assert_eq!((all[0].source.as_deref(), all[0].licence.as_deref()), (Some("openssl"), Some("Apache-2.0")));
        assert_eq!((all[1].name.as_str(), all[1].source.as_deref(), all.len()), ("musl", None, 2));
    }
}
