//! What every page has: head, skip link, navigation, the way here, the end.

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use super::place::Place;
use super::text::{cell, plain};

/// What a page stands in.
pub(crate) struct Shell<'a> {
    /// What the configuration calls this registry.
    pub(crate) site: &'a str,
    /// Who looks.
    pub(crate) who: Who<'a>,
    /// Which entry of the navigation this page belongs to.
    pub(crate) section: Section,
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    /// Somebody by name.
    Named(&'a str),
    /// Nobody, who may become somebody.
    MayLogIn,
    /// Nobody, and nobody ever will be.
    Nobody,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Repositories,
    Storage,
    None,
}

/// One page.
pub(crate) struct Sheet {
    /// What it is about: its first heading says more.
    pub(crate) title: String,
    /// The pages above it.
    pub(crate) above: Vec<(Place, String)>,
    /// From the first heading on.
    pub(crate) content: Markup,
}

impl Shell<'_> {
    /// The whole document.
    pub(crate) fn render(&self, sheet: &Sheet) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (plain(&sheet.title)) " – " (self.site) }
                    link rel="stylesheet" href=(format!("{}?{}", Place::Style, super::style::VERSION));
                    link rel="icon" type="image/svg+xml" href=(Place::Icon);
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    (self.header())
                    main #content tabindex="-1" {
                        (Trail(&sheet.above))
                        (sheet.content)
                    }
                    footer { "Estiba " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
        .into_string()
    }

    fn header(&self) -> Markup {
        let entries =
            [(Section::Repositories, Place::Home, "Repositories"), (Section::Storage, Place::Storage, "Storage")];
        html! {
            header {
                a.brand href=(Place::Home) { (PreEscaped(super::style::MARK)) span { (self.site) } }
                nav aria-label="Main" {
                    @for (section, place, name) in &entries {
                        a href=(place) aria-current=[(*section == self.section).then_some("true")] { (name) }
                    }
                }
                @match self.who {
                    Who::Named(name) => span.who title="You are logged in under this name" { (cell(name)) },
                    Who::MayLogIn => a.who href=(Place::Login) { "Log in" },
                    Who::Nobody => {},
                }
            }
        }
    }
}

/// The pages above this one.
struct Trail<'a>(&'a [(Place, String)]);

impl Render for Trail<'_> {
    fn render(&self) -> Markup {
        html! {
            @if !self.0.is_empty() {
                nav.trail aria-label="Breadcrumb" {
                    ol { @for (place, name) in self.0 { li { a href=(place) { (name) } } } }
                }
            }
        }
    }
}

/// The way on in a list that has more.
pub(crate) fn more(href: Option<&str>, first: Option<&str>) -> Markup {
    html! {
        @if href.is_some() || first.is_some() {
            nav.pager aria-label="Pages" {
                @if let Some(first) = first { a href=(first) { "← From the start" } }
                @if let Some(href) = href { a.next href=(href) rel="next" { "More →" } }
            }
        }
    }
}

/// A horizontal bar of parts, each with its share of `total` and a class. Drawn by attributes, since the page's policy
/// allows no inline style. Without a label it only repeats a number beside it.
pub(crate) fn bar(label: &str, parts: &[(u64, &'static str)], total: u64) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a share of a bar on a screen")]
    let share = |bytes: u64| 100.0 * bytes as f64 / total.max(1) as f64;
    let mut start = 0.0;
    let placed: Vec<_> = parts
        .iter()
        .map(|(bytes, class)| {
            let at = start;
            start += share(*bytes);
            (at, share(*bytes), *class)
        })
        .collect();
    html! {
        svg.bar role=[(!label.is_empty()).then_some("img")] aria-label=[(!label.is_empty()).then_some(label)] aria-hidden=[label.is_empty().then_some("true")] width="100%" height="10" {
            @for (x, width, class) in placed {
                rect class=(class) x=(format!("{x:.3}%")) width=(format!("{width:.3}%")) height="10" {}
            }
        }
    }
}
