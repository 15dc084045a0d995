//! Node's packages: `package.json` of each folder in a `node_modules`, and lock files of projects whose packages are elsewhere.

use serde::Deserialize;
use serde_json::Value;

use crate::bounded::{damaged, words};
use crate::{Ecosystem, Package};
use std::collections::BTreeMap;
use std::io;

/// Old lock files nest their dependencies: deeper than this nobody's do.
const MAX_DEPTH: usize = 64;
/// Packages of one lock file; the largest known projects have a tenth of it.
const MAX_LOCKED: usize = 200_000;

/// Whether a path is the `package.json` of an installed package: `node_modules/NAME/` or `node_modules/@SCOPE/NAME/`.
pub(crate) fn is_manifest(parts: &[&[u8]]) -> bool {
    match parts {
        [.., b"node_modules", scope, _, b"package.json"] if scope.starts_with(b"@") => true,
        [.., b"node_modules", name, b"package.json"] => !name.starts_with(b"@") && !name.starts_with(b"."),
        _ => false,
    }
}

/// Whether a path is a lock file of a project, not of an installed package.
pub(crate) fn is_lock(parts: &[&[u8]]) -> bool {
    matches!(parts, [folders @ .., b"package-lock.json"] if !folders.contains(&&b"node_modules"[..]))
}

#[derive(Deserialize)]
struct Manifest {
    name: Option<Value>,
    version: Option<Value>,
    license: Option<Value>,
    homepage: Option<Value>,
    author: Option<Value>,
}

/// The package that a `package.json` describes; what it does not say of its name, its folder does.
pub(crate) fn package(text: &[u8], parts: &[&[u8]], path: &str) -> io::Result<Package> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    let folder = match parts {
        [.., scope, name, _] if scope.starts_with(b"@") => words(&[scope, &b"/"[..], name].concat()),
        [.., name, _] => words(name),
        _ => None,
    };
    let name = text_of(manifest.name.as_ref()).or(folder).ok_or_else(|| damaged("a package without a name"))?;
    Ok(Package {
        version: text_of(manifest.version.as_ref()).unwrap_or_default(),
        licence: licence(manifest.license.as_ref()),
        supplier: named(manifest.author.as_ref(), "name"),
        homepage: text_of(manifest.homepage.as_ref()),
        ..Package::new(Ecosystem::Npm, name, path)
    })
}

fn text_of(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).and_then(|text| words(text.as_bytes()))
}

/// A string, or the string in an object's field.
fn named(value: Option<&Value>, field: &str) -> Option<String> {
    text_of(value).or_else(|| text_of(value.and_then(|value| value.get(field))))
}

fn licence(value: Option<&Value>) -> Option<String> {
    named(value, "type")
}

#[derive(Deserialize)]
struct Lock {
    /// Of versions 2 and 3, by path.
    packages: Option<BTreeMap<String, Locked>>,
    /// Of version 1.
    dependencies: Option<BTreeMap<String, Locked>>,
}

#[derive(Deserialize)]
struct Locked {
    name: Option<Value>,
    version: Option<Value>,
    license: Option<Value>,
    integrity: Option<Value>,
    #[serde(default)]
    link: bool,
    dependencies: Option<Value>,
}

/// The packages that a lock file names, as `npm ls --all --package-lock-only` does.
pub(crate) fn locked(text: &[u8], path: &str) -> io::Result<Vec<Package>> {
    let lock: Lock = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    let mut all = Vec::new();
    if let Some(packages) = lock.packages {
        for (place, locked) in packages.iter().filter(|(place, locked)| !place.is_empty() && !locked.link) {
            let folder = place.rsplit_once("node_modules/").map_or(place.as_str(), |(_, name)| name);
            all.extend(one(locked, folder, path));
        }
    } else {
        nested(lock.dependencies.unwrap_or_default(), path, 0, &mut all)?;
    }
    match all.len() > MAX_LOCKED {
        true => Err(damaged(format!("more than {MAX_LOCKED} packages"))),
        false => Ok(all),
    }
}

