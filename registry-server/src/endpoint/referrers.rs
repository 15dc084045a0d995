//! `GET /v2/<name>/referrers/<digest>`: what refers to a manifest, such as signatures and bills of materials.
//! Specification: OCI distribution-spec, "Listing Referrers".

use http::{HeaderName, HeaderValue, Response};
use oci::{Descriptor, Digest, media_type};
use serde_json::json;

use super::list;
use crate::auth::Pull;
use crate::body::Body;
use crate::metadata::Page;
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// Referrers of a page where the client names no number, and the most it may name.
const PAGE: usize = 100;
/// Bytes of a page: clients accept manifests of this size, and a page is one. Annotations can be large.
const PAGE_BYTES: usize = 3 << 20;
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// A page of referrers as an index. Empty where nothing is known: a subject need not exist.
pub(crate) async fn list(call: Call) -> Result<Response<Body>> {
    let pull = call.pull()?;
    let subject = call.digest()?;
    let query = call.query()?;
    let limit = query.page(PAGE, PAGE)?.max(1);
    let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let wanted = owned(query.one("artifactType")?);
    let last = owned(query.one("last")?);
    let (repository, filter) = (pull.repository().clone(), wanted.clone());
    let upstream = match &call.registry.mirror {
        Some(mirror) => mirror.referrers(&pull, &subject, wanted.as_deref()).await,
        None => None,
    };
    if let Some(upstream) = upstream {
        return answer(&pull, &subject, after(upstream, last.as_deref()), limit, wanted.as_deref());
    }
    let found = call
        .registry
        .blocking(move |registry| {
            let page = Page { after: last.as_deref(), limit: limit + 1 };
            Ok(registry.metadata.referrers(&repository, &subject, filter.as_deref(), page)?)
        })
        .await?;
    answer(&pull, &subject, found, limit, wanted.as_deref())
}

/// What comes after a page that ended with `last`.
fn after(mut found: Vec<Descriptor>, last: Option<&str>) -> Vec<Descriptor> {
    match last.map(str::parse::<Digest>) {
        None => found,
        Some(Ok(last)) => {
            found.retain(|descriptor| descriptor.digest > last);
            found
        }
        // Nothing comes after what is no digest.
        Some(Err(_)) => Vec::new(),
    }
}

fn answer(
    pull: &Pull,
    subject: &Digest,
    found: Vec<Descriptor>,
    limit: usize,
    wanted: Option<&str>,
) -> Result<Response<Body>> {
    let (page, more) = cut(found, limit)?;
    let last = page.last().map(|descriptor| descriptor.digest.to_string());
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": page });
    let mut response = list::page(&index, media_type::OCI_INDEX);
    if wanted.is_some() {
        response.headers_mut().insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let (true, Some(last)) = (more, last) {
        let number = limit.to_string();
        let mut query = vec![("n", number.as_str()), ("last", &last)];
        if let Some(wanted) = wanted {
            query.push(("artifactType", wanted));
        }
        list::link_next(&mut response, &format!("/v2/{}/referrers/{subject}", pull.repository()), &query)?;
    }
    Ok(response)
}

/// As many as fit into a page, at least one, and whether any are left.
fn cut(mut found: Vec<Descriptor>, limit: usize) -> Result<(Vec<Descriptor>, bool)> {
    let mut bytes = 0;
    for (at, descriptor) in found.iter().enumerate() {
        bytes += serde_json::to_vec(descriptor).map_err(Refusal::internal)?.len();
        if at == limit || (at > 0 && bytes > PAGE_BYTES) {
            found.truncate(at);
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_by_count_and_bytes() {
        let digest = oci::Digest::sha256(b"");
        let small = Descriptor::new("t", digest, 1);
        let mut large = small.clone();
        large.annotations.insert("a".to_owned(), "x".repeat(PAGE_BYTES));
        for (found, limit, expected) in [
            (vec![], 1, (0, false)),
            (vec![small.clone(); 2], 2, (2, false)),
            (vec![small.clone(); 3], 2, (2, true)),
            (vec![large.clone(); 3], 2, (1, true)),
            (vec![small, large], 5, (1, true)),
        ] {
            let (page, more) = cut(found, limit).unwrap();
            assert_eq!((page.len(), more), expected);
        }
    }
}
