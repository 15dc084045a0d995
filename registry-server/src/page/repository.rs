//! One repository: its tags, and how to pull.

use maud::{Markup, html};
use oci::{RepositoryName, Tag, media_type};

use super::place::Place;
use super::pull::Host;
use super::shell::{Sheet, more};
use super::text::cell;
use super::{figure, query};
use crate::metadata::{EdgeKind, Metadata, Page, RepositoryRow, Result, TagRow};
use crate::time::Instant;

/// Tags on one page.
const ROWS: usize = 50;

/// A page of a repository's tags.
pub(crate) struct Repository {
    row: RepositoryRow,
    tags: Vec<Line>,
    after: Option<String>,
    next: Option<String>,
}

struct Line {
    tag: TagRow,
    /// `None` where the manifest is gone.
    content: Option<Content>,
    actor: String,
}

/// What a tag names, in a word.
enum Content {
    /// An image or artifact: bytes of its manifest and of all that it references.
    Single(u64),
    /// An index of so many manifests.
    Several(u64),
}

impl Repository {
    /// Reads a page of it; `None` where there is no such repository.
    pub(crate) fn read(metadata: &dyn Metadata, name: &RepositoryName, after: Option<String>) -> Result<Option<Self>> {
        let Some(row) = metadata.repository(name)? else { return Ok(None) };
        let mut found = metadata.tags(name, Page { after: after.as_deref(), limit: ROWS + 1 })?;
        let more = found.len() > ROWS;
        found.truncate(ROWS);
        let next = found.last().filter(|_| more).map(|tag| tag.tag.as_str().to_owned());
        let tags = found.into_iter().map(|tag| line(metadata, name, tag)).collect::<Result<_>>()?;
        Ok(Some(Self { row, tags, after, next }))
    }

    /// The page.
    pub(crate) fn sheet(&self, host: &Host, now: Instant) -> Sheet {
        let name = self.row.name.as_str();
        let content = html! {
            h1 { (name) }
            (self.facts(now))
            @if self.row.tags > 0 { (host.pull_tag(&self.row.name, self.offered().as_ref())) }
            section aria-labelledby="tags" {
                div.heading {
                    h2 #tags { "Tags" }
                    (self.find())
                }
                @if self.tags.is_empty() {
                    p.empty { "No tag here. What was pushed by digest is still there until it is collected." }
                } @else {
                    (self.table(now))
                }
                (self.pager())
            }
        };
        Sheet { title: name.to_owned(), above: vec![(Place::Home, "Repositories".to_owned())], content }
    }

    fn facts(&self, now: Instant) -> Markup {
        html! {
            dl.facts {
                div { dt { "Tags" } dd { (self.row.tags) } }
                div { dt { "Manifests" } dd { (self.row.manifests) } }
                div { dt { "Size" } dd { (figure::size(self.row.bytes)) } }
                div { dt { "First push" } dd { (figure::moment(self.row.created, now)) } }
            }
        }
    }

    /// The tag whose command is shown: `latest`, else the newest on this page.
    fn offered(&self) -> Option<Tag> {
        let latest = self.tags.iter().find(|line| line.tag.tag.as_str() == "latest");
        let newest = || self.tags.iter().max_by_key(|line| line.tag.updated);
        latest.or_else(newest).map(|line| line.tag.tag.clone())
    }

    fn find(&self) -> Markup {
        html! {
            form.search.small method="get" action=(Place::Find) role="search" {
                input type="hidden" name="repository" value=(self.row.name.as_str());
                label for="tag" { "Go to tag" }
                input #tag type="search" name="tag" required maxlength="128" autocomplete="off" autocapitalize="none" spellcheck="false" title="The tag's whole name; one that was deleted has a history, too";
                button { "Go" }
            }
        }
    }

    fn table(&self, now: Instant) -> Markup {
        html! {
            table.list {
                thead { tr {
                    th scope="col" { "Tag" }
                    th.wide scope="col" { "Manifest" }
                    th.number scope="col" { "Size" }
                    th scope="col" { "Updated" }
                    th.wide scope="col" { "By" }
                } }
                tbody {
                    @for line in &self.tags {
                        @let (name, tag) = (self.row.name.clone(), line.tag.tag.clone());
                        tr {
                            th scope="row" { a href=(Place::Tag(name.clone(), tag)) { (line.tag.tag.as_str()) } }
                            td.wide { a.digest href=(Place::Manifest(name, line.tag.digest)) title=(line.tag.digest) { (line.tag.digest.short()) } }
                            td.number {
                                @match line.content {
                                    Some(Content::Single(bytes)) => (figure::size(bytes)),
                                    Some(Content::Several(many)) => (figure::count(many, "platform", "platforms")),
                                    None => span.dim { "gone" },
                                }
                            }
                            td { (figure::moment(line.tag.updated, now)) }
                            td.wide { (cell(&line.actor)) }
                        }
                    }
                }
            }
        }
    }

    fn pager(&self) -> Markup {
        let place = Place::Repository(self.row.name.clone());
        let next = self.next.as_deref().map(|after| format!("{place}{}", query::encode(&[("after", Some(after))])));
        let first = self.after.as_ref().map(|_| place.to_string());
        more(next.as_deref(), first.as_deref())
    }
}

fn line(metadata: &dyn Metadata, name: &RepositoryName, tag: TagRow) -> Result<Line> {
    let newest = metadata.history(name, &tag.tag, 1)?;
    let actor = newest.into_iter().next().map(|row| row.actor).unwrap_or_default();
    let Some(manifest) = metadata.manifest(name, &tag.digest)? else {
        return Ok(Line { tag, content: None, actor });
    };
    let edges = metadata.edges(name, &tag.digest)?;
    let content = if media_type::is_index(&manifest.media_type) {
        Content::Several(edges.iter().filter(|edge| edge.kind == EdgeKind::Manifest).count() as u64)
    } else {
        Content::Single(edges.iter().fold(manifest.blob.size, |sum, edge| sum.saturating_add(edge.size)))
    };
    Ok(Line { tag, content: Some(content), actor })
}
