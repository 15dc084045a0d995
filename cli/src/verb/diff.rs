//! `estiba diff`.

use std::collections::BTreeMap;

use layer::{Entry, Kind};
use runtime::tree::WalkOptions;
use sys::Root;

use crate::chosen;
use crate::context::Context;
use crate::error::Result;
use crate::inside::Layers;
use crate::ui;

/// Arguments of `estiba diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The container
    container: String,
    /// Print as `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let container = chosen::one(&containers, &args.container)?;
    let layers = Layers::enter(&containers, &container)?;
    let changes = changes(&layers, &targets(&container.config))?;
    if args.format.as_deref() == Some("json") {
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (kind, path) in &changes {
            let key = match kind {
                'A' => "added",
                'D' => "deleted",
                _ => "changed",
            };
            kinds.entry(key).or_default().push(path.clone());
        }
        ui::out(&format!("{}\n", serde_json::to_string(&kinds)?))?;
        return Ok(0);
    }
    // What a file's name holds is not for the terminal to obey.
    let line = |(kind, path): &(char, String)| format!("{kind} {}\n", path.escape_debug());
    ui::out(&changes.iter().map(line).collect::<String>())?;
    Ok(0)
}

/// Where something is mounted, by us or as it was asked: what is made there for that is no change.
pub(super) fn targets(config: &containers::Config) -> Vec<String> {
    const OURS: [&str; 6] = ["etc/hosts", "etc/resolv.conf", "etc/hostname", "proc", "sys", "dev"];
    let asked = config.data.mounts.iter().map(|mount| mount.target.trim_matches('/').to_owned());
    OURS.iter().map(|&ours| ours.to_owned()).chain(asked).collect()
}

/// Whether an entry is only there so that something could be mounted on it: an empty file or a folder, at a target or above one.
pub(super) fn is_stub(entry: &Entry, targets: &[String]) -> bool {
    let path = String::from_utf8_lossy(&entry.path);
    let on_the_way = |target: &String| {
        *target == path || target.strip_prefix(path.as_ref()).is_some_and(|rest| rest.starts_with('/'))
    };
    let empty = entry.kind == Kind::Dir || (entry.kind == Kind::File && entry.size == 0);
    empty && targets.iter().any(on_the_way)
}

/// `A`dded, `C`hanged, `D`eleted; in the order of paths.
fn changes(layers: &Layers, targets: &[String]) -> Result<Vec<(char, String)>> {
    let image = layers.image()?;
    let options = WalkOptions { ids: layers.ids(&layers.upper), lower: None };
    let entries = runtime::tree::diff(&Root::open(&layers.upper)?, options)?;
    let mut found: Vec<(char, String)> = Vec::new();
    // From the end: a folder is judged after all that is in it.
    for entry in entries.iter().rev().filter(|entry| entry.kind != Kind::Opaque) {
        let path = format!("/{}", String::from_utf8_lossy(&entry.path));
        let holds = found.last().is_some_and(|(_, last)| last.starts_with(&format!("{path}/")));
        if is_stub(entry, targets) && !holds {
            continue;
        }
        let below = image.lookup(&entry.path, false)?.is_some_and(|node| node.path() == entry.path);
        match (entry.kind, below) {
            (Kind::Whiteout, true) => found.push(('D', path)),
            (Kind::Whiteout, false) => {}
            (_, true) => found.push(('C', path)),
            (_, false) => found.push(('A', path)),
        }
    }
    found.reverse();
    Ok(found)
}
