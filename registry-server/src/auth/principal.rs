//! Who calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use oci::RepositoryName;

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Anonymous,
    /// Name and password, from the htpasswd file; now, or when a token of ours was made.
    Password,
    /// A token of an issuer that the configuration trusts: the issuer's short name.
    Issuer(String),
    /// A client certificate.
    Certificate,
    /// The control socket of this machine: the file's permissions are the proof.
    Local,
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub struct Principal {
    /// How that is known.
    pub method: Method,
    /// The name that policies, logs and histories use; empty for anonymous callers. A name from an issuer starts with
    /// the issuer's short name and a colon, which no name of the htpasswd file holds.
    pub name: String,
    /// Groups, from the configuration, a claim, or a certificate.
    pub groups: BTreeSet<String>,
    /// Claims of an issuer's token, those that are text, numbers or truth values.
    pub claims: BTreeMap<String, String>,
    /// What a token of ours limits its bearer to; `None` where there is none. Checked against the policy when the token was made,
    /// and again when it is used.
    pub grant: Option<Grant>,
    /// How the caller reaches this server, for the challenge of a refusal: `https://host:port`.
    pub(in crate::auth) origin: Option<Arc<str>>,
}

impl Principal {
    /// Somebody unknown.
    pub fn anonymous() -> Self {
        Self::known(Method::Anonymous, String::new())
    }

    /// Whoever reaches the control socket.
    pub fn local() -> Self {
        Self::known(Method::Local, "local".to_owned())
    }

    pub(in crate::auth) fn known(method: Method, name: String) -> Self {
        Self { method, name, groups: BTreeSet::new(), claims: BTreeMap::new(), grant: None, origin: None }
    }

    /// Whether nobody knows who it is.
    pub fn is_anonymous(&self) -> bool {
        self.method == Method::Anonymous
    }

    /// What uploads are owned by and histories show: `anonymous`, `user:NAME`, `token:ISSUER:NAME`, `certificate:NAME`.
    pub fn actor(&self) -> String {
        match &self.method {
            Method::Anonymous => "anonymous".to_owned(),
            Method::Password => format!("user:{}", self.name),
            // The name starts with the issuer's.
            Method::Issuer(_) => format!("token:{}", self.name),
            Method::Certificate => format!("certificate:{}", self.name),
            Method::Local => "local".to_owned(),
        }
    }
}

/// A right that the policy speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read blobs, manifests, tags and referrers.
    Pull,
    /// Upload blobs and manifests; create tags.
    Push,
    /// Move a tag that exists.
    Update,
    /// Delete tags, manifests, blobs.
    Delete,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Update, Self::Delete];

    /// The word of the policy file; tokens know `pull`, `push` and `delete`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Reads the word of the policy file.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Action {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::parse(word).ok_or_else(|| format!("`{word}` is none of pull, push, update, delete"))
    }
}

/// One `repository:NAME:ACTIONS` of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The repository.
    pub repository: RepositoryName,
    /// What may be done there. Whoever may push may update where the policy says so: the protocol has no word for it.
    pub actions: BTreeSet<Action>,
}

/// All that a token of ours grants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// Rights on repositories.
    pub scopes: Vec<Scope>,
    /// `registry:catalog:*`: the list of repositories, those that its bearer may pull.
    pub catalog: bool,
}

impl Grant {
    /// Whether it covers an action.
    pub fn covers(&self, action: Action, repository: &RepositoryName) -> bool {
        let wanted = if action == Action::Update { Action::Push } else { action };
        self.scopes.iter().any(|scope| scope.repository == *repository && scope.actions.contains(&wanted))
    }
}

/// What is known of a connection besides the request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The other end; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The verified client certificate, DER, where mTLS is on and the client has one.
    pub certificate: Option<Vec<u8>>,
}
