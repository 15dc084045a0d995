//! `estiba builds ls`.

use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::duration;
use crate::error::Result;
use crate::record::{self, Line};
use crate::ui::{self, table::Table};

/// Arguments of `estiba builds ls`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// So many, the newest first; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// Those of this folder only
    #[arg(long, value_name = "FOLDER")]
    context: Option<std::path::PathBuf>,
    /// `table`, `json`, or a Go template
    #[arg(long, value_name = "FORM")]
    format: Option<String>,
    /// Ids only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let layout = store::Layout::new(context.root()?);
    let folder = args.context.as_ref().map(std::fs::canonicalize).transpose()?;
    let mut lines = record::list(&layout)?;
    lines.reverse();
    lines.retain(|line| folder.as_ref().is_none_or(|folder| folder.display().to_string() == line.subject.context));
    if args.last > 0 {
        lines.truncate(args.last);
    }
    if args.quiet {
        ui::out(&lines.iter().map(|line| format!("{}\n", line.id)).collect::<String>())?;
        return Ok(0);
    }
    let columns = vec![
        ("ID", "BUILD"),
        ("Outcome", "OUTCOME"),
        ("Started", "STARTED"),
        ("Took", "TOOK"),
        ("Cached", "CACHED"),
        ("Name", "NAME"),
        ("File", "DOCKERFILE"),
    ];
    let table = Table {
        columns,
        extra_headings: vec![("Context", "CONTEXT"), ("Image", "IMAGE")],
        rows: lines.iter().map(row).collect(),
    };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}

/// So long, in words.
pub(super) fn took(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{:.1}s", millis as f64 / 1e3),
        _ => format!("{}m{:02}s", millis / 60_000, millis / 1_000 % 60),
    }
}

fn row(line: &Line) -> Map<String, Value> {
    let name = line.tags.first().cloned().or(line.subject.target.clone()).unwrap_or_default();
    let familiar = crate::image::familiar(&name).map(|name| name.familiar()).unwrap_or(name);
    let known = line.steps > 0 || line.outcome == record::Outcome::Cached;
    let shown = json!({
        "ID": line.id,
        "Outcome": line.outcome.word(),
        "Started": duration::ago(duration::now() - line.started / 1000),
        "StartedAt": line.started,
        "Took": if line.outcome == record::Outcome::Lost { String::new() } else { took(line.took) },
        "Milliseconds": line.took,
        "Cached": if known { format!("{}/{}", line.cached, line.steps) } else { String::new() },
        "Name": familiar,
        "File": line.subject.file,
        "Context": line.subject.context,
        "Image": line.image,
        "Failed": line.failed,
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
