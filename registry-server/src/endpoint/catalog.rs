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
/// Steps of one request: it ends, however much there is that the caller may not see.
const STEPS: usize = 20;
const PATH: &str = "/v2/_catalog";

/// A page of names in ASCII order, and where the next one is. Where the caller may see few of many, a page may be short:
/// the link leads on all the same.
pub(crate) async fn list(call: Call) -> Result<Response<Body>> {
    let catalog = call.registry.gate.catalog(&call.principal)?;
    let query = call.query()?;
    let limit = query.page(DEFAULT, MOST)?;
    let cursors = &call.registry.cursors;
    let mut after = match query.one("cursor")? {
        Some(sealed) => Some(cursors.open(sealed)?),
        None => query.one("last")?.filter(|last| !last.is_empty()).map(str::to_owned),
    };
    let mut seen: Vec<RepositoryName> = Vec::new();
    let mut steps = if limit == 0 { 0 } else { STEPS };
    // One more than wanted tells whether there are more.
    while steps > 0 && seen.len() <= limit {
        let (catalog, from) = (catalog.clone(), after.take());
        let (names, end) = call.registry.blocking(move |registry| step(registry, &catalog, from.as_deref())).await?;
        seen.extend(names);
        after = end;
        steps = if after.is_some() { steps - 1 } else { 0 };
    }
    let more = seen.len() > limit;
    seen.truncate(limit);
    let names: Vec<_> = seen.iter().map(RepositoryName::as_str).collect();
    let mut response = list::page(&json!({ "repositories": names }), "application/json");
    let number = limit.to_string();
    match (more, names.last(), after) {
        _ if limit == 0 => {}
        (true, Some(last), _) => list::link_next(&mut response, PATH, &[("n", &number), ("last", last)])?,
        // The name that was read last may be one that the caller must not know.
        (false, _, Some(hidden)) => {
            list::link_next(&mut response, PATH, &[("n", &number), ("cursor", &cursors.seal(&hidden)?)])?;
        }
        _ => {}
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
