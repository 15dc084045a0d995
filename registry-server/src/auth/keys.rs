//! The keys that sign our tokens: `<root>/keys/token-<made, seconds>-<kid>.p8`, PKCS#8, mode 0600.
//!
//! The newest one signs; every one that is there verifies. A key older than [`SIGNS_FOR`] gets a successor, and goes when the
//! last token that it may have signed is over.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::Value;

use super::jwt::{self, Key};
use crate::time::Instant;

/// How long a key signs before another one takes over.
pub(crate) const SIGNS_FOR: Duration = Duration::from_secs(90 * 86_400);

/// A private key in PKCS#8 has 138 bytes.
const LARGEST_FILE: u64 = 4096;

/// What can go wrong with keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file is no key.
    #[error("{0} is no key: remove it, and the tokens that it signed end")]
    Content(PathBuf),
    /// Others may read a key.
    #[error("{0} may be read by others: `chmod 600` it, or remove it where others may have read it")]
    Open(PathBuf),
    /// The kernel gave no random bytes.
    #[error("no random bytes for a key")]
    Random,
}

struct Pair {
    made: i64,
    pair: EcdsaKeyPair,
    public: Key,
    kid: String,
}

/// All keys of ours.
pub(crate) struct Keys {
    folder: PathBuf,
    /// Newest first; never empty.
    pairs: ArcSwap<Vec<Arc<Pair>>>,
    random: SystemRandom,
    /// How long tokens may outlive their signature's day.
    longest_token: Duration,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the folder; makes it, and a first key, where they are not there.
    pub(crate) fn open(folder: &Path, longest_token: Duration, now: Instant) -> Result<Self, Error> {
        let io = |call, source| Error::Io { call, path: folder.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io("mkdir", error))?;
        let keys =
            Self { folder: folder.to_owned(), pairs: ArcSwap::default(), random: SystemRandom::new(), longest_token };
        let mut pairs = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| io("read", error))? {
            let path = entry.map_err(|error| io("read", error))?.path();
            if let Some(made) = made_at(&path) {
                pairs.push(Arc::new(keys.load(&path, made)?));
            }
        }
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.made));
        keys.pairs.store(Arc::new(pairs));
        keys.rotate(now)?;
        Ok(keys)
    }

    /// Makes a new key where the newest is old, and drops those that nothing can be signed with any more.
    pub(crate) fn rotate(&self, now: Instant) -> Result<(), Error> {
        let pairs = self.pairs.load_full();
        let newest = pairs.first().map(|pair| pair.made);
        if newest.is_some_and(|made| seconds(now) < made.saturating_add(whole(SIGNS_FOR))) {
            return Ok(());
        }
        let mut next = vec![Arc::new(self.make(seconds(now))?)];
        let over = seconds(now).saturating_sub(whole(SIGNS_FOR + self.longest_token)).saturating_sub(86_400);
        for pair in pairs.iter() {
            if pair.made > over {
                next.push(Arc::clone(pair));
            } else if let Err(error) = std::fs::remove_file(self.path(pair.made, &pair.kid)) {
                tracing::warn!(%error, kid = pair.kid, "an old token key cannot be removed");
            }
        }
        self.pairs.store(Arc::new(next));
        Ok(())
    }

    /// Whether the newest key has signed for long enough.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        let newest = self.pairs.load().first().map_or(i64::MIN, |pair| pair.made);
        seconds(now) >= newest.saturating_add(whole(SIGNS_FOR))
    }

    /// The public key of this name, where it is one of ours.
    pub(crate) fn find(&self, kid: &str) -> Option<Key> {
        self.pairs.load().iter().find(|pair| pair.kid == kid).map(|pair| pair.public.clone())
    }

    /// Signs claims with the newest key.
    pub(crate) fn sign(&self, r#type: &str, claims: &Value) -> Result<String, Error> {
        let pairs = self.pairs.load();
        let pair = pairs.first().ok_or(Error::Random)?;
        let header = serde_json::json!({"alg": "ES256", "kid": pair.kid, "typ": r#type});
        let mut token = jwt::encode(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&jwt::encode(claims.to_string().as_bytes()));
        let signature = pair.pair.sign(&self.random, token.as_bytes()).map_err(|_| Error::Random)?;
        token.push('.');
        token.push_str(&jwt::encode(signature.as_ref()));
        Ok(token)
    }

    fn path(&self, made: i64, kid: &str) -> PathBuf {
        self.folder.join(format!("token-{made:012}-{kid}.p8"))
    }

    fn make(&self, made: i64) -> Result<Pair, Error> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.random).map_err(|_| Error::Random)?;
        let pair = self.pair(document.as_ref(), made).ok_or(Error::Random)?;
        let (path, unfinished) = (self.path(made, &pair.kid), self.folder.join(format!(".{}", pair.kid)));
        let io = |call, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { call, path, source }
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(io("create", &unfinished))?;
        file.write_all(document.as_ref()).and_then(|()| file.sync_all()).map_err(io("write", &unfinished))?;
        std::fs::rename(&unfinished, &path).map_err(io("rename", &path))?;
        let folder = std::fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        folder.map_err(io("sync", &self.folder))?;
        Ok(pair)
    }

    fn load(&self, path: &Path, made: i64) -> Result<Pair, Error> {
        let io = |call, source| Error::Io { call, path: path.to_owned(), source };
        let found = std::fs::metadata(path).map_err(|error| io("stat", error))?;
        if std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o077 != 0 {
            return Err(Error::Open(path.to_owned()));
        }
        let bytes = super::read_bounded(path, LARGEST_FILE).map_err(|error| io("read", error))?;
        self.pair(&bytes, made).ok_or_else(|| Error::Content(path.to_owned()))
    }

    fn pair(&self, document: &[u8], made: i64) -> Option<Pair> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &self.random).ok()?;
        let point = pair.public_key().as_ref().to_vec();
        let kid = jwt::encode(&digest::digest(&digest::SHA256, &point).as_ref()[..12]);
        Some(Pair { made, public: Key::p256(kid.clone(), point), pair, kid })
    }
}

