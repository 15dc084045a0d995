//! `estiba volume ls`.

use std::collections::BTreeMap;

use containers::volume::VolumeError;
use serde_json::{Map, Value, json};

use super::{Filter, volumes};
use crate::context::Context;
use crate::error::Result;
use crate::ui::{self, table::Table};

/// Arguments of `estiba volume ls`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only volumes that match: dangling=true|false, driver=, label=KEY[=VALUE], name=PART
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show names only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let volumes = volumes(context)?;
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
    let users = match volumes.users() {
        Err(error @ VolumeError::Unsure { .. }) if filters.is_empty() => {
            ui::note(&error.to_string());
            BTreeMap::new()
        }
        other => other?,
    };
    let mut found = volumes.list()?;
    found.retain(|volume| filters.iter().all(|filter| filter.accepts(volume, users.contains_key(&volume.name))));
    if args.quiet {
        ui::out(&found.iter().map(|volume| volume.name.clone() + "\n").collect::<String>())?;
        return Ok(0);
    }
    let row = |volume: &containers::volume::Volume| {
        let labels: Vec<_> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        match json!({
            "Driver": containers::volume::DRIVER,
            "Labels": labels.join(","),
            "Links": users.get(&volume.name).map_or(0, Vec::len).to_string(),
            "Mountpoint": volumes.data(&volume.name),
            "Name": volume.name,
            "Scope": "local",
            "Size": "N/A",
        }) {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    };
    let columns = vec![("Driver", "DRIVER"), ("Name", "VOLUME NAME")];
    let extra_headings = vec![("Labels", "LABELS"), ("Mountpoint", "MOUNTPOINT"), ("Scope", "SCOPE")];
    let table = Table { columns, extra_headings, rows: found.iter().map(row).collect() };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}
