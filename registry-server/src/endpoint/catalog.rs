//! `GET /v2/_catalog`: repositories that the caller may see.

use http::Response;
use oci::RepositoryName;
use serde_json::json;

use super::list;
use crate::auth::Catalog;
use crate::body::Body;
use crate::metadata::Page;
use crate::refusal::Result;
use crate::server::Call;

/// Repositories of a page where the client names no number.
const DEFAULT: usize = 1_000;
/// Most repositories of a page.
const MOST: usize = 10_000;
/// Names that are read at once while one is sought that the caller may see.
const STEP: usize = 1_000;

/// A page of names in ASCII order, and where the next one is.
pub(crate) async fn list(call: Call) -> Result<Response<Body>> {
    let catalog = call.registry.gate.catalog(&call.principal)?;
    let query = call.query()?;
    let limit = query.page(DEFAULT, MOST)?;
    let mut after = query.one("last")?.filter(|last| !last.is_empty()).map(str::to_owned);
    let mut seen: Vec<RepositoryName> = Vec::new();
    // One more than wanted tells whether there are more.
    while limit > 0 && seen.len() <= limit {
        let (catalog, from) = (catalog.clone(), after.clone());
        let (names, end) = call.registry.blocking(move |registry| step(registry, &catalog, from.as_deref())).await?;
        seen.extend(names);
        match end {
            Some(end) => after = Some(end),
            None => break,
        }
    }
    let more = seen.len() > limit;
    seen.truncate(limit);
    let names: Vec<_> = seen.iter().map(RepositoryName::as_str).collect();
    let mut response = list::page(&json!({ "repositories": names }), "application/json");
    if let (true, Some(last)) = (more, names.last()) {
        list::link_next(&mut response, "/v2/_catalog", &[("n", &limit.to_string()), ("last", last)])?;
    }
    Ok(response)
}

/// Those of the next names that the caller may see, and where to go on; `None` at the end.
fn step(
    registry: &crate::Registry,
    catalog: &Catalog,
    after: Option<&str>,
) -> Result<(Vec<RepositoryName>, Option<String>)> {
    let mut names = registry.metadata.repositories(Page { after, limit: STEP })?;
    let end = (names.len() == STEP).then(|| names.last().map(ToString::to_string)).flatten();
    names.retain(|name| registry.gate.shows(catalog, name));
    Ok((names, end))
}
