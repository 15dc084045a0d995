//! Where a reference is fetched from and pushed to: mirrors first, the registry itself last.

use oci::Reference;

use crate::client::{Client, Repository};
use crate::error::Result;

/// The ways to one reference.
#[derive(Debug, Clone)]
pub struct Route {
    named: Vec<Repository>,
    content: Vec<Repository>,
    target: Repository,
}

impl Route {
    /// Where to ask for the reference, one after the other: what one cannot give, the next may. Never empty; the
    /// registry itself is the last.
    pub fn sources(&self) -> &[Repository] {
        &self.named
    }

    /// Where to ask for what is named by a digest: also mirrors that are not believed about tags.
    pub fn content(&self) -> &[Repository] {
        &self.content
    }

    /// Where pushes go: never a mirror of `registries.conf`.
    pub fn target(&self) -> &Repository {
        &self.target
    }
}

impl Client {
    /// The ways to a reference.
    ///
    /// # Errors
    /// When its registry is blocked, or a file that describes it is unusable.
    pub fn route(&self, reference: &Reference) -> Result<Route> {
        let itself = self.registry(reference.registry())?.repository(reference.repository());
        Ok(Route { named: vec![itself.clone()], content: vec![itself.clone()], target: itself })
    }

    /// What a name on the command line or in a Dockerfile may mean, the likeliest first.
    ///
    /// # Errors
    /// When it means nothing, or too much.
    pub fn candidates(&self, written: &str) -> Result<Vec<Reference>> {
        let parsed = written.parse().map_err(crate::error::Error::Reference)?;
        Ok(vec![parsed])
    }
}
