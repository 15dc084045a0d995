//! The model: what is kept, in maps; counts are never kept but counted.

use std::collections::BTreeMap;

use oci::{Digest, RepositoryName, Tag};

use super::super::{Committed, Cutoff, Edge, EdgeKind, Existing, Quota};
use super::operation::{
    Operation, Outcome, RENEW, SHAPES, blob, collected, edges, is_kept, keyed, manifest, media_type, repository, tag,
};
use crate::storage::ObjectKey;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// Sizes and leases.
    pub(super) links: BTreeMap<Digest, (u64, i64)>,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// Oldest first.
    pub(super) history: BTreeMap<Tag, Vec<(Option<Digest>, i64)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) size: u64,
    pub(super) media_type: &'static str,
    pub(super) touched: i64,
    pub(super) subject: Option<Digest>,
    pub(super) edges: Vec<Edge>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Maps {
    pub(super) repositories: BTreeMap<RepositoryName, Repository>,
    /// Key, size, and when it was last committed or linked.
    pub(super) objects: BTreeMap<Digest, (ObjectKey, u64, i64)>,
}

impl Repository {
    fn holds(&self, digest: &Digest) -> bool {
        self.links.contains_key(digest) || self.manifests.contains_key(digest)
    }

    pub(super) fn bytes(&self) -> u64 {
        let links = self.links.iter().map(|(digest, (size, _))| (*digest, *size));
        let manifests = self.manifests.iter().map(|(digest, manifest)| (*digest, manifest.size));
        links.chain(manifests).collect::<BTreeMap<_, _>>().values().sum()
    }

    fn is_referenced(&self, digest: &Digest) -> bool {
        self.manifests.values().flat_map(|manifest| &manifest.edges).any(|edge| edge.digest == *digest)
    }

    fn is_pinned(&self, digest: &Digest) -> bool {
        let subject = self.manifests[digest].subject;
        let anchored = subject.is_some_and(|subject| self.manifests.contains_key(&subject));
        anchored || self.tags.values().any(|named| named == digest) || self.is_referenced(digest)
    }

    fn touch(&mut self, digest: &Digest, at: i64) -> bool {
        let found = self.manifests.get_mut(digest);
        found.map(|manifest| manifest.touched = manifest.touched.max(at)).is_some()
    }

    fn write_tag(&mut self, tag: Tag, digest: Digest, at: i64) {
        let before = self.tags.insert(tag.clone(), digest);
        if before == Some(digest) {
            return;
        }
        if let Some(before) = before {
            self.touch(&before, at);
        }
        self.history.entry(tag).or_default().push((Some(digest), at));
    }

    fn remove_tag(&mut self, tag: &Tag, at: i64) -> bool {
        let Some(before) = self.tags.remove(tag) else { return false };
        self.touch(&before, at);
        self.history.entry(tag.clone()).or_default().push((None, at));
        true
    }

    /// `at`: what it held waits from now on.
    fn remove_manifest(&mut self, digest: &Digest, at: Option<i64>) -> bool {
        let Some(gone) = self.manifests.remove(digest) else { return false };
        if let Some(at) = at {
            let referrers = self.manifests.iter().filter(|(_, other)| other.subject == Some(*digest));
            let freed: Vec<_> =
                gone.edges.iter().map(|edge| edge.digest).chain(referrers.map(|(digest, _)| *digest)).collect();
            for digest in freed {
                self.touch(&digest, at);
            }
        }
        true
    }

    fn refuses(&self, tag: &Tag, digest: &Digest, existing: Existing) -> Option<Outcome> {
        let elsewhere = self.tags.get(tag).is_some_and(|named| named != digest);
        match existing {
            Existing::Deny if elsewhere => Some(Outcome::Denied),
            Existing::Immutable if elsewhere => Some(Outcome::Immutable),
            _ => None,
        }
    }
}

impl Maps {
    fn at(&mut self, number: usize) -> &mut Repository {
        self.repositories.entry(repository(number)).or_default()
    }

