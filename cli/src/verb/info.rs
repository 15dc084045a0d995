//! `estiba info`.

use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Result;
use crate::{image, sandbox, ui};

const EXAMPLES: &str = "\
Examples:
  estiba info
  estiba info --format '{{.Rung}}'";

/// Arguments of `estiba info`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print by a Go template, or as `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let all = gather(context)?;
    let text = match args.format.as_deref() {
        Some(format) => ui::object(format, &all)?,
        None => plain(&all),
    };
    ui::out(&text)?;
    Ok(0)
}

/// The lines of the plain form, by field.
const LINES: [(&str, &str); 12] = [
    ("Version", "Version"),
    ("Root", "Store"),
    ("Images", "Images"),
    ("Layers", "Layers"),
    ("Rung", "Privileges"),
    ("Driver", "Snapshots"),
    ("KernelVersion", "Kernel"),
    ("OperatingSystem", "System"),
    ("Architecture", "Architecture"),
    ("NCPU", "Processors"),
    ("MemTotal", "Memory"),
    ("Name", "Host"),
];

fn plain(all: &Value) -> String {
    let value = |field: &str| match &all[field] {
        Value::Number(bytes) if field == "MemTotal" => crate::duration::size(bytes.as_u64().unwrap_or(0)),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    LINES.iter().map(|(field, label)| format!("{:<14}{}\n", format!("{label}:"), value(field))).collect()
}

fn gather(context: &Context) -> Result<Value> {
    let store = context.store()?;
    let probe = sandbox::probe(store.layout())?;
    let system = rustix::system::uname();
    let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    Ok(json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Root": context.root()?,
        "DockerRootDir": context.root()?,
        "Images": image::all(&store)?.len(),
        "Layers": store.index().layers()?.len(),
        "Rung": probe.rung.name(),
        "Driver": if sandbox::overlay_note(&probe).is_none() { "overlay" } else { "copy" },
        "Blocked": probe.blocked,
        "KernelVersion": text(system.release()),
        "OperatingSystem": distribution(),
        "OSType": "linux",
        "Architecture": text(system.machine()),
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": memory(),
        "Name": text(system.nodename()),
    }))
}

fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

fn distribution() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
