//! One tag: what it names, what it has named, and the way back.

use std::collections::BTreeMap;

use maud::{Markup, html};
use oci::{Digest, RepositoryName, Tag};

use super::figure;
use super::place::Place;
use super::pull::Host;
use super::shell::Sheet;
use super::text::cell;
use crate::metadata::{HistoryRow, Metadata, Result};
use crate::time::Instant;

/// Entries of a history that are shown.
const ROWS: usize = 100;

/// A tag and its history.
pub(crate) struct TagView {
    repository: RepositoryName,
    tag: Tag,
    history: Vec<HistoryRow>,
    /// Whether what an entry names is still there.
    present: BTreeMap<Digest, bool>,
}

impl TagView {
    /// Reads it; `None` where there never was such a tag.
    pub(crate) fn read(metadata: &dyn Metadata, repository: &RepositoryName, tag: &Tag) -> Result<Option<Self>> {
        let history = metadata.history(repository, tag, ROWS)?;
        if history.is_empty() {
            return Ok(None);
        }
        let mut present = BTreeMap::new();
        for digest in history.iter().filter_map(|row| row.digest) {
            if let std::collections::btree_map::Entry::Vacant(slot) = present.entry(digest) {
                slot.insert(metadata.manifest(repository, &digest)?.is_some());
            }
        }
        Ok(Some(Self { repository: repository.clone(), tag: tag.clone(), history, present }))
    }

    /// The page. `moved` is the entry that the reader has just made, `may_undo` whether undoing is offered.
    pub(crate) fn sheet(&self, host: &Host, may_undo: bool, moved: Option<i64>, now: Instant) -> Sheet {
        let newest = &self.history[0];
        let content = html! {
            h1 { (self.repository.as_str()) ":" (self.tag.as_str()) }
            @if moved == Some(newest.sequence) { (self.result(newest)) }
            @match newest.digest {
                Some(digest) => {
                    p.names { "Names " (self.manifest(&digest)) ". Moved " (figure::moment(newest.at, now)) " by " (cell(&newest.actor)) "." }
                    (host.pull_tag(&self.repository, Some(&self.tag)))
                }
                None => p.names { "Deleted " (figure::moment(newest.at, now)) " by " (cell(&newest.actor)) "." },
            }
            section aria-labelledby="history" {
                h2 #history { "History" }
                (self.table(newest, may_undo, now))
                @if self.history.len() == ROWS { p.dim { "Older entries are not shown." } }
            }
        };
        let above = vec![
            (Place::Home, "Repositories".to_owned()),
            (Place::Repository(self.repository.clone()), self.repository.as_str().to_owned()),
        ];
        Sheet { title: format!("{}:{}", self.repository.as_str(), self.tag.as_str()), above, content }
    }

    fn result(&self, newest: &HistoryRow) -> Markup {
        html! {
            p.done role="status" {
                "Done: the tag names "
                @if let Some(digest) = &newest.digest { (self.manifest(digest)) }
                " again. Its history below has the way back."
            }
        }
    }

    fn manifest(&self, digest: &Digest) -> Markup {
        let place = Place::Manifest(self.repository.clone(), *digest);
        html! { a.digest href=(format!("{place}?tag={}", self.tag.as_str())) title=(digest) { (digest.short()) } }
    }

    fn table(&self, newest: &HistoryRow, may_undo: bool, now: Instant) -> Markup {
        html! {
            table.list {
                thead { tr {
                    th scope="col" { "When" }
                    th scope="col" { "Manifest" }
                    th.wide scope="col" { "By" }
                    th scope="col" { span.unseen { "Undo" } }
                } }
                tbody {
                    @for row in &self.history {
                        tr {
                            td { (figure::moment(row.at, now)) }
                            td {
                                @match &row.digest {
                                    Some(digest) if self.is_present(digest) => (self.manifest(digest)),
                                    Some(digest) => { span.digest.dim title=(digest) { (digest.short()) } " " span.dim { "gone" } },
                                    None => span.dim { "deleted" },
                                }
                            }
                            td.wide { (cell(&row.actor)) }
                            td.action { (self.action(row, newest, may_undo, now)) }
                        }
                    }
                }
            }
        }
    }

    fn is_present(&self, digest: &Digest) -> bool {
        self.present.get(digest).copied().unwrap_or_default()
    }

    fn action(&self, row: &HistoryRow, newest: &HistoryRow, may_undo: bool, now: Instant) -> Markup {
        if row.sequence == newest.sequence {
            return html! { @if row.digest.is_some() { span.now { "now" } } };
        }
        let Some(digest) = row.digest.filter(|digest| Some(*digest) != newest.digest && self.is_present(digest)) else {
            return html! {};
        };
        if !may_undo {
            return html! {};
        }
        let label = format!("Bring back {}, of {}", digest.short(), figure::moment_text(row.at, now));
        html! {
            form method="post" action=(Place::Tag(self.repository.clone(), self.tag.clone())) {
                input type="hidden" name="digest" value=(digest);
                input type="hidden" name="seen" value=(newest.sequence);
                button aria-label=(label) { "Bring back" }
            }
        }
    }
}
