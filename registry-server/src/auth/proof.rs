//! Proofs of rights: what endpoints demand, and the gate alone makes.

use oci::RepositoryName;

macro_rules! proof {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            repository: RepositoryName,
            actor: String,
            $($(#[$field_doc])* $field: $type,)*
        }

        impl $name {
            /// The repository that it holds for.
            pub fn repository(&self) -> &RepositoryName {
                &self.repository
            }

            /// Who holds it ([`super::Principal::actor`]).
            pub fn actor(&self) -> &str {
                &self.actor
            }

            pub(in crate::auth) fn granted(repository: RepositoryName, actor: String $(, $field: $type)*) -> Self {
                Self { repository, actor $(, $field)* }
            }
        }
    };
}

proof!(
    /// The caller may read this repository.
    Pull {}
);
proof!(
    /// The caller may upload into this repository and create tags. Which tags it may move, [`super::Gate::tag`] says.
    Push {
        /// Whether tags that exist may move.
        update: bool,
    }
);
proof!(
    /// The caller may delete in this repository. Immutable tags ([`super::Gate::immutable`]) stay all the same.
    Delete {}
);

impl Push {
    pub(in crate::auth) fn may_update(&self) -> bool {
        self.update
    }
}

/// The caller may list repositories: those that [`super::Gate::shows`] lets through.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(in crate::auth) principal: super::Principal,
}

/// The caller may look behind the scenes: metrics where they are guarded, storage figures, undo for others.
#[derive(Debug, Clone)]
pub struct Administer {
    actor: String,
}

impl Administer {
    pub(in crate::auth) fn granted(actor: String) -> Self {
        Self { actor }
    }

    /// Who holds it.
    pub fn actor(&self) -> &str {
        &self.actor
    }
}