    fn over(&self, name: &RepositoryName, quotas: &[Quota], bytes: u64) -> Option<Outcome> {
        let below = |name: &RepositoryName, prefix: &str| {
            prefix.is_empty() || name.as_str() == prefix || name.as_str().starts_with(&format!("{prefix}/"))
        };
        for quota in quotas.iter().filter(|quota| below(name, &quota.prefix)) {
            let held = self.repositories.iter().filter(|(name, _)| below(name, &quota.prefix));
            let used = held.map(|(_, repository)| repository.bytes()).sum::<u64>();
            if bytes > 0 && used + bytes > quota.limit {
                return Some(Outcome::Quota(used));
            }
        }
        None
    }

    fn adopt(&mut self, digest: Digest, size: u64, key: ObjectKey, at: i64) -> Committed {
        let (held, _, touched) = self.objects.entry(digest).or_insert_with(|| (key.clone(), size, at));
        *touched = (*touched).max(at);
        if *held == key { Committed::Stored } else { Committed::Existed(held.clone()) }
    }

    fn link(&mut self, place: usize, digest: Digest, size: u64, key: ObjectKey, quotas: &[Quota], at: i64) -> Outcome {
        let name = repository(place);
        let bytes = if self.at(place).holds(&digest) { 0 } else { size };
        if let Some(refused) = self.over(&name, quotas, bytes) {
            return refused;
        }
        let (_, touched) = self.at(place).links.entry(digest).or_insert((size, at));
        *touched = (*touched).max(at);
        match self.adopt(digest, size, key, at) {
            Committed::Stored => Outcome::Stored,
            Committed::Existed(key) => Outcome::Existed(key),
        }
    }

    pub(super) fn run(&mut self, operation: &Operation, quotas: &[Quota], at: i64) -> Outcome {
        match operation {
            Operation::Link { repository, blob: number, key } => {
                let row = keyed(blob(*number), *key);
                self.link(*repository, row.digest, row.size, row.key, quotas, at)
            }
            Operation::Mount { repository, blob: number, from } => {
                let digest = blob(*number).digest;
                let Some((size, _)) = self.at(*from).links.get(&digest).copied() else { return Outcome::Bool(false) };
                let key = self.objects[&digest].0.clone();
                match self.link(*repository, digest, size, key, quotas, at) {
                    Outcome::Stored => Outcome::Bool(true),
                    refused => refused,
                }
            }
            Operation::Touch { repository, blob: number } => self.lease(*repository, *number, i64::MIN, at),
            Operation::Renew { repository, blob: number } => self.lease(*repository, *number, RENEW, at),
            Operation::Unlink { repository, blob: number } => {
                Outcome::Bool(self.at(*repository).links.remove(&blob(*number).digest).is_some())
            }
            Operation::Put { .. } => self.put(operation, quotas, at),
            Operation::TouchManifest { repository, manifest: number } => {
                Outcome::Bool(self.at(*repository).touch(&manifest(*number).digest, at))
            }
            Operation::DeleteManifest { repository, manifest: number, keep } => {
                self.delete(*repository, *number, *keep, at)
            }
            Operation::SetTag { repository, tag: name, manifest: number, existing } => {
                let (digest, tag) = (manifest(*number).digest, tag(*name));
                let repository = self.at(*repository);
                if !repository.manifests.contains_key(&digest) {
                    return Outcome::Bool(false);
                }
                if let Some(refused) = repository.refuses(&tag, &digest, *existing) {
                    return refused;
                }
                repository.touch(&digest, at);
                repository.write_tag(tag, digest, at);
                Outcome::Bool(true)
            }
            Operation::DeleteTag { repository, tag: name } => {
                Outcome::Bool(self.at(*repository).remove_tag(&tag(*name), at))
            }
            Operation::Collect { .. } => self.collect(&operation.cutoff(at)),
        }
    }

    fn lease(&mut self, repository: usize, number: usize, every: i64, at: i64) -> Outcome {
        let found = self.at(repository).links.get_mut(&blob(number).digest);
        Outcome::Bool(
            found
                .map(|(_, touched)| {
                    if touched.saturating_add(every) < at {
                        *touched = at;
                    }
                })
                .is_some(),
        )
    }

