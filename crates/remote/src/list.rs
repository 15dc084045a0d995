//! Lists: tags and referrers, page by page.
//! Specification: OCI distribution-spec, "Listing Tags", "Listing Referrers".

use http::{Method, StatusCode, header};
use oci::{Descriptor, Digest, Index};
use serde::Deserialize;
use url::Url;

use crate::client::Repository;
use crate::error::{Error, Result};
use crate::{hop, link};

/// A page of tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// As the registry wrote them: what is no tag is left out.
    pub tags: Vec<oci::Tag>,
    /// Where the next page is; `None` at the last one.
    pub next: Option<Url>,
}

/// A page of referrers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Referrers {
    /// What refers to the subject.
    pub manifests: Vec<Descriptor>,
    /// Whether the registry has filtered by artifact type itself.
    pub filtered: bool,
    /// Where the next page is; `None` at the last one.
    pub next: Option<Url>,
}

/// Pages that [`Repository::all_tags`] and [`Repository::all_referrers`] read: a list without end is a fault.
const MOST_PAGES: usize = 10_000;

impl Repository {
    /// A page of tags: those after `last`, at most `n` if the registry obeys. `None` for either: as the registry likes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tags(&self, n: Option<usize>, last: Option<&oci::Tag>) -> Result<Tags> {
        let mut url = self.url("tags/list").await?;
        if let Some(n) = n {
            url.query_pairs_mut().append_pair("n", &n.to_string());
        }
        if let Some(last) = last {
            url.query_pairs_mut().append_pair("last", last.as_str());
        }
        self.tags_at(url).await
    }

    /// The page of tags at an address that [`Tags::next`] gave.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tags_at(&self, url: Url) -> Result<Tags> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let (body, next, _) = self.page(url, "tags").await?;
        let body: Body = serde_json::from_slice(&body).map_err(|error| self.malformed("tags", &error))?;
        let tags = body.tags.unwrap_or_default().into_iter().filter_map(|tag| tag.parse().ok()).collect();
        Ok(Tags { tags, next })
    }

    /// All tags.
    ///
    /// # Errors
    /// See [`Error`]; also for a list without end.
    pub async fn all_tags(&self) -> Result<Vec<oci::Tag>> {
        let mut page = self.tags(None, None).await?;
        let mut tags = std::mem::take(&mut page.tags);
        for _ in 0..MOST_PAGES {
            let Some(next) = page.next.take() else { return Ok(tags) };
            page = self.tags_at(next).await?;
            tags.append(&mut page.tags);
        }
        Err(self.malformed("tags", &"the list has no end"))
    }

    /// A page of what refers to `subject`.
    ///
    /// # Errors
    /// See [`Error`]; a registry without this list answers 404.
    pub async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Referrers> {
        let mut url = self.url(&format!("referrers/{subject}")).await?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        self.referrers_at(url).await
    }

    /// The page of referrers at an address that [`Referrers::next`] gave.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn referrers_at(&self, url: Url) -> Result<Referrers> {
        let (body, next, filtered) = self.page(url, "referrers").await?;
        let index: Index = serde_json::from_slice(&body).map_err(|error| self.malformed("referrers", &error))?;
        Ok(Referrers { manifests: index.manifests, filtered, next })
    }

    /// All that refers to `subject`, by the list or, where the registry has none, by the tag that stands in for it.
    ///
    /// # Errors
    /// See [`Error`]; also for a list without end.
    pub async fn all_referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut found = match self.listed_referrers(subject, artifact_type).await {
            Err(error) if error.is_not_found() => self.tagged_referrers(subject).await?,
            other => other?,
        };
        if let Some(wanted) = artifact_type {
            found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(wanted));
        }
        Ok(found)
    }

    async fn listed_referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut page = self.referrers(subject, artifact_type).await?;
        let mut found = std::mem::take(&mut page.manifests);
        for _ in 0..MOST_PAGES {
            let Some(next) = page.next.take() else { return Ok(found) };
            page = self.referrers_at(next).await?;
            found.append(&mut page.manifests);
        }
        Err(self.malformed("referrers", &"the list has no end"))
    }

    /// Specification: "Referrers Tag Schema".
    async fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let name = format!("{}-{}", subject.algorithm().name(), subject.hex());
        let tag =
            name.chars().take(128).collect::<String>().parse().map_err(|error| self.malformed("referrers", &error))?;
        match self.manifest_by_tag(&tag, &crate::Accept::these([oci::media_type::OCI_INDEX])).await {
            Ok(fetched) => {
                let index: Index =
                    serde_json::from_slice(&fetched.bytes).map_err(|error| self.malformed("referrers", &error))?;
                Ok(index.manifests)
            }
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn page(&self, url: Url, what: &str) -> Result<(bytes::Bytes, Option<Url>, bool)> {
        let call = || self.call_at(Method::GET, url.clone(), "pull", what.to_owned());
        let limit = self.registry.shared.options.limits.list;
        let (headers, body) = self.registry.fetch(call, &[StatusCode::OK], limit).await?;
        let links = headers.get_all(header::LINK).iter();
        let next = links.filter_map(|value| value.to_str().ok()).find_map(link::next);
        let next = match next {
            None => None,
            Some(text) => {
                let refused = |target: String, rule| Error::Hop { place: self.place(), kind: "a link", target, rule };
                let target =
                    url.join(text).map_err(|_| refused(crate::error::printable(text), hop::Refused::Malformed))?;
                let insecure = |url: &Url| self.registry.is_insecure(url);
                hop::check(&url, &target, insecure).map_err(|rule| refused(hop::origin(&target), rule))?;
                if target == url {
                    return Err(self.malformed(what, &"a page of the list leads to itself"));
                }
                Some(target)
            }
        };
        Ok((body, next, headers.contains_key("oci-filters-applied")))
    }

    pub(crate) fn malformed(&self, what: &str, problem: &dyn std::fmt::Display) -> Error {
        let problem = crate::error::printable(&problem.to_string());
        Error::Malformed { place: self.place(), what: what.to_owned(), problem }
    }
}
