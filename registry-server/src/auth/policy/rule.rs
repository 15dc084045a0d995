//! Rules, and whom they mean.

use oci::{RepositoryName, Tag};

use super::Pattern;
use crate::auth::{Action, Principal};

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Actions(u8);

impl Actions {
    pub(crate) fn add(&mut self, action: Action) {
        self.0 |= 1 << action as u8;
    }

    pub(crate) fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }
}

/// One `[[rule]]`.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Where it starts, from 1.
    pub(super) line: usize,
    pub(super) who: Who,
    pub(super) repositories: Vec<Pattern>,
    pub(super) allow: Actions,
    pub(super) deny: Actions,
}

impl Rule {
    /// Whether it means this repository, for this caller.
    pub(super) fn covers(&self, principal: &Principal, repository: &RepositoryName) -> bool {
        let user = Some(principal.name.as_str());
        self.repositories.iter().any(|pattern| pattern.matches(repository.as_str(), user))
    }
}

/// Whom a rule means. All that is given must hold; of a list, one is enough. Where nothing is given, it is whoever has
/// logged in.
#[derive(Debug, Clone, Default)]
pub(super) struct Who {
    pub(super) anonymous: bool,
    pub(super) users: Vec<Pattern>,
    pub(super) groups: Vec<Pattern>,
    pub(super) claims: Vec<(String, Vec<Pattern>)>,
}

impl Who {
    /// Whom a permission means: what nobody in particular may do, everybody may, since credentials can be left out.
    pub(super) fn permits(&self, principal: &Principal) -> bool {
        self.anonymous || self.means(principal)
    }

    /// Whom a denial means: `anonymous` is only those without credentials.
    pub(super) fn denies(&self, principal: &Principal) -> bool {
        if self.anonymous { principal.is_anonymous() } else { self.means(principal) }
    }

    fn means(&self, principal: &Principal) -> bool {
        if self.anonymous || principal.is_anonymous() {
            return false;
        }
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text, None));
        (self.users.is_empty() || any(&self.users, &principal.name))
            && (self.groups.is_empty() || principal.groups.iter().any(|group| any(&self.groups, group)))
            && self
                .claims
                .iter()
                .all(|(name, patterns)| principal.claims.get(name).is_some_and(|value| any(patterns, value)))
    }
}

/// One `[[immutable]]`.
#[derive(Debug, Clone)]
pub(super) struct Immutable {
    /// Where it starts, from 1.
    pub(super) line: usize,
    pub(super) repositories: Vec<Pattern>,
    pub(super) tags: Vec<Pattern>,
}

impl Immutable {
    pub(super) fn covers(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(repository.as_str(), None))
            && self.tags.iter().any(|pattern| pattern.matches(tag.as_str(), None))
    }
}
