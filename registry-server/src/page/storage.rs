//! `/-/storage`: what all of it takes, and what a collection would free.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use maud::{Markup, html};
use oci::RepositoryName;

use super::figure;
use super::place::Place;
use super::shell::{Sheet, bar};
use crate::metadata::{Collected, Cutoff, Metadata, Page, RepositoryRow, Result};
use crate::storage::Space;
use crate::time::Instant;

/// Repositories that are looked at; their sizes are one row each.
const LOOKED_AT: usize = 1000;
/// Repositories that are shown, the largest first.
const ROWS: usize = 50;

/// How long an answer about what a collection would free is good.
const FRESH: Duration = Duration::from_secs(60);

/// Answers that are too dear to be found out for every reader.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Option<Freeable>>);

impl Figures {
    /// What a collection would free, found out at most once a minute. Readers that come meanwhile wait for that one.
    pub(crate) fn freeable(&self, metadata: &dyn Metadata, cutoff: &Cutoff, now: Instant) -> Result<Freeable> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *known
            && known.at <= now
            && now.before(FRESH) < known.at
        {
            return Ok(known);
        }
        let found = Freeable::of(&metadata.collect(cutoff, true)?, now);
        *known = Some(found);
        Ok(found)
    }
}

/// What a collection would free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freeable {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
    pub(crate) manifests: u64,
    /// When this was found out.
    pub(crate) at: Instant,
}

impl Freeable {
    fn of(collected: &Collected, at: Instant) -> Self {
        Self {
            bytes: collected.objects.iter().fold(0, |sum, blob| sum.saturating_add(blob.size)),
            objects: collected.objects.len() as u64,
            manifests: collected.manifests.len() as u64,
            at,
        }
    }
}

/// All numbers of the page.
pub(crate) struct StorageView {
    used: u64,
    space: Space,
    freeable: Freeable,
    largest: Vec<RepositoryRow>,
    /// Whether there are repositories that were not looked at.
    partial: bool,
}

impl StorageView {
    /// Reads it, repositories as far as `visible` lets through.
    pub(crate) fn read(
        metadata: &dyn Metadata,
        space: Space,
        freeable: Freeable,
        visible: &dyn Fn(&RepositoryName) -> bool,
    ) -> Result<Self> {
        let names = metadata.repositories(Page { after: None, limit: LOOKED_AT })?;
        let partial = names.len() == LOOKED_AT;
        let mut largest = Vec::new();
        for name in names.iter().filter(|name| visible(name)) {
            largest.extend(metadata.repository(name)?);
        }
        largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        largest.truncate(ROWS);
        Ok(Self { used: metadata.total_bytes()?, space, freeable, largest, partial })
    }

    /// The page.
    pub(crate) fn sheet(&self, now: Instant) -> Sheet {
        let free = &self.freeable;
        let others = self.space.total.saturating_sub(self.space.free).saturating_sub(self.used);
        let kept = self.used.saturating_sub(free.bytes);
        let content = html! {
            h1 { "Storage" }
            dl.facts {
                div { dt { "Used" } dd { (figure::size(self.used)) } }
                div { dt { "Free on the disk" } dd { (figure::size(self.space.free)) } }
                div { dt { "Size of the disk" } dd { (figure::size(self.space.total)) } }
                div { dt { "Could be collected" } dd { (figure::size(free.bytes)) } }
            }
            (bar("Share of the disk", &[(kept, "a"), (free.bytes, "warm"), (others, "other")], self.space.total))
            p.legend aria-hidden="true" {
                span.key.a {} "this registry " span.key.warm {} "of it, to be collected " span.key.other {} "other files " span.key.free {} "free"
            }
            p { (collection(free)) " " span.dim { "Found out " (figure::moment(free.at, now)) "." } }
            @if !self.largest.is_empty() { (self.table()) }
        };
        Sheet { title: "Storage".to_owned(), above: Vec::new(), content }
    }

    fn table(&self) -> Markup {
        let greatest = self.largest.first().map_or(0, |row| row.bytes);
        html! {
            section aria-labelledby="largest" {
                h2 #largest { "By repository" }
                p.dim {
                    "What repositories share counts in each of them and is stored once."
                    @if self.partial { " Only the first " (LOOKED_AT) " by name were looked at." }
                }
                table.list {
                    thead { tr {
                        th scope="col" { "Repository" }
                        th.wide scope="col" { "Share of the largest" }
                        th.number scope="col" { "Size" }
                    } }
                    tbody {
                        @for row in &self.largest {
                            tr {
                                th scope="row" { a href=(Place::Repository(row.name.clone())) { (row.name.as_str()) } }
                                td.wide.share { (bar("", &[(row.bytes, "a")], greatest)) }
                                td.number { (figure::size(row.bytes)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn collection(free: &Freeable) -> Markup {
    html! {
        @if free.objects == 0 && free.manifests == 0 {
            "A collection would free nothing now."
        } @else {
            "A collection would free " strong { (figure::size(free.bytes)) } ": "
            (figure::count(free.objects, "object", "objects")) " that nothing references, "
            (figure::count(free.manifests, "untagged manifest", "untagged manifests")) "."
        }
    }
}
