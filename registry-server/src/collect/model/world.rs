//! A registry without its wire: metadata and objects of one directory.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, RepositoryName, Tag};

use crate::collect::{Collector, Rules};
use crate::metadata::{Metadata, Page, SqliteMetadata};
use crate::storage::{FsObjects, Objects};

pub(super) const REPOSITORIES: [&str; 3] = ["team/app", "team/base", "other"];

pub(super) struct World {
    pub(super) metadata: Arc<dyn Metadata>,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) grace: Duration,
}

impl World {
    pub(super) fn open(root: &Path, grace: Duration) -> Self {
        let metadata = Arc::new(SqliteMetadata::open(root).unwrap());
        let objects = Arc::new(FsObjects::open(root).unwrap());
        Self { metadata, objects, grace }
    }

    pub(super) fn rules(&self) -> Rules {
        let Self { grace, .. } = *self;
        Rules { grace, untagged_grace: Some(grace), upload_expiry: grace, max_bytes: None, reserve: 0 }
    }

    pub(super) fn collector(&self) -> Collector {
        Collector::new(Arc::clone(&self.metadata), Arc::clone(&self.objects), self.rules())
    }

    /// How old a lease may be before asking renews it.
    pub(super) fn every(&self) -> Duration {
        self.grace / 4
    }

    pub(super) fn bytes(&self, row: &crate::metadata::BlobRow) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.objects.open(&row.key).unwrap().file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Holds an acknowledged tag against what it has to lead to: its manifest, and every blob of it.
    pub(super) fn verify(&self, repository: &RepositoryName, tag: &Tag, digest: &Digest) {
        let named = self.metadata.tag(repository, tag).unwrap().unwrap_or_else(|| panic!("{repository}:{tag} is gone"));
        assert_eq!(named.digest, *digest, "{repository}:{tag}");
        self.verify_manifest(repository, digest);
    }

    fn verify_manifest(&self, repository: &RepositoryName, digest: &Digest) {
        let row = self.metadata.manifest(repository, digest).unwrap();
        let row = row.unwrap_or_else(|| panic!("{repository}@{digest} is gone"));
        assert_eq!(Digest::sha256(&self.bytes(&row.blob)), *digest);
        for edge in self.metadata.edges(repository, digest).unwrap() {
            let blob = self.metadata.blob(repository, &edge.digest).unwrap();
            let blob = blob.unwrap_or_else(|| panic!("{} of {repository}@{digest} is gone", edge.digest));
            assert_eq!(Digest::sha256(&self.bytes(&blob)), edge.digest);
        }
    }

    /// Every row has its object, and rows agree with one another.
    pub(super) fn verify_objects(&self) {
        assert_eq!(self.metadata.check().unwrap(), [""; 0]);
        for row in self.metadata.objects(Page { after: None, limit: usize::MAX }).unwrap() {
            assert_eq!(self.objects.open(&row.key).unwrap().size, row.size, "{}", row.digest);
        }
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        let mut files = self.objects.uploads().unwrap().len();
        let count = &mut |_, _, _| {
            files += 1;
            Ok(())
        };
        self.objects.walk(count).unwrap();
        files
    }
}