/// When a key was made, by its name; `None` for other files.
fn made_at(path: &Path) -> Option<i64> {
    let name = path.file_name()?.to_str()?.strip_prefix("token-")?.strip_suffix(".p8")?;
    name.split_once('-')?.0.parse().ok()
}

fn seconds(now: Instant) -> i64 {
    now.0 / 1000
}

fn whole(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn keys_are_made_once_and_follow_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let first = Instant(1_000_000_000);
        let keys = Keys::open(&path, DAY, first).unwrap();
        let token = keys.sign("JWT", &serde_json::json!({"a": 1})).unwrap();
        let kid = jwt::Parts::parse(&token).unwrap().kid.unwrap();
        jwt::Parts::parse(&token).unwrap().verify(&keys.find(&kid).unwrap()).unwrap();

        let again = Keys::open(&path, DAY, first.after(DAY)).unwrap();
        assert!(again.find(&kid).is_some());
        let later = first.after(SIGNS_FOR);
        assert!(again.is_old(later));
        again.rotate(later).unwrap();
        assert!(!again.is_old(later));
        let second = again.sign("JWT", &serde_json::json!({"a": 1})).unwrap();
        assert_ne!(jwt::Parts::parse(&second).unwrap().kid.as_deref(), Some(kid.as_str()));
        assert!(again.find(&kid).is_some(), "its tokens still hold");

        again.rotate(later.after(SIGNS_FOR)).unwrap();
        assert!(again.find(&kid).is_none());
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2);
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path(), DAY, Instant::now()).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::open(folder.path(), DAY, Instant::now()), Err(Error::Open(_))));
        std::fs::write(&file, b"x").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Keys::open(folder.path(), DAY, Instant::now()), Err(Error::Content(_))));
    }
}
