//! Sealed cursors: places in a list that the one who holds them cannot read.
//!
//! A list that skips what its caller may not see must sometimes go on behind a hidden entry. The key lives as
//! long as the process; a cursor of an earlier one is refused, and the client begins again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use oci::ErrorCode;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::refusal::{Refusal, Result};

/// Every place is padded to a multiple of this, so that a cursor's length does not tell a name's.
const PADDING: usize = 64;

/// The kernel gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes for a key: {0}")]
pub struct Error(String);

/// Seals and opens cursors.
pub(crate) struct Cursors(LessSafeKey);

impl Cursors {
    /// With a key of its own.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| Error(error.to_string()))?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|error| Error(error.to_string()))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a place.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub(crate) fn seal(&self, place: &str) -> Result<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(Refusal::internal)?;
        let mut bytes = place.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(PADDING), 0);
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)
            .map_err(Refusal::internal)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn open(&self, sealed: &str) -> Result<String> {
        self.try_open(sealed).ok_or_else(|| {
            let message = "the cursor is not of this registry, or of an earlier start of it: begin the list again";
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message)
        })
    }

    fn try_open(&self, sealed: &str) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), sealed).ok()?;
        Some(std::str::from_utf8(opened).ok()?.trim_end_matches('\0').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_cursors_open() {
        let cursors = Cursors::new().unwrap();
        for place in ["", "a", "team/app", &"x".repeat(255)] {
            let sealed = cursors.seal(place).unwrap();
            assert_eq!(cursors.open(&sealed).unwrap(), place);
            assert_ne!(cursors.seal(place).unwrap(), sealed);
            assert!(Cursors::new().unwrap().open(&sealed).is_err());
        }
        assert_eq!(cursors.seal("a").unwrap().len(), cursors.seal("team/app").unwrap().len());
        let mut sealed = cursors.seal("a").unwrap().into_bytes();
        sealed[20] ^= 1;
        for bad in ["", "a", "%%%", std::str::from_utf8(&sealed).unwrap(), &"A".repeat(100_000)] {
            assert_eq!(cursors.open(bad).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
    }
}
