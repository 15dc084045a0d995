//! `estiba df`.

use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::duration::size;
use crate::error::Result;
use crate::ui::{self, table::Table};

const EXAMPLES: &str = "\
Examples:
  estiba df
  estiba df --format '{{.Type}} {{.Reclaimable}}'";

/// Arguments of `estiba df`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Accepted for docker's sake
    #[arg(short, long, hide = true)]
    verbose: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let usage = match context.existing_store()? {
        Some(store) => builder::gc::usage(&store)?,
        None => builder::gc::Usage::default(),
    };
    let columns = vec![
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ];
    let table = Table { columns, extra_headings: Vec::new(), rows: usage.rows.iter().map(row).collect() };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}

fn row(row: &builder::gc::UsageRow) -> Map<String, Value> {
    let share = (row.reclaimable * 100).checked_div(row.size).unwrap_or(0);
    let shown = json!({
        "Type": row.kind,
        "TotalCount": row.total.to_string(),
        "Active": row.active.to_string(),
        "Size": size(row.size),
        "Reclaimable": format!("{} ({share}%)", size(row.reclaimable)),
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
