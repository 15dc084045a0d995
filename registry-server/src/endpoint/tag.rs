//! `GET /v2/<name>/tags/list`.
//! Specification: OCI distribution-spec, "Listing Tags".

use http::{Response, StatusCode};
use oci::{ErrorCode, RepositoryName};
use serde_json::json;

use super::list;
use crate::auth::Pull;
use crate::body::Body;
use crate::metadata::Page;
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// Tags of a page where the client names no number.
const DEFAULT: usize = 1_000;
/// Most tags of a page: 128 characters each, it stays near a megabyte.
const MOST: usize = 10_000;

/// A page of tags in ASCII order, and where the next one is.
pub(crate) async fn list(call: Call) -> Result<Response<Body>> {
    let pull = call.pull()?;
    let query = call.query()?;
    let limit = query.page(DEFAULT, MOST)?;
    let last = query.one("last")?.filter(|last| !last.is_empty()).map(str::to_owned);
    let (tags, more) = match upstream(&call, &pull, last.as_deref(), limit).await? {
        Some(page) => page,
        None => here(&call, &pull, last, limit).await?,
    };
    let name = pull.repository();
    let mut response = list::page(&json!({ "name": name.as_str(), "tags": tags }), "application/json");
    if let (true, Some(last)) = (more, tags.last()) {
        list::link_next(&mut response, &format!("/v2/{name}/tags/list"), &[("n", &limit.to_string()), ("last", last)])?;
    }
    Ok(response)
}

/// A page of an upstream's tags, where the repository is one's and it can be asked.
async fn upstream(call: &Call, pull: &Pull, last: Option<&str>, limit: usize) -> Result<Option<(Vec<String>, bool)>> {
    match &call.registry.mirror {
        Some(mirror) => mirror.tags(pull, last, limit).await,
        None => Ok(None),
    }
}

/// A page of the tags that are here, and whether there are more.
async fn here(call: &Call, pull: &Pull, last: Option<String>, limit: usize) -> Result<(Vec<String>, bool)> {
    let repository = pull.repository().clone();
    let mut tags = call
        .registry
        .blocking(move |registry| {
            // One more than wanted tells whether there are more. An empty page may be one of an empty repository.
            let wanted = if limit == 0 { 0 } else { limit + 1 };
            let rows = registry.metadata.tags(&repository, Page { after: last.as_deref(), limit: wanted })?;
            if rows.is_empty() && registry.metadata.repository(&repository)?.is_none() {
                return Err(unknown(&repository));
            }
            Ok(rows.into_iter().map(|row| row.tag.to_string()).collect::<Vec<_>>())
        })
        .await?;
    let more = tags.len() > limit;
    tags.truncate(limit);
    Ok((tags, more))
}

fn unknown(repository: &RepositoryName) -> Refusal {
    let message = format!("there is no repository `{repository}`");
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, message)
}
