//! `GET /v2/_catalog`: repositories that the caller may see.

use http::Response;
use oci::RepositoryName;
use serde_json::json;

use super::list;
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
    let after = match query.one("cursor")? {
        Some(sealed) => Some(call.registry.cursors.open(sealed)?),
        None => query.one("last")?.filter(|last| !last.is_empty()).map(str::to_owned),
    };
    let gathered = call
        .registry
        .blocking(move |registry| {
            let read = |after: Option<&str>| Ok(registry.metadata.repositories(Page { after, limit: STEP })?);
            gather(limit, after, read, |name| registry.gate.shows(&catalog, name))
        })
        .await?;
    let names: Vec<_> = gathered.names.iter().map(RepositoryName::as_str).collect();
    let mut response = list::page(&json!({ "repositories": names }), "application/json");
    let number = limit.to_string();
    match &gathered.next {
        None => {}
        Some(Next::Shown(last)) => list::link_next(&mut response, PATH, &[("n", &number), ("last", last)])?,
        Some(Next::Hidden(last)) => {
            let sealed = call.registry.cursors.seal(last)?;
            list::link_next(&mut response, PATH, &[("n", &number), ("cursor", &sealed)])?;
        }
    }
    Ok(response)
}

/// A page, and where the next one begins.
#[derive(Debug, PartialEq, Eq)]
struct Gathered {
    names: Vec<RepositoryName>,
    next: Option<Next>,
}

/// Behind which name to go on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// One that the caller saw.
    Shown(String),
    /// One that the caller may not know of.
    Hidden(String),
}

/// Collects `limit` names that `shows` lets through, in at most [`STEPS`] steps of `read`.
fn gather(
    limit: usize,
    mut after: Option<String>,
    read: impl Fn(Option<&str>) -> Result<Vec<RepositoryName>>,
    shows: impl Fn(&RepositoryName) -> bool,
) -> Result<Gathered> {
    let mut names: Vec<RepositoryName> = Vec::new();
    if limit == 0 {
        return Ok(Gathered { names, next: None });
    }
    for _ in 0..STEPS {
        let step = read(after.as_deref())?;
        let end = (step.len() == STEP).then(|| step.last().map(ToString::to_string)).flatten();
        names.extend(step.into_iter().filter(|name| shows(name)));
        // One more than wanted tells that there are more.
        if names.len() > limit {
            names.truncate(limit);
            let next = names.last().map(|last| Next::Shown(last.to_string()));
            return Ok(Gathered { names, next });
        }
        if end.is_none() {
            return Ok(Gathered { names, next: None });
        }
        after = end;
    }
    Ok(Gathered { names, next: after.map(Next::Hidden) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(limit: usize, after: Option<&str>, all: usize, shows: impl Fn(usize) -> bool) -> Gathered {
        let name = |n: usize| format!("r{n:06}").parse::<RepositoryName>().unwrap();
        let number = |name: &str| name[1..].parse::<usize>().unwrap();
        let read = |after: Option<&str>| {
            let from = after.map_or(0, |after| number(after) + 1);
            Ok((from..all.min(from + STEP)).map(name).collect())
        };
        gather(limit, after.map(str::to_owned), read, |name| shows(number(name.as_str()))).unwrap()
    }

    #[test]
    fn a_page_ends_where_it_is_full_or_the_list_ends() {
        for (limit, all, length, next) in [
            (0, 10, 0, None),
            (10, 0, 0, None),
            (10, 10, 10, None),
            (10, 11, 10, Some(Next::Shown("r000009".to_owned()))),
            (STEP, STEP, STEP, None),
            (STEP, STEP + 1, STEP, Some(Next::Shown("r000999".to_owned()))),
        ] {
            let page = gathered(limit, None, all, |_| true);
            assert_eq!((page.names.len(), page.next), (length, next), "{limit} of {all}");
        }
        let second = gathered(3, Some("r000009"), 12, |_| true);
        assert_eq!((second.names.len(), second.next), (2, None));
    }

    #[test]
    fn one_request_does_so_much_and_no_more() {
        let all = STEP * STEPS * 2 + 5;
        let first = gathered(10, None, all, |n| n == all - 1);
        assert_eq!(first, Gathered { names: vec![], next: Some(Next::Hidden(format!("r{:06}", STEP * STEPS - 1))) });
        let Some(Next::Hidden(after)) = first.next else { return };
        let second = gathered(10, Some(&after), all, |n| n == all - 1);
        let Some(Next::Hidden(after)) = second.next else { panic!("{second:?}") };
        let third = gathered(10, Some(&after), all, |n| n == all - 1);
        assert_eq!((third.names.len(), third.next), (1, None));
    }
}
