//! `estiba df`.

use builder::gc::{Usage, UsageItem, UsageRow};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::duration::{ago, now, size};
use crate::error::Result;
use crate::image::familiar;
use crate::rootfs;
use crate::ui;
use crate::ui::table::{Column, Table};

const EXAMPLES: &str = "\
Examples:
  estiba df
  estiba df -v                                    Each image, result, cache mount and log
  estiba df --format '{{.Type}} {{.Reclaimable}}'
  estiba df -v --format json";

/// Arguments of `estiba df`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show what each kind consists of, the largest first
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let usage = match context.existing_store()? {
        Some(store) => {
            // Trees hold folders that only the sandbox may look into. Where there is none, what can be read counts.
            let again = store.again()?;
            let store = rootfs::enter(store).map_or(again, |(store, _)| store);
            builder::gc::usage(&store)?
        }
        None => Usage::default(),
    };
    let table = if args.verbose { items(&usage) } else { rows(&usage) };
    ui::out(&table.render(args.format.as_deref())?)?;
    if let Some(limit) = usage.limit.filter(|_| args.format.is_none()) {
        let used: u64 = usage.rows.iter().map(|row| row.size).sum();
        ui::out(&format!("\n{} of {} in use\n", size(used), size(limit)))?;
    }
    Ok(0)
}

fn rows(usage: &Usage) -> Table {
    let columns: Vec<Column> = vec![
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ];
    Table { columns, extra_headings: vec![("Bytes", "BYTES")], rows: usage.rows.iter().map(row).collect() }
}

fn row(row: &UsageRow) -> Map<String, Value> {
    let share = (u128::from(row.reclaimable) * 100).checked_div(row.size.into()).unwrap_or(0);
    object(json!({
        "Type": row.kind,
        "TotalCount": row.total.to_string(),
        "Active": row.active.to_string(),
        "Size": size(row.size),
        "Reclaimable": format!("{} ({share}%)", size(row.reclaimable)),
        "Bytes": row.size,
        "ReclaimableBytes": row.reclaimable,
    }))
}

fn items(usage: &Usage) -> Table {
    let columns: Vec<Column> = vec![
        ("Type", "TYPE"),
        ("Name", "NAME"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("LastUsed", "LAST USED"),
        ("InUse", "IN USE"),
    ];
    let mut sorted: Vec<&UsageItem> = usage.items.iter().collect();
    let place = |kind: &str| usage.rows.iter().position(|row| row.kind == kind);
    sorted.sort_by_key(|item| (place(&item.kind), std::cmp::Reverse(item.size)));
    Table { columns, extra_headings: vec![("Bytes", "BYTES")], rows: sorted.into_iter().map(item).collect() }
}

fn item(item: &UsageItem) -> Map<String, Value> {
    let name = familiar(&item.name).map_or_else(|| item.name.clone(), |name| name.to_string());
    object(json!({
        "Type": item.kind,
        "Name": name,
        "Size": size(item.size),
        "SharedSize": size(item.shared),
        "UniqueSize": size(item.size - item.shared),
        "LastUsed": item.used.map_or_else(String::new, |used| ago(now() - used)),
        "InUse": item.in_use.to_string(),
        "Bytes": item.size,
        "SharedBytes": item.shared,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
