//! What they may do: a [`Principal`] in, a proof out.

use oci::{RepositoryName, Tag};

use super::Gate;
use crate::auth::proof::{Administer, Catalog, Delete, Pull, Push};
use crate::auth::{Action, Anonymous, Method, Principal, challenge, scope};
use crate::metadata::Existing;
use crate::refusal::Refusal;

impl Gate {
    /// `GET /v2/`: clients learn here how to log in, so where one can, it refuses whoever has not.
    ///
    /// # Errors
    /// 401 with a challenge.
    pub fn base(&self, principal: &Principal) -> Result<(), Refusal> {
        if principal.is_anonymous() && principal.grant.is_none() && self.has_logins() {
            return Err(self.login(principal, None, None));
        }
        Ok(())
    }

    /// May the caller read here?
    ///
    /// # Errors
    /// 401 with a challenge where logging in, or a broader token, may help; else 403.
    pub fn pull(&self, principal: &Principal, repository: &RepositoryName) -> Result<Pull, Refusal> {
        self.require(principal, Action::Pull, repository)?;
        Ok(Pull::granted(repository.clone(), principal.actor()))
    }

    /// May the caller upload here and make new tags?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn push(&self, principal: &Principal, repository: &RepositoryName) -> Result<Push, Refusal> {
        self.require(principal, Action::Push, repository)?;
        let update = self.may(principal, Action::Update, repository);
        Ok(Push::granted(repository.clone(), principal.actor(), update))
    }

    /// May the caller delete here?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn delete(&self, principal: &Principal, repository: &RepositoryName) -> Result<Delete, Refusal> {
        self.require(principal, Action::Delete, repository)?;
        Ok(Delete::granted(repository.clone(), principal.actor()))
    }

    /// May the caller list repositories? Which ones, [`Self::shows`] says.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn catalog(&self, principal: &Principal) -> Result<Catalog, Refusal> {
        match &principal.grant {
            Some(grant) if !grant.catalog => {
                return Err(self.login(principal, Some(scope::CATALOG), Some("insufficient_scope")));
            }
            None if principal.is_anonymous() && self.has_logins() && !self.everybody.allows(Action::Pull) => {
                return Err(self.login(principal, Some(scope::CATALOG), None));
            }
            _ => {}
        }
        // A token that grants the list grants all of it that its bearer may pull.
        Ok(Catalog { principal: Principal { grant: None, ..principal.clone() } })
    }

    /// Whether a repository is in this caller's list.
    pub fn shows(&self, catalog: &Catalog, repository: &RepositoryName) -> bool {
        self.allows(&catalog.principal, Action::Pull, repository)
    }

    /// Whether the caller may do something, where the answer is no refusal: sources of a mount, lists.
    pub fn may(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> bool {
        !principal.is_limited(action, repository) && self.allows(principal, action, repository)
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
    pub fn immutable(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.get().immutable(repository, tag).is_some())
    }

    /// May the caller look behind the scenes?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn administer(&self, principal: &Principal) -> Result<Administer, Refusal> {
        let listed = |entry: &String| match entry.strip_prefix('@') {
            Some(group) => principal.groups.contains(group),
            None => !principal.is_anonymous() && *entry == principal.name,
        };
        let open = self.everybody == Anonymous::All;
        // A token grants what it names and no more.
        let listed = principal.grant.is_none() && self.administrators.iter().any(listed);
        if open || principal.method == Method::Local || listed {
            return Ok(Administer::granted(principal.actor()));
        }
        if principal.is_anonymous() && self.has_logins() {
            return Err(self.login(principal, None, None));
        }
        Err(challenge::denied("only administrators may look at this"))
    }

    /// Whether the policy, or where there is none, being somebody, allows it; whatever a token limits.
    pub(in crate::auth) fn allows(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> bool {
        if principal.method == Method::Local {
            return true;
        }
        match &self.policy {
            Some(policy) => policy.get().decide(principal, action, repository, self.everybody).is_allowed(),
            None => !principal.is_anonymous() || self.everybody.allows(action),
        }
    }

    fn require(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> Result<(), Refusal> {
        let (allowed, limited) = (self.allows(principal, action, repository), principal.is_limited(action, repository));
        if allowed && !limited {
            return Ok(());
        }
        let wanted = || scope::wanted(action, repository);
        if principal.grant.is_some() && (allowed || principal.is_anonymous()) {
            return Err(self.login(principal, Some(&wanted()), Some("insufficient_scope")));
        }
        if principal.is_anonymous() && self.has_logins() {
            return Err(self.login(principal, Some(&wanted()), None));
        }
        Err(challenge::denied(&format!("you may not {action} {repository}")))
    }

    fn login(&self, principal: &Principal, scope: Option<&str>, error: Option<&str>) -> Refusal {
        let challenge = challenge::challenge(self.way(principal.origin.as_deref()), scope, error);
        challenge::unauthorized("log in to do this", &challenge)
    }
}
