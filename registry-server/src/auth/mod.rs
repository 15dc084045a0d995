//! Who calls, and what they may do.
//!
//! [`Gate::authenticate`] turns headers and the connection's certificate into a [`Principal`]; the gate's
//! other methods turn a principal into a proof ([`Pull`], [`Push`], [`Delete`], …) of one right on one repository.
//! Endpoints take proofs by value or reference and read the repository's name from them, so that code without
//! a check does not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oci::RepositoryName;

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Anonymous,
    /// Name and password, from the htpasswd file.
    Password,
    /// A token: of our own endpoint, or of an issuer that the configuration trusts.
    Token {
        /// `None` for our own.
        issuer: Option<String>,
    },
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
    /// The name that policies, logs and histories use; empty for anonymous callers.
    pub name: String,
    /// Groups, from the configuration or a claim.
    pub groups: BTreeSet<String>,
    /// Claims of a token, those that are text.
    pub claims: BTreeMap<String, String>,
    /// Where a token of ours limits what it may be used for: what it grants, already checked against the policy when it was made
    /// and checked again when it is used.
    pub scope: Option<Vec<Scope>>,
}

impl Principal {
    /// Somebody unknown.
    pub fn anonymous() -> Self {
        Self {
            method: Method::Anonymous,
            name: String::new(),
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
            scope: None,
        }
    }

    /// What uploads are owned by and histories show: `anonymous`, `user:NAME`, `token:ISSUER:SUBJECT`, `certificate:NAME`.
    pub fn actor(&self) -> String {
        match &self.method {
            Method::Anonymous => "anonymous".to_owned(),
            Method::Password | Method::Token { issuer: None } => format!("user:{}", self.name),
            Method::Token { issuer: Some(issuer) } => format!("token:{issuer}:{}", self.name),
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

/// One `repository:NAME:ACTIONS` of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The repository.
    pub repository: RepositoryName,
    /// What may be done there.
    pub actions: BTreeSet<Action>,
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

macro_rules! proof {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            repository: RepositoryName,
            actor: String,
        }

        impl $name {
            /// The repository that it holds for.
            pub fn repository(&self) -> &RepositoryName {
                &self.repository
            }

            /// Who holds it ([`Principal::actor`]).
            pub fn actor(&self) -> &str {
                &self.actor
            }

            #[allow(dead_code, reason = "made by the gate alone")]
            pub(in crate::auth) fn granted(repository: RepositoryName, actor: String) -> Self {
                Self { repository, actor }
            }
        }
    };
}

proof!(
    /// The caller may read this repository.
    Pull
);
proof!(
    /// The caller may upload into this repository and create tags. Which tags it may move, [`Gate::tag`] says.
    Push
);
proof!(
    /// The caller may delete in this repository.
    Delete
);
