//! A client that pushes an image step by step, as skopeo or podman do: it asks for each blob, uploads or mounts what is
//! not there, and puts the manifest last.

use oci::{Algorithm, Digest, RepositoryName, Tag};

use super::chance::Chance;
use super::world::{REPOSITORIES, World};
use crate::metadata::{BlobRow, Committed, Edge, EdgeKind, Error, Existing, NewManifest, TagWrite, UploadRow};
use crate::storage::UploadId;
use crate::time::Instant;

/// Contents that layers are made of: few, so that clients share them.
const CONTENTS: usize = 24;
const LAYERS: usize = 3;
const TAGS: usize = 5;

/// A push that goes on.
#[derive(Debug, Clone)]
pub(super) struct Push {
    pub(super) repository: RepositoryName,
    pub(super) tag: Tag,
    contents: Vec<Vec<u8>>,
    /// When the registry last said of each that it is there.
    told: Vec<Instant>,
}

/// What a step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// There is more to do.
    More,
    /// The registry acknowledged the manifest.
    Done(Digest),
    /// It does not hold what it said that it holds, too long ago to count.
    Late,
}

impl Push {
    pub(super) fn random(chance: &mut Chance) -> Self {
        let content = |number: usize| format!("content {number} ").repeat(number + 1).into_bytes();
        let layers = 1 + chance.below(LAYERS);
        Self {
            repository: REPOSITORIES[chance.below(REPOSITORIES.len())].parse().unwrap(),
            tag: format!("v{}", chance.below(TAGS)).parse().unwrap(),
            contents: (0..layers).map(|_| content(chance.below(CONTENTS))).collect(),
            told: Vec::new(),
        }
    }

    /// The next step at `now`.
    pub(super) fn step(&mut self, world: &World, now: Instant, chance: &mut Chance) -> Step {
        let Some(content) = self.contents.get(self.told.len()) else {
            return self.finish(world, now);
        };
        let digest = Digest::sha256(content);
        let asked = world.metadata.renew_blob(&self.repository, &digest, now, world.every()).unwrap();
        if !asked && !self.mount(world, &digest, now, chance) {
            upload(world, &self.repository, content, now, chance);
        }
        self.told.push(now);
        Step::More
    }

    fn mount(&self, world: &World, digest: &Digest, now: Instant, chance: &mut Chance) -> bool {
        let from: RepositoryName = REPOSITORIES[chance.below(REPOSITORIES.len())].parse().unwrap();
        chance.percent(50) && world.metadata.mount_blob(&self.repository, digest, &from, &[], now).unwrap()
    }

    fn finish(&self, world: &World, now: Instant) -> Step {
        let digests: Vec<Digest> = self.contents.iter().map(|content| Digest::sha256(content)).collect();
        let text = serde_json::to_vec(&serde_json::json!({ "layers": digests })).unwrap();
        let digest = Digest::sha256(&text);
        let key = world.objects.put(&digest, &text).unwrap();
        let edge = |digest: &Digest| Edge { kind: EdgeKind::Layer, digest: *digest, size: 1, optional: false };
        let manifest = NewManifest {
            repository: self.repository.clone(),
            blob: BlobRow { digest, size: text.len() as u64, key: key.clone() },
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            artifact_type: None,
            annotations: None,
            subject: None,
            edges: digests.iter().map(edge).collect(),
            tags: vec![TagWrite { tag: self.tag.clone(), existing: Existing::Move }],
            allow_sparse: false,
            quotas: Vec::new(),
            actor: "user:ann".to_owned(),
            at: now,
        };
        match world.metadata.put_manifest(&manifest) {
            Ok(Committed::Stored) => Step::Done(digest),
            Ok(Committed::Existed(_)) => {
                world.objects.remove(&key).unwrap();
                Step::Done(digest)
            }
            Err(Error::Absent(absent)) => {
                world.objects.remove(&key).unwrap();
                self.excuse(world, &digests, &absent, now);
                Step::Late
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What is absent must have been promised long ago: a promise holds for the grace but for what a lease may be late.
    fn excuse(&self, world: &World, digests: &[Digest], absent: &[Digest], now: Instant) {
        for (digest, told) in digests.iter().zip(&self.told) {
            let held = told.after(world.grace - world.every());
            assert!(!absent.contains(digest) || held < now, "{digest}: there at {told:?}, gone at {now:?}");
        }
    }
}

/// Uploads a blob; dies in the middle now and then.
fn upload(world: &World, repository: &RepositoryName, content: &[u8], now: Instant, chance: &mut Chance) {
    let id = UploadId::random().unwrap();
    let row = UploadRow {
        id: id.clone(),
        repository: repository.clone(),
        owner: "user:ann".to_owned(),
        algorithm: Algorithm::Sha256,
        offset: 0,
        hash_state: Vec::new(),
        started: now,
        touched: now,
    };
    if chance.percent(20) {
        // Another client, which never comes back.
        let lost = UploadRow { id: UploadId::random().unwrap(), ..row.clone() };
        world.metadata.begin_upload(&lost).unwrap();
        world.objects.begin(&lost.id).unwrap();
    }
    world.metadata.begin_upload(&row).unwrap();
    world.objects.begin(&id).unwrap();
    world.objects.writer(&id, 0).unwrap().append(content).unwrap();
    let digest = Digest::sha256(content);
    let key = world.objects.commit(&id, &digest).unwrap();
    let blob = BlobRow { digest, size: content.len() as u64, key: key.clone() };
    if let Committed::Existed(_) = world.metadata.link_blob(repository, &blob, &[], now).unwrap() {
        world.objects.remove(&key).unwrap();
    }
    world.metadata.end_upload(&id).unwrap();
}
