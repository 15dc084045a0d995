//! Names and values: how a container of an image starts, labels, annotations.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::image::ImageFacts;
use super::manifest::{ROWS, rest};
use super::text::{block, cell};

/// How a container of the image starts, and its labels.
pub(crate) fn start(image: &ImageFacts) -> Markup {
    let config = &image.config;
    let words = |list: &[String]| serde_json::to_string(list).ok().filter(|_| !list.is_empty()).unwrap_or_default();
    let names = |map: &BTreeMap<String, serde::de::IgnoredAny>| map.keys().cloned().collect::<Vec<_>>().join(" ");
    let lines = [
        ("Entrypoint", words(&config.entrypoint)),
        ("Command", words(&config.cmd)),
        ("Working folder", config.working_dir.clone()),
        ("User", config.user.clone()),
        ("Ports", names(&config.exposed_ports)),
        ("Volumes", names(&config.volumes)),
        ("Stop signal", config.stop_signal.clone()),
        ("Environment", config.env.join("\n")),
        ("Created", image.created.clone()),
        ("Author", image.author.clone()),
    ];
    html! {
        section aria-labelledby="start" {
            h2 #start { "Configuration" }
            dl.lines {
                @for (name, value) in &lines {
                    @if !value.is_empty() { div { dt { (name) } dd { code.value { (block(value)) } } } }
                }
            }
        }
        (pairs("labels", "Labels", &config.labels))
    }
}

/// A table of names and values; nothing where there are none.
pub(crate) fn pairs(id: &str, title: &str, pairs: &BTreeMap<String, String>) -> Markup {
    html! {
        @if !pairs.is_empty() {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) }
                dl.lines.long {
                    @for (name, value) in pairs.iter().take(ROWS) {
                        div { dt { code { (cell(name)) } } dd { (block(value)) } }
                    }
                }
                (rest(pairs.len()))
            }
        }
    }
}
