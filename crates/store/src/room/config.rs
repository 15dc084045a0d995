//! `config.toml` of a store: what holds for every process that works on it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::RoomError;
use crate::{Layout, random};

/// What the file may say. A name that is not known is an error: a limit that is misspelt would be none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[store]`.
    #[serde(default)]
    pub store: StoreConfig,
}

/// The table `[store]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The most that the store may take on disk, such as `20GB` (powers of 1024).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

impl Config {
    /// What the store's file says; nothing, where there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or says something else.
    pub fn read(layout: &Layout) -> Result<Self, RoomError> {
        let path = layout.config();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(|source| RoomError::Io { call: "read", path: path.clone(), source })?,
        };
        let bad = |what: String| RoomError::Config { path: path.clone(), what };
        let config: Self = toml::from_str(&text).map_err(|error| bad(error.message().to_owned()))?;
        if let Some(limit) = &config.store.limit
            && parse_size(limit).is_none()
        {
            return Err(bad(format!("store.limit = {limit:?} is not a size such as \"20GB\"")));
        }
        Ok(config)
    }

    /// Puts it in place of what the store's file said.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, layout: &Layout) -> Result<(), RoomError> {
        let path = layout.config();
        let bad = |what: String| RoomError::Config { path: path.clone(), what };
        let text = toml::to_string(self).map_err(|error| bad(error.to_string()))?;
        let partial = layout.ingest().join(random::hex32());
        let io = |call, path: &PathBuf| {
            let path = path.clone();
            move |source| RoomError::Io { call, path, source }
        };
        let mut how = fs::OpenOptions::new();
        let mut file = how.write(true).create_new(true).mode(0o600).open(&partial).map_err(io("create", &partial))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", &partial))?;
        fs::rename(&partial, &path).map_err(io("rename to", &path))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> Option<u64> {
        self.store.limit.as_deref().and_then(parse_size).filter(|bytes| *bytes > 0)
    }
}

/// `100m`, `1.5g`, `20GB`, `512`: bytes as docker's options read them, in powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let unit = lower[digits..].trim();
    let unit = unit.strip_suffix('b').unwrap_or(unit);
    let shift = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let number = &lower[..digits];
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let (whole, part) = number.split_once('.')?;
    let (whole, tenths): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
    let scale = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = u64::try_from(u128::from(tenths) * (1u128 << shift) / u128::from(scale)).ok()?;
    whole.checked_mul(1 << shift)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", Some(0)),
            ("12", Some(12)),
            ("64m", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("20GB", Some(20 << 30)),
            ("1.5g", Some(3 << 29)),
            ("2 TB", Some(2 << 40)),
            ("", None),
            ("1x", None),
            ("-1", None),
            ("1.2.3g", None),
            ("99999999999t", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn a_misspelt_limit_is_no_missing_limit() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::Store::open(dir.path().join("s")).unwrap();
        let read = |text: &str| {
            fs::write(store.layout().config(), text).unwrap();
            Config::read(store.layout()).map(|config| config.limit())
        };
        assert_eq!(read("[store]\nlimit = \"1k\"\n").unwrap(), Some(1024));
        assert_eq!(read("").unwrap(), None);
        for bad in ["[store]\nlimits = \"1k\"\n", "[store]\nlimit = \"much\"\n", "limit = 5\n", "[["] {
            let said = read(bad).unwrap_err().to_string();
            assert!(said.contains("config.toml"), "{said}");
        }
    }
}
