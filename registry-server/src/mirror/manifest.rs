//! Manifests and tags of upstreams.
//!
//! A tag is believed for its upstream's `ttl`; then a `HEAD` asks what it names, and the manifest is fetched only if it is
//! not here. While the upstream is down, fails, refuses or answers 429, what is here is served and said to be stale. A
//! tag that the upstream no longer has goes here, too. What is asked for by digest is never asked for again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::{Digest, ErrorCode, RepositoryName, Tag};
use remote::{Accept, Fetched};

use super::names::Place;
use super::upstream::{Failure, Upstream};
use super::{Freshness, Shared, Wanted};
use crate::manifest;
use crate::metadata::{BlobRow, Committed, Existing, NewManifest, TagWrite};
use crate::refusal::{Refusal, Result};
use crate::time;

/// When a tag was last looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    /// When the upstream last answered for it.
    answered: Option<Instant>,
    /// When it was last asked.
    asked: Instant,
    /// Whether there is such a tag.
    present: bool,
    /// The repository's generation then: after a write to it, whoever believes this looks again.
    generation: u64,
}

/// After a failed try, what is cached is served for so long without another one.
const STALE_FOR: Duration = Duration::from_secs(5);

impl Shared {
    /// See [`super::Mirror::manifest`].
    pub(super) async fn manifest(
        self: &Arc<Self>,
        repository: &RepositoryName,
        place: &Place,
        wanted: Wanted<'_>,
    ) -> Result<Option<Freshness>> {
        match wanted {
            Wanted::Tag(tag) => self.tag(repository, place, tag).await,
            Wanted::Digest(digest) => self.digest(repository, place, digest).await.map(|()| None),
        }
    }

    async fn tag(self: &Arc<Self>, repository: &RepositoryName, place: &Place, tag: &Tag) -> Result<Option<Freshness>> {
        let upstream = self.upstream(place);
        let key = format!("{}:{}", repository.as_str(), tag.as_str());
        if let Some(known) = self.believe(upstream, repository, &key) {
            return known;
        }
        // One asks, the others wait for its answer.
        let turn = self.turns.take(&key).await;
        let outcome = match self.believe(upstream, repository, &key) {
            Some(known) => known,
            None => self.check_tag(repository, place, tag, &key).await,
        };
        drop(turn);
        outcome
    }

    /// What is known without asking anybody; `None` where somebody must be asked.
    fn believe(
        &self,
        upstream: &Upstream,
        repository: &RepositoryName,
        key: &str,
    ) -> Option<Result<Option<Freshness>>> {
        let known = self.tags.get(key)?;
        if known.generation != self.metadata.generation(repository) {
            return None;
        }
        if !known.present {
            let refusal = || Failure::Absent.refusal(&upstream.name, ErrorCode::ManifestUnknown);
            return (known.asked.elapsed() < upstream.negative_ttl).then(|| Err(refusal()));
        }
        let age = known.answered.map_or(known.asked, |answered| answered).elapsed();
        let fresh = known.answered.is_some() && age < upstream.ttl;
        if fresh || known.asked.elapsed() < STALE_FOR && known.answered != Some(known.asked) {
            if fresh { &self.figures.hits } else { &self.figures.stale }.inc();
            return Some(Ok(Some(Freshness { age, stale: !fresh })));
        }
        None
    }

