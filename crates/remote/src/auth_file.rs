//! Changing a file of credentials: what we do not know stays, and whoever reads meanwhile reads the old or the new.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::{Map, Value};

use crate::credentials::{AuthFileError, normal, read};

/// Others may write the same file: so often it is read again.
const MOST_TRIES: usize = 16;

/// Writes an entry; `None` for the credential: an empty one, which tells that a helper has it.
pub(crate) fn put(path: &Path, key: &str, credential: Option<(&str, &str)>) -> Result<(), AuthFileError> {
    let entry = match credential {
        None => Value::Object(Map::new()),
        Some((user, password)) => serde_json::json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }),
    };
    change(path, |auths| {
        // The same registry written otherwise would be found, too, or before.
        auths.retain(|name, _| normal(name) != normal(key));
        auths.insert(key.to_owned(), entry.clone());
        true
    })
    .map(drop)
}

/// Takes the entry of a key away, however it is written; whether there was one.
pub(crate) fn take(path: &Path, key: &str) -> Result<bool, AuthFileError> {
    change(path, |auths| {
        let before = auths.len();
        auths.retain(|name, _| normal(name) != normal(key));
        auths.len() != before
    })
}

/// Changes `auths`; writes if `edit` says that it did.
fn change(path: &Path, edit: impl Fn(&mut Map<String, Value>) -> bool) -> Result<bool, AuthFileError> {
    let failed = |source| AuthFileError::Write { path: path.to_owned(), source };
    // A link to a file elsewhere stays a link.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..MOST_TRIES {
        let old = existing(&path)?;
        let mut whole = parse(&path, old.as_deref().unwrap_or(b""))?;
        let auths = whole.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if auths.is_null() {
            *auths = Value::Object(Map::new());
        }
        let Some(auths) = auths.as_object_mut() else { return Err(shape(&path, "`auths` is not an object")) };
        if !edit(auths) {
            return Ok(false);
        }
        let temporary = write_beside(&path, &render(&whole)).map_err(failed)?;
        // Somebody else was faster: their entry must not be lost.
        if existing(&path)? != old {
            let _ = std::fs::remove_file(&temporary);
            continue;
        }
        return replace(&temporary, &path).map(|()| true).map_err(failed);
    }
    Err(failed(std::io::Error::other("others keep changing it")))
}

fn existing(path: &Path) -> Result<Option<Vec<u8>>, AuthFileError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(AuthFileError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>, AuthFileError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(bytes).map_err(|source| AuthFileError::Json { path: path.to_owned(), source })
}

fn shape(path: &Path, problem: &str) -> AuthFileError {
    AuthFileError::Json { path: path.to_owned(), source: serde::de::Error::custom(problem) }
}

/// As docker writes it: with tabs.
fn render(whole: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A map of strings and values that were read as JSON, into memory: nothing can fail.
    let _ = whole.serialize(&mut serializer);
    bytes.push(b'\n');
    bytes
}

/// Nobody else may read it, at no moment.
fn write_beside(path: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{:016x}", u64::from_le_bytes(random)));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map(|()| temporary)
}

fn replace(temporary: &Path, path: &Path) -> std::io::Result<()> {
    if let Err(error) = std::fs::rename(temporary, path) {
        let _ = std::fs::remove_file(temporary);
        return Err(error);
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_we_do_not_know_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/config.json");
        put(&path, "r.example", Some(("me", "wo:rd"))).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let parent = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(parent.permissions().mode() & 0o777, 0o700);
        let text = r#"{"psFormat":"x","auths":{"https://r.example/v1/":{"auth":"b2xk","email":"e"},"other.example":{"auth":"YTpi"}},"credHelpers":{"h":"y"}}"#;
        std::fs::write(&path, text).unwrap();
        put(&path, "r.example", Some(("me", "wo:rd"))).unwrap();
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({
            "psFormat": "x", "credHelpers": { "h": "y" },
            "auths": { "r.example": { "auth": "bWU6d286cmQ=" }, "other.example": { "auth": "YTpi" } },
        });
        assert_eq!(read(), expected);
        assert!(take(&path, "r.example").unwrap());
        assert!(!take(&path, "r.example").unwrap());
        assert_eq!(read()["auths"], serde_json::json!({ "other.example": { "auth": "YTpi" } }));
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(!take(&folder.path().join("none.json"), "r.example").unwrap());
        assert!(!folder.path().join("none.json").exists());
        for bad in ["{", "[]", r#"{"auths":7}"#] {
            std::fs::write(&path, bad).unwrap();
            put(&path, "r.example", None).unwrap_err();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad, "a file that we cannot read is not overwritten");
        }
        std::fs::write(&path, " \n").unwrap();
        put(&path, "r.example", None).unwrap();
    }

    #[test]
    fn a_link_stays_a_link_and_nobody_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        std::fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        put(&link, "r.example", Some(("a", "b"))).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(std::fs::read_to_string(&real).unwrap().contains("r.example"));
        for round in 0..20 {
            put(&real, &format!("r{round}.example"), Some(("a", "b"))).unwrap();
        }
        let found: Value = serde_json::from_slice(&std::fs::read(&real).unwrap()).unwrap();
        assert_eq!(found["auths"].as_object().unwrap().len(), 21);
    }
}
