//! The gate: every request passes it once, and every right is asked of it.

mod what;
mod who;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::hmac;
use ring::rand::SystemRandom;

use super::challenge::Way;
use super::issuer::Issuer;
use super::passwords::Passwords;
use super::policy::{self, Policy};
use super::token::Tokens;
use super::watched::{FileError, Watched};
use super::{Anonymous, Auth, keys};
use crate::time::Instant;

pub(super) use who::{Known, Wrong};

/// How many verified tokens are remembered: 4 MiB.
const REMEMBERED: usize = 4096;

/// What the gate must know besides its own section.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The folder of the keys that sign our tokens; made at first use.
    pub keys: PathBuf,
    /// `[server] url`, where it is set.
    pub url: Option<String>,
    /// Whether every address is of this machine: then no configuration at all leaves everything open.
    pub local: bool,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Others could reach a server that anybody may write to.
    #[error("the registry would listen beyond this machine, and nothing says who may use it")]
    Unguarded,
    /// The htpasswd or the policy file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keys that sign our tokens are wrong.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The kernel gave no random bytes.
    #[error("no random bytes")]
    Random,
}

/// Who may do what here.
#[derive(Debug)]
pub struct Gate {
    everybody: Anonymous,
    pub(super) passwords: Option<Passwords>,
    policy: Option<Watched<Policy>>,
    pub(super) tokens: Option<Tokens>,
    issuers: Vec<Arc<Issuer>>,
    /// Groups of the configuration, by member.
    groups: HashMap<String, BTreeSet<String>>,
    administrators: Vec<String>,
    url: Option<Arc<str>>,
    secret: hmac::Key,
    bearers: Cache<[u8; 32], Arc<who::Bearer>>,
}

impl Gate {
    /// Reads what the section names: htpasswd, policy, keys. Costs no network.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong; [`Error::Unguarded`].
    pub fn open(auth: &Auth, surroundings: &Surroundings) -> Result<Self, Error> {
        if !auth.is_configured() && !surroundings.local {
            return Err(Error::Unguarded);
        }
        let everybody = match auth.anonymous {
            Some(level) => level,
            None if auth.is_configured() => Anonymous::None,
            None => Anonymous::All,
        };
        let mut gate = Self::bare(everybody)?;
        let (passwords, policies) = (auth.htpasswd.as_deref(), auth.policy.as_deref());
        gate.passwords = passwords.map(|path| Passwords::open(path, gate.secret.clone())).transpose()?;
        gate.policy = policies.map(|path| Watched::open(path, policy::LARGEST, Policy::parse)).transpose()?;
        let url = surroundings.url.as_deref().map(|url| url.trim_end_matches('/'));
        if auth.token.enabled {
            gate.tokens = Some(Tokens::open(&auth.token, &surroundings.keys, url, Instant::now())?);
        }
        gate.issuers = auth.issuer.iter().map(|issuer| Arc::new(Issuer::new(issuer))).collect();
        for (group, members) in &auth.groups {
            for member in members {
                gate.groups.entry(member.clone()).or_default().insert(group.clone());
            }
        }
        gate.administrators = auth.administrators.clone();
        gate.url = url.map(Arc::from);
        Ok(gate)
    }

    /// Everybody may do everything: what a server is that nobody configured and only this machine reaches.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn unguarded() -> Result<Self, Error> {
        Self::bare(Anonymous::All)
    }

    fn bare(everybody: Anonymous) -> Result<Self, Error> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| Error::Random)?;
        Ok(Self {
            everybody,
            passwords: None,
            policy: None,
            tokens: None,
            issuers: Vec::new(),
            groups: HashMap::new(),
            administrators: Vec::new(),
            url: None,
            secret,
            bearers: Cache::new(REMEMBERED),
        })
    }

    /// Looks at once whether the htpasswd and the policy file changed; otherwise they are looked at once a second.
    pub fn reload(&self) {
        if let Some(passwords) = &self.passwords {
            passwords.reload();
        }
        if let Some(policy) = &self.policy {
            policy.reload();
        }
    }

    /// How a caller who reached us at this origin logs in.
    fn way<'a>(&'a self, origin: Option<&'a str>) -> Way<'a> {
        match (&self.tokens, origin) {
            (Some(tokens), Some(origin)) => Way::Bearer { origin, service: &tokens.service },
            _ => Way::Basic,
        }
    }

    /// Whether there is a way to log in with a header.
    fn has_logins(&self) -> bool {
        self.passwords.is_some() || !self.issuers.is_empty()
    }
}

#[cfg(test)]
mod tests;
