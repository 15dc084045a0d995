//! Exact bytes kept beside what they mean.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// A JSON document that was hashed: its bytes, its value and its digest.
///
/// Writing the value again could give other bytes and so another digest; whoever passes a
/// manifest or a configuration on passes the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw<T> {
    bytes: Vec<u8>,
    value: T,
    digest: Digest,
}

/// Why some bytes are not the document that was expected.
#[derive(Debug, thiserror::Error)]
#[error("malformed {what}: {source}")]
pub struct RawError {
    /// The type that was expected.
    pub what: &'static str,
    /// What the JSON parser said, with line and column.
    pub source: serde_json::Error,
}

impl<T: DeserializeOwned> Raw<T> {
    /// Parses `bytes` and keeps them.
    ///
    /// # Errors
    /// When the bytes are not JSON of the shape of `T`.
    pub fn parse(bytes: Vec<u8>) -> Result<Raw<T>, RawError> {
        let value = serde_json::from_slice(&bytes).map_err(|source| RawError { what: short_name::<T>(), source })?;
        let digest = Digest::sha256(&bytes);
        Ok(Raw { bytes, value, digest })
    }
}

impl<T: Serialize> Raw<T> {
    /// Writes `value` as compact JSON: equal values give equal bytes.
    ///
    /// # Errors
    /// When `T` holds something that JSON has no form for.
    pub fn encode(value: T) -> Result<Raw<T>, RawError> {
        let bytes = serde_json::to_vec(&value).map_err(|source| RawError { what: short_name::<T>(), source })?;
        let digest = Digest::sha256(&bytes);
        Ok(Raw { bytes, value, digest })
    }
}

impl<T> Raw<T> {
    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What they mean.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Their SHA-256.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many there are.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The value, without the bytes.
    pub fn into_value(self) -> T {
        self.value
    }
}

fn short_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or("document")
}

impl<T> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        std::str::from_utf8(&self.bytes).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw<T>, D::Error> {
        Raw::parse(String::deserialize(deserializer)?.into_bytes()).map_err(serde::de::Error::custom)
    }
}
