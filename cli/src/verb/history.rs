//! `estiba history`.

use serde_json::{Map, Value, json};
use store::Store;

use crate::context::Context;
use crate::duration;
use crate::error::Result;
use crate::image::{self, Image};
use crate::ui::{self, table::Table};

/// How much of a command the table shows, as docker does.
const SHOWN_COMMAND: usize = 45;

const EXAMPLES: &str = "\
Examples:
  estiba history app
  estiba history --no-trunc --format '{{.CreatedBy}}' app";

/// Arguments of `estiba history`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image, by name or id
    image: String,
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Print sizes and dates in a readable form (`--human=false`: bytes and RFC 3339)
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    human: bool,
    /// Show whole commands and ids
    #[arg(long)]
    no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    quiet: bool,
    /// The platform, where the image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<oci::Platform>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.image)) };
    let (image, _) = image::find(&store, &args.image, args.platform.as_ref())?;
    let rows = rows(&store, &image, &args)?;
    if args.quiet {
        let ids: String = rows.iter().map(|row| row["ID"].as_str().unwrap_or_default().to_owned() + "\n").collect();
        ui::out(&ids)?;
        return Ok(0);
    }
    let columns = vec![
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ];
    let table = Table { columns, extra_headings: vec![("CreatedAt", "CREATED AT")], rows };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}

/// One row an entry, the newest first.
fn rows(store: &Store, image: &Image, args: &Args) -> Result<Vec<Map<String, Value>>> {
    let config = image.config.value();
    let mut layers = config.rootfs.diff_ids.iter().zip(&image.manifest.value().layers);
    let mut rows = Vec::new();
    for entry in &config.history {
        let layer = if entry.empty_layer { None } else { layers.next() };
        let size = match layer {
            None => 0,
            Some((diff_id, descriptor)) => {
                let id = store.index().layer_by_diff_id(diff_id)?;
                let row = id.map(|id| store.index().layer(&id)).transpose()?.flatten();
                row.map(|row| row.size).filter(|&size| size > 0).unwrap_or(descriptor.size)
            }
        };
        rows.push(row(entry, size, args));
    }
    if let Some(Value::String(id)) = rows.last_mut().and_then(|row| row.get_mut("ID")) {
        *id = if args.no_trunc { image.id().to_string() } else { image.id().hex()[..12].to_owned() };
    }
    rows.reverse();
    Ok(rows)
}

fn row(entry: &oci::History, size: u64, args: &Args) -> Map<String, Value> {
    let created = entry.created.as_ref();
    let seconds = created.and_then(oci::Timestamp::unix_seconds);
    let at = created.map(ToString::to_string).unwrap_or_else(|| "N/A".to_owned());
    let since = match (seconds, args.human) {
        (Some(seconds), true) => duration::ago(duration::now() - seconds),
        _ => at.clone(),
    };
    let command = entry.created_by.replace('\t', " ");
    let shown = json!({
        "Comment": entry.comment,
        "CreatedAt": at,
        "CreatedBy": if args.no_trunc { command } else { shorten(&command) },
        "CreatedSince": since,
        "ID": "<missing>",
        "Size": if args.human { duration::size(size) } else { size.to_string() },
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn shorten(command: &str) -> String {
    let one_line = command.replace('\n', " ");
    if one_line.chars().count() <= SHOWN_COMMAND {
        return one_line;
    }
    let mut short: String = one_line.chars().take(SHOWN_COMMAND - 1).collect();
    short.push('…');
    short
}