    async fn check_tag(
        self: &Arc<Self>,
        repository: &RepositoryName,
        place: &Place,
        tag: &Tag,
        key: &str,
    ) -> Result<Option<Freshness>> {
        let upstream = self.upstream(place);
        let (name, wanted) = (repository.clone(), tag.clone());
        let local = self.blocking(move |shared| Ok(shared.metadata.tag(&name, &wanted)?)).await?;
        let before = self.tags.get(key);
        let remember = |present: bool, answered: bool| {
            let asked = Instant::now();
            let answered = if answered { Some(asked) } else { before.and_then(|before| before.answered) };
            let generation = self.metadata.generation(repository);
            self.tags.insert(key.to_owned(), Checked { answered, asked, present, generation });
            answered
        };
        // A tag that only our own restart or another write made unknown is looked at again without asking the upstream.
        if let (Some(before), Some(_)) = (before, &local)
            && before.present
            && before.answered.is_some_and(|answered| answered.elapsed() < upstream.ttl)
        {
            let generation = self.metadata.generation(repository);
            self.tags.insert(key.to_owned(), Checked { generation, ..before });
            let age = before.answered.map_or(Duration::ZERO, |answered| answered.elapsed());
            return Ok(Some(Freshness { age, stale: false }));
        }
        let ask = self.refresh(repository, place, tag, local.as_ref().map(|row| row.digest));
        let outcome = match &local {
            None => ask.await,
            // Whoever has something at hand does not wait for long.
            Some(_) => tokio::time::timeout(self.patience, ask).await.unwrap_or_else(|_| {
                Err(Failure::Away { busy: false, after: STALE_FOR, cause: "no answer in time".to_owned() })
            }),
        };
        match outcome {
            Ok(()) => {
                remember(true, true);
                Ok(Some(Freshness { age: Duration::ZERO, stale: false }))
            }
            Err(failure) if local.is_some() && failure.may_be_stale() => {
                tracing::warn!(
                    upstream = upstream.name,
                    repository = repository.as_str(),
                    tag = tag.as_str(),
                    ?failure,
                    "serving a stale tag"
                );
                self.figures.stale.inc();
                let answered = remember(true, false);
                let age = match (answered, &local) {
                    (Some(answered), _) => answered.elapsed(),
                    (None, Some(row)) => age_of(row.updated),
                    (None, None) => Duration::ZERO,
                };
                Ok(Some(Freshness { age, stale: true }))
            }
            Err(Failure::Absent) => {
                if local.is_some() {
                    let (name, tag) = (repository.clone(), tag.clone());
                    let actor = actor(upstream);
                    self.blocking(move |shared| {
                        Ok(shared.metadata.delete_tag(&name, &tag, &actor, time::Instant::now())?)
                    })
                    .await?;
                }
                remember(false, true);
                Err(Failure::Absent.refusal(&upstream.name, ErrorCode::ManifestUnknown))
            }
            Err(failure) => Err(failure.refusal(&upstream.name, ErrorCode::ManifestUnknown)),
        }
    }

    /// Makes the tag here name what it names there.
    async fn refresh(
        self: &Arc<Self>,
        repository: &RepositoryName,
        place: &Place,
        tag: &Tag,
        local: Option<Digest>,
    ) -> Result<(), Failure> {
        let upstream = self.upstream(place);
        if !place.allowed {
            return Err(Failure::Refused);
        }
        if local.is_some() {
            self.figures.checks.inc();
            let known =
                upstream.ask(&place.name, |there| async move { there.head_manifest(tag, &accept()).await }).await?;
            if let Some(digest) = known.digest {
                if local == Some(digest) && self.holds(repository, &digest).await? {
                    return Ok(());
                }
                if self.holds(repository, &digest).await? {
                    return self.move_tag(upstream, repository, tag, digest).await;
                }
                let ask = |there: remote::Repository| async move { there.manifest_by_digest(&digest, &accept()).await };
                let fetched = upstream.ask(&place.name, ask).await?;
                return self.keep(upstream, repository, fetched, Some(tag)).await;
            }
        }
        let fetched =
            upstream.ask(&place.name, |there| async move { there.manifest_by_tag(tag, &accept()).await }).await?;
        self.keep(upstream, repository, fetched, Some(tag)).await
    }

