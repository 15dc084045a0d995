//! `estiba registry status`.

use std::io::ErrorKind::{ConnectionRefused, NotFound};

use registry_server::control::{self, Client, Status};
use serde_json::json;

use super::{Place, not_ours};
use crate::context::Context;
use crate::duration::{ago, now, size};
use crate::error::{Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry status
  estiba registry status --root /srv/registry --format json
  estiba registry status --format '{{.free}}'

It ends with 1 where no registry runs.";

/// Arguments of `estiba registry status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Print by a Go template, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let config = args.place.load(Vec::new())?;
    let root = Place::root(&config)?;
    let client = match Client::connect(&root) {
        Ok(client) => client,
        Err(control::Error::Io { source, .. }) if matches!(source.kind(), NotFound | ConnectionRefused) => {
            ui::out(&format!("no registry runs on {}\n", root.display()))?;
            return Ok(code::FAILED);
        }
        Err(error) => return Err(not_ours(error)),
    };
    let status: Status = client.ask("status", &json!(null))?;
    ui::out(&match &args.format {
        Some(format) => ui::object(format, &serde_json::to_value(&status)?)?,
        None => shown(&status),
    })?;
    Ok(0)
}

fn shown(status: &Status) -> String {
    let state = match (status.draining, status.trouble.as_slice()) {
        (true, _) => "ending".to_owned(),
        (false, []) => "ready".to_owned(),
        (false, trouble) => format!("in trouble: {}", trouble.join("; ")),
    };
    let lines = [
        ("State", state),
        ("Version", status.version.clone()),
        ("Process", status.pid.to_string()),
        ("Started", ago(now() - status.started.0 / 1000)),
        ("Listens on", status.addresses.join(", ")),
        ("Root", status.root.display().to_string()),
        ("Stored", size(status.bytes)),
        ("Free", size(status.free)),
        ("Events", format!("{} to be delivered", status.events)),
        ("Collected", status.collected.map_or_else(|| "not yet".to_owned(), |at| ago(now() - at.0 / 1000))),
    ];
    lines.iter().map(|(name, value)| format!("{:<12}{value}\n", format!("{name}:"))).collect()
}
