//! `estiba version`.

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba version
  estiba version --format '{{.Client.Version}}'
  estiba version --format json";

/// Arguments of `estiba version`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print by a Go template, or as `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let platform = oci::Platform::host();
    let one = json!({ "Version": env!("CARGO_PKG_VERSION"), "Os": platform.os, "Arch": platform.architecture });
    // There is no server; scripts that ask for its version get that of the one program there is.
    let all = json!({ "Version": env!("CARGO_PKG_VERSION"), "Client": one, "Server": one });
    let text = match args.format.as_deref() {
        None => format!("estiba {} ({platform})\n", env!("CARGO_PKG_VERSION")),
        Some(format) => ui::object(format, &all)?,
    };
    ui::out(&text)?;
    Ok(0)
}
