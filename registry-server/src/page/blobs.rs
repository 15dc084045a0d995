//! The blobs of a manifest: layers beside the commands that made them, or an artifact's files.

use maud::{Markup, html};
use oci::{Descriptor, Manifest};

use super::figure;
use super::image::Step;
use super::manifest::{ROWS, rest};
use super::shell::bar;
use super::text::{block, cell, cut};

/// Characters of a command that show without opening it.
const FIRST_LINE: usize = 160;
/// Shades of the bar, in turn.
const SHADES: [&str; 4] = ["a", "b", "c", "d"];

/// Layers with sizes and commands.
pub(crate) fn layers(layers: &[Descriptor], steps: &[Step]) -> Markup {
    let total = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    let parts: Vec<_> =
        layers.iter().take(ROWS).zip(SHADES.into_iter().cycle()).map(|(l, shade)| (l.size, shade)).collect();
    html! {
        section aria-labelledby="layers" {
            h2 #layers { "Layers" }
            p.dim { (figure::count(layers.len() as u64, "layer", "layers")) ", " (figure::size(total)) ", base first" }
            (bar("Sizes of the layers side by side", &parts, total))
            table.list.steps {
                thead { tr {
                    th.number scope="col" { "#" }
                    th scope="col" { "Command" }
                    th.wide scope="col" { "Blob" }
                    th.number scope="col" { "Size" }
                } }
                tbody {
                    @for step in steps.iter().take(ROWS) {
                        @let layer = step.layer.and_then(|at| layers.get(at));
                        tr.dim[layer.is_none()] {
                            td.number { @if let Some(at) = step.layer { (at + 1) } }
                            td { (command(&step.command)) }
                            td.wide { @if let Some(layer) = layer { span.digest title=(layer.digest) { (layer.digest.short()) } } }
                            td.number {
                                @match layer { Some(layer) => (figure::size(layer.size)), None => span title="changes the configuration only" { "–" } }
                            }
                        }
                    }
                }
            }
            (rest(steps.len()))
        }
    }
}

fn command(text: &str) -> Markup {
    if text.is_empty() {
        return html! { span.dim { "not known" } };
    }
    let long = text.chars().count() > FIRST_LINE || text.contains('\n');
    html! {
        @if long {
            @let first = text.lines().next().unwrap_or_default();
            details {
                summary { code { (cut_plainly(first)) } }
                pre { code { (block(text)) } }
            }
        } @else {
            code { (block(text)) }
        }
    }
}

/// The beginning of a command whose whole text is one click away.
fn cut_plainly(text: &str) -> Markup {
    let kept = text.char_indices().nth(FIRST_LINE).map_or(text, |(at, _)| &text[..at]);
    html! { (cut(kept, FIRST_LINE)) " …" }
}

/// Files of an artifact.
pub(crate) fn files(manifest: &Manifest) -> Markup {
    html! {
        section aria-labelledby="files" {
            h2 #files { "Content" }
            table.list {
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Media type" }
                    th.wide scope="col" { "Blob" }
                    th.number scope="col" { "Size" }
                } }
                tbody {
                    @for blob in manifest.layers.iter().take(ROWS) {
                        tr {
                            th scope="row" {
                                @match blob.annotations.get("org.opencontainers.image.title") { Some(title) => (cell(title)), None => "–" }
                            }
                            td { code { (cell(&blob.media_type)) } }
                            td.wide { span.digest title=(blob.digest) { (blob.digest.short()) } }
                            td.number { (figure::size(blob.size)) }
                        }
                    }
                }
            }
            (rest(manifest.layers.len()))
        }
    }
}
