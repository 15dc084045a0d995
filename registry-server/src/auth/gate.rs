//! The gate: every request passes it once, and every right is asked of it.

use std::path::PathBuf;

use http::request::Parts;
use oci::{RepositoryName, Tag};

use super::proof::{Administer, Catalog, Delete, Pull, Push};
use super::{Action, Auth, Peer, Principal};
use crate::metadata::Existing;
use crate::refusal::Refusal;

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
}

/// Who may do what here.
#[derive(Debug)]
pub struct Gate {}

impl Gate {
    /// Reads what the section names: htpasswd, policy, keys. Costs no network.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong; [`Error::Unguarded`].
    pub fn open(auth: &Auth, surroundings: &Surroundings) -> Result<Self, Error> {
        if !auth.is_configured() && !surroundings.local {
            return Err(Error::Unguarded);
        }
        Ok(Self {})
    }

    /// Everybody may do everything: what a server is that nobody configured and only this machine reaches.
    pub fn unguarded() -> Self {
        Self {}
    }

    /// Finds out who calls. Nobody in particular is no error: a right that then fails says what would help.
    ///
    /// # Errors
    /// 401 with a challenge where credentials are there and wrong, malformed, or expired; 429 after too many wrong ones.
    pub async fn authenticate(&self, _parts: &Parts, _peer: &Peer) -> Result<Principal, Refusal> {
        Ok(Principal::anonymous())
    }

    /// `GET /v2/`: clients learn here how to log in, so where one can, it refuses whoever has not.
    ///
    /// # Errors
    /// 401 with a challenge.
    pub fn base(&self, _principal: &Principal) -> Result<(), Refusal> {
        Ok(())
    }

    /// May the caller read here?
    ///
    /// # Errors
    /// 401 with a challenge where logging in, or a broader token, may help; else 403.
    pub fn pull(&self, principal: &Principal, repository: &RepositoryName) -> Result<Pull, Refusal> {
        Ok(Pull::granted(repository.clone(), principal.actor()))
    }

    /// May the caller upload here and make new tags?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn push(&self, principal: &Principal, repository: &RepositoryName) -> Result<Push, Refusal> {
        Ok(Push::granted(repository.clone(), principal.actor(), true))
    }

    /// May the caller delete here?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn delete(&self, principal: &Principal, repository: &RepositoryName) -> Result<Delete, Refusal> {
        Ok(Delete::granted(repository.clone(), principal.actor()))
    }

    /// May the caller list repositories? Which ones, [`Self::shows`] says.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn catalog(&self, principal: &Principal) -> Result<Catalog, Refusal> {
        Ok(Catalog { principal: principal.clone() })
    }

    /// Whether a repository is in this caller's list.
    pub fn shows(&self, _catalog: &Catalog, _repository: &RepositoryName) -> bool {
        true
    }

    /// Whether the caller may do something, where the answer is no refusal: sources of a mount, lists.
    pub fn may(&self, _principal: &Principal, _action: Action, _repository: &RepositoryName) -> bool {
        true
    }

    /// What a tag's being there means for this push.
    pub fn tag(&self, push: &Push, tag: &Tag) -> Existing {
        match (self.immutable(push.repository(), tag), push.may_update()) {
            (true, _) => Existing::Immutable,
            (false, true) => Existing::Move,
            (false, false) => Existing::Deny,
        }
    }

    /// Whether a tag, once there, may neither move nor go.
    pub fn immutable(&self, _repository: &RepositoryName, _tag: &Tag) -> bool {
        false
    }

    /// May the caller look behind the scenes?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn administer(&self, principal: &Principal) -> Result<Administer, Refusal> {
        Ok(Administer::granted(principal.actor()))
    }
}