fn nested(locked: BTreeMap<String, Locked>, path: &str, depth: usize, all: &mut Vec<Package>) -> io::Result<()> {
    if depth > MAX_DEPTH || all.len() > MAX_LOCKED {
        return Err(damaged("dependencies too deep or too many"));
    }
    for (name, one_locked) in locked {
        all.extend(one(&one_locked, &name, path));
        if let Some(below @ Value::Object(_)) = one_locked.dependencies {
            let below = serde_json::from_value(below).map_err(|error| damaged(error.to_string()))?;
            nested(below, path, depth + 1, all)?;
        }
    }
    Ok(())
}

fn one(locked: &Locked, folder: &str, path: &str) -> Option<Package> {
    let name = text_of(locked.name.as_ref()).or_else(|| words(folder.as_bytes()))?;
    Some(Package {
        version: text_of(locked.version.as_ref()).unwrap_or_default(),
        licence: licence(locked.license.as_ref()),
        checksum: text_of(locked.integrity.as_ref()).and_then(|integrity| checksum(&integrity)),
        ..Package::new(Ecosystem::Npm, name, path)
    })
}

/// `sha512-BASE64` as an algorithm and hexadecimal digits.
fn checksum(integrity: &str) -> Option<(String, String)> {
    let (algorithm, digest) = integrity.split_once('-')?;
    let length = match algorithm {
        "sha1" => 20,
        "sha256" => 32,
        "sha512" => 64,
        _ => return None,
    };
    let bytes = base64(digest.split_whitespace().next()?)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes.len() == length).then(|| (algorithm.to_owned(), hex))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parts;

    #[test]
    fn which_manifests_are_packages() {
        for (path, yes) in [
            ("app/node_modules/a/package.json", true),
            ("app/node_modules/@s/a/package.json", true),
            ("app/node_modules/a/node_modules/b/package.json", true),
            ("app/node_modules/a/dist/package.json", false),
            ("app/node_modules/@s/package.json", false),
            ("app/package.json", false),
        ] {
            assert_eq!(is_manifest(&parts(path.as_bytes())), yes, "{path}");
        }
        assert!(is_lock(&parts(b"app/package-lock.json")));
        assert!(!is_lock(&parts(b"app/node_modules/a/package-lock.json")));
    }

    #[test]
    fn odd_fields_are_no_reason_to_fail() {
        let path = &parts(b"node_modules/@s/n/package.json");
        let found = package(br#"{"version":"1","license":{"type":"MIT"},"author":{"name":"A"}}"#, path, "p").unwrap();
        assert_eq!(
            (found.name.as_str(), found.licence.as_deref(), found.supplier.as_deref()),
            ("@s/n", Some("MIT"), Some("A"))
        );
        assert!(package(br#"{"name":3,"version":[]}"#, path, "p").is_ok());
        assert!(package(b"[", path, "p").is_err());
    }

    #[test]
    fn lock_files_of_both_ages() {
        let new = br#"{"lockfileVersion":3,"packages":{"":{"name":"me","version":"1"},"node_modules/a":{"version":"1.0.0","integrity":"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
            "node_modules/a/node_modules/@s/b":{"version":"2.0.0"},"node_modules/w":{"resolved":"w","link":true},"w":{"name":"w","version":"3.0.0"}}}"#;
        let rows = |text: &[u8]| {
            locked(text, "p")
                .unwrap()
                .into_iter()
                .map(|one| format!("{}@{}", one.name, one.version))
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(new), ["a@1.0.0", "@s/b@2.0.0", "w@3.0.0"]);
        let sum = locked(new, "p").unwrap()[0].checksum.clone().unwrap();
        assert_eq!((sum.0.as_str(), sum.1.as_str()), ("sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        let old = br#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"c":{"version":"3.0.0"}}}}}"#;
        assert_eq!(rows(old), ["a@1.0.0", "c@3.0.0"]);
    }
}
