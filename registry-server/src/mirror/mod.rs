//! The mirror: content of other registries, fetched when somebody asks for it and kept.
//!
//! What an upstream holds as `NAME` lives here in the repository `NAMESPACE/NAME`, where the namespace is the upstream's
//! name (`docker.io/library/busybox`). So upstreams never mix, nobody can push into what is theirs
//! ([`Mirror::refuse_push`]), and pulls need the same proof as pulls of any other repository. [`Mirror::resolve`]
//! turns what a client asked for into that name, before the proof is asked for.
//!
//! Only upstreams of the configuration are ever called: a name in a request is a key to them, never an address.

use http::{HeaderValue, Method};
use oci::{Digest, RepositoryName, Tag};

use crate::auth::Pull;
use crate::refusal::Result;

mod answer;

pub use answer::{Answer, Chunks, Freshness};

/// The upstreams and what is being fetched from them.
pub struct Mirror {}

/// How a manifest is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// By tag: the upstream is asked again when the last answer is older than the upstream's `ttl`.
    Tag(&'a Tag),
    /// By digest: what is here is never asked for again.
    Digest(&'a Digest),
}

impl Mirror {
    /// The repository in which a `GET` or `HEAD` is answered.
    ///
    /// - With `ns` (containerd's query parameter): the namespace of that upstream and `name`.
    /// - A name below an upstream's namespace: itself.
    /// - Any other name: itself where the repository exists here, else the default upstream's, if there is one.
    ///
    /// # Errors
    /// `NAME_UNKNOWN` for an `ns` that is no upstream.
    pub async fn resolve(&self, name: &RepositoryName, ns: Option<&str>) -> Result<RepositoryName> {
        let _ = ns;
        Ok(name.clone())
    }

    /// Refuses pushes into namespaces of upstreams: what is there comes from the upstream alone.
    ///
    /// # Errors
    /// `DENIED`.
    pub fn refuse_push(&self, name: &RepositoryName) -> Result<()> {
        let _ = name;
        Ok(())
    }

    /// Sees to it that a manifest is in the metadata if its upstream has it. `None` where the repository is not
    /// an upstream's; then, as after `Some`, the metadata says what there is.
    ///
    /// # Errors
    /// When there is nothing here and the upstream refuses, fails or sends something else than it was asked for.
    pub async fn manifest(&self, pull: &Pull, wanted: Wanted<'_>) -> Result<Option<Freshness>> {
        let _ = (pull, wanted);
        Ok(None)
    }

    /// Answers for a blob that is not here, from the upstream, keeping what passes. `None` where the
    /// repository is not an upstream's.
    ///
    /// # Errors
    /// When the upstream has no such blob, refuses or fails.
    pub async fn blob(
        &self,
        pull: &Pull,
        digest: &Digest,
        method: &Method,
        range: Option<&HeaderValue>,
    ) -> Result<Option<Answer>> {
        let _ = (pull, digest, method, range);
        Ok(None)
    }
}
