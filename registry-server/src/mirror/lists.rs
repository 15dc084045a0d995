//! Lists of upstreams: asked for each time, and answered from what is here while the upstream is not there.

use oci::{Descriptor, Digest, ErrorCode, RepositoryName, Tag};

use super::Shared;
use super::names::Place;
use super::upstream::Failure;
use crate::refusal::Result;

/// The most that an upstream is asked for at once: more than Docker Hub gives.
const PAGE: usize = 1_000;
/// Pages of an upstream that go into one of ours.
const MOST_PAGES: usize = 20;

impl Shared {
    /// See [`super::Mirror::tags`].
    pub(super) async fn list_tags(
        &self,
        place: &Place,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<(Vec<String>, bool)>> {
        let upstream = self.upstream(place);
        let refusal = |failure: Failure| failure.refusal(&upstream.name, ErrorCode::NameUnknown);
        if !place.allowed {
            return Err(refusal(Failure::Refused));
        }
        let last = after.and_then(|after| after.parse::<Tag>().ok());
        let ask = |there: remote::Repository| {
            let last = last.clone();
            async move {
                let mut page = there.tags(Some(limit.min(PAGE)), last.as_ref()).await?;
                let mut tags = std::mem::take(&mut page.tags);
                for _ in 1..MOST_PAGES {
                    match page.next.take() {
                        Some(next) if tags.len() <= limit => page = there.tags_at(next).await?,
                        next => {
                            page.next = next;
                            break;
                        }
                    }
                    tags.append(&mut page.tags);
                }
                Ok((tags, page.next.is_some()))
            }
        };
        match upstream.ask(&place.name, ask).await {
            Ok((tags, more)) => Ok(Some(cut(tags, after, limit, more))),
            Err(Failure::Absent) => Err(refusal(Failure::Absent)),
            Err(_) => Ok(None),
        }
    }

    /// See [`super::Mirror::referrers`].
    pub(super) async fn list_referrers(
        &self,
        repository: &RepositoryName,
        place: &Place,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Option<Vec<Descriptor>> {
        if !place.allowed {
            return None;
        }
        let ask = |there: remote::Repository| async move { there.all_referrers(subject, artifact_type).await };
        match self.upstream(place).ask(&place.name, ask).await {
            Ok(mut found) => {
                found.sort_by_key(|descriptor| descriptor.digest);
                found.dedup_by_key(|descriptor| descriptor.digest);
                Some(found)
            }
            Err(failure) => {
                tracing::debug!(repository = repository.as_str(), %subject, ?failure, "referrers from what is here");
                None
            }
        }
    }
}

/// A page in ASCII order, whatever order the upstream has, and whether more come after it.
fn cut(tags: Vec<Tag>, after: Option<&str>, limit: usize, more: bool) -> (Vec<String>, bool) {
    let mut tags: Vec<String> = tags.into_iter().map(|tag| tag.as_str().to_owned()).collect();
    tags.retain(|tag| after.is_none_or(|after| tag.as_str() > after));
    tags.sort_unstable();
    tags.dedup();
    let longer = tags.len() > limit;
    tags.truncate(limit);
    let more = longer || (more && !tags.is_empty());
    (tags, more)
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn pages_of_upstreams_that_do_as_they_like() {
        let page = |tags: &str, after, limit, more| {
            let tags = tags.split_ascii_whitespace().map(|tag| tag.parse().unwrap()).collect();
            let (tags, more) = cut(tags, after, limit, more);
            (tags.join(" "), more)
        };
        assert_eq!(page("a b c", None, 5, false), ("a b c".to_owned(), false));
        assert_eq!(page("c a b", None, 2, false), ("a b".to_owned(), true), "unsorted, and all at once");
        assert_eq!(page("a b c", Some("a"), 5, false), ("b c".to_owned(), false), "`last` is passed over");
        assert_eq!(page("b c", Some("a"), 2, true), ("b c".to_owned(), true));
        assert_eq!(page("a", Some("a"), 2, true), (String::new(), false), "no page without end");
    }
}
