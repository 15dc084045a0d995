//! What nobody asks for any more.
//!
//! A cached tag whose manifest's lease nobody renewed for `expiry` is removed. The manifest is then untagged, its blobs are
//! unreferenced, and the collector takes them by its own rules and in its own time.

use std::sync::Arc;
use std::time::Duration;

use oci::RepositoryName;

use super::Shared;
use super::manifest::actor;
use crate::metadata::Page;
use crate::refusal::Result;
use crate::time::Instant;

/// How often tags are looked through.
pub(super) const EVERY: Duration = Duration::from_secs(3600);
/// Rows read at a time.
const ROWS: usize = 500;

/// Removes unused tags now and then, for ever.
pub(super) async fn tend(shared: &Arc<Shared>, expiry: Duration) {
    if expiry.is_zero() {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::time::sleep(EVERY.min(expiry)).await;
        let before = Instant::now().before(expiry);
        if let Err(refusal) = shared.blocking(move |shared| expire(shared, before)).await {
            tracing::error!(
                cause = refusal.cause.as_deref().unwrap_or(&refusal.message),
                "cached tags were not looked through"
            );
        }
    }
}

/// Removes the tags of mirrored repositories whose manifests were last used before `before`.
pub(super) fn expire(shared: &Arc<Shared>, before: Instant) -> Result<u64> {
    let mut removed = 0;
    for prefix in shared.names.prefixes() {
        let mut after = prefix.trim_end_matches('/').to_owned();
        loop {
            let page = shared.metadata.repositories(Page { after: Some(&after), limit: ROWS })?;
            let Some(last) = page.last() else { break };
            last.as_str().clone_into(&mut after);
            // Other names may lie between `a` and `a/`.
            let below = |name: &&RepositoryName| name.as_str().starts_with(prefix);
            for repository in page.iter().filter(below) {
                removed += expire_in(shared, repository, before)?;
            }
            if !after.starts_with(prefix) && after.as_str() > prefix {
                break;
            }
        }
    }
    shared.figures.expired.inc_by(removed);
    Ok(removed)
}

fn expire_in(shared: &Shared, repository: &RepositoryName, before: Instant) -> Result<u64> {
    let Some(place) = shared.names.place(repository) else { return Ok(0) };
    let actor = actor(shared.upstream(&place));
    let (mut removed, mut after) = (0, None::<String>);
    loop {
        let page = shared.metadata.tags(repository, Page { after: after.as_deref(), limit: ROWS })?;
        let Some(last) = page.last() else { return Ok(removed) };
        after = Some(last.tag.as_str().to_owned());
        for row in &page {
            let used = shared.metadata.manifest(repository, &row.digest)?.map(|manifest| manifest.touched);
            // A tag that moved a moment ago is in use, whatever its manifest's lease says.
            let unused = used.is_none_or(|used| used < before) && row.updated < before;
            if unused && shared.metadata.delete_tag_of(repository, &row.tag, &row.digest, &actor, Instant::now())? {
                removed += 1;
            }
        }
    }
}
