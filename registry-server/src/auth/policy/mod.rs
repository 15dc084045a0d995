//! The policy file: who may do what where.
//!
//! **Denied unless allowed**: with a policy, callers may do what a rule allows them (and what `[auth] anonymous` gives
//! everybody). **Any rule that allows is enough**, their order means nothing. **A denial wins** over everything that
//! allows. Whoever has logged in may do at least what an anonymous caller may. `push` makes new tags and does not imply
//! `pull`; moving a tag that exists is `update`; `delete` is tags, manifests and blobs. Immutable tags
//! hold for everybody.
//!
//! Pure: a decision depends on nothing but its arguments.

mod file;
pub mod pattern;
mod rule;

pub(crate) use file::LARGEST;
pub use pattern::Pattern;

use oci::{RepositoryName, Tag};

use self::rule::{Immutable, Rule};
use super::{Action, Anonymous, Method, Principal};

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    immutable: Vec<Immutable>,
}

/// Somebody to ask a policy about, without credentials: nothing can be done with it.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Their name; `None` for nobody in particular.
    pub user: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their claims.
    pub claims: Vec<(String, String)>,
}

/// What a policy says, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The rule at this line allows it.
    Allowed(usize),
    /// `[auth] anonymous` allows it to everybody.
    AllowedToEverybody,
    /// The rule at this line denies it.
    Denied(usize),
    /// Nothing allows it.
    Unmentioned,
    /// The entry at this line makes the tag immutable.
    Immutable(usize),
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_) | Self::AllowedToEverybody)
    }
}

impl Policy {
    /// Compiles the file's bytes.
    ///
    /// # Errors
    /// `LINE: what is wrong`.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > LARGEST {
            return Err(format!("1: it is larger than {LARGEST} bytes"));
        }
        file::parse(bytes)
    }

    /// How many rules it has.
    pub fn rules(&self) -> usize {
        self.rules.len() + self.immutable.len()
    }

    /// Whether a caller may do something; `everybody` is what anonymous callers may without any rule.
    pub fn decide(
        &self,
        principal: &Principal,
        action: Action,
        repository: &RepositoryName,
        everybody: Anonymous,
    ) -> Decision {
        let mut allowed = None;
        for rule in &self.rules {
            if rule.deny.contains(action) && rule.who.denies(principal) && rule.covers(principal, repository) {
                return Decision::Denied(rule.line);
            }
            if allowed.is_none()
                && rule.allow.contains(action)
                && rule.who.permits(principal)
                && rule.covers(principal, repository)
            {
                allowed = Some(rule.line);
            }
        }
        match allowed {
            Some(line) => Decision::Allowed(line),
            None if everybody.allows(action) => Decision::AllowedToEverybody,
            None => Decision::Unmentioned,
        }
    }

    /// What the policy says of somebody; with a tag, of moving or deleting that tag.
    pub fn explain(
        &self,
        caller: &Caller,
        action: Action,
        repository: &RepositoryName,
        tag: Option<&Tag>,
        everybody: Anonymous,
    ) -> Decision {
        let mut principal = match &caller.user {
            Some(name) => Principal::known(Method::Password, name.clone()),
            None if caller.groups.is_empty() && caller.claims.is_empty() => Principal::anonymous(),
            None => Principal::known(Method::Password, String::new()),
        };
        principal.groups = caller.groups.iter().cloned().collect();
        principal.claims = caller.claims.iter().cloned().collect();
        let decision = self.decide(&principal, action, repository, everybody);
        let immutable = tag
            .filter(|_| matches!(action, Action::Update | Action::Delete))
            .and_then(|tag| self.immutable(repository, tag));
        match immutable {
            Some(line) if decision.is_allowed() => Decision::Immutable(line),
            _ => decision,
        }
    }

    /// The line that makes a tag immutable.
    pub fn immutable(&self, repository: &RepositoryName, tag: &Tag) -> Option<usize> {
        self.immutable.iter().find(|rule| rule.covers(repository, tag)).map(|rule| rule.line)
    }
}

impl Anonymous {
    /// Whether everybody may do this.
    pub fn allows(self, action: Action) -> bool {
        match self {
            Self::None => false,
            Self::Pull => action == Action::Pull,
            Self::Push => matches!(action, Action::Pull | Action::Push),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests;
