//! `/`: the repositories that the reader may pull from.

use maud::{Markup, html};
use oci::RepositoryName;

use super::place::Place;
use super::shell::{Sheet, more};
use super::text::cell;
use super::{figure, query};
use crate::metadata::{Metadata, Page, RepositoryRow, Result};

/// Repositories on one page.
const ROWS: usize = 50;
/// Names looked at for one page: where the reader may see few of many, the page ends here and offers to go on.
const LOOKED_AT: usize = 2000;

/// What the reader asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Names that begin with this; empty for all.
    pub(crate) prefix: String,
    /// Names after this one.
    pub(crate) after: Option<String>,
}

/// A page of the list.
pub(crate) struct Home {
    wanted: Wanted,
    rows: Vec<RepositoryRow>,
    /// Where the next page starts.
    next: Option<String>,
    /// What to type, shown where there is nothing yet.
    host: String,
}

impl Home {
    /// Reads one page of what `visible` lets through.
    pub(crate) fn read(
        metadata: &dyn Metadata,
        wanted: Wanted,
        visible: &dyn Fn(&RepositoryName) -> bool,
        host: String,
    ) -> Result<Self> {
        let mut rows = Vec::new();
        let mut looked_at = 0;
        let mut at = wanted.after.clone();
        loop {
            let names = next_names(metadata, &wanted.prefix, at.as_deref())?;
            let last = names.len() < ROWS;
            for name in names {
                if rows.len() == ROWS || looked_at == LOOKED_AT {
                    return Ok(Self { wanted, rows, next: at, host });
                }
                looked_at += 1;
                at = Some(name.as_str().to_owned());
                if visible(&name)
                    && let Some(row) = metadata.repository(&name)?
                {
                    rows.push(row);
                }
            }
            if last {
                return Ok(Self { wanted, rows, next: None, host });
            }
        }
    }

    /// The page.
    pub(crate) fn sheet(&self) -> Sheet {
        let content = html! {
            h1 { "Repositories" }
            (self.search())
            @if self.rows.is_empty() { (self.nothing()) } @else { (self.table()) }
            (self.pager())
        };
        Sheet { title: "Repositories".to_owned(), above: Vec::new(), content }
    }

    fn search(&self) -> Markup {
        html! {
            form.search method="get" action=(Place::Home) role="search" {
                label for="q" { "Name begins with" }
                input #q type="search" name="q" value=(self.wanted.prefix) maxlength="255" autocomplete="off" autocapitalize="none" spellcheck="false";
                button { "Search" }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table.list {
                thead { tr {
                    th scope="col" { "Repository" }
                    th.number scope="col" { "Tags" }
                    th.number.wide scope="col" { "Manifests" }
                    th.number scope="col" { "Size" }
                } }
                tbody {
                    @for row in &self.rows {
                        tr {
                            th scope="row" { a href=(Place::Repository(row.name.clone())) { (row.name.as_str()) } }
                            td.number { (row.tags) }
                            td.number.wide { (row.manifests) }
                            td.number { (figure::size(row.bytes)) }
                        }
                    }
                }
            }
        }
    }

    fn nothing(&self) -> Markup {
        let narrowed = !self.wanted.prefix.is_empty() || self.wanted.after.is_some();
        html! {
            div.empty {
                @if narrowed {
                    p { "No repository that you may see begins with “" (cell(&self.wanted.prefix)) "”." }
                    p { a href=(Place::Home) { "Show all" } }
                } @else {
                    p { "Nothing is stored here yet, or nothing that you may see. Push a first image:" }
                    pre.command { code { "docker tag app " (self.host) "/app\ndocker push " (self.host) "/app" } }
                }
            }
        }
    }

    fn pager(&self) -> Markup {
        let prefix = (!self.wanted.prefix.is_empty()).then_some(self.wanted.prefix.as_str());
        let link =
            |after: Option<&str>| format!("{}{}", Place::Home, query::encode(&[("q", prefix), ("after", after)]));
        let next = self.next.as_deref().map(|after| link(Some(after)));
        let first = self.wanted.after.as_ref().map(|_| link(None));
        more(next.as_deref(), first.as_deref())
    }
}

/// The names that follow `after` and begin with `prefix`, at most a page of them.
fn next_names(metadata: &dyn Metadata, prefix: &str, after: Option<&str>) -> Result<Vec<RepositoryName>> {
    let begins = |name: &RepositoryName| name.as_str().starts_with(prefix);
    let mut names = Vec::new();
    let mut after = after.map(str::to_owned);
    if after.is_none() && !prefix.is_empty() {
        // A list starts after a name: the prefix itself may be one.
        if let Ok(exact) = prefix.parse::<RepositoryName>()
            && metadata.repository(&exact)?.is_some()
        {
            names.push(exact);
        }
        after = Some(prefix.to_owned());
    }
    let found = metadata.repositories(Page { after: after.as_deref(), limit: ROWS })?;
    names.extend(found.into_iter().take_while(begins));
    Ok(names)
}