    async fn digest(self: &Arc<Self>, repository: &RepositoryName, place: &Place, digest: &Digest) -> Result<()> {
        let upstream = self.upstream(place);
        let generation = self.metadata.generation(repository);
        let key = format!("{}@{digest}", repository.as_str());
        let known = self.tags.get(&key).filter(|known| known.generation == generation);
        match known {
            Some(known) if known.present => {
                self.figures.hits.inc();
                return Ok(());
            }
            Some(known) if known.asked.elapsed() < upstream.negative_ttl => {
                return Err(Failure::Absent.refusal(&upstream.name, ErrorCode::ManifestUnknown));
            }
            _ => {}
        }
        let refusal = |failure: Failure| failure.refusal(&upstream.name, ErrorCode::ManifestUnknown);
        let _turn = self.turns.take(&key).await;
        let mut outcome =
            self.holds(repository, digest).await.and_then(|held| if held { Ok(()) } else { Err(Failure::Absent) });
        if outcome.is_err() && place.allowed {
            let ask = |there: remote::Repository| async move { there.manifest_by_digest(digest, &accept()).await };
            outcome = match upstream.ask(&place.name, ask).await {
                Ok(fetched) => self.keep(upstream, repository, fetched, None).await,
                Err(failure) => Err(failure),
            };
        }
        let present = outcome.is_ok();
        if present || matches!(outcome, Err(Failure::Absent)) {
            let asked = Instant::now();
            let generation = self.metadata.generation(repository);
            self.tags.insert(key.clone(), Checked { answered: Some(asked), asked, present, generation });
        }
        outcome.map_err(refusal)
    }

    async fn holds(self: &Arc<Self>, repository: &RepositoryName, digest: &Digest) -> Result<bool, Failure> {
        let (name, digest) = (repository.clone(), *digest);
        let held = self.blocking(move |shared| Ok(shared.metadata.manifest(&name, &digest)?.is_some())).await;
        held.map_err(ours)
    }

    async fn move_tag(
        self: &Arc<Self>,
        upstream: &Upstream,
        repository: &RepositoryName,
        tag: &Tag,
        digest: Digest,
    ) -> Result<(), Failure> {
        let write = TagWrite { tag: tag.clone(), existing: Existing::Move };
        let (name, actor) = (repository.clone(), actor(upstream));
        let moved = self.blocking(move |shared| {
            Ok(shared.metadata.set_tag(&name, &write, &digest, &actor, time::Instant::now())?)
        });
        match moved.await.map_err(ours)? {
            true => Ok(()),
            false => Err(Failure::Ours(format!("{digest} went while its tag was moved"))),
        }
    }

    /// Stores a verified manifest; what it references may come later.
    async fn keep(
        self: &Arc<Self>,
        upstream: &Upstream,
        repository: &RepositoryName,
        fetched: Fetched,
        tag: Option<&Tag>,
    ) -> Result<(), Failure> {
        self.figures.manifests.inc();
        let parsed = manifest::parse(&fetched.bytes, Some(&fetched.media_type))
            .map_err(|error| Failure::Wrong(format!("{}: {error}", fetched.digest)))?;
        let (repository, actor) = (repository.clone(), actor(upstream));
        let tags = tag.map(|tag| TagWrite { tag: tag.clone(), existing: Existing::Move }).into_iter().collect();
        let kept = self.blocking(move |shared| {
            let digest = fetched.digest;
            let key = shared.objects.put(&digest, &fetched.bytes)?;
            let new = NewManifest {
                repository,
                blob: BlobRow { digest, size: fetched.bytes.len() as u64, key: key.clone() },
                media_type: parsed.media_type.to_owned(),
                artifact_type: parsed.artifact_type,
                annotations: parsed.annotations,
                subject: parsed.subject,
                edges: parsed.edges,
                tags,
                allow_sparse: true,
                quotas: Vec::new(),
                actor,
                at: time::Instant::now(),
            };
            let committed = shared.metadata.put_manifest(&new);
            if !matches!(committed, Ok(Committed::Stored)) {
                // The bytes are there under another key, or nothing names them.
                let _ = shared.objects.remove(&key);
            }
            committed?;
            Ok(())
        });
        kept.await.map_err(ours)
    }
}

/// What histories say of who did it.
pub(super) fn actor(upstream: &Upstream) -> String {
    format!("mirror:{}", upstream.name)
}

/// Every kind of manifest that is kept.
fn accept() -> Accept {
    Accept::default()
}

fn age_of(since: time::Instant) -> Duration {
    let milliseconds = time::Instant::now().0.saturating_sub(since.0);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

/// A refusal of our own storage or metadata, as a failure.
pub(super) fn ours(refusal: Refusal) -> Failure {
    if refusal.status == http::StatusCode::INSUFFICIENT_STORAGE {
        return Failure::Full;
    }
    Failure::Ours(refusal.cause.unwrap_or(refusal.message))
}