    fn put(&mut self, operation: &Operation, quotas: &[Quota], at: i64) -> Outcome {
        let Operation::Put { repository: place, manifest: number, tags, existing, sparse, key, other } = operation
        else {
            unreachable!("only puts are put")
        };
        let row = keyed(manifest(*number), *key);
        let new = Manifest {
            size: row.size,
            media_type: media_type(*other),
            touched: at,
            subject: SHAPES[*number].subject.filter(|_| !other).map(|subject| manifest(subject).digest),
            edges: if *other { Vec::new() } else { edges(&SHAPES[*number]) },
        };
        let name = repository(*place);
        let repository = self.at(*place).clone();
        let mut absent = Vec::new();
        for edge in new.edges.iter().filter(|edge| !edge.optional && !sparse) {
            let present = match edge.kind {
                EdgeKind::Manifest => repository.holds(&edge.digest),
                EdgeKind::Config | EdgeKind::Layer => repository.links.contains_key(&edge.digest),
            };
            if !present && !absent.contains(&edge.digest) {
                absent.push(edge.digest);
            }
        }
        if !absent.is_empty() {
            return Outcome::Absent(absent);
        }
        if let Some(refused) = tags.iter().find_map(|name| repository.refuses(&tag(*name), &row.digest, *existing)) {
            return refused;
        }
        let bytes = if repository.holds(&row.digest) { 0 } else { row.size };
        if let Some(refused) = self.over(&name, quotas, bytes) {
            return refused;
        }
        let repository = self.at(*place);
        let touched = repository.manifests.get(&row.digest).map_or(at, |before| before.touched.max(at));
        repository.manifests.insert(row.digest, Manifest { touched, ..new });
        for name in tags {
            repository.write_tag(tag(*name), row.digest, at);
        }
        match self.adopt(row.digest, row.size, row.key, at) {
            Committed::Stored => Outcome::Stored,
            Committed::Existed(key) => Outcome::Existed(key),
        }
    }

    fn delete(&mut self, place: usize, number: usize, keep: bool, at: i64) -> Outcome {
        let digest = manifest(number).digest;
        let repository = self.at(place);
        let named: Vec<Tag> =
            repository.tags.iter().filter(|(_, named)| **named == digest).map(|(tag, _)| tag.clone()).collect();
        if keep && named.iter().any(is_kept) {
            return Outcome::Immutable;
        }
        for tag in named {
            repository.remove_tag(&tag, at);
        }
        Outcome::Bool(repository.remove_manifest(&digest, Some(at)))
    }

    fn collect(&mut self, cutoff: &Cutoff) -> Outcome {
        let (mut manifests, mut links, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let mut found = None;
            for (name, repository) in &self.repositories {
                let old = |manifest: &Manifest| cutoff.manifests.is_some_and(|before| manifest.touched <= before.0);
                let idle = |digest: &&Digest| !repository.is_pinned(digest) && old(&repository.manifests[*digest]);
                found = found.or(repository.manifests.keys().find(idle).map(|digest| (name.clone(), *digest)));
            }
            let Some((name, digest)) = found else { break };
            self.repositories.get_mut(&name).unwrap().remove_manifest(&digest, None);
            manifests.push((name, digest));
        }
        for (name, repository) in &mut self.repositories {
            let kept = repository.clone();
            repository.links.retain(|digest, (_, touched)| {
                let idle = !kept.is_referenced(digest) && *touched <= cutoff.blobs.0;
                if idle {
                    links.push((name.clone(), *digest));
                }
                !idle
            });
        }
        let repositories = &self.repositories;
        self.objects.retain(|digest, (key, _, touched)| {
            let idle = *touched <= cutoff.blobs.0 && !repositories.values().any(|repository| repository.holds(digest));
            if idle {
                objects.push(key.clone());
            }
            !idle
        });
        collected(manifests, links, objects)
    }
}
