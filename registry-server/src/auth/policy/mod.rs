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
use super::{Action, Anonymous, Principal};

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    immutable: Vec<Immutable>,
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
